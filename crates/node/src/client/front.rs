//! From bytes to requests: RESP, and the Coordinator service.

use super::operations::Operations;
use super::owed::ReplyShape;
use super::pipeline::PipelineRequest;
use super::service::{Call, CallAnswer, get_call, put_answer};
use super::took::Took;
use crate::functions::Function;
use crate::limits::FRAME_ROOM;
use crate::resp::{Host, Limits, Plan, Protocol, RequestParser, Response, Run, Session};
use abd::wire::{WireError, missing_bytes, put_frame, take_frame};
use abd::{Instant, Operation, counted};
use alloc::borrow::ToOwned;
use alloc::format;
use bytes::{Bytes, BytesMut};
use smallvec::smallvec;

/// What is shorter is copied out of the buffer that it came in, which is used again then.
pub(super) const COPIED_MAX_BYTES: usize = 1024;

/// What comes next on a connection.
pub(super) enum Next {
    Request(PipelineRequest),
    /// The last one: the connection is closed after its reply.
    Last(PipelineRequest),
    /// The caller of an earlier request no longer wants its answer.
    Cancel(u64),
    /// The connection is to be closed, when all replies are sent.
    Close,
    /// More bytes are needed.
    Incomplete,
}

/// What a connection speaks.
pub(super) trait Speaks {
    /// Takes the next request out of what has come.
    fn next(&mut self, input: &mut BytesMut, shard: &impl Operations) -> Result<Next, WireError>;

    /// How the replies are encoded.
    fn protocol(&self) -> Protocol {
        Protocol::Resp2
    }

    /// Bytes that a half-sent request holds beside what is in `input`.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Bytes that it keeps between requests.
    fn kept_bytes(&self) -> usize {
        0
    }

    /// Whether the next request is not to be looked at before those so far are answered.
    fn waits(&self) -> bool {
        false
    }

    /// How many bytes of a half-sent request have come.
    fn arrived_bytes(&self, input: &BytesMut) -> usize {
        input.len()
    }

    /// Bytes that must come before the next request can be complete, if that is known.
    fn missing_bytes(&self, input: &BytesMut) -> usize;

    /// Something was heard at this time.
    fn heard(&mut self, _now: Instant) {}

    /// A request took long.
    fn took(&self, _took: Took, _host: &impl Host) {}
}

/// What a connection can speak.
#[allow(private_bounds, reason = "there are these two")]
pub trait Front: Speaks {}
impl Front for Resp {}
impl Front for Calls {}

/// RESP, as Redis' clients speak it.
#[derive(Debug)]
pub struct Resp {
    session: Session,
    parser: RequestParser,
}

impl Resp {
    /// A fresh connection.
    pub fn new(session: Session, limits: Limits) -> Self {
        Self { session, parser: RequestParser::new(limits) }
    }
}

impl Speaks for Resp {
    fn next(&mut self, input: &mut BytesMut, shard: &impl Operations) -> Result<Next, WireError> {
        let request = match self.parser.parse(input) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(Next::Incomplete),
            Err(why) => {
                let reply = Response::error(alloc::string::ToString::to_string(&why));
                shard.counts().reply(&reply);
                return Ok(Next::Last(PipelineRequest::ready(&reply, self.session.protocol())));
            }
        };
        let plan = self.session.handle(request, shard);
        let ready = |reply: Response| PipelineRequest::ready(&reply, self.session.protocol());
        Ok(match plan {
            // What is refused may be no command at all.
            Plan::Reply(reply @ Response::Error(_)) => Next::Request(ready(reply)),
            Plan::Reply(reply) => {
                let command = Some(self.session.listed().noted());
                Next::Request(PipelineRequest { command, ..ready(reply) })
            }
            Plan::Last(reply) => Next::Last(ready(reply)),
            Plan::Close => Next::Close,
            Plan::Run(Run { operations, needs_values, hears_all, is_alone, answer, then, .. }) => {
                let shape = ReplyShape::Answer { needs_values, hears_all, is_alone, answer, then };
                Next::Request(PipelineRequest {
                    shape,
                    operations,
                    command: Some(self.session.listed().noted()),
                })
            }
            Plan::First(stage) => {
                Next::Request(PipelineRequest::staged(stage, self.session.listed().noted()))
            }
        })
    }

    fn protocol(&self) -> Protocol {
        self.session.protocol()
    }

    fn held_bytes(&self) -> usize {
        self.parser.held_bytes()
    }

    fn kept_bytes(&self) -> usize {
        self.session.held_bytes()
    }

    fn waits(&self) -> bool {
        self.session.waits()
    }

    fn arrived_bytes(&self, input: &BytesMut) -> usize {
        self.parser.arrived_bytes(input.len())
    }

    fn missing_bytes(&self, input: &BytesMut) -> usize {
        self.parser.missing_bytes(input.len())
    }

    fn heard(&mut self, now: Instant) {
        self.session.heard(now.since(Instant(0)));
    }

    fn took(&self, took: Took, host: &impl Host) {
        let Took { command, keys, count, time } = took;
        self.session.took(command, &keys, count, time, host);
    }
}

/// The Coordinator service: calls from any node and any client library, over the peers' port.
#[derive(Debug)]
pub struct Calls {
    limits: Limits,
}

impl Calls {
    /// A fresh connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    fn check(&self, operation: &Operation) -> Result<(), alloc::string::String> {
        self.limits.check_key(operation.key())?;
        match operation {
            Operation::Get { .. } | Operation::Delete { .. } => Ok(()),
            Operation::Set { value, .. } => self.limits.check_value(value),
            Operation::Update { functions, .. } if functions.is_empty() => Err("no function".to_owned()),
            Operation::Update { functions, .. } => functions.iter().try_for_each(|function| {
                Function::decode(&function.encoded).map(drop).map_err(|why| format!("no function: {why}"))
            }),
        }
    }
}

impl Speaks for Calls {
    fn next(&mut self, input: &mut BytesMut, _: &impl Operations) -> Result<Next, WireError> {
        let limit = self.limits.max_key_bytes + self.limits.max_value_bytes + FRAME_ROOM;
        let Some(body) = take_frame(input, limit)? else { return Ok(Next::Incomplete) };
        let (number, call) = get_call(body)?;
        let operation = match call {
            Call::Cancel => return Ok(Next::Cancel(number)),
            Call::Run(operation) => operation,
        };
        if let Err(why) = self.check(&operation) {
            let mut reply = BytesMut::new();
            put_frame(&mut reply, |body| put_answer(body, number, &CallAnswer::Refused(why)));
            return Ok(Next::Request(PipelineRequest::encoded(reply)));
        }
        let operation = match operation {
            Operation::Get { key } => Operation::Get { key: own(key) },
            Operation::Set { key, value, deadline } => {
                Operation::Set { key: own(key), value: own(value), deadline }
            }
            Operation::Delete { key } => Operation::Delete { key: own(key) },
            Operation::Update { key, mut functions } => {
                for function in &mut functions {
                    function.encoded = own(core::mem::take(&mut function.encoded));
                }
                Operation::Update { key: own(key), functions }
            }
        };
        let (shape, operations) = (ReplyShape::Call(number), smallvec![operation]);
        Ok(Next::Request(PipelineRequest { shape, operations, command: None }))
    }

    fn missing_bytes(&self, input: &BytesMut) -> usize {
        missing_bytes(input)
    }
}

fn own(bytes: Bytes) -> Bytes {
    if bytes.len() <= COPIED_MAX_BYTES { counted::copied(&bytes) } else { bytes }
}
