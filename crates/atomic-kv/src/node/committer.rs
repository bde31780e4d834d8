//! The group committer: one thread per database. What it does when, and what follows from it, is in [`::node::commit`]; here are the
//! lock, the waiting, the disk, and the way back to the event loops.

use super::completions::{Completions, ReplyTo};
use super::database::ReplicaStore;
use super::now_instant;
use crate::logging::limit::limited;
use ::node::commit::{Address, Batch, QUEUE_BYTES_MAX, Queue, Round, Rounds, Tidied};
use ::node::lookups::Completed;
use abd::{AfterCommit, CallId, Fit, Reply};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use store::{DatabaseError, Puts};

/// Why a look at the disk says that it is full.
const LITTLE_LEFT: &str = "there is less left than is kept free";

/// How often the committer lets others run for as long as that brings more writes.
const YIELDS_MAX: usize = 4;

impl Address for ReplyTo {
    fn own_call(&self) -> Option<CallId> {
        (self.lane.is_none()).then_some(self.call)
    }
}

type Waiting = Queue<Puts, ReplyTo>;

/// The queue in front of the disk.
pub(crate) struct Committer {
    queue: Mutex<Waiting>,
    wake: Condvar,
    completions: Arc<[Completions]>,
    writable: AtomicBool,
    commits: AtomicU64,
    writes: AtomicU64,
}

