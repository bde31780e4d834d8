//! From the outcomes of a request's operations to its reply.

use super::command::Answer;
use super::response::Response;
use crate::clock::Clock;
use crate::functions::FunctionAnswer;
use abd::{Content, Deadline, Outcome, Reason, Refusal, StampedValue, Version};
use alloc::format;
use alloc::string::{String, ToString};
use bytes::Bytes;
use smallvec::SmallVec;

/// How the operations of a request have ended; nearly always one.
pub type Outcomes = SmallVec<[Outcome; 1]>;

/// The reply to a request: bad news, or what `answer` makes of the outcomes.
pub fn reply(outcomes: Outcomes, answer: Answer, clock: &dyn Clock) -> Response {
    // The worst news first: if any part may have had an effect, the whole may.
    for outcome in &outcomes {
        if let Outcome::Indeterminate(reason) = outcome {
            return Response::error(format!("INDETERMINATE the write may or may not take effect: {reason}"));
        }
    }
    let several = outcomes.len() > 1;
    let some_took_effect = outcomes.iter().any(took_effect);
    for outcome in &outcomes {
        if let Outcome::Refused(reason) = outcome {
            return Response::error(if several && some_took_effect {
                format!("INDETERMINATE some of the keys were written, others certainly not: {reason}")
            } else {
                format!("NOQUORUM no effect: {reason}")
            });
        }
    }
    answer(outcomes, clock)
}

/// Whether something was written.
fn took_effect(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Written { .. } => true,
        // Of several updates in one request each counts what it has changed.
        Outcome::Updated { .. } => answer_to(outcome) != Some(FunctionAnswer::Integer(0)),
        _ => false,
    }
}

/// What the function of an update has answered.
pub(super) fn answer_to(outcome: &Outcome) -> Option<FunctionAnswer> {
    let Outcome::Updated { answers, .. } = outcome else { return None };
    Some(FunctionAnswer::decode(answers.first()?).expect("this node has encoded it"))
}

/// What the function of the one update has answered.
pub(super) fn answer_of(outcomes: Outcomes) -> Response {
    match outcomes.first().and_then(answer_to) {
        Some(FunctionAnswer::Ok) => Response::OK,
        Some(FunctionAnswer::Integer(number)) => Response::Integer(number),
        Some(FunctionAnswer::Value(value)) => Response::Bulk(value),
        Some(FunctionAnswer::Error(error)) => Response::error(error.to_string()),
        Some(FunctionAnswer::Held { value: Some(value), .. }) => Response::Bulk(value),
        Some(FunctionAnswer::Added { sum, by }) => Response::Array([sum, by].map(Response::Integer).into()),
        Some(FunctionAnswer::AddedFloat { sum, by }) => {
            Response::Array([sum, by].map(Response::Double).into())
        }
        Some(FunctionAnswer::Reply(bytes)) => Response::Encoded(bytes),
        Some(FunctionAnswer::Failed(text)) => Response::error(String::from_utf8_lossy(&text)),
        Some(
            FunctionAnswer::Null
            | FunctionAnswer::Held { value: None, .. }
            | FunctionAnswer::Aborted
            | FunctionAnswer::OtherKey(_),
        )
        | None => Response::Null,
    }
}

/// The value that the one Get has read, or nothing.
pub(super) fn read_of(outcomes: Outcomes) -> Response {
    outcomes.into_iter().next().map_or(Response::Null, reply_of)
}

/// The version that the key of the one operation has.
pub(super) fn version_of(outcomes: &Outcomes) -> Version {
    outcomes.first().map_or(Version::MIN, version_of_one)
}

/// The version that the key of an operation has.
pub(super) fn version_of_one(outcome: &Outcome) -> Version {
    match outcome {
        Outcome::Read(stamped) => stamped.version,
        Outcome::Written { version, .. } | Outcome::Updated { version, .. } => *version,
        Outcome::Refused(_) | Outcome::Indeterminate(_) => Version::MIN,
    }
}

/// Whether an operation came to nothing, or may have, as there is no room on the disks for it.
pub(super) fn lacks_room(outcome: &Outcome) -> bool {
    let (Outcome::Refused(reason) | Outcome::Indeterminate(reason)) = outcome else { return false };
    match reason {
        Reason::TooManyRefused { refusal, .. }
        | Reason::NoQuorum { refusal, .. }
        | Reason::FateUnknown { refusal } => *refusal == Some(Refusal::DiskFull),
        _ => false,
    }
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

/// How many values were read.
pub(super) fn count_values(outcomes: &Outcomes) -> Response {
    Response::count(outcomes.iter().filter(|outcome| has_value(outcome)).count())
}

/// The deadline of the value that the one Get has read; none if it has read no value.
pub(super) fn deadline_of(outcomes: &Outcomes) -> Option<Deadline> {
    match outcomes.first() {
        Some(Outcome::Read(stamped)) if stamped.content.is_value() => Some(stamped.deadline),
        _ => None,
    }
}

/// Whether a deletion has taken a value away.
pub(super) fn has_taken_away(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Written { existed, .. } => *existed,
        _ => answer_to(outcome) == Some(FunctionAnswer::Integer(1)),
    }
}

/// Bytes of the value that was read, and of answers.
pub fn length(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Read(stamped) => stamped.content.len(),
        Outcome::Updated { answers, .. } => answers.iter().map(Bytes::len).sum(),
        _ => 0,
    }
}

/// For answers that there is no room for: that they are missing is known.
pub fn drop_answers(outcome: &mut Outcome) {
    if let Outcome::Updated { answers, .. } = outcome {
        answers.clear();
    }
}

/// For a value that nobody wants: that there is one is still known.
pub fn drop_value(outcome: &mut Outcome) {
    if let Outcome::Read(StampedValue { content: Content::Value(value), .. }) = outcome {
        *value = Bytes::new();
    }
}
