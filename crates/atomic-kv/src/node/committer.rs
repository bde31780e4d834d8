//! The group committer: one thread per database, one batch and one sync for all that waits.
//!
//! It takes whatever has gathered while the last batch was being synced, so it flushes at once when idle and batches
//! when busy. Replies wait here, sealed, until their write is durable (rule S1); no other code opens them.

use super::database::{ReplicaStore, Tidied};
use abd::{AfterCommit, CallId, Refusal, Reply};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{DatabaseError, Put};
use tokio::sync::Notify;

/// Bytes that may wait for the disk. Above it writes are refused, so that a slow disk costs bounded memory.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Keys that one round of garbage collection looks at.
const GARBAGE_BUDGET: usize = 32;
/// Without writes for this long the database may tidy up.
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// Between two rounds of tidying up. A write that comes meanwhile waits for the end of one.
const PAUSE: Duration = Duration::from_millis(5);
/// Between two looks at whether the engine has ended its own.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often the committer lets others run for as long as that brings more writes.
const YIELDS_MAX: usize = 4;

/// Where a reply goes: an event loop and one of its connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) shard: usize,
    /// [`LOCAL`] for the shard's own coordinator.
    pub(crate) connection: u64,
    pub(crate) call: CallId,
}

/// The connection number of a shard's own coordinator.
pub(crate) const LOCAL: u64 = 0;

/// A write and the reply that waits for it.
pub(crate) struct PendingWrite {
    pub(crate) put: Put,
    pub(crate) reply: AfterCommit,
    pub(crate) to: ReplyTo,
}

/// Finished writes on their way back to an event loop.
#[derive(Default)]
pub(crate) struct Completions {
    done: Mutex<Vec<(ReplyTo, Reply)>>,
    pub(crate) wake: Notify,
}

impl Completions {
    pub(crate) fn take(&self) -> Vec<(ReplyTo, Reply)> {
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Default)]
struct Queue {
    writes: Vec<PendingWrite>,
    bytes: usize,
    closed: bool,
}

/// The queue in front of the disk.
pub(crate) struct Committer {
    queue: Mutex<Queue>,
    wake: Condvar,
    completions: Vec<Arc<Completions>>,
    writable: AtomicBool,
    commits: AtomicU64,
    writes: AtomicU64,
}

impl Committer {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            queue: Mutex::default(),
            wake: Condvar::new(),
            completions: (0..shards).map(|_| Arc::default()).collect(),
            writable: AtomicBool::new(true),
            commits: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }

    pub(crate) fn completions(&self, shard: usize) -> Arc<Completions> {
        self.completions[shard].clone()
    }

    /// Whether the disk had room at the last look.
    pub(crate) fn writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    /// Batches committed and writes in them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.commits.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    /// Queues a write; hands it back refused when too much waits already.
    pub(crate) fn enqueue(&self, write: PendingWrite) -> Result<(), Reply> {
        let mut queue = self.queue();
        if queue.bytes > QUEUE_BYTES_MAX || queue.closed {
            return Err(Reply::Refused(Refusal::Overloaded));
        }
        queue.bytes += write.put.size() + 128;
        queue.writes.push(write);
        if queue.writes.len() == 1 {
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
        // When to tidy up, if nothing comes.
        let mut tidy_after = None;
        loop {
            let taken = self.take(tidy_after);
            let Some(writes) = taken else { return Ok(()) };
            if writes.is_empty() {
                // Nothing came for a while: a good moment for what would be in the way under load.
                let writable = store.accepts_writes();
                self.writable.store(writable, Ordering::Relaxed);
                tidy_after = match store.tidy(writable) {
                    Ok(Tidied::More) => Some(PAUSE),
                    Ok(Tidied::Running) => Some(LOOK_EVERY),
                    Ok(Tidied::All) => (!writable).then_some(IDLE_AFTER),
                    Err(DatabaseError::Full(why)) => {
                        tracing::warn!(why, "disk full: housekeeping is put off until there is room");
                        Some(IDLE_AFTER)
                    }
                    Err(fatal) => return Err(fatal),
                };
                continue;
            }
            tidy_after = Some(IDLE_AFTER);
            self.commit(store, writes)?;
        }
    }

    /// What has gathered; nothing, if nothing came for a time.
    fn take(&self, at_most: Option<Duration>) -> Option<Vec<PendingWrite>> {
        let mut queue = self.queue();
        while queue.writes.is_empty() {
            if queue.closed {
                return None;
            }
            if let Some(time) = at_most {
                let (guard, timeout) =
                    self.wake.wait_timeout(queue, time).unwrap_or_else(PoisonError::into_inner);
                queue = guard;
                if timeout.timed_out() && queue.writes.is_empty() && !queue.closed {
                    return Some(Vec::new());
                }
            } else {
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
        // On a busy machine the event loops have work at hand that will bring more writes: they go first, and the sync
        // that follows serves them too. On an idle one nothing else wants to run, and this costs nothing.
        for _ in 0..YIELDS_MAX {
            let gathered = queue.writes.len();
            drop(queue);
            std::thread::yield_now();
            queue = self.queue();
            if queue.writes.len() == gathered {
                break;
            }
        }
        queue.bytes = 0;
        Some(std::mem::take(&mut queue.writes))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, store: &ReplicaStore, writes: Vec<PendingWrite>) -> Result<(), DatabaseError> {
        let refused = match store.versions().commit_puts(writes.iter().map(|write| &write.put)) {
            Ok(()) => {
                if !self.writable.swap(true, Ordering::Relaxed) {
                    tracing::info!("the disk has room again: this replica takes writes");
                }
                None
            }
            Err(DatabaseError::Full(why)) => {
                if self.writable.swap(false, Ordering::Relaxed) {
                    tracing::error!(why, "disk full: this replica refuses writes and still serves reads");
                }
                Some(Refusal::DiskFull)
            }
            Err(fatal) => return Err(fatal),
        };
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(writes.len() as u64, Ordering::Relaxed);
        let mut by_shard: Vec<Vec<(ReplyTo, Reply)>> = self.completions.iter().map(|_| Vec::new()).collect();
        for write in writes {
            let reply = match refused {
                None => write.reply.committed(),
                Some(refusal) => Reply::Refused(refusal),
            };
            by_shard[write.to.shard].push((write.to, reply));
        }
        for (completions, replies) in self.completions.iter().zip(by_shard) {
            if !replies.is_empty() {
                completions.done.lock().unwrap_or_else(PoisonError::into_inner).extend(replies);
                completions.wake.notify_one();
            }
        }
        if refused.is_none() {
            match store.versions().collect_garbage(GARBAGE_BUDGET) {
                Ok(_) | Err(DatabaseError::Full(_)) => {}
                Err(fatal) => return Err(fatal),
            }
        }
        Ok(())
    }
}
