//! What one connection has asked for and not been answered yet, in order.

mod stages;

use super::answers::Answers;
use super::front::COPIED_MAX_BYTES;
use super::operations::{Operations, Started};
use super::owed::{Owed, ReplyShape, Staged};
use super::took::{Timed, Took};
use super::turns::Load;
use crate::resp::{self, CommandPlace, Protocol, Response, Stage, Step};
use abd::{Instant, Operation, Outcome, ValueFound, Version};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::task::{Context, Poll};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

/// Operations that one connection may have in flight while others want little ([`Turns`](super::turns::Turns)). One request alone
/// may have more, and so many of them are in flight at a time.
const OPERATIONS_MAX: usize = 1024;
/// Bytes of keys, of values to be written, and of replies that need no operation that it may have, unless one
/// request alone has more. The rest waits in the client's socket.
const BYTES_MAX: usize = 1 << 20;
/// Bytes of values that its Gets, and of answers that its updates, may hold until it is their turn to be sent, but for one alone,
/// and for the few values that are sought at a time. Values that this node's own replica lacks are not foreseen.
const FOUND_BYTES_MAX: usize = 4 << 20;
/// What a Get counts for while its value is sought on the disk.
const SOUGHT_BYTES: usize = 1 << 20;
/// Replies gathered before they are written although more are ready.
pub(super) const OUT_BYTES: usize = 256 << 10;
/// What a request that is owed takes for each of its operations, and an operation in flight, beside their bytes; about.
const OWED_OVERHEAD: usize = 256;
const OPERATION_OVERHEAD: usize = 512;

/// A request on its way to [`Pipeline::push`].
pub(super) struct PipelineRequest {
    pub(super) shape: ReplyShape,
    pub(super) operations: resp::Operations,
    /// Its command, if it is to be told should it take long.
    pub(super) command: Option<CommandPlace>,
}

/// The replies that are owed.
#[derive(Default)]
pub(super) struct Pipeline {
    owed: VecDeque<Owed>,
    operations: usize,
    bytes: usize,
    held: Held,
    /// What is in flight, as the event loop counts it.
    load: Load,
    answers: Rc<Answers>,
    /// Requests that took long and were not told yet.
    slow: Vec<Took>,
    /// The last write that has completed: of which key, and its version.
    last_write: Option<(Bytes, Version)>,
}

/// What its Gets hold that have not been taken.
#[derive(Default)]
struct Held {
    bytes: usize,
    /// Gets whose values were still sought at the last look.
    sought: usize,
}

/// One operation of a request.
pub(super) struct Part {
    key_hash: u64,
    /// Of what may write.
    key: Option<Bytes>,
    is_read: bool,
    /// Whether it may hold a value that it has read.
    may_find: bool,
    started: Started,
    /// Where its outcome arrives.
    slot: usize,
    /// Bytes of its key and of what it writes, and what it adds to [`Held`].
    bytes: usize,
    found_bytes: usize,
    is_sought: bool,
}

/// How long to wait for what is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Until a reply can be sent: several callers share the connection, and one of them waits for it.
    SomethingToSend,
    /// Until one more reply is complete: the next request may have waited for that.
    OneMore,
    /// Until nothing is owed: the client waits for all of its replies.
    All,
}

impl PipelineRequest {
    /// One that needs no operation.
    pub(super) fn ready(reply: &Response, protocol: Protocol) -> Self {
        let mut bytes = BytesMut::new();
        reply.encode(protocol, &mut bytes);
        Self::encoded(bytes)
    }

    /// One whose reply is there already, as bytes.
    pub(super) fn encoded(reply: BytesMut) -> Self {
        Self { shape: ReplyShape::Ready(reply), operations: resp::Operations::new(), command: None }
    }

    /// One that is carried out step by step. Whoever asked to wait is not told that it took long.
    pub(super) fn staged(stage: Stage, command: CommandPlace) -> Self {
        let command = (!matches!(stage.step, Step::InquireHolders(..))).then_some(command);
        let shape = ReplyShape::Staged(Staged::Next(stage));
        Self { shape, operations: resp::Operations::new(), command }
    }

    /// Bytes of its reply, if that is there already, or of its keys and values.
    pub(super) fn bytes(&self) -> usize {
        match &self.shape {
            ReplyShape::Ready(reply) => reply.len(),
            ReplyShape::Staged(Staged::Next(stage)) => stage.held,
            _ => self.operations.iter().map(Operation::size).sum(),
        }
    }
}

