//! What happens to a machine is given to the production code, and what that puts out is taken. Broken rows lie here.

use super::history::ModelAnswer;
use super::machine::{Call, DEADLINE, Input, KEY, Machine, Output, RESEND_AFTER, Surroundings};
use super::replica::Replicas;
use super::scenario::{Break, LETTERS, OperationKind};
use super::updates::{TIME_TO_LIVE, evaluate, found, garbled, update, without_carstamp};
use super::values::Text;
use abd::{
    AcceptedThere, Base, CallId, Closed, Deadline, Instant, Interval, Moment, Newest, NodeId, Now, Operation,
    OperationId, Outcome, Promise, Reply, Request, StampedValue, TimestampIssuer, TimestampMode, Told,
    Transmit, Version,
};
use bytes::Bytes;

const WRITTEN: Reply = Reply::Written { previous: None };

impl Surroundings {
    /// Gives a machine an input.
    pub(super) fn run(&mut self, replicas: &Replicas, machine: &mut Machine, input: Input) -> Output {
        let mut output = Output::default();
        self.feed(replicas, machine, input, &mut output);
        if machine.ballots > self.scenario.ballots {
            // It stays open for ever, as if its node had crashed.
            output.exhausted = machine.calls.keys().next().copied();
            *machine = self.restarted(machine);
        }
        output
    }

    fn restarted(&self, machine: &Machine) -> Machine {
        let boot = machine.boot + 1;
        let stamped = if self.scenario.breaks == Break::Boot { 1 } else { boot };
        let quorums = machine.coordinator.quorums().clone();
        Machine::new(machine.node, boot, stamped, machine.mode, machine.updates, quorums)
    }

    fn feed(&mut self, replicas: &Replicas, machine: &mut Machine, input: Input, output: &mut Output) {
        if self.scenario.breaks == Break::LastIssued {
            machine.issuer = TimestampIssuer::new(NodeId(machine.node), machine.boot);
        }
        match input {
            Input::Submit { operation, latest } => self.submit(machine, operation, latest, output),
            Input::Query { operation, from, cell, now, moment } => {
                let now = Now { moment: Moment(moment.into()), ..self.now_for(machine, operation, now) };
                let Some((to, call, request)) = machine.request(operation, from) else { return };
                let reply = replicas.read(&self.values, cell, request);
                machine.note(&reply);
                machine.coordinator.handle_reply(to, call, reply, now, &machine.issuer);
                self.collect(machine, now, output);
            }
            Input::Written { operation, from, now } => {
                let now = self.now_for(machine, operation, now);
                let Some((to, call, _)) = machine.request(operation, from) else { return };
                machine.coordinator.handle_reply(to, call, WRITTEN, now, &machine.issuer);
                if self.scenario.breaks == Break::AddedUp {
                    machine.add_up(from, call, now);
                }
                self.collect(machine, now, output);
            }
            Input::Reply { operation, from, reply, now, moment } => {
                let now = Now { moment: Moment(moment.into()), ..self.now_for(machine, operation, now) };
                let Some((to, id, _)) = machine.request(operation, from) else { return };
                if let Some(call) = machine.calls.get_mut(&operation) {
                    // It is not asked again, unless it is by the coordinator.
                    call.requests[usize::from(from)] = None;
                }
                let epoch = machine.epoch();
                let reply = garbled(self.scenario.breaks, epoch, self.replies.get(reply).clone());
                machine.note(&reply);
                machine.coordinator.handle_reply(to, id, reply, now, &machine.issuer);
                self.collect(machine, now, output);
            }
            Input::Waited { operation, now } => {
                let before = machine.clone();
                machine.waits += 1;
                let now = self.now_for(machine, operation, now);
                machine.wake(now, 0);
                self.collect(machine, now, output);
                let id = |machine: &Machine| machine.calls.get(&operation).map(|call| call.id);
                if id(machine) == id(&before) {
                    // Nobody was in its way: all that it has done is to repeat its requests.
                    (*machine, *output) = (before, Output::default());
                }
            }
            Input::PeerUp { from, boot } => {
                machine.coordinator.handle_peer_up(NodeId(u32::from(from) + 1), u32::from(boot));
                let now = self.now(machine, 0, 0, false);
                self.collect(machine, now, output);
            }
            Input::Time { now } => {
                let now = self.now(machine, now, now, false);
                machine.coordinator.handle_timeout(now, &machine.issuer);
                self.collect(machine, now, output);
            }
            Input::Restart => *machine = self.restarted(machine),
            Input::Install { epoch } => {
                let now = self.now(machine, 0, 0, false);
                let quorums = self.scenario.quorums(epoch, self.scenario.loop_of(machine.node));
                // Each configuration has its ballots.
                machine.ballots = 0;
                machine.forget_acknowledgements(|operation| self.is_get(operation));
                machine.coordinator.install(quorums, now, &machine.issuer);
                machine.wake(now, 1);
                self.collect(machine, now, output);
            }
        }
    }

