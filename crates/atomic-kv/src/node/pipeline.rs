//! What one connection has asked for and not been answered yet, in order.

use super::answers::Answers;
use super::peer::service;
use super::shard::Shard;
use super::started::Started;
use ::node::client::turns::Load;
use ::node::resp::{Answer, Counts, Operations, Outcomes, Protocol, Response, drop_value, length, reply};
use abd::wire::put_frame;
use abd::{Instant, Operation, Outcome};
use bytes::BytesMut;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;

/// Operations that one connection may have in flight while others want little ([`Shard::turns`]). One request alone may have
/// more, and so many of them are in flight at a time.
pub(super) const OPERATIONS_MAX: usize = 1024;
/// Bytes of keys, of values to be written, and of replies that need no operation that it may have, unless one
/// request alone has more. The rest waits in the client's socket.
const BYTES_MAX: usize = 1 << 20;
/// Bytes of values that its Gets may hold until it is their turn to be sent, but for one Get alone, and for the few that are
/// sought at a time. Values that this node's own replica lacks are not foreseen.
const FOUND_BYTES_MAX: usize = 4 << 20;
/// What a Get counts for while its value is sought on the disk.
const SOUGHT_BYTES: usize = 1 << 20;
/// Bytes of all values in one reply, but for a single value.
const VALUES_BYTES_MAX: usize = 64 << 20;
/// Replies gathered before they are written although more are ready.
pub(super) const OUT_BYTES: usize = 256 << 10;
/// What a request that is owed takes for each of its operations, and an operation in flight, beside their bytes; about.
const OWED_OVERHEAD: usize = 256;
const OPERATION_OVERHEAD: usize = 512;

/// A request on its way to [`Pipeline::push`].
pub(super) struct PipelineRequest {
    pub(super) shape: ReplyShape,
    pub(super) operations: Operations,
}

/// What becomes of the outcomes.
pub(super) enum ReplyShape {
    /// Nothing: here is the reply.
    Ready(BytesMut),
    /// A reply over RESP, as in [`::node::resp::Run`].
    Answer {
        needs_values: bool,
        answer: Answer,
    },
    /// A call of the Coordinator service, by its number; and one whose caller no longer wants the answer.
    Call(u64),
    Cancelled,
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
}

/// What its Gets hold that have not been taken.
#[derive(Default)]
struct Held {
    bytes: usize,
    /// Gets whose values were still sought at the last look.
    sought: usize,
}

struct Owed {
    shape: ReplyShape,
    protocol: Protocol,
    /// What has begun; nearly always one.
    parts: SmallVec<[Part; 1]>,
    /// What has not, as there is no room; only the last request that is owed has such.
    rest: VecDeque<Operation>,
    /// How the first parts have ended.
    outcomes: Outcomes,
    /// Bytes of the values in the outcomes, and whether that is too much for a reply.
    value_bytes: usize,
    is_too_large: bool,
    /// What it adds to [`Pipeline::operations`] and [`Pipeline::bytes`].
    operations: usize,
    bytes: usize,
}

/// One operation of a request.
struct Part {
    key_hash: u64,
    is_read: bool,
    started: Started,
    /// Bytes of its key and of what it writes, and what it adds to [`Held`].
    bytes: usize,
    found_bytes: usize,
    is_sought: bool,
}