impl Pipeline {
    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Bytes of memory that it takes, about: requests, and values that were found for them.
    pub(super) fn memory(&self) -> usize {
        // Only the first request that is owed has outcomes.
        let taken = self.owed.front().map_or(0, |first| first.value_bytes);
        self.bytes
            + self.operations * OWED_OVERHEAD
            + self.load.operations * OPERATION_OVERHEAD
            + self.held.bytes
            + self.answers.answered_bytes()
            + taken
    }

    /// Bytes of values that its operations hold until it is their turn to be sent.
    fn found_bytes(&self) -> usize {
        self.held.bytes + self.answers.answered_bytes()
    }

    /// The caller no longer wants the answer to a call. A write may take effect all the same.
    pub(super) fn cancel(&mut self, shard: &impl Operations, number: u64) {
        let is_meant = |owed: &&mut Owed| matches!(owed.shape, ReplyShape::Call(call) if call == number);
        if let Some(owed) = self.owed.iter_mut().find(is_meant) {
            owed.shape = ReplyShape::Cancelled;
            shard.cancel(owed.parts.iter().map(|part| part.started));
        }
    }

    /// What took long since the last time.
    pub(super) fn take_slow(&mut self) -> Vec<Took> {
        core::mem::take(&mut self.slow)
    }

    /// The client is gone: what it has asked for ends. A write may take effect all the same.
    pub(super) fn abandon(&mut self, shard: &impl Operations) {
        let parts = self.owed.iter().flat_map(|owed| owed.parts.iter().skip(owed.outcomes.len()));
        shard.cancel(parts.map(|part| part.started));
        for owed in &self.owed {
            if let ReplyShape::Staged(Staged::Inquires(inquiry, _)) = owed.shape {
                shard.end_inquiry(inquiry);
            }
        }
        let load = self.load;
        shard.turns().borrow_mut().end(&mut self.load, load);
        self.owed.clear();
    }

    /// Whether a request may not begin before one that is being carried out has been answered.
    pub(super) fn has_to_wait(&mut self, shard: &impl Operations, request: &PipelineRequest) -> bool {
        if self.owed.is_empty() {
            return false;
        }
        if request.shape.is_alone() || self.owed.iter().any(|owed| owed.is_alone) {
            return true;
        }
        self.count_found(shard);
        let (operations, bytes) = (request.operations.len(), request.bytes());
        if self.operations + operations.max(1) > OPERATIONS_MAX
            || self.bytes + bytes > BYTES_MAX
            || self.found_bytes() >= FOUND_BYTES_MAX
            || self.owed.back().is_some_and(|last| !last.rest.is_empty())
            || operations > 0 && !shard.turns().borrow().may_begin(self.load, Load { operations, bytes })
        {
            return true;
        }
        request.operations.iter().any(|operation| {
            let (key_hash, is_read) = (hash(operation.key()), operation.is_read());
            let conflicts = |part: &Part| part.key_hash == key_hash && !(part.is_read && is_read);
            self.owed.iter().any(|owed| owed.parts.iter().any(conflicts))
        })
    }

    /// Whether requests behind the first one are about the key of an operation that is to follow in that one. They have begun, so it
    /// comes too late.
    fn is_behind(&self, operation: &Operation) -> bool {
        let key_hash = hash(operation.key());
        self.owed.iter().skip(1).any(|owed| owed.parts.iter().any(|part| part.key_hash == key_hash))
    }

    /// Begins a request that does not have to wait.
    pub(super) fn push(
        &mut self,
        shard: &impl Operations,
        request: PipelineRequest,
        protocol: Protocol,
        now: Instant,
    ) {
        let bytes = request.bytes();
        let PipelineRequest { shape, operations, command } = request;
        let mut owed = Owed::new(shape, protocol, operations.len().max(1), bytes);
        // A reply that is ready waits for those before it: that is not its time.
        let is_timed = self.owed.is_empty() || !matches!(owed.shape, ReplyShape::Ready(_));
        owed.timed = command.filter(|_| is_timed).map(|command| Timed::begin(command, &operations, now));
        self.operations += owed.operations;
        self.bytes += bytes;
        if operations.len() == 1 {
            for operation in operations {
                let (held, load) = (&mut self.held, &mut self.load);
                owed.parts.push(Part::begin(operation, shard, now, &self.answers, held, load));
            }
        } else {
            owed.rest = operations.into_iter().collect();
        }
        self.owed.push_back(owed);
        self.begin_rest(shard, now);
        self.begin_stage(shard, now);
    }

