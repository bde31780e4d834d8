//! What one connection has asked for and not been answered yet, in order.

use super::answers::Answers;
use super::shard::{Shard, Started};
use crate::resp::{Protocol, Reply};
use abd::{Content, Instant, Operation, Outcome};
use bytes::BytesMut;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;

/// Operations that one connection may have in flight, unless one request alone has more.
pub(super) const OPERATIONS_MAX: usize = 1024;
/// Bytes of keys, of values to be written, and of replies that need no operation that it may have, with the same
/// exception. The rest waits in the client's socket.
const BYTES_MAX: usize = 1 << 20;
/// Replies gathered before they are written although more are ready.
pub(super) const OUT_BYTES: usize = 256 << 10;

/// A request on its way to [`Pipeline::push`].
pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) operations: Operations,
}

/// What a request leads to; nearly always one operation.
pub(super) type Operations = SmallVec<[Operation; 1]>;

/// What becomes of the outcomes.
pub(super) enum Kind {
    /// Nothing: here is the reply.
    Ready(BytesMut),
    Get,
    StrLen,
    Set,
    /// Repeated keys count once, as they are deleted once.
    Delete,
    Exists,
    MultiGet,
}

/// The replies that are owed.
#[derive(Default)]
pub(super) struct Pipeline {
    owed: VecDeque<Owed>,
    operations: usize,
    bytes: usize,
    answers: Rc<Answers>,
}

struct Owed {
    kind: Kind,
    protocol: Protocol,
    /// Nearly always one.
    parts: SmallVec<[Part; 1]>,
    /// How the first of them have ended.
    outcomes: Outcomes,
    /// What it adds to [`Pipeline::bytes`].
    bytes: usize,
}

/// One operation of a request.
struct Part {
    key_hash: u64,
    is_read: bool,
    started: Started,
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

impl Request {
    /// One that needs no operation.
    pub(super) fn ready(reply: &Reply, protocol: Protocol) -> Self {
        let mut bytes = BytesMut::new();
        reply.encode(protocol, &mut bytes);
        Self { kind: Kind::Ready(bytes), operations: Operations::new() }
    }

    fn bytes(&self) -> usize {
        match &self.kind {
            Kind::Ready(reply) => reply.len(),
            _ => self.operations.iter().map(Operation::size).sum(),
        }
    }
}

impl Pipeline {
    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Whether a request may not begin before one that is being carried out has been answered.
    pub(super) fn has_to_wait(&self, request: &Request) -> bool {
        if self.owed.is_empty() {
            return false;
        }
        if self.operations + request.operations.len().max(1) > OPERATIONS_MAX
            || self.bytes + request.bytes() > BYTES_MAX
        {
            return true;
        }
        request.operations.iter().any(|operation| {
            let (key_hash, is_read) = (hash(operation.key()), operation.is_read());
            let conflicts = |part: &Part| part.key_hash == key_hash && !(part.is_read && is_read);
            self.owed.iter().any(|owed| owed.parts.iter().any(conflicts))
        })
    }

    /// Begins a request.
    pub(super) async fn push(
        &mut self,
        shard: &Shard,
        request: Request,
        protocol: Protocol,
        mut now: Instant,
    ) {
        let bytes = request.bytes();
        let Request { kind, operations } = request;
        self.operations += operations.len().max(1);
        self.bytes += bytes;
        let mut parts = SmallVec::with_capacity(operations.len());
        for operation in operations {
            // A long list goes out in waves, so that one request cannot fill the node.
            if parts.len() % OPERATIONS_MAX == OPERATIONS_MAX - 1 {
                tokio::task::yield_now().await;
                now = super::now_instant();
            }
            let (key_hash, is_read) = (hash(operation.key()), operation.is_read());
            let started = shard.start(operation, now, &self.answers);
            parts.push(Part { key_hash, is_read, started });
        }
        self.owed.push_back(Owed { kind, protocol, parts, outcomes: Outcomes::new(), bytes });
    }

