//! The group committer: one thread per database, one batch and one sync for all that waits.
//!
//! It takes whatever has gathered while the last batch was being synced, so it flushes at once when idle and batches
//! when busy. Replies wait here, sealed, until their write is durable (rule S1); no other code opens them.

use super::completions::{Completions, LOCAL, ReplyTo};
use super::database::{ReplicaStore, Tidied};
use super::now_instant;
use crate::logging::limit::limited;
use ::node::repair::is_repair;
use ::node::room::{DiskRoom, LOOK_EVERY};
use abd::{AfterCommit, Refusal, Reply};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::{DatabaseError, Fit, Puts};

/// Bytes that may wait for the disk. Above it writes are refused, so that a slow disk costs bounded memory.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Without writes for this long the database may tidy up.
const IDLE_AFTER: Duration = LOOK_EVERY;
/// Between two looks at whether the engine has ended its own.
const ENGINE_LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a write that waits takes beside its bytes, about.
const WRITE_OVERHEAD: usize = 256;
/// Why a look at the disk says that it is full.
const LITTLE_LEFT: &str = "there is less left than is kept free";
/// Room for so many replies is kept from batch to batch.
const REPLIES_KEPT: usize = 1024;

/// How often the committer lets others run for as long as that brings more writes.
const YIELDS_MAX: usize = 4;

/// Writes, and the replies that wait for them.
#[derive(Default)]
struct Batch {
    puts: Puts,
    replies: Vec<(ReplyTo, AfterCommit)>,
}

#[derive(Default)]
struct Queue {
    gathered: Batch,
    closed: bool,
}

/// The queue in front of the disk.
pub(crate) struct Committer {
    queue: Mutex<Queue>,
    wake: Condvar,
    completions: Arc<[Completions]>,
    writable: AtomicBool,
    commits: AtomicU64,
    writes: AtomicU64,
}