    /// Looks whether what was sought has been found; whether anything was.
    fn count_found(&mut self, shard: &impl Operations) -> bool {
        let before = self.held.sought;
        if before == 0 {
            return false;
        }
        let parts = self.owed.iter_mut().flat_map(|owed| &mut owed.parts);
        for part in parts.filter(|part| part.is_sought) {
            part.find(shard, &self.answers, &mut self.held, &mut self.load);
        }
        self.held.sought < before
    }

    /// Begins as much of the last request as there is room for.
    fn begin_rest(&mut self, shard: &impl Operations, now: Instant) {
        self.count_found(shard);
        let is_first = self.owed.len() == 1;
        let Some(last) = self.owed.back_mut() else { return };
        loop {
            let in_flight = last.parts.len() - last.outcomes.len();
            let is_alone = is_first && in_flight == 0;
            let Some(next) = last.rest.front() else { break };
            let may_begin = || shard.turns().borrow().may_begin(self.load, Load::of_one(next.size()));
            if !is_alone
                && (in_flight >= OPERATIONS_MAX
                    || self.held.bytes + self.answers.answered_bytes() >= FOUND_BYTES_MAX
                    || !may_begin())
            {
                break;
            }
            let Some(operation) = last.rest.pop_front() else { break };
            let (held, load) = (&mut self.held, &mut self.load);
            last.parts.push(Part::begin(operation, shard, now, &self.answers, held, load));
        }
    }

    /// The node may begin operations at last: all that waited for that go together, but for what there is no room for.
    fn begin_parked(&mut self, shard: &impl Operations) {
        // Not those that have been refused meanwhile.
        let waiting = self.owed.iter_mut().flat_map(|owed| owed.parts.iter_mut().skip(owed.outcomes.len()));
        for part in waiting {
            if let Started::Parked(ticket) = part.started {
                part.started = shard.begin(ticket);
                part.find(shard, &self.answers, &mut self.held, &mut self.load);
                if self.held.bytes >= FOUND_BYTES_MAX {
                    break;
                }
            }
        }
    }

