//! The coordinator: client operations as phases over quorums.
//!
//! ```text
//! Get      read a majority ─► newest durable on a majority? ── yes ──────────► (T1 wait) ─► answer
//!                                        └── no ─► write it back to those that lack it ┘
//! Set, logical    timestamps of a majority ─► time = max + 1 ─► write to a majority ─► (T1 wait) ─► answer
//! Set, TrueTime   time = latest ─► write to a majority ─► T1 wait, overlapped ─► answer
//! Delete   a Set whose content is the tombstone
//! ```
//!
//! Its methods come in three kinds. Commands: [`Coordinator::submit`], [`Coordinator::cancel`]. Inputs: `handle_*`.
//! Outputs: [`Coordinator::poll_transmit`], [`Coordinator::poll_outcome`] (both until `None` after any command or
//! input), then [`Coordinator::poll_timeout`], at which [`Coordinator::handle_timeout`] is due.

mod choice;
mod in_flight;
mod nearness;
mod phase;
mod replies;
mod running;

use crate::issuer::TimestampIssuer;
use crate::message::{CallId, Refusal, Reply, Request};
use crate::operation::{Operation, OperationId, Outcome, Reason};
use crate::quorum::{Members, NodeSet};
use crate::time::{Instant, Now};
use crate::version::{NodeId, Version};
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use core::num::NonZeroU64;
use core::time::Duration;
use in_flight::{InFlight, Position};
use nearness::Nearness;
use phase::{Calls, Phase, ReadPhase, TimestampPhase, WritePhase};
use running::{Running, stamp};

/// How the cluster chooses timestamps. All members use the same: a TrueTime Set is ordered after a logical operation
/// only if that one waited too (PROTOCOL 3.7, run BT4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampMode {
    /// A quorum read of timestamps, then one more.
    Logical,
    /// The interval clock's `latest`; every operation waits the uncertainty out.
    TrueTime,
}

/// What a coordinator is told once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// The member whose replica is closest: this node's own.
    pub local: NodeId,
    /// All replicas.
    pub members: Members,
    /// How timestamps are chosen.
    pub mode: TimestampMode,
    /// A query phase asks a bare majority first and everybody after this long.
    pub hedge_after: Duration,
    /// So many operations in a row ask the same majority first: those that run at the same time then share messages.
    pub rotate_after: NonZeroU64,
    /// Members that answer questions much later than others are asked last. One that has not been asked for this long is
    /// asked beside those who are needed, to learn whether that is still so. `None`: nobody is timed, and all count as near.
    pub probe_after: Option<Duration>,
    /// First pause before a call that was not answered is sent again; doubles each time up to eight times this.
    pub resend_after: Duration,
}

/// A request to one replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transmit {
    /// Whom to ask.
    pub to: NodeId,
    /// To be returned with the reply.
    pub call: CallId,
    /// The operation's deadline: an answer after it is of no use.
    pub deadline: Instant,
    /// What to ask.
    pub request: Request,
    /// Whether nobody waits for the answer as long as those answer who were asked without this: a write beyond a
    /// majority. It may be sent a little later, together with others, but not much: should one of the others fail, the
    /// operation waits for this one.
    pub may_wait: bool,
    /// Whether it was sent before and not answered: the way that it took may be at fault.
    pub again: bool,
}

/// The state machines of all operations in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Coordinator {
    config: Config,
    next_operation: u64,
    running: InFlight,
    timers: BTreeSet<(Instant, u64)>,
    /// Members that left a hedge waiting: asked last until they answer anything. A hint, never a rule.
    suspects: NodeSet,
    nearness: Nearness,
    /// Members that said their disk is full: they take deletes, if anything.
    unwritable: NodeSet,
    transmits: VecDeque<Transmit>,
    outcomes: VecDeque<(OperationId, Outcome)>,
}

/// How much an operation holds of what it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueFound {
    /// A Get that nobody has answered yet, not even the own replica.
    Nothing,
    /// So many bytes of a content: at first what the own replica has, then the newest.
    Bytes(usize),
    /// It is not in flight any more.
    Ended,
}

/// What an input leads to.
enum Step {
    Continue,
    /// Ask a majority, those not yet asked.
    AskMajority,
    AskEverybody,
    Enter(Phase),
    /// The result is durable on a majority: answer as soon as rule T1 allows.
    Settle {
        version: Version,
        outcome: Outcome,
    },
    End(Outcome),
}

