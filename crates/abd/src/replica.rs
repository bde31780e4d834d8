//! The replica: answers coordinators from its store and says what must be durable before an answer may leave.

use crate::message::{Refusal, Reply, Request};
use crate::value::{Glimpse, Newest, StampedValue};
use crate::version::Version;
use bytes::Bytes;
use core::time::Duration;

/// What a replica needs of its store to answer reads.
pub trait VersionStore {
    /// Why the store cannot answer.
    type Error;

    /// The newest version of a key, from a snapshot taken after this call began.
    ///
    /// # Errors
    /// When the data cannot be read. A replica that cannot read abstains; it never says "absent" (rule S3).
    fn newest(&self, key: &[u8]) -> Result<Newest, Self::Error>;

    /// The same, with the content only if the version is above `have`: a store may save itself the way to the content.
    ///
    /// # Errors
    /// As [`VersionStore::newest`].
    fn newest_above(&self, key: &[u8], have: Version) -> Result<Glimpse, Self::Error> {
        Ok(self.newest(key)?.glimpse(have))
    }

    /// The same without waiting for a disk: `None` when the answer is not in memory. The default is for stores that have all
    /// of it there.
    fn remembered_above(&self, key: &[u8], have: Version) -> Option<Glimpse> {
        self.newest_above(key, have).ok()
    }

    /// Whether an error says that a part of the store is damaged which may have held a version of the key, while the
    /// rest of it works (rule S3).
    fn is_damage(_why: &Self::Error) -> bool {
        false
    }
}

/// Whether a replica may take part at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Rule M1: every other member has confirmed this data directory.
    pub admitted: bool,
    /// The disk has room for values. A tombstone may be tried without: it makes room in the end.
    pub writable: bool,
}

/// A reply that may leave only after the write it belongs to is durable (rule S1). The one way to open it is to say
/// so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AfterCommit(Reply);

impl AfterCommit {
    /// Opens the reply. Call it after the group commit that contains the write has returned success.
    pub fn committed(self) -> Reply {
        self.0
    }
}

/// What a request leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// Answer now.
    Reply(Reply),
    /// Commit the write, then answer.
    Commit {
        /// The key.
        key: Bytes,
        /// What to store.
        stamped: StampedValue,
        /// The answer, sealed until then.
        reply: AfterCommit,
    },
}

/// A request that the store could not answer, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered<E> {
    /// The request.
    pub request: Request,
    /// What the store said.
    pub why: E,
}

/// The rules of the replica. It holds no data: that is in the store, and any thread may read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    /// How far the time of a version may lie ahead of this node's `latest`; `None` switches the check off. A poisoned
    /// time refused here can never become the base of anybody's next timestamp.
    pub max_future: Option<Duration>,
}

impl Replica {
    /// Answers one request; when the store cannot be read, by saying so. `latest` is the upper bound of the node's clock in
    /// nanoseconds since the epoch (or its plain wall clock in logical mode); it serves the horizon only.
    pub fn handle<S: VersionStore>(
        &self,
        store: &S,
        request: Request,
        standing: Standing,
        latest: u64,
    ) -> Reaction {
        self.try_handle(store, request, standing, latest).unwrap_or_else(|unanswered| {
            let damaged = S::is_damage(&unanswered.why);
            Reaction::Reply(Reply::Refused(if damaged { Refusal::Damaged } else { Refusal::StoreFailed }))
        })
    }

    /// The same for a store that may not know the answer, although another one does: one that has a part of it in memory.
    ///
    /// # Errors
    /// [`Unanswered`] when the store has failed to answer. Nothing has happened then.
    pub fn try_handle<S: VersionStore>(
        &self,
        store: &S,
        request: Request,
        standing: Standing,
        latest: u64,
    ) -> Result<Reaction, Unanswered<S::Error>> {
        if !standing.admitted {
            return Ok(Reaction::Reply(Reply::Refused(Refusal::NotAdmitted)));
        }
        match request {
            Request::LocalRead { key, have } => match store.newest_above(&key, have) {
                Ok(Glimpse { version, content, durable, .. }) => {
                    Ok(Reaction::Reply(Reply::Read { version, content, durable }))
                }
                Err(why) => Err(Unanswered { request: Request::LocalRead { key, have }, why }),
            },
            Request::LocalReadTimestamp { key } => match store.newest_above(&key, Version::MAX) {
                Ok(Glimpse { version, present, .. }) => {
                    Ok(Reaction::Reply(Reply::Timestamp { version, present, writable: standing.writable }))
                }
                Err(why) => Err(Unanswered { request: Request::LocalReadTimestamp { key }, why }),
            },
            Request::LocalWrite { key, stamped } => Ok(self.write(store, key, stamped, standing, latest)),
        }
    }

    /// A blind put: no store is read for it, only looked at for what it has in memory (PROTOCOL section 4). If that is nothing, the
    /// write is stored whatever is there already: a version that comes late is an entry of its own, behind the newer one,
    /// and what is acknowledged is that this version or a newer one is durable (rule S1).
    fn write<S: VersionStore>(
        &self,
        store: &S,
        key: Bytes,
        stamped: StampedValue,
        standing: Standing,
        latest: u64,
    ) -> Reaction {
        if let Some(max_future) = self.max_future {
            let horizon = latest.saturating_add(u64::try_from(max_future.as_nanos()).unwrap_or(u64::MAX));
            if stamped.version.time() > horizon {
                return Reaction::Reply(Reply::Refused(Refusal::FutureVersion));
            }
        }
        let known = store.remembered_above(&key, Version::MAX);
        let previous = known.as_ref().map(|known| (known.version, known.present));
        if let Some(Glimpse { version, durable: true, .. }) = known
            && version >= stamped.version
        {
            // In tests alone: it takes a look-up, and what a peer sends may not end a node.
            debug_assert!(
                version > stamped.version || !contradicts(store, &key, &stamped),
                "V1: version {:?} names two values",
                stamped.version
            );
            return Reaction::Reply(Reply::Written { previous });
        }
        let reply = Reply::Written { previous };
        if !standing.writable && stamped.content.is_value() {
            return Reaction::Reply(Reply::Refused(Refusal::DiskFull));
        }
        Reaction::Commit { key, stamped, reply: AfterCommit(reply) }
    }
}

/// Whether another content of the same version is known (rule V1).
fn contradicts(store: &impl VersionStore, key: &[u8], stamped: &StampedValue) -> bool {
    let known = store.remembered_above(key, Version::MIN);
    known.is_some_and(|known| {
        known.version == stamped.version && known.content.is_some_and(|content| content != stamped.content)
    })
}