    /// Appends replies that are owed to `out`, in order; an empty one is lent by the event loop. It ends early when a value was
    /// found, for which the client is to be charged.
    pub(super) fn poll_settle(
        &mut self,
        shard: &impl Operations,
        out: &mut BytesMut,
        until: Until,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let before = self.owed.len();
        let has_found = self.count_found(shard);
        let mut taken = 0;
        let (mut now, threshold) = (None, shard.slow_after());
        let enough = |out: &BytesMut, owed: usize| {
            has_found
                || match until {
                    Until::SomethingToSend => !out.is_empty(),
                    Until::OneMore => owed < before,
                    Until::All => false,
                }
        };
        while let Some(next) = self.owed.front_mut() {
            if let Some(part) = next.parts.get_mut(next.outcomes.len()) {
                if matches!(part.started, Started::Parked(_)) && shard.may_begin() {
                    self.begin_parked(shard);
                    continue;
                }
                let Poll::Ready(outcome) = self.answers.poll(part.slot, context) else {
                    return if enough(out, self.owed.len()) { Poll::Ready(()) } else { Poll::Pending };
                };
                part.end(shard, &mut self.held, &mut self.load);
                if let Some(write) = part.written(&outcome) {
                    self.last_write = Some(write);
                }
                if let Some(operation) = next.then(&outcome)
                    && !self.is_behind(&operation)
                {
                    let Some(next) = self.owed.front_mut() else { break };
                    let (held, load) = (&mut self.held, &mut self.load);
                    let place = next.outcomes.len();
                    next.parts[place] = Part::begin(operation, shard, shard.now(), &self.answers, held, load);
                    continue;
                }
                let Some(next) = self.owed.front_mut() else { break };
                next.take(outcome);
                if self.owed.back().is_some_and(|last| !last.rest.is_empty()) {
                    self.begin_rest(shard, shard.now());
                    taken += 1;
                    if taken == OPERATIONS_MAX {
                        // It is the turn of others.
                        if enough(out, self.owed.len()) {
                            return Poll::Ready(());
                        }
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                continue;
            }
            if next.is_staged() {
                if self.poll_stage(shard, context).is_pending() {
                    return if enough(out, self.owed.len()) { Poll::Ready(()) } else { Poll::Pending };
                }
                continue;
            }
            let Some(mut next) = self.owed.pop_front() else { break };
            if let Some(timed) = next.timed.take()
                && let Some(took) =
                    timed.end(*now.get_or_insert_with(|| shard.now()), shard.counts(), threshold)
            {
                self.slow.push(took);
            }
            self.operations -= next.operations;
            self.bytes -= next.bytes;
            if self.owed.is_empty() {
                // So that the next request uses the memory that this one has used.
                self.owed.clear();
            }
            if out.is_empty() {
                shard.lend(out);
            }
            next.reply(shard, out);
            if out.len() > OUT_BYTES {
                break;
            }
        }
        Poll::Ready(())
    }
}

impl Part {
    fn begin(
        operation: Operation,
        shard: &impl Operations,
        now: Instant,
        answers: &Rc<Answers>,
        held: &mut Held,
        load: &mut Load,
    ) -> Self {
        let (key_hash, is_read, bytes) = (hash(operation.key()), operation.is_read(), operation.size());
        let may_find = is_read || matches!(operation, Operation::Update { .. });
        let key = (!is_read).then(|| operation.key().clone());
        shard.turns().borrow_mut().begin(load, Load::of_one(bytes));
        let (back, slot) = answers.open();
        let started = shard.start(operation, now, back);
        let mut part =
            Self { key_hash, key, is_read, may_find, started, slot, bytes, found_bytes: 0, is_sought: false };
        part.find(shard, answers, held, load);
        part
    }

    /// It has begun, or found what it sought: counts what it has found.
    fn find(&mut self, shard: &impl Operations, answers: &Answers, held: &mut Held, load: &mut Load) {
        if self.may_find {
            let before = self.let_go(held);
            let found = self.look(shard, answers);
            (self.found_bytes, self.is_sought) = (found.unwrap_or(SOUGHT_BYTES), found.is_none());
            held.bytes += self.found_bytes;
            held.sought += usize::from(self.is_sought);
            shard.turns().borrow_mut().resize(load, before, self.found_bytes);
        }
    }

    /// Bytes of the value that a Get holds now, or an update that looks first; `None` while its own replica looks for it on the disk.
    /// That one is asked first, so all else is known as soon as the Get has begun, but for a value that only other replicas have.
    fn look(&self, shard: &impl Operations, answers: &Answers) -> Option<usize> {
        match self.started {
            Started::Running(id) => match shard.found(id) {
                ValueFound::Nothing => None,
                ValueFound::Bytes(bytes) => Some(bytes),
                ValueFound::Ended => Some(answers.found_bytes(self.slot)),
            },
            Started::Refused | Started::Parked(_) => Some(0),
        }
    }

    /// What it has written, if it has: the key, and its version then.
    fn written(&mut self, outcome: &Outcome) -> Option<(Bytes, Version)> {
        let (Outcome::Written { version, .. } | Outcome::Updated { version, .. }) = outcome else {
            return None;
        };
        let key = self.key.take()?;
        // A long one may share the buffer that it came in.
        let key = if key.len() > COPIED_MAX_BYTES { Bytes::copy_from_slice(&key) } else { key };
        Some((key, *version))
    }

    /// Its outcome is taken.
    fn end(&mut self, shard: &impl Operations, held: &mut Held, load: &mut Load) {
        let found = self.let_go(held);
        shard.turns().borrow_mut().end(load, Load::of_one(self.bytes + found));
    }

    /// Its outcome is taken, or it is counted anew. Returns for what it was counted.
    fn let_go(&mut self, held: &mut Held) -> usize {
        let found = core::mem::take(&mut self.found_bytes);
        held.bytes -= found;
        held.sought -= usize::from(core::mem::take(&mut self.is_sought));
        found
    }
}

/// Tells the keys in flight on one connection apart. That two keys share a hash makes the second wait, nothing else.
fn hash(key: &[u8]) -> u64 {
    const SECRETS: RapidSecrets = RapidSecrets::seed(0);
    rapidhash_v3_seeded(key, &SECRETS)
}
