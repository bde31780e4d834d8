//! Requests that are carried out step by step: what an inquiry has found, or what operations have come to, says what is done next.
//! Such a request is alone in its pipeline for as long as it takes.

use super::{Pipeline, ReplyShape, Staged};
use crate::client::operations::Operations;
use crate::inquiry::{Finding, Inquiry};
use crate::resp::{self, Plan, Planned, Response, Run, Stage, Step};
use abd::{Instant, Operation, Version};
use alloc::format;
use bytes::{Bytes, BytesMut};
use core::task::{Context, Poll, ready};
use core::time::Duration;

impl Pipeline {
    /// Begins the first step of the first request, if that has one and it has not begun.
    pub(super) fn begin_stage(&mut self, shard: &impl Operations, now: Instant) {
        let Some(owed) = self.owed.front_mut() else { return };
        if !matches!(owed.shape, ReplyShape::Staged(Staged::Next(_))) {
            return;
        }
        if let ReplyShape::Staged(Staged::Next(stage)) = owed.take_shape() {
            self.begin_step(stage, shard, now);
        }
    }

    fn begin_step(&mut self, Stage { step, held }: Stage, shard: &impl Operations, now: Instant) {
        let (inquiry, next) = match step {
            Step::Run(operations, next) => {
                return self.go_on(ReplyShape::Staged(Staged::Runs(next)), operations, held, shard, now);
            }
            Step::Inquire(inquiry, next) => (inquiry, next),
            Step::InquireHolders(wanted, wait, next) => (self.holders_of_last_write(wanted, wait), next),
        };
        let id = shard.inquire(inquiry, now, self.answers.open_inquiry());
        self.go_on(ReplyShape::Staged(Staged::Inquires(id, next)), <_>::default(), held, shard, now);
    }

    /// Whoever has written nothing waits for nothing: every node that answers has that.
    fn holders_of_last_write(&self, wanted: usize, wait: Duration) -> Inquiry {
        let (key, version) = self.last_write.clone().unwrap_or((Bytes::new(), Version::MIN));
        Inquiry::Holders { key, version, wanted, wait }
    }

    /// Looks whether the step that runs has ended, all operations of which have, and begins the next one.
    pub(super) fn poll_stage(&mut self, shard: &impl Operations, context: &mut Context<'_>) -> Poll<()> {
        let Some(owed) = self.owed.front_mut() else { return Poll::Ready(()) };
        let finding = match owed.shape {
            ReplyShape::Staged(Staged::Inquires(..)) => Some(ready!(self.answers.poll_finding(context))),
            _ => None,
        };
        let planned: Planned = match (owed.take_shape(), finding) {
            (ReplyShape::Staged(Staged::Inquires(..)), Some(Finding::Failed(reason))) => {
                Err(Response::error(format!("NOQUORUM no answer: {reason}")))
            }
            (ReplyShape::Staged(Staged::Inquires(_, next)), Some(finding)) => next(finding, shard),
            (ReplyShape::Staged(Staged::Runs(next)), _) => next(core::mem::take(&mut owed.outcomes), shard),
            _ => unreachable!("a step that has begun is an inquiry, or operations"),
        };
        let now = shard.now();
        match planned {
            Err(reply) | Ok(Plan::Reply(reply)) => {
                shard.counts().reply(&reply);
                let mut bytes = BytesMut::new();
                reply.encode(owed.protocol, &mut bytes);
                let length = bytes.len();
                self.go_on(ReplyShape::Ready(bytes), <_>::default(), length, shard, now);
            }
            Ok(Plan::Run(Run { operations, needs_values, hears_all, is_alone, answer, then, .. })) => {
                let shape = ReplyShape::Answer { needs_values, hears_all, is_alone, answer, then };
                self.go_on(shape, operations, 0, shard, now);
            }
            Ok(Plan::First(stage)) => self.begin_step(stage, shard, now),
            Ok(Plan::Last(_) | Plan::Close) => unreachable!("no step closes the connection"),
        }
        Poll::Ready(())
    }

    /// The first request goes on with something else.
    fn go_on(
        &mut self,
        shape: ReplyShape,
        operations: resp::Operations,
        held: usize,
        shard: &impl Operations,
        now: Instant,
    ) {
        assert!(self.owed.len() == 1, "what goes step by step is alone");
        let Some(owed) = self.owed.front_mut() else { return };
        let bytes = held + operations.iter().map(Operation::size).sum::<usize>();
        self.operations = self.operations - owed.operations + operations.len().max(1);
        self.bytes = self.bytes - owed.bytes + bytes;
        (owed.operations, owed.bytes) = (operations.len().max(1), bytes);
        owed.go_on(shape, operations);
        self.begin_rest(shard, now);
    }
}