/// How long to wait for what is owed.
#[derive(Clone, Copy, PartialEq, Eq)]
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
        Self { shape: ReplyShape::Ready(reply), operations: Operations::new() }
    }

    /// Bytes of its reply, if that is there already, or of its keys and values.
    pub(super) fn bytes(&self) -> usize {
        match &self.shape {
            ReplyShape::Ready(reply) => reply.len(),
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
            + taken
    }

    /// The caller no longer wants the answer to a call. A write may take effect all the same.
    pub(super) fn cancel(&mut self, shard: &Shard, number: u64) {
        let is_meant = |owed: &&mut Owed| matches!(owed.shape, ReplyShape::Call(call) if call == number);
        if let Some(owed) = self.owed.iter_mut().find(is_meant) {
            owed.shape = ReplyShape::Cancelled;
            shard.cancel(owed.parts.iter().filter_map(|part| part.started.id()));
        }
    }

    /// The client is gone: what it has asked for ends. A write may take effect all the same.
    pub(super) fn abandon(&mut self, shard: &Shard) {
        let parts = self.owed.iter().flat_map(|owed| owed.parts.iter().skip(owed.outcomes.len()));
        shard.cancel(parts.filter_map(|part| part.started.id()));
        let load = self.load;
        shard.turns.borrow_mut().end(&mut self.load, load);
        self.owed.clear();
    }

    /// Whether a request may not begin before one that is being carried out has been answered.
    pub(super) fn has_to_wait(&mut self, shard: &Shard, request: &PipelineRequest) -> bool {
        if self.owed.is_empty() {
            return false;
        }
        self.count_found(shard);
        let (operations, bytes) = (request.operations.len(), request.bytes());
        if self.operations + operations.max(1) > OPERATIONS_MAX
            || self.bytes + bytes > BYTES_MAX
            || self.held.bytes >= FOUND_BYTES_MAX
            || self.owed.back().is_some_and(|last| !last.rest.is_empty())
            || operations > 0 && !shard.turns.borrow().may_begin(self.load, Load { operations, bytes })
        {
            return true;
        }
        request.operations.iter().any(|operation| {
            let (key_hash, is_read) = (hash(operation.key()), operation.is_read());
            let conflicts = |part: &Part| part.key_hash == key_hash && !(part.is_read && is_read);
            self.owed.iter().any(|owed| owed.parts.iter().any(conflicts))
        })
    }

    /// Begins a request that does not have to wait.
    pub(super) fn push(&mut self, shard: &Shard, request: PipelineRequest, protocol: Protocol, now: Instant) {
        let bytes = request.bytes();
        let PipelineRequest { shape, operations } = request;
        let mut owed = Owed {
            shape,
            protocol,
            parts: SmallVec::new(),
            rest: VecDeque::new(),
            outcomes: Outcomes::new(),
            value_bytes: 0,
            is_too_large: false,
            operations: operations.len().max(1),
            bytes,
        };
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
    }

    /// Looks whether what was sought has been found; whether anything was.
    fn count_found(&mut self, shard: &Shard) -> bool {
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
    fn begin_rest(&mut self, shard: &Shard, now: Instant) {
        self.count_found(shard);
        let is_first = self.owed.len() == 1;
        let Some(last) = self.owed.back_mut() else { return };
        loop {
            let in_flight = last.parts.len() - last.outcomes.len();
            let is_alone = is_first && in_flight == 0;
            let Some(next) = last.rest.front() else { break };
            let may_begin = || shard.turns.borrow().may_begin(self.load, Load::of_one(next.size()));
            if !is_alone
                && (in_flight >= OPERATIONS_MAX || self.held.bytes >= FOUND_BYTES_MAX || !may_begin())
            {
                break;
            }
            let Some(operation) = last.rest.pop_front() else { break };
            let (held, load) = (&mut self.held, &mut self.load);
            last.parts.push(Part::begin(operation, shard, now, &self.answers, held, load));
        }
    }

    /// The node may begin operations at last: all that waited for that go together, but for what there is no room for.
    fn begin_parked(&mut self, shard: &Shard) {
        // Not those that have been refused meanwhile.
        let waiting = self.owed.iter_mut().flat_map(|owed| owed.parts.iter_mut().skip(owed.outcomes.len()));
        for part in waiting {
            if part.started.begin(shard, &self.answers) {
                part.find(shard, &self.answers, &mut self.held, &mut self.load);
                if self.held.bytes >= FOUND_BYTES_MAX {
                    break;
                }
            }
        }
    }

    /// Appends replies that are owed to `out`, in order; an empty one is lent by the shard. What has been waited for is
    /// kept when the wait is given up. It ends early when a value was found, for which the client is to be charged.
    pub(super) async fn settle(&mut self, shard: &Shard, out: &mut BytesMut, until: Until) {
        std::future::poll_fn(|context| {
            let before = self.owed.len();
            let has_found = self.count_found(shard);
            let mut taken = 0;
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
                    if part.started.could_begin(shard) {
                        self.begin_parked(shard);
                        continue;
                    }
                    let Poll::Ready(outcome) = part.started.poll(shard, &self.answers, context) else {
                        return if enough(out, self.owed.len()) { Poll::Ready(()) } else { Poll::Pending };
                    };
                    part.end(shard, &mut self.held, &mut self.load);
                    next.take(outcome);
                    if self.owed.back().is_some_and(|last| !last.rest.is_empty()) {
                        self.begin_rest(shard, super::now_instant());
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
                let Some(next) = self.owed.pop_front() else { break };
                assert!(next.rest.is_empty(), "a request that is alone always goes on");
                self.operations -= next.operations;
                self.bytes -= next.bytes;
                if self.owed.is_empty() {
                    // So that the next request uses the memory that this one has used.
                    self.owed.clear();
                }
                if out.is_empty() {
                    shard.buffers.lend(out);
                }
                next.reply(&shard.stats().requests, out);
                if out.len() > OUT_BYTES {
                    break;
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl Part {
    fn begin(
        operation: Operation,
        shard: &Shard,
        now: Instant,
        answers: &Rc<Answers>,
        held: &mut Held,
        load: &mut Load,
    ) -> Self {
        let (key_hash, is_read, bytes) = (hash(operation.key()), operation.is_read(), operation.size());
        shard.turns.borrow_mut().begin(load, Load::of_one(bytes));
        let started = shard.start(operation, now, answers);
        let mut part = Self { key_hash, is_read, started, bytes, found_bytes: 0, is_sought: false };
        part.find(shard, answers, held, load);
        part
    }

    /// It has begun, or found what it sought: counts what it has found.
    fn find(&mut self, shard: &Shard, answers: &Answers, held: &mut Held, load: &mut Load) {
        if self.is_read {
            let before = self.let_go(held);
            let found = self.started.found_bytes(shard, answers);
            (self.found_bytes, self.is_sought) = (found.unwrap_or(SOUGHT_BYTES), found.is_none());
            held.bytes += self.found_bytes;
            held.sought += usize::from(self.is_sought);
            shard.turns.borrow_mut().resize(load, before, self.found_bytes);
        }
    }

    /// Its outcome is taken.
    fn end(&mut self, shard: &Shard, held: &mut Held, load: &mut Load) {
        let found = self.let_go(held);
        shard.turns.borrow_mut().end(load, Load::of_one(self.bytes + found));
    }

    /// Its outcome is taken, or it is counted anew. Returns for what it was counted.
    fn let_go(&mut self, held: &mut Held) -> usize {
        let found = std::mem::take(&mut self.found_bytes);
        held.bytes -= found;
        held.sought -= usize::from(std::mem::take(&mut self.is_sought));
        found
    }
}

impl Owed {
    /// The next part has ended.
    fn take(&mut self, mut outcome: Outcome) {
        let needs_values = !matches!(self.shape, ReplyShape::Answer { needs_values: false, .. });
        if !needs_values || self.is_too_large {
            drop_value(&mut outcome);
        }
        self.value_bytes += length(&outcome);
        self.outcomes.push(outcome);
        if self.value_bytes > VALUES_BYTES_MAX && self.outcomes.len() > 1 && !self.is_too_large {
            self.is_too_large = true;
            self.rest.clear();
            self.outcomes.iter_mut().for_each(drop_value);
        }
    }

    /// The reply, when all parts have ended.
    fn reply(self, counts: &Counts, out: &mut BytesMut) {
        if self.is_too_large {
            let (keys, mebibytes) = (self.operations, VALUES_BYTES_MAX >> 20);
            let why = format!(
                "ERR the values of these {keys} keys are larger than {mebibytes} MiB together: ask for fewer at once"
            );
            let reply = Response::error(why);
            counts.reply(&reply);
            return reply.encode(self.protocol, out);
        }
        match self.shape {
            ReplyShape::Ready(reply) => out.extend_from_slice(&reply),
            ReplyShape::Cancelled => {}
            ReplyShape::Call(number) => {
                for outcome in self.outcomes {
                    put_frame(out, |body| service::put_answer(body, number, &outcome.into()));
                }
            }
            ReplyShape::Answer { answer, .. } => {
                let reply = reply(self.outcomes, answer);
                counts.reply(&reply);
                reply.encode(self.protocol, out);
            }
        }
    }
}

/// Tells the keys in flight on one connection apart. That two keys share a hash makes the second wait, nothing else.
fn hash(key: &[u8]) -> u64 {
    const SECRETS: RapidSecrets = RapidSecrets::seed(0);
    rapidhash_v3_seeded(key, &SECRETS)
}