impl Committer {
    pub(crate) fn new(completions: Arc<[Completions]>, writable: bool) -> Self {
        Self {
            queue: Mutex::new(Queue::new(QUEUE_BYTES_MAX)),
            wake: Condvar::new(),
            completions,
            writable: AtomicBool::new(writable),
            commits: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }

    /// Whether the disk had room at the last look.
    pub(crate) fn writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    /// Batches committed and writes in them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.commits.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    /// Queues a write, taken out of `put`; refuses it when too much waits already.
    pub(crate) fn enqueue(&self, put: &mut Puts, reply: AfterCommit, to: ReplyTo) -> Result<(), Reply> {
        if self.queue().enqueue(put, reply, to)? {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Lets the thread end when everything queued is durable.
    pub(crate) fn close(&self) {
        self.queue().close();
        self.wake.notify_all();
    }

    /// The committer thread. Returns when closed, or with the reason why this node must not go on.
    pub(crate) fn run(&self, store: &ReplicaStore) -> Result<(), DatabaseError> {
        let mut rounds = Rounds::new(self.writable(), now_instant());
        if !rounds.has_room() {
            self.tell(false, LITTLE_LEFT);
        }
        // Two batches take turns: one is committed while the other gathers.
        let mut batch = Batch::default();
        loop {
            let queue = self.queue();
            if queue.has_ended() {
                return Ok(());
            }
            let now = now_instant();
            match rounds.poll(!queue.is_empty(), now) {
                Round::Wait(until) => drop(self.wake.wait_timeout(queue, until.since(now))),
                Round::Commit => {
                    self.let_others_write(queue).take(&mut batch);
                    self.commit(store, &mut batch, &mut rounds)?;
                }
                Round::Look => {
                    drop(queue);
                    // A thread of the engine may have failed, and nobody may write for long.
                    store.database.check()?;
                    if rounds.handle_looked(store.database.accepts_writes(), now_instant()) {
                        self.tell(rounds.has_room(), LITTLE_LEFT);
                    }
                }
                Round::Tidy => {
                    drop(queue);
                    rounds.handle_tidied(tidy(store)?, now_instant());
                }
            }
        }
    }

    /// On a busy machine the event loops have work at hand that will bring more writes: they go first, and the sync that
    /// follows serves them too. On an idle one nothing else wants to run, and this costs nothing.
    fn let_others_write<'a>(&'a self, mut queue: MutexGuard<'a, Waiting>) -> MutexGuard<'a, Waiting> {
        for _ in 0..YIELDS_MAX {
            let gathered = queue.len();
            drop(queue);
            std::thread::yield_now();
            queue = self.queue();
            if queue.len() == gathered {
                break;
            }
        }
        queue
    }

    fn queue(&self) -> MutexGuard<'_, Waiting> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody whether the disk has room, if that is news.
    fn tell(&self, writable: bool, why: &str) {
        self.writable.store(writable, Ordering::Relaxed);
        if writable {
            limited!(info, "the disk has room again: this replica takes writes");
        } else {
            limited!(
                error,
                "disk full: this replica refuses writes but for deletes, and still serves reads",
                why
            );
        }
    }

    /// Commits a batch, hands its replies back, and empties it.
    fn commit(
        &self,
        store: &ReplicaStore,
        batch: &mut Batch<Puts, ReplyTo>,
        rounds: &mut Rounds,
    ) -> Result<(), DatabaseError> {
        let fit = store.versions.commit_what_fits(&batch.writes)?;
        if rounds.handle_committed(&fit, store.database.had_room(), now_instant()) {
            let why = match &fit {
                Fit::All => "a batch of deletes had room only in what is kept free for them",
                Fit::Roomless(why) | Fit::Nothing(why) => why,
            };
            self.tell(rounds.has_room(), why);
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(batch.replies.len() as u64, Ordering::Relaxed);
        let mut by_shard: Vec<Vec<(ReplyTo, Completed)>> =
            self.completions.iter().map(|_| Vec::new()).collect();
        batch.open(&fit, |opened| {
            if let Some((key, version)) = opened.missed {
                self.completions[opened.to.shard].refused(key, version);
            }
            by_shard[opened.to.shard].push((opened.to, Completed::Written(opened.reply)));
        });
        for (completions, replies) in self.completions.iter().zip(by_shard) {
            if !replies.is_empty() {
                completions.give(replies);
            }
        }
        Ok(())
    }
}

/// Tidies up a little.
fn tidy(store: &ReplicaStore) -> Result<Tidied, DatabaseError> {
    store.tidy().or_else(|why| match why {
        DatabaseError::Full(why) => {
            limited!(warn, "disk full: housekeeping is put off until there is room", why);
            Ok(Tidied::PutOff)
        }
        fatal => Err(fatal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::{
        Acceptor, AcceptorLimits, Ballot, Content, Reaction, Replica, Request, Scope, StampedValue, Standing,
        Timestamp, Version, WriteGroup,
    };

    #[test]
    fn a_reply_goes_to_the_event_loop_that_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let watermark =
            store::Watermark::create(&store::files::System, &directory.path().join("watermark"), 0, &[])
                .unwrap();
        let store =
            ReplicaStore::open(&directory.path().join("database"), watermark.into(), 8 << 20, None).unwrap();
        let committer = Committer::new(Completions::of_all(3), true);
        let mut put = Puts::default();
        let replica = Replica { scope: Scope::FIRST, configuration: bytes::Bytes::new(), max_future: None };
        let mut acceptor = Acceptor::new(1, Scope::FIRST.epoch, Ballot::MIN, AcceptorLimits::default());
        // One batch for all of them: they write the same key.
        for (shard, time) in [(2, 1), (0, 2), (1, 3), (2, 4)] {
            let call = CallId { operation: time, phase: 0 };
            let to = ReplyTo { shard, lane: None, call, epoch: 1 };
            let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
            let stamped = StampedValue::plain(version, Content::Tombstone);
            let request = Request::LocalWrite { key: "k".into(), stamped };
            let standing = Standing { admitted: true, writable: true };
            let reaction = replica.handle(&store, &mut acceptor, request, standing, 0);
            let Reaction::Commit { unit, reply } = reaction else { panic!("it is stored already") };
            put.push(&unit);
            committer.enqueue(&mut put, reply, to).unwrap();
        }
        committer.close();
        committer.run(&store).unwrap();
        assert_eq!(committer.counts(), (1, 4));
        let calls =
            |shard: usize| {
                let done = committer.completions[shard].take();
                assert!(done.iter().all(|(to, reply)| to.shard == shard
                    && matches!(reply, Completed::Written(Reply::Written { .. }))));
                done.iter().map(|(to, _)| to.call.operation).collect::<Vec<_>>()
            };
        assert_eq!([calls(0), calls(1), calls(2)], [vec![2], vec![3], vec![1, 4]]);
    }
}