impl Coordinator {
    /// A coordinator with nothing in flight.
    ///
    /// # Panics
    /// When `config.local` is not a member.
    pub fn new(config: Config) -> Self {
        assert!(config.members.index_of(config.local).is_some(), "{} is not a member", config.local);
        let (count, majority) = (config.members.count(), config.members.majority());
        Self {
            nearness: Nearness::new(count, majority, config.probe_after),
            config,
            next_operation: 0,
            running: InFlight::default(),
            timers: BTreeSet::new(),
            suspects: NodeSet::EMPTY,
            unwritable: NodeSet::EMPTY,
            transmits: VecDeque::new(),
            outcomes: VecDeque::new(),
        }
    }

    /// Starts an operation, to be ended by `deadline` at the latest.
    pub fn submit(
        &mut self,
        operation: Operation,
        deadline: Instant,
        now: Now,
        issuer: &TimestampIssuer,
    ) -> OperationId {
        let id = self.next_operation;
        self.next_operation += 1;
        let position = self.running.begin(id);
        let mut running = Box::new(Running {
            phase: match operation {
                Operation::Get { .. } => Phase::Read(ReadPhase::new()),
                Operation::Set { .. } | Operation::Delete { .. } => Phase::ReadTimestamp(TimestampPhase {
                    newest: Version::MIN,
                    present: false,
                    picked: None,
                    answered: NodeSet::EMPTY,
                    unwritable: NodeSet::EMPTY,
                }),
            },
            operation,
            deadline,
            number: 0,
            calls: Calls::default(),
            due: deadline.min(now.instant + self.config.hedge_after),
            armed: None,
            resend_pause: self.config.resend_after,
            hedged: false,
        });
        let step = match (&running.operation, self.config.mode) {
            (Operation::Set { .. } | Operation::Delete { .. }, TimestampMode::TrueTime) => {
                self.begin_truetime_write(&mut running, now, issuer)
            }
            _ => Step::Continue,
        };
        if matches!(step, Step::Continue) {
            self.call_first(id, &mut running, now.instant);
        }
        self.take(id, position, running, step, now);
        OperationId(id)
    }

    /// Ends an operation whose caller is gone. It answers `Refused` or `Indeterminate`, as a deadline would.
    pub fn cancel(&mut self, operation: OperationId) {
        if let Some((position, running)) = self.running.take(operation.0) {
            let outcome = self.give_up(&running, Some(Reason::Cancelled));
            self.finish(operation.0, position, &running, outcome);
        }
    }

    /// A replica's reply. Late, duplicate and foreign ones have no effect.
    pub fn handle_reply(
        &mut self,
        from: NodeId,
        call: CallId,
        reply: Reply,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let Some(index) = self.config.members.index_of(from) else { return };
        self.suspects.remove(index);
        self.nearness.answered(index, call, matches!(reply, Reply::Refused(_)), now.instant);
        let Some((position, mut running)) = self.running.take(call.operation) else { return };
        let step = if running.number == call.phase {
            self.absorb(&mut running, index, reply, issuer)
        } else {
            Step::Continue
        };
        self.take(call.operation, position, running, step, now);
    }