    fn submit(&mut self, machine: &mut Machine, operation: u8, latest: u8, output: &mut Output) {
        let now = self.now(machine, 0, latest, false);
        let letter = usize::from(operation);
        let wish = match self.scenario.operations[letter].kind {
            OperationKind::Get => Operation::Get { key: KEY },
            kind @ (OperationKind::Set | OperationKind::SetEx) => {
                let value = Bytes::from_static(&LETTERS[letter..=letter]);
                let deadline = match (kind, machine.mode) {
                    (OperationKind::Set, _) => Deadline::NONE,
                    (_, TimestampMode::TrueTime) => Deadline(u64::from(latest + TIME_TO_LIVE)),
                    (_, TimestampMode::Logical) => Deadline(TIME_TO_LIVE.into()),
                };
                Operation::Set { key: KEY, value, deadline }
            }
            OperationKind::Delete => Operation::Delete { key: KEY },
            kind => update(kind, operation, KEY),
        };
        let id = machine.coordinator.submit(wish, DEADLINE, now, &machine.issuer);
        let first = CallId { operation: id.0, phase: 0 };
        let call = Call { operation: id, id: first, requests: Default::default(), accept: None };
        machine.calls.insert(operation, call);
        (machine.base, machine.ballots, machine.waits) = (StampedValue::NEVER, 0, 0);
        machine.wake(now, 1);
        self.collect(machine, now, output);
    }

    /// Takes what the coordinator puts out.
    fn collect(&mut self, machine: &mut Machine, now: Now, output: &mut Output) {
        loop {
            while let Some(transmit) = machine.coordinator.poll_transmit() {
                let get = machine.calls.keys().copied().find(|operation| self.is_get(*operation));
                let proposes = matches!(transmit.request, Request::Prepare { .. });
                match (self.scenario.breaks, get.filter(|_| proposes)) {
                    (Break::OwnClock, Some(operation)) => answer_absent(machine, operation, output),
                    (Break::FreshTimestamp, Some(operation)) => delete_instead(machine, operation, now),
                    _ => self.send(machine, transmit, now, output),
                }
            }
            if let Some(evaluation) = machine.coordinator.poll_evaluation() {
                let get = machine.calls.keys().copied().find(|operation| self.is_get(*operation));
                if let (Break::PromiseOnly | Break::PromiseAndLatest, Some(operation)) =
                    (self.scenario.breaks, get)
                    && evaluation.base.is_due(now.moment)
                {
                    answer_absent(machine, operation, output);
                    continue;
                }
                let evaluated = evaluate(&evaluation, now.moment);
                let Machine { coordinator, issuer, .. } = machine;
                coordinator.handle_evaluated(evaluation.id, evaluated, now, issuer);
                continue;
            }
            let is_due = machine.coordinator.poll_timeout().is_some_and(|due| due <= now.instant);
            if !machine.updates || !is_due || machine.ballots > self.scenario.ballots {
                break;
            }
            // A hedge, or a pause that is over.
            machine.wake(now, 0);
        }
        self.answer(machine, output);
        for call in machine.calls.values_mut() {
            if !machine.coordinator.is_open(call.id) {
                call.requests = Default::default();
                call.accept = None;
            }
        }
    }