impl Committer {
    pub(crate) fn new(completions: Arc<[Completions]>, writable: bool) -> Self {
        Self {
            queue: Mutex::default(),
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
        let mut queue = self.queue();
        let Queue { gathered: Batch { puts, replies }, closed } = &mut *queue;
        if puts.bytes() + WRITE_OVERHEAD * puts.len() > QUEUE_BYTES_MAX || *closed {
            put.clear();
            return Err(Reply::Refused(Refusal::Overloaded));
        }
        puts.append(put);
        replies.push((to, reply));
        if replies.len() == 1 {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Lets the thread end when everything queued is durable.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.wake.notify_all();
    }

    /// The committer thread. Returns when closed, or with the reason why this node must not go on.
    pub(crate) fn run(&self, store: &ReplicaStore) -> Result<(), DatabaseError> {
        let mut room = DiskRoom::new(self.writable(), now_instant());
        if !room.has_room() {
            self.tell(false, LITTLE_LEFT);
        }
        // When to tidy up, if nothing comes. A full disk may have something to give back.
        let mut tidy_at = (!room.has_room()).then(|| Instant::now() + IDLE_AFTER);
        // Two batches take turns: one is committed while the other gathers.
        let mut batch = Batch::default();
        let mut tidied = Instant::now();
        loop {
            let until_look = room.next_look().since(now_instant());
            let until_tidy = tidy_at.map(|at| at.saturating_duration_since(Instant::now()));
            if !self.take(&mut batch, until_tidy.map_or(until_look, |time| time.min(until_look))) {
                return Ok(());
            }
            if !batch.replies.is_empty() {
                self.commit(store, &mut batch, &mut room)?;
                tidy_at = Some(Instant::now() + IDLE_AFTER);
                // Deletes may go on for ever on a full disk, and what they hide is to give room back.
                if !room.has_room() && tidied.elapsed() >= IDLE_AFTER {
                    self.tidy(store, false)?;
                    tidied = Instant::now();
                }
            } else if tidy_at.is_some_and(|at| at <= Instant::now()) {
                // Nothing came for a while: a good moment for what would be in the way under load.
                self.look(store, &mut room)?;
                tidy_at = self.tidy(store, room.has_room())?.map(|pause| Instant::now() + pause);
                tidied = Instant::now();
            }
            if room.next_look() <= now_instant() {
                self.look(store, &mut room)?;
                // What a full disk can give back is found by tidying up.
                if !room.has_room() {
                    tidy_at = tidy_at.or_else(|| Some(Instant::now()));
                }
            }
        }
    }

    /// Looks whether the disk has room (rule D1), and whether a thread of the engine has failed: nobody may write for long.
    fn look(&self, store: &ReplicaStore, room: &mut DiskRoom) -> Result<(), DatabaseError> {
        store.check()?;
        if room.looked(store.accepts_writes(), now_instant()) {
            self.tell(room.has_room(), LITTLE_LEFT);
        }
        Ok(())
    }

    /// Tidies up a little; returns when there is to be more of that, if nothing comes before.
    fn tidy(&self, store: &ReplicaStore, writable: bool) -> Result<Option<Duration>, DatabaseError> {
        match store.tidy() {
            Ok(Tidied::Running) => Ok(Some(ENGINE_LOOK_EVERY)),
            Ok(Tidied::All) => Ok((!writable).then_some(IDLE_AFTER)),
            Err(DatabaseError::Full(why)) => {
                limited!(warn, "disk full: housekeeping is put off until there is room", why);
                Ok(Some(IDLE_AFTER))
            }
            Err(fatal) => Err(fatal),
        }
    }

    /// Waits for what gathers and takes it into an empty batch, which stays empty if nothing comes for a time; whether there
    /// will be more.
    fn take(&self, batch: &mut Batch, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        let mut queue = self.queue();
        while queue.gathered.replies.is_empty() {
            if queue.closed {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            queue = self.wake.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        // On a busy machine the event loops have work at hand that will bring more writes: they go first, and the sync
        // that follows serves them too. On an idle one nothing else wants to run, and this costs nothing.
        for _ in 0..YIELDS_MAX {
            let gathered = queue.gathered.replies.len();
            drop(queue);
            std::thread::yield_now();
            queue = self.queue();
            if queue.gathered.replies.len() == gathered {
                break;
            }
        }
        std::mem::swap(&mut queue.gathered, batch);
        true
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the disk has room for values, as a batch has shown.
    fn note_room(&self, store: &ReplicaStore, fit: &Fit, room: &mut DiskRoom) {
        if room.shown(*fit == Fit::All && store.had_room()) {
            let why = match fit {
                Fit::All => "a batch of deletes had room only in what is kept free for them",
                Fit::Tombstones(why) | Fit::Nothing(why) => why,
            };
            self.tell(room.has_room(), why);
        }
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

    /// Commits a batch and empties it.
    fn commit(
        &self,
        store: &ReplicaStore,
        batch: &mut Batch,
        room: &mut DiskRoom,
    ) -> Result<(), DatabaseError> {
        assert_eq!(batch.puts.len(), batch.replies.len(), "each reply waits for one write");
        let fit = store.versions().commit_what_fits(&batch.puts)?;
        self.note_room(store, &fit, room);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(batch.replies.len() as u64, Ordering::Relaxed);
        self.answer(batch, &fit);
        Ok(())
    }

    /// Opens the replies of what has become durable (rule S1), refuses the rest, and empties the batch.
    fn answer(&self, batch: &mut Batch, fit: &Fit) {
        let mut by_shard: Vec<Vec<(ReplyTo, Reply)>> = self.completions.iter().map(|_| Vec::new()).collect();
        if *fit != Fit::All {
            let puts = batch.puts.versions().zip(batch.puts.are_tombstones());
            for (((key, version), tombstone), (to, _)) in puts.zip(&batch.replies) {
                if to.connection == LOCAL && !is_repair(to.call) && !fit.has(tombstone) {
                    self.completions[to.shard].refused(key, version);
                }
            }
        }
        for ((to, reply), tombstone) in batch.replies.drain(..).zip(batch.puts.are_tombstones()) {
            let reply =
                if fit.has(tombstone) { reply.committed() } else { Reply::Refused(Refusal::DiskFull) };
            by_shard[to.shard].push((to, reply));
        }
        batch.puts.clear();
        batch.replies.shrink_to(REPLIES_KEPT);
        for (completions, replies) in self.completions.iter().zip(by_shard) {
            if !replies.is_empty() {
                completions.give(replies);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::{
        CallId, Content, Newest, Reaction, Replica, Request, StampedValue, Standing, Timestamp, Version,
        VersionStore,
    };

    #[test]
    fn a_reply_goes_to_the_event_loop_that_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let watermark = store::Watermark::create(&directory.path().join("watermark"), 0, &[]).unwrap();
        let store =
            ReplicaStore::open(&directory.path().join("database"), watermark.into(), 8 << 20).unwrap();
        let committer = Committer::new(Completions::of_all(3), true);
        let mut put = Puts::default();
        // One batch for all of them: they write the same key.
        for (shard, time) in [(2, 1), (0, 2), (1, 3), (2, 4)] {
            let to = ReplyTo { shard, connection: LOCAL, call: call(time) };
            enqueue(&committer, &mut put, to, Content::Tombstone);
        }
        committer.close();
        committer.run(&store).unwrap();
        assert_eq!(committer.counts(), (1, 4));
        let calls = |shard: usize| {
            let done = committer.completions[shard].take();
            assert!(
                done.iter().all(|(to, reply)| to.shard == shard && matches!(reply, Reply::Written { .. }))
            );
            done.iter().map(|(to, _)| to.call.operation).collect::<Vec<_>>()
        };
        assert_eq!([calls(0), calls(1), calls(2)], [vec![2], vec![3], vec![1, 4]]);
    }

    /// S1: of a batch that a full disk takes in part, the replies to that part alone are opened.
    #[test]
    fn s1_what_did_not_fit_is_refused() {
        let deletes = [true, false, true, true, false];
        for (fit, opened) in [
            (Fit::All, [true; 5]),
            (Fit::Tombstones(String::new()), deletes),
            (Fit::Nothing(String::new()), [false; 5]),
        ] {
            let committer = Committer::new(Completions::of_all(1), true);
            let mut put = Puts::default();
            for (time, delete) in (1..).zip(deletes) {
                let content = if delete { Content::Tombstone } else { Content::Value("v".into()) };
                enqueue(
                    &committer,
                    &mut put,
                    ReplyTo { shard: 0, connection: LOCAL, call: call(time) },
                    content,
                );
            }
            let mut batch = std::mem::take(&mut committer.queue().gathered);
            committer.answer(&mut batch, &fit);
            assert!(batch.puts.is_empty() && batch.replies.is_empty());
            let answers: Vec<(u64, bool)> = committer.completions[0]
                .take()
                .iter()
                .map(|(to, reply)| (to.call.operation, matches!(reply, Reply::Written { .. })))
                .collect();
            assert_eq!(answers, (1..).zip(opened).collect::<Vec<_>>(), "{fit:?}");
            // R2: the own replica lacks what it refused, and somebody may have it.
            let refused = committer.completions[0].take_refused();
            let refused: Vec<u64> = refused.into_iter().map(|(_, version)| version.time()).collect();
            let expected: Vec<u64> =
                (1..).zip(opened).filter(|(_, open)| !open).map(|(time, _)| time).collect();
            assert_eq!(refused, expected, "{fit:?}");
        }
    }

    fn call(operation: u64) -> CallId {
        CallId { operation, phase: 0 }
    }

    /// As a replica with an empty store does that is asked to store this; the operation's number is the time, too.
    fn enqueue(committer: &Committer, put: &mut Puts, to: ReplyTo, content: Content) {
        let version = Version::of_write(Timestamp { time: to.call.operation, node: 1, boot: 1 });
        let request = Request::LocalWrite { key: "k".into(), stamped: StampedValue { version, content } };
        let standing = Standing { admitted: true, writable: true };
        let reaction = Replica { max_future: None }.handle(&NothingYet, request, standing, 0);
        let Reaction::Commit { key, stamped, reply } = reaction else { panic!("nothing is to be written") };
        put.push(&key, &stamped);
        committer.enqueue(put, reply, to).unwrap();
    }

    struct NothingYet;

    impl VersionStore for NothingYet {
        type Error = std::convert::Infallible;

        fn newest(&self, _key: &[u8]) -> Result<Newest, Self::Error> {
            Ok(Newest { stamped: StampedValue::NEVER, durable: true })
        }
    }
}
