//! A request that is being carried out, and how its outcomes become bytes.

use super::pipeline::Part;
use super::service;
use super::took::Timed;
use crate::inquiry::InquiryId;
use crate::resp::{
    AfterInquiry, AfterRun, Answer, Host, Outcomes, Protocol, Response, Stage, Then, drop_answers,
    drop_value, length, reply,
};
use abd::wire::put_frame;
use abd::{Operation, Outcome};
use alloc::collections::VecDeque;
use alloc::format;
use bytes::BytesMut;
use smallvec::SmallVec;

/// Bytes of all values in one reply, but for a single value.
const VALUES_BYTES_MAX: usize = 64 << 20;

/// What becomes of the outcomes.
pub(super) enum ReplyShape {
    /// Nothing: here is the reply.
    Ready(BytesMut),
    /// A reply over RESP, as in [`Run`](crate::resp::Run).
    Answer {
        needs_values: bool,
        hears_all: bool,
        is_alone: bool,
        answer: Answer,
        then: Option<Then>,
    },
    /// More is done first.
    Staged(Staged),
    /// A call of the Coordinator service, by its number; and one whose caller no longer wants the answer.
    Call(u64),
    Cancelled,
}

/// How far a request is that is carried out step by step.
pub(super) enum Staged {
    /// Its next step has not begun.
    Next(Stage),
    /// An inquiry runs.
    Inquires(InquiryId, AfterInquiry),
    /// Its operations run.
    Runs(AfterRun),
}

impl ReplyShape {
    /// Whether nothing else of its connection may be under way meanwhile.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self, Self::Staged(_) | Self::Answer { is_alone: true, .. })
    }
}

/// A request whose reply is owed.
pub(super) struct Owed {
    pub(super) shape: ReplyShape,
    pub(super) protocol: Protocol,
    /// Since when it is carried out, if that is of interest.
    pub(super) timed: Option<Timed>,
    /// What has begun; nearly always one.
    pub(super) parts: SmallVec<[Part; 1]>,
    /// What has not, as there is no room; only the last request that is owed has such.
    pub(super) rest: VecDeque<Operation>,
    /// How the first parts have ended.
    pub(super) outcomes: Outcomes,
    /// Bytes of the values in the outcomes, and whether that is too much for a reply.
    pub(super) value_bytes: usize,
    is_too_large: bool,
    /// What it adds to those of the pipeline.
    pub(super) operations: usize,
    pub(super) bytes: usize,
    /// Nothing runs beside it.
    pub(super) is_alone: bool,
}

impl Owed {
    /// Nothing of it has begun.
    pub(super) fn new(shape: ReplyShape, protocol: Protocol, operations: usize, bytes: usize) -> Self {
        let is_alone = shape.is_alone();
        Self {
            shape,
            protocol,
            timed: None,
            parts: SmallVec::new(),
            rest: VecDeque::new(),
            outcomes: Outcomes::new(),
            value_bytes: 0,
            is_too_large: false,
            operations,
            bytes,
            is_alone,
        }
    }

    /// Whether more is to be done before there is a reply.
    pub(super) fn is_staged(&self) -> bool {
        matches!(self.shape, ReplyShape::Staged(_))
    }

    /// What becomes of its outcomes, to be given back by [`go_on`](Self::go_on).
    pub(super) fn take_shape(&mut self) -> ReplyShape {
        core::mem::replace(&mut self.shape, ReplyShape::Cancelled)
    }

    /// It goes on with something else.
    pub(super) fn go_on(&mut self, shape: ReplyShape, operations: crate::resp::Operations) {
        self.shape = shape;
        self.parts.clear();
        self.outcomes.clear();
        (self.value_bytes, self.is_too_large) = (0, false);
        self.rest = operations.into_iter().collect();
    }

    /// What is to be done instead of the next part, which has ended so.
    pub(super) fn then(&mut self, outcome: &Outcome) -> Option<Operation> {
        match &mut self.shape {
            ReplyShape::Answer { then: Some(then), .. } => then(self.outcomes.len(), outcome),
            _ => None,
        }
    }

    /// Whether all parts begin, whatever becomes of the others.
    fn hears_all(&self) -> bool {
        matches!(self.shape, ReplyShape::Answer { hears_all: true, .. })
    }

    /// The next part has ended.
    pub(super) fn take(&mut self, mut outcome: Outcome) {
        let needs_values = !matches!(self.shape, ReplyShape::Answer { needs_values: false, .. });
        if !needs_values || self.is_too_large {
            drop_value(&mut outcome);
        }
        if self.is_too_large {
            drop_answers(&mut outcome);
        }
        self.value_bytes += length(&outcome);
        self.outcomes.push(outcome);
        if self.value_bytes > VALUES_BYTES_MAX && self.outcomes.len() > 1 && !self.is_too_large {
            (self.is_too_large, self.value_bytes) = (true, 0);
            if self.hears_all() {
                self.outcomes.iter_mut().for_each(drop_answers);
            } else {
                self.rest.clear();
                self.outcomes.iter_mut().for_each(drop_value);
            }
        }
    }

    /// The reply, when all parts have ended.
    pub(super) fn reply(self, host: &impl Host, out: &mut BytesMut) {
        assert!(self.rest.is_empty(), "a request that is alone always goes on");
        let reply = match self.shape {
            ReplyShape::Ready(reply) => return out.extend_from_slice(&reply),
            ReplyShape::Cancelled => return,
            ReplyShape::Staged(_) => unreachable!("a reply comes after the last step"),
            ReplyShape::Call(number) => {
                for outcome in self.outcomes {
                    put_frame(out, |body| service::put_answer(body, number, &outcome.into()));
                }
                return;
            }
            ReplyShape::Answer { hears_all: true, answer, .. } => answer(self.outcomes, host),
            ReplyShape::Answer { .. } if self.is_too_large => {
                let (keys, mebibytes) = (self.operations, VALUES_BYTES_MAX >> 20);
                Response::error(format!(
                    "ERR the values of these {keys} keys are larger than {mebibytes} MiB together: ask for fewer at once"
                ))
            }
            ReplyShape::Answer { answer, .. } => reply(self.outcomes, answer, host),
        };
        host.counts().reply(&reply);
        reply.encode(self.protocol, out);
    }
}