    /// A request is on its way.
    fn send(&mut self, machine: &mut Machine, transmit: Transmit, now: Now, output: &mut Output) {
        let Transmit { to, call: id, mut request, .. } = transmit;
        let Machine { coordinator, issuer, calls, ballots, base: known, .. } = machine;
        let operations = &self.scenario.operations;
        let is_update = |operation: u8| operations[usize::from(operation)].kind.is_update();
        let own = calls.iter().find(|(_, call)| call.operation.0 == id.operation);
        // What no operation asks for, a fold does: that of the one operation that may propose.
        let asker =
            own.or_else(|| calls.iter().find(|(operation, _)| self.scenario.may_propose(**operation)));
        let Some((&operation, _)) = asker else { unreachable!("a call of nobody: {id:?} {request:?}") };
        let Some(call) = calls.get_mut(&operation) else { unreachable!("it was there") };
        if call.id != id {
            call.id = id;
            call.requests = Default::default();
            call.accept = None;
            *ballots += u8::from(matches!(request, Request::Prepare { .. }));
        }
        let breaks = self.scenario.breaks;
        match &mut request {
            Request::LocalWrite { stamped, .. } => {
                if breaks == Break::Carstamp && is_update(operation) {
                    *stamped = without_carstamp(stamped.clone());
                }
                let is_read = operations[usize::from(operation)].kind == OperationKind::Get;
                let goes_nowhere = breaks == Break::WriteBack && is_read;
                if !goes_nowhere {
                    output.sent |= 1 << self.values.number(stamped);
                }
                if goes_nowhere || breaks == Break::Publication && is_update(operation) {
                    coordinator.handle_reply(to, id, WRITTEN, now, issuer);
                    return;
                }
            }
            Request::Prepare { base: Some(base), .. } => {
                let Base::Whole(base) = &**base else { unreachable!("contents are small here") };
                *known = base.clone();
            }
            Request::Accept { base, ballot, proposal, .. } => {
                assert!(base.version() == known.version, "{base:?} is not {known:?}");
                let base = Box::new(Base::Whole(known.clone()));
                let whole = Request::Accept { key: KEY, ballot: *ballot, base, proposal: proposal.clone() };
                let accept = self.requests.number(whole);
                (call.accept, output.accept) = (Some(accept), Some(accept));
            }
            _ => {}
        }
        call.requests[(to.0 - 1) as usize] = Some(request);
    }

    /// Operations that have ended.
    fn answer(&mut self, machine: &mut Machine, output: &mut Output) {
        while let Some((id, outcome)) = machine.coordinator.poll_outcome() {
            let ended = machine.calls.iter().find(|(_, call)| call.operation == id);
            let Some((&operation, _)) = ended else { unreachable!("{id:?} ended twice") };
            machine.calls.remove(&operation);
            let answer = match outcome {
                // It has deleted what was due (BE5).
                Outcome::Written { .. } if self.is_get(operation) => ModelAnswer::Read(Text::ABSENT),
                Outcome::Written { .. } => ModelAnswer::Written,
                Outcome::Read(stamped) => ModelAnswer::Read(Text::of(&stamped.content)),
                Outcome::Updated { answers, .. } => ModelAnswer::Read(found(&answers)),
                Outcome::Refused(_) | Outcome::Indeterminate(_) => {
                    unreachable!("{outcome:?} without a reason")
                }
            };
            output.answer(operation, answer);
        }
    }

    fn is_get(&self, operation: u8) -> bool {
        self.scenario.operations[usize::from(operation)].kind == OperationKind::Get
    }

    /// What time it is for the input that may end an operation.
    fn now_for(&self, machine: &Machine, operation: u8, now: u8) -> Now {
        let kind = self.scenario.operations[usize::from(operation)].kind;
        let all_past = match self.scenario.breaks {
            Break::AllWaits => true,
            Break::SetWait => kind == OperationKind::Set,
            Break::GetWait => kind == OperationKind::Get,
            Break::UpdateWait => kind.is_update(),
            _ => false,
        };
        self.now(machine, now, now, all_past)
    }

    /// `earliest` is as late as it may be: a wait that can be over is over.
    fn now(&self, machine: &Machine, now: u8, latest: u8, all_past: bool) -> Now {
        let earliest = if all_past { u64::MAX } else { u64::from(now) };
        let interval = Interval { earliest, latest: u64::from(latest) };
        Now {
            instant: Instant(u64::from(now)) + RESEND_AFTER * u32::from(machine.waits),
            interval: (machine.mode == TimestampMode::TrueTime).then_some(interval),
            moment: Moment::UNKNOWN,
        }
    }

