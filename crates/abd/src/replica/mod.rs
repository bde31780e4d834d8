//! The replica: answers coordinators from its store and says what must be durable before an answer may leave.

pub mod acceptor;
mod closed;
mod consensus;

pub use acceptor::{Acceptor, AcceptorLimits, Before};

use crate::ballot::{Ballot, Scope};
use crate::commit::Unit;
use crate::message::{Refusal, Reply, Request};
use crate::reserved::is_reserved;
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

    /// The largest ballot that this replica may promise: as large as is durable (rule P5).
    fn mark(&self) -> Ballot;

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

impl Standing {
    /// The same for what is stored under this key.
    fn of(self, key: &[u8]) -> Self {
        Self { writable: self.writable || is_reserved(key), ..self }
    }
}

/// A reply that may leave only after the write it belongs to is durable (rule S1). The one way to open it is to say
/// so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AfterCommit(Reply);

impl AfterCommit {
    /// Whether it acknowledges a write, which may be stored elsewhere even if it is not stored here.
    pub fn acknowledges_write(&self) -> bool {
        matches!(self.0, Reply::Written { .. })
    }

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
        /// What to store.
        unit: Unit,
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
    /// What it serves.
    pub scope: Scope,
    /// The configuration of that, encoded: what an older request is answered with (rule C1).
    pub configuration: Bytes,
    /// How far the time of a version may lie ahead of this node's `latest`; `None` switches the check off. A poisoned
    /// time refused here can never become the base of anybody's next timestamp.
    pub max_future: Option<Duration>,
}

impl Replica {
    /// The answer to a request of another configuration (rule C1); `None` to one of its own.
    pub fn judge_scope(&self, scope: Scope) -> Option<Reply> {
        let Scope { partition, epoch } = self.scope;
        if (scope.partition, scope.epoch) == (partition, epoch) {
            return None;
        }
        Some(if scope.partition == partition && scope.epoch < epoch {
            Reply::Stale { configuration: self.configuration.clone() }
        } else {
            Reply::Refused(Refusal::OtherConfiguration)
        })
    }

    /// Has a configuration made durable, encoded, behind everything that an older one still waits for (rule C1). Before that every
    /// acceptor of the replica takes its epoch ([`Acceptor::install`]); when it is durable, the replica serves it.
    pub fn install(configuration: Bytes) -> (Unit, AfterCommit) {
        (Unit::Configuration(configuration), AfterCommit(Reply::Written { previous: None }))
    }

    /// Something that changes nothing: when it is durable, so is all that was queued before. A mark below every other takes the place of
    /// none.
    pub fn barrier() -> (Unit, AfterCommit) {
        (Unit::Mark(Ballot::MIN), AfterCommit(Reply::Written { previous: None }))
    }

    /// Answers one request; when the store cannot be read, by saying so. `latest` is the upper bound of the node's clock in
    /// nanoseconds since the epoch (or its plain wall clock in logical mode); it serves the horizon only.
    pub fn handle<S: VersionStore>(
        &self,
        store: &S,
        acceptor: &mut Acceptor,
        request: Request,
        standing: Standing,
        latest: u64,
    ) -> Reaction {
        let reaction = if request.is_read() {
            self.try_read(store, request, standing).map(Reaction::Reply)
        } else {
            self.try_change(store, acceptor, request, standing, latest)
        };
        reaction.unwrap_or_else(|Unanswered { why, .. }| Reaction::Reply(refusal_for::<S>(&why)))
    }

    /// Answers a question about what is stored; when the store cannot be read, by saying so.
    pub fn read<S: VersionStore>(&self, store: &S, question: Request, standing: Standing) -> Reply {
        self.try_read(store, question, standing)
            .unwrap_or_else(|Unanswered { why, .. }| refusal_for::<S>(&why))
    }

