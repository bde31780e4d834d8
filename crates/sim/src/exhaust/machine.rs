//! One event loop of one node: the production coordinator and issuer.
//!
//! Machines are compared whole, with `Eq`: nothing is projected away. What would distort the count of states is made
//! constant from outside instead:
//!
//! * *Whom to ask first.* A query phase asks its own replica, then a majority, then everybody when the hedge fires.
//!   Here the hedge fires at once, so everybody is always asked; not having asked equals never being answered. What
//!   the coordinator suspects of slow members goes with [`Coordinator::handle_peer_up`], which every member sends.
//! * *Timers.* Deadlines are closer than the first repetition, so every timer stands at the deadline, which never
//!   comes; except that of a commit wait, which depends on the version alone because true time drives the timers. Where
//!   there are Updates, the repetition is when they begin another ballot if somebody was in the way: it comes when the
//!   search says so. Pauses are as short as can be, since nothing is taken in during one.
//! * *`previous` in an acknowledgement.* Replicas do not know it (`None`, as the message allows). It enters only the
//!   `existed` of an outcome, which is a report and not part of the history.

use super::history::ModelAnswer;
use super::numbered::Numbered;
use super::replica::Cell;
use super::scenario::{REPLICAS, Scenario};
use super::symmetry::Renaming;
use super::values::{ValueId, ValueSet, Values};
use abd::{
    CallId, Config, Coordinator, Instant, NodeId, Now, OperationId, QuorumSystem, Reply, Request,
    StampedValue, TimestampIssuer, TimestampMode,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

/// The one key of a tiny world.
pub(super) const KEY: Bytes = Bytes::from_static(b"k");

/// A time that no run reaches.
pub(super) const DEADLINE: Instant = Instant(1_000_000);

/// Later than the deadline, whenever the phase began.
const NO_RESEND: Duration = Duration::from_secs(1);

/// Of loops with Updates: later than true time ever is.
pub(super) const RESEND_AFTER: Duration = Duration::from_nanos(1_000);

/// The number of a distinct request.
pub(super) type RequestId = u16;

/// The number of a distinct reply.
pub(super) type ReplyId = u16;

/// Everything that can happen to a machine. Where values may be judged, `moment` is when they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Input {
    /// A client's operation; `latest` is what the interval clock says now.
    Submit { operation: u8, latest: u8 },
    /// A replica that stores `cell` answers the query of an operation.
    Query { operation: u8, from: u8, cell: Cell, now: u8, moment: u8 },
    /// A replica acknowledges the write of an operation.
    Written { operation: u8, from: u8, now: u8 },
    /// A replica answers the Prepare or the Accept of an operation.
    Reply { operation: u8, from: u8, reply: ReplyId, now: u8, moment: u8 },
    /// An operation has waited for long.
    Waited { operation: u8, now: u8 },
    /// A replica is there again, in this run of it.
    PeerUp { from: u8, boot: u8 },
    /// True time is now this.
    Time { now: u8 },
    /// The node crashes and comes back.
    Restart,
    /// The node hears of a newer configuration.
    Install { epoch: u8 },
}

/// What an input puts out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Output {
    /// The values that are sent to be stored.
    pub(super) sent: ValueSet,
    /// The Accept that is sent, whole.
    pub(super) accept: Option<RequestId>,
    /// An Update that has used up its ballots.
    pub(super) exhausted: Option<u8>,
    /// The operations that end.
    pub(super) answers: [Option<(u8, ModelAnswer)>; 2],
}

impl Output {
    /// An operation ends.
    pub(super) fn answer(&mut self, operation: u8, answer: ModelAnswer) {
        let free = self.answers.iter_mut().find(|answer| answer.is_none());
        let Some(free) = free else { unreachable!("a loop has at most two operations") };
        *free = Some((operation, answer));
    }
}

/// What machines run in: the scenario with its lies, and the values by number.
pub(super) struct Surroundings {
    pub(super) scenario: Scenario,
    pub(super) values: Values,
    pub(super) requests: Numbered<Request>,
    pub(super) replies: Numbered<Reply>,
}

/// What an operation in flight is waiting for: bit `i` is replica `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    pub(super) operation: u8,
    /// Replicas that were asked what they hold.
    pub(super) queried: u8,
    /// The query is for a timestamp only.
    pub(super) for_timestamp: bool,
    /// Replicas that were asked to store the value.
    pub(super) written: Option<(ValueId, u8)>,
    /// Replicas that were asked to promise or to accept, and have not answered.
    pub(super) proposed: [Option<RequestId>; REPLICAS],
    /// If it is to accept, the request whole.
    pub(super) accept: Option<RequestId>,
    /// In which configuration it asks.
    pub(super) epoch: u8,
}