    /// Whether replies to calls that are over leave a machine as it is, whatever they say and whoever sends them.
    ///
    /// # Errors
    /// The reply that does not.
    pub(super) fn ignores_late_replies(&self, machine: &Machine) -> Result<(), String> {
        let replies = self.late_replies(machine.updates);
        let phases = if machine.updates || self.scenario.changes { 20 } else { 3 };
        let calls = (0..2).flat_map(|operation| (0..phases).map(move |phase| CallId { operation, phase }));
        let over = calls.filter(|call| !machine.coordinator.is_open(*call));
        let count = u32::from(self.scenario.replicas());
        for (call, node) in over.flat_map(|call| (1..=count).map(move |node| (call, NodeId(node)))) {
            for reply in &replies {
                let mut after = machine.clone();
                let now = self.now(machine, 0, 0, false);
                after.coordinator.handle_reply(node, call, reply.clone(), now, &after.issuer);
                if after != *machine {
                    return Err(format!("{reply:?} to {call:?}, which is over, changes {machine:?}"));
                }
            }
        }
        Ok(())
    }

    /// One of each kind, with the newest value of the run.
    fn late_replies(&self, updates: bool) -> Vec<Reply> {
        let newest = self.values.list().iter().max_by_key(|value| value.version);
        let newest = newest.cloned().unwrap_or(StampedValue::NEVER);
        let (version, update) = (newest.version, newest.update);
        let newest = Newest { stamped: newest, durable: true }.glimpse(Version::MIN);
        let mut replies = vec![
            Reply::Read(newest.clone()),
            Reply::Timestamp { version, present: true, writable: true },
            WRITTEN,
            Reply::Stale { configuration: Bytes::new() },
        ];
        if updates {
            let promise = Promise { newest: newest.clone(), accepted: None, writable: true, boot: 0 };
            let (accepted, told) = (AcceptedThere::Nothing, Told::NOBODY);
            let closed = Closed { newest, boot: 0, accepted, winner: Some(update), told };
            replies.extend([
                Reply::Promise(Box::new(promise)),
                Reply::Closed(Box::new(closed)),
                Reply::Accepted,
                Reply::NeedBase,
            ]);
        }
        replies
    }
}

/// A Get that has found a value which is due answers at once that there is none.
fn answer_absent(machine: &mut Machine, operation: u8, output: &mut Output) {
    let Some(call) = machine.calls.remove(&operation) else { unreachable!("it is in flight") };
    end_early(machine, call.operation);
    output.answer(operation, ModelAnswer::Read(Text::ABSENT));
}

/// A Get that has found a value which is due deletes the key.
fn delete_instead(machine: &mut Machine, operation: u8, now: Now) {
    let Some(call) = machine.calls.remove(&operation) else { unreachable!("it is in flight") };
    end_early(machine, call.operation);
    let id = machine.coordinator.submit(Operation::Delete { key: KEY }, DEADLINE, now, &machine.issuer);
    let first = CallId { operation: id.0, phase: 0 };
    machine
        .calls
        .insert(operation, Call { operation: id, id: first, requests: Default::default(), accept: None });
    machine.wake(now, 1);
}

/// The coordinator hears no more of an operation, and nobody of its outcome.
fn end_early(machine: &mut Machine, operation: OperationId) {
    machine.coordinator.cancel(operation);
    while machine.coordinator.poll_transmit().is_some() || machine.coordinator.poll_outcome().is_some() {}
}

impl Machine {
    /// What a reply says of the newest value, if it is newer than what was known.
    fn note(&mut self, reply: &Reply) {
        let newest = match reply {
            Reply::Read(newest) => newest,
            Reply::Promise(promise) => &promise.newest,
            Reply::Nack { newest, .. } => newest,
            _ => return,
        };
        if self.updates
            && newest.version > self.base.version
            && let Some(newest) = newest.clone().stamped()
        {
            self.base = newest;
        }
    }
}