    /// The same for a store that may not know the answer, although another one does: one that has a part of it in memory.
    ///
    /// # Errors
    /// [`Unanswered`] when the store has failed to answer.
    ///
    /// # Panics
    /// When it is not a question ([`Request::is_read`]).
    pub fn try_read<S: VersionStore>(
        &self,
        store: &S,
        question: Request,
        standing: Standing,
    ) -> Result<Reply, Unanswered<S::Error>> {
        if !standing.admitted {
            return Ok(Reply::Refused(Refusal::NotAdmitted));
        }
        let have = match &question {
            Request::LocalRead { have, .. } => *have,
            Request::LocalReadTimestamp { .. } => Version::MAX,
            other => unreachable!("{other:?} changes something"),
        };
        match (store.newest_above(question.key(), have), &question) {
            (Ok(glimpse), Request::LocalRead { .. }) => Ok(Reply::Read(glimpse)),
            (Ok(Glimpse { version, present, .. }), _) => {
                Ok(Reply::Timestamp { version, present, writable: standing.writable })
            }
            (Err(why), _) => Err(Unanswered { request: question, why }),
        }
    }

    /// Answers a request that changes something, for a store as in [`Replica::try_read`]. What comes of it is to be queued for the
    /// disk before the acceptor is given anything else about the key; if that is refused, [`Acceptor::undo`] it.
    ///
    /// # Errors
    /// [`Unanswered`] when the store has failed to answer. Nothing has happened then.
    pub fn try_change<S: VersionStore>(
        &self,
        store: &S,
        acceptor: &mut Acceptor,
        request: Request,
        standing: Standing,
        latest: u64,
    ) -> Result<Reaction, Unanswered<S::Error>> {
        let refused = |refusal| Ok(Reaction::Reply(Reply::Refused(refusal)));
        if !standing.admitted {
            return refused(Refusal::NotAdmitted);
        }
        if acceptor.epoch() != self.scope.epoch {
            // Another configuration is being installed: whoever asks has to ask in that one.
            return refused(Refusal::OtherConfiguration);
        }
        if request.newest_version().is_some_and(|version| self.is_too_far_ahead(version, latest)) {
            return refused(Refusal::FutureVersion);
        }
        acceptor.settle_some(|key| store.remembered_above(key, Version::MAX));
        let standing = standing.of(request.key());
        match request {
            Request::LocalWrite { key, stamped } => Ok(write(store, acceptor, key, stamped, standing)),
            Request::Prepare { ballot, .. } | Request::Accept { ballot, .. }
                if ballot.epoch != self.scope.epoch =>
            {
                refused(Refusal::OtherConfiguration)
            }
            Request::Prepare { .. } | Request::Accept { .. } | Request::Adopt { .. } => {
                consensus::handle(store, acceptor, request, standing)
            }
            other => unreachable!("{other:?} changes nothing"),
        }
    }

    fn is_too_far_ahead(&self, version: Version, latest: u64) -> bool {
        self.max_future.is_some_and(|max_future| {
            let horizon = latest.saturating_add(u64::try_from(max_future.as_nanos()).unwrap_or(u64::MAX));
            version.time() > horizon
        })
    }
}

fn refusal_for<S: VersionStore>(why: &S::Error) -> Reply {
    Reply::Refused(if S::is_damage(why) { Refusal::Damaged } else { Refusal::StoreFailed })
}

/// A blind put: no store is read for it, only looked at for what it has in memory (PROTOCOL section 4). If that is nothing, the
/// write is stored whatever is there already: a version that comes late is an entry of its own, behind the newer one,
/// and what is acknowledged is that this version or a newer one is durable (rule S1).
fn write<S: VersionStore>(
    store: &S,
    acceptor: &mut Acceptor,
    key: Bytes,
    stamped: StampedValue,
    standing: Standing,
) -> Reaction {
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
    let closes = acceptor.handle_write(&key, stamped.version, stamped.update);
    let unit = if closes { Unit::Closing { key, stamped } } else { Unit::Version { key, stamped } };
    Reaction::Commit { unit, reply: AfterCommit(reply) }
}

/// Whether another content of the same version is known (rule V1).
fn contradicts(store: &impl VersionStore, key: &[u8], stamped: &StampedValue) -> bool {
    let known = store.remembered_above(key, Version::MIN);
    known
        .and_then(Glimpse::stamped)
        .is_some_and(|known| known.version == stamped.version && known != *stamped)
}