/// The production machines of one event loop, and the requests whose replies would still count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Machine {
    pub(super) node: u32,
    pub(super) boot: u32,
    pub(super) mode: TimestampMode,
    /// Whether there are Updates in this world.
    pub(super) updates: bool,
    pub(super) coordinator: Coordinator,
    pub(super) issuer: TimestampIssuer,
    pub(super) calls: BTreeMap<u8, Call>,
    /// The base that the present operation asks about, or else the newest value that it has been told of.
    pub(super) base: StampedValue,
    /// Ballots that it has begun, and how often it has waited for long.
    pub(super) ballots: u8,
    pub(super) waits: u8,
    /// Where acknowledgements are added up across configurations (BM2): the replicas that have given theirs.
    pub(super) acknowledged: u8,
}

/// The requests of an operation's current phase.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Call {
    pub(super) operation: OperationId,
    /// An Update's calls are at first its own, then those of its fold.
    pub(super) id: CallId,
    pub(super) requests: [Option<Request>; REPLICAS],
    /// The Accept that they are, whole.
    pub(super) accept: Option<RequestId>,
}

impl Input {
    /// The same input with the replicas renamed.
    pub(super) fn renamed(self, renaming: &Renaming) -> Self {
        let new = |from: u8| renaming[usize::from(from)];
        match self {
            Self::Query { operation, from, cell, now, moment } => {
                Self::Query { operation, from: new(from), cell, now, moment }
            }
            Self::Written { operation, from, now } => Self::Written { operation, from: new(from), now },
            Self::Reply { operation, from, reply, now, moment } => {
                Self::Reply { operation, from: new(from), reply, now, moment }
            }
            Self::PeerUp { from, boot } => Self::PeerUp { from: new(from), boot },
            Self::Submit { .. }
            | Self::Waited { .. }
            | Self::Time { .. }
            | Self::Restart
            | Self::Install { .. } => self,
        }
    }
}

impl Machine {
    /// `boot` is the incarnation, `stamped` the one that goes into timestamps.
    pub(super) fn new(
        node: u32,
        boot: u32,
        stamped: u32,
        mode: TimestampMode,
        updates: bool,
        quorums: QuorumSystem,
    ) -> Self {
        let config = Config {
            local: NodeId(node),
            quorums,
            mode,
            hedge_after: Duration::ZERO,
            rotate_after: NonZeroU64::MIN,
            // Times are no part of a state.
            probe_after: None,
            resend_after: if updates { RESEND_AFTER } else { NO_RESEND },
            pause: Duration::ZERO,
        };
        Self {
            node,
            boot,
            mode,
            updates,
            coordinator: Coordinator::new(config),
            issuer: TimestampIssuer::new(NodeId(node), stamped),
            calls: BTreeMap::new(),
            base: StampedValue::NEVER,
            ballots: 0,
            waits: 0,
            acknowledged: 0,
        }
    }

    /// The configuration that it has installed.
    pub(super) fn epoch(&self) -> u8 {
        u8::try_from(self.coordinator.quorums().scope().epoch).unwrap_or(u8::MAX)
    }

    /// What is due happens, hedges above all; then nobody is under suspicion. All replicas are known to be in this run or a later
    /// one.
    pub(super) fn wake(&mut self, now: Now, boot: u32) {
        self.coordinator.handle_timeout(now, &self.issuer);
        for node in self.coordinator.quorums().voters().iter() {
            self.coordinator.handle_peer_up(node, boot);
        }
    }

    /// The request of an operation's current phase to one replica.
    pub(super) fn request(&self, operation: u8, to: u8) -> Option<(NodeId, CallId, Request)> {
        let call = self.calls.get(&operation)?;
        let request = call.requests[usize::from(to)].clone()?;
        Some((NodeId(u32::from(to) + 1), call.id, request))
    }

    /// What its operations are waiting for.
    pub(super) fn waiting(&self, surroundings: &mut Surroundings) -> [Option<Awaited>; 2] {
        let mut waiting = [None; 2];
        for (place, (&operation, call)) in waiting.iter_mut().zip(&self.calls) {
            *place = Some(call.waiting(operation, self.epoch(), surroundings));
        }
        waiting
    }
}

impl Call {
    fn waiting(&self, operation: u8, epoch: u8, surroundings: &mut Surroundings) -> Awaited {
        let mut waiting = Awaited {
            operation,
            queried: 0,
            for_timestamp: false,
            written: None,
            proposed: [None; REPLICAS],
            accept: self.accept,
            epoch,
        };
        for (index, request) in self.requests.iter().enumerate() {
            match request {
                None => {}
                Some(Request::LocalRead { .. }) => waiting.queried |= 1 << index,
                Some(Request::LocalReadTimestamp { .. }) => {
                    waiting.queried |= 1 << index;
                    waiting.for_timestamp = true;
                }
                Some(request @ (Request::Prepare { .. } | Request::Accept { .. })) => {
                    waiting.proposed[index] = Some(surroundings.requests.number(request.clone()));
                }
                Some(Request::LocalWrite { stamped, .. }) => {
                    let (_, written) = waiting.written.unwrap_or_default();
                    waiting.written = Some((surroundings.values.number(stamped), written | 1 << index));
                }
                Some(Request::Adopt { .. }) => unreachable!("coordinators ask for no merges"),
            }
        }
        waiting
    }
}
