//! From the outcomes of a request's operations to its reply.

use super::command::Answer;
use super::response::Response;
use abd::{Content, Outcome, StampedValue};
use alloc::format;
use bytes::Bytes;
use smallvec::SmallVec;

/// How the operations of a request have ended; nearly always one.
pub type Outcomes = SmallVec<[Outcome; 1]>;

/// The reply to a request: bad news, or what `answer` makes of the outcomes.
pub fn reply(outcomes: Outcomes, answer: Answer) -> Response {
    // The worst news first: if any part may have had an effect, the whole may.
    for outcome in &outcomes {
        if let Outcome::Indeterminate(reason) = outcome {
            return Response::error(format!("INDETERMINATE the write may or may not take effect: {reason}"));
        }
    }
    let several = outcomes.len() > 1;
    let some_took_effect = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Written { .. }));
    for outcome in &outcomes {
        if let Outcome::Refused(reason) = outcome {
            return Response::error(if several && some_took_effect {
                format!("INDETERMINATE some of the keys were written, others certainly not: {reason}")
            } else {
                format!("NOQUORUM no effect: {reason}")
            });
        }
    }
    answer(outcomes)
}

/// The value that was read, or nothing.
pub(super) fn reply_of(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Read(StampedValue { content: Content::Value(value), .. }) => Response::Bulk(value),
        _ => Response::Null,
    }
}

/// Whether a value was read.
pub(super) fn has_value(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Read(stamped) if stamped.content.is_value())
}

/// Whether a value was there before a write.
pub(super) fn has_taken_away(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Written { existed: true, .. })
}

/// Bytes of the value that was read.
pub fn length(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Read(stamped) => stamped.content.len(),
        _ => 0,
    }
}

/// For a value that nobody wants: that there is one is still known.
pub fn drop_value(outcome: &mut Outcome) {
    if let Outcome::Read(StampedValue { content: Content::Value(value), .. }) = outcome {
        *value = Bytes::new();
    }
}