    /// Appends replies that are owed to `out`, in order; an empty one is lent by the shard. What has been waited for is
    /// kept when the wait is given up.
    pub(super) async fn settle(&mut self, shard: &Shard, out: &mut BytesMut, until: Until) {
        std::future::poll_fn(|context| {
            let before = self.owed.len();
            while let Some(next) = self.owed.front_mut() {
                while next.outcomes.len() < next.parts.len() {
                    let part = &mut next.parts[next.outcomes.len()];
                    let Poll::Ready(outcome) = part.started.poll(shard, &self.answers, context) else {
                        let enough = match until {
                            Until::SomethingToSend => !out.is_empty(),
                            Until::OneMore => self.owed.len() < before,
                            Until::All => false,
                        };
                        return if enough { Poll::Ready(()) } else { Poll::Pending };
                    };
                    next.outcomes.push(outcome);
                }
                let Some(Owed { kind, protocol, parts, outcomes, bytes }) = self.owed.pop_front() else {
                    break;
                };
                self.operations -= parts.len().max(1);
                self.bytes -= bytes;
                if self.owed.is_empty() {
                    // So that the next request uses the memory that this one has used.
                    self.owed.clear();
                }
                if out.is_empty() {
                    shard.buffers.lend(out);
                }
                match kind {
                    Kind::Ready(reply) => out.extend_from_slice(&reply),
                    kind => combine(&kind, outcomes).encode(protocol, out),
                }
                if out.len() > OUT_BYTES {
                    break;
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// Tells the keys in flight on one connection apart. That two keys share a hash makes the second wait, nothing else.
fn hash(key: &[u8]) -> u64 {
    const SECRETS: RapidSecrets = RapidSecrets::seed(0);
    rapidhash_v3_seeded(key, &SECRETS)
}

type Outcomes = SmallVec<[Outcome; 1]>;

fn combine(kind: &Kind, outcomes: Outcomes) -> Reply {
    // The worst news first: if any part may have had an effect, the whole may.
    for outcome in &outcomes {
        if let Outcome::Indeterminate(reason) = outcome {
            return Reply::error(format!("INDETERMINATE the write may or may not take effect: {reason}"));
        }
    }
    let several = outcomes.len() > 1;
    let some_took_effect = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Written { .. }));
    for outcome in &outcomes {
        if let Outcome::Refused(reason) = outcome {
            return Reply::error(if several && some_took_effect {
                format!("INDETERMINATE some of the keys were written, others certainly not: {reason}")
            } else {
                format!("NOQUORUM no effect: {reason}")
            });
        }
    }
    let count = |counted: fn(&Outcome) -> bool| {
        Reply::Integer(
            i64::try_from(outcomes.iter().filter(|outcome| counted(outcome)).count()).unwrap_or(i64::MAX),
        )
    };
    match kind {
        Kind::Ready(_) => unreachable!("it needs no outcomes"),
        Kind::Get => outcomes.into_iter().next().map_or(Reply::Null, value),
        Kind::StrLen => {
            let length = outcomes.first().map_or(0, |outcome| match outcome {
                Outcome::Read(stamped) => stamped.content.len(),
                _ => 0,
            });
            Reply::Integer(i64::try_from(length).unwrap_or(i64::MAX))
        }
        Kind::Set => Reply::OK,
        Kind::Delete => count(|outcome| matches!(outcome, Outcome::Written { existed: true, .. })),
        Kind::Exists => {
            count(|outcome| matches!(outcome, Outcome::Read(stamped) if stamped.content.is_value()))
        }
        Kind::MultiGet => Reply::Array(outcomes.into_iter().map(value).collect()),
    }
}

fn value(outcome: Outcome) -> Reply {
    match outcome {
        Outcome::Read(stamped) => match stamped.content {
            Content::Value(value) => Reply::Bulk(value),
            Content::Tombstone => Reply::Null,
        },
        _ => Reply::Null,
    }
}