    /// Fires what is due at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((at, id)) = self.timers.first().copied() {
            if at > now.instant {
                break;
            }
            self.timers.pop_first();
            let Some((position, mut running)) = self.running.take(id) else {
                unreachable!("a timer outlives its operation {id}");
            };
            let step = self.on_timer(id, &mut running, now);
            self.take(id, position, running, step, now);
        }
    }

    /// A connection to a replica is up (again): whatever it has not answered is sent at once.
    pub fn handle_peer_up(&mut self, peer: NodeId) {
        let Some(index) = self.config.members.index_of(peer) else { return };
        self.suspects.remove(index);
        self.nearness.forget(index);
        for (id, running) in self.running.iter_mut() {
            if running.calls.contacted.contains(index) && !running.answered().contains(index) {
                self.transmits.push_back(Transmit { again: true, ..running.call(id, peer) });
            }
        }
    }

    /// A connection to a replica is gone: phases that rely on it ask somebody else at once.
    pub fn handle_peer_down(&mut self, peer: NodeId) {
        let Some(index) = self.config.members.index_of(peer) else { return };
        self.suspects.insert(index);
        self.nearness.forget(index);
        let all = self.config.members.all();
        for (id, running) in self.running.iter_mut() {
            if running.calls.contacted.contains(index) && !running.answered().contains(index) {
                running.widen(id, all, &self.config.members, &mut self.transmits);
            }
        }
    }

    /// A question to the own replica will not be answered soon: its disk is slow. The others are asked at once, as they would be
    /// after [`Config::hedge_after`].
    pub fn handle_local_delay(&mut self, call: CallId, now: Now) {
        let Some((position, mut running)) = self.running.take(call.operation) else { return };
        let is_question = matches!(running.phase, Phase::Read(_) | Phase::ReadTimestamp(_));
        let step = if is_question && running.number == call.phase && !running.hedged {
            self.suspects.insert(self.local());
            self.hedge(&mut running, now)
        } else {
            Step::Continue
        };
        self.take(call.operation, position, running, step, now);
    }

    /// Everybody is asked, and the same again after a while.
    fn hedge(&self, running: &mut Running, now: Now) -> Step {
        running.hedged = true;
        running.due = running.deadline.min(now.instant + running.resend_pause);
        Step::AskEverybody
    }

    /// A request was not sent, for want of room or because its phase was over: no answer to it is waited for.
    pub fn handle_not_sent(&mut self, peer: NodeId, call: CallId) {
        if let Some(index) = self.config.members.index_of(peer) {
            self.nearness.not_sent(index, call);
        }
    }

    /// A replica reported whether its disk has room.
    pub fn handle_peer_writable(&mut self, peer: NodeId, writable: bool) {
        if let Some(index) = self.config.members.index_of(peer) {
            if writable {
                self.unwritable.remove(index);
            } else {
                self.unwritable.insert(index);
            }
        }
    }

    /// The next request to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next operation that has ended.
    pub fn poll_outcome(&mut self) -> Option<(OperationId, Outcome)> {
        self.outcomes.pop_front()
    }

    /// When [`Coordinator::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Whether a reply to this call would still count. What waits to be sent for a closed call may be dropped.
    pub fn is_open(&self, call: CallId) -> bool {
        self.running.get(call.operation).is_some_and(|running| running.number == call.phase)
    }

    /// How much an operation holds of what it has read.
    pub fn found(&self, operation: OperationId) -> ValueFound {
        let Some(running) = self.running.get(operation.0) else { return ValueFound::Ended };
        match &running.phase {
            Phase::Read(read) if read.answered.is_empty() => ValueFound::Nothing,
            Phase::Read(read) => ValueFound::Bytes(read.newest.content.len()),
            Phase::Write(WritePhase { write_back: true, stamped, .. })
            | Phase::CommitWait { outcome: Outcome::Read(stamped), .. } => {
                ValueFound::Bytes(stamped.content.len())
            }
            _ => ValueFound::Bytes(0),
        }
    }

    /// Operations in flight.
    pub fn in_flight(&self) -> usize {
        self.running.len()
    }

    fn begin_truetime_write(&self, running: &mut Running, now: Now, issuer: &TimestampIssuer) -> Step {
        let members = self.config.members.count();
        if running.operation.needs_room() && members - self.unwritable.len() < self.config.members.majority()
        {
            return Step::End(Outcome::Refused(Reason::TooManyRefused {
                refused: self.unwritable.len(),
                members,
                refusal: Some(Refusal::DiskFull),
            }));
        }
        // T2: `latest` was read after the invocation; `last_issued` makes up for its repeats.
        let Some(interval) = now.interval else {
            return Step::End(Outcome::Refused(Reason::ClockUnknown));
        };
        match issuer.issue(interval.latest) {
            Err(_) => Step::End(Outcome::Refused(Reason::CeilingReached)),
            Ok(timestamp) => {
                let version = Version::of_write(timestamp);
                match (&mut running.phase, &running.operation) {
                    // How many keys there were is a question, and a write asks none.
                    (Phase::ReadTimestamp(query), Operation::Delete { .. }) => query.picked = Some(version),
                    (phase, operation) => {
                        *phase = Phase::Write(WritePhase::of_set(
                            stamp(operation, version),
                            (Version::MIN, false),
                        ));
                    }
                }
                Step::Continue
            }
        }
    }

    fn on_timer(&mut self, id: u64, running: &mut Running, now: Now) -> Step {
        running.armed = None;
        if let Phase::CommitWait { version, outcome } = &running.phase
            && waited_out(now, *version)
        {
            return Step::End(outcome.clone());
        }
        if now.instant >= running.deadline {
            let waits = matches!(running.phase, Phase::CommitWait { .. }) && now.interval.is_some();
            return Step::End(self.give_up(running, waits.then_some(Reason::StillUncertain)));
        }
        match running.phase {
            Phase::CommitWait { version, .. } => {
                running.due = running.deadline.min(now.instant + self.commit_wait(now, version));
                return Step::Continue;
            }
            Phase::Read(_) | Phase::ReadTimestamp(_) if !running.hedged => {
                self.suspects = self.suspects.union(running.calls.contacted.minus(running.answered()));
                return self.hedge(running, now);
            }
            Phase::Read(_) | Phase::ReadTimestamp(_) | Phase::Write(_) => {}
        }
        for index in running.calls.contacted.minus(running.answered()).iter() {
            let transmit = running.call(id, self.config.members.id(index));
            self.transmits.push_back(Transmit { again: true, ..transmit });
        }
        running.resend_pause = (running.resend_pause * 2).min(self.config.resend_after * 8);
        running.due = running.deadline.min(now.instant + running.resend_pause);
        Step::Continue
    }

    /// How long until `version` is in the past for certain, as far as one reading can tell.
    fn commit_wait(&self, now: Now, version: Version) -> Duration {
        match now.interval {
            Some(interval) => Duration::from_nanos((version.time() + 1).saturating_sub(interval.earliest)),
            // The bound is lost for the moment: look again.
            None => self.config.hedge_after,
        }
    }

    /// What a client may conclude from an operation that ends without its quorum.
    fn give_up(&self, running: &Running, reason: Option<Reason>) -> Outcome {
        let reason = reason.unwrap_or_else(|| match running.phase {
            Phase::CommitWait { .. } => Reason::ClockUnknown,
            _ => Reason::NoQuorum {
                answered: running.counted().len(),
                needed: self.config.members.majority(),
                members: self.config.members.count(),
                refusal: running.calls.last_refusal,
            },
        });
        let had_no_effect = match (&running.operation, &running.phase) {
            (Operation::Get { .. }, _) => true,
            (_, phase) => matches!(phase, Phase::ReadTimestamp(_)),
        };
        if had_no_effect { Outcome::Refused(reason) } else { Outcome::Indeterminate(reason) }
    }

    /// Carries out what an input led to, and keeps or ends the operation.
    fn take(&mut self, id: u64, position: Position, mut running: Box<Running>, step: Step, now: Now) {
        match step {
            Step::Continue => {}
            Step::AskMajority => {
                let chosen = self.majority_to_ask(id, &running, now.instant);
                running.widen(id, chosen, &self.config.members, &mut self.transmits);
            }
            Step::AskEverybody => {
                let all = self.config.members.all();
                running.widen(id, all, &self.config.members, &mut self.transmits);
            }
            Step::Enter(phase) => {
                running.number += 1;
                running.phase = phase;
                running.calls = Calls::default();
                running.resend_pause = self.config.resend_after;
                running.due = running.deadline.min(now.instant + self.config.resend_after);
                self.call_first(id, &mut running, now.instant);
            }
            Step::Settle { version, outcome } => {
                // T1: every operation, Get included, answers only when its version is in the past for certain.
                if self.config.mode == TimestampMode::Logical || waited_out(now, version) {
                    return self.finish(id, position, &running, outcome);
                }
                running.number += 1;
                running.due = running.deadline.min(now.instant + self.commit_wait(now, version));
                running.phase = Phase::CommitWait { version, outcome };
                running.calls = Calls::default();
            }
            Step::End(outcome) => return self.finish(id, position, &running, outcome),
        }
        if running.armed != Some(running.due) {
            self.disarm(id, &running);
            running.armed = Some(running.due);
            self.timers.insert((running.due, id));
        }
        self.running.put_back(position, running);
    }

    fn disarm(&mut self, id: u64, running: &Running) {
        if let Some(at) = running.armed {
            self.timers.remove(&(at, id));
        }
    }

    fn finish(&mut self, id: u64, position: Position, running: &Running, outcome: Outcome) {
        self.disarm(id, running);
        self.running.end(position);
        self.outcomes.push_back((OperationId(id), outcome));
    }
}

/// Rule T1: one sighting of `earliest > time` suffices, whatever the clock says later.
fn waited_out(now: Now, version: Version) -> bool {
    now.interval.is_some_and(|interval| interval.earliest > version.time())
}
