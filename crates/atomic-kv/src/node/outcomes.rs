//! From the outcomes of a request's operations to its reply.

use super::pipeline::ReplyShape;
use crate::resp::Response;
use abd::{Content, Outcome, StampedValue};
use bytes::Bytes;
use smallvec::SmallVec;

/// How the operations of a request have ended; nearly always one.
pub(super) type Outcomes = SmallVec<[Outcome; 1]>;

/// The reply to a request of this shape.
pub(super) fn combine(shape: &ReplyShape, outcomes: Outcomes) -> Response {
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
    let count = |counted: fn(&Outcome) -> bool| {
        Response::Integer(
            i64::try_from(outcomes.iter().filter(|outcome| counted(outcome)).count()).unwrap_or(i64::MAX),
        )
    };
    match shape {
        ReplyShape::Ready(_) | ReplyShape::Call(_) | ReplyShape::Cancelled => {
            unreachable!("it has a form of its own")
        }
        ReplyShape::Get => outcomes.into_iter().next().map_or(Response::Null, value),
        ReplyShape::StrLen => {
            let length = outcomes.first().map_or(0, |outcome| match outcome {
                Outcome::Read(stamped) => stamped.content.len(),
                _ => 0,
            });
            Response::Integer(i64::try_from(length).unwrap_or(i64::MAX))
        }
        ReplyShape::Set => Response::OK,
        ReplyShape::Delete => count(|outcome| matches!(outcome, Outcome::Written { existed: true, .. })),
        ReplyShape::Exists => {
            count(|outcome| matches!(outcome, Outcome::Read(stamped) if stamped.content.is_value()))
        }
        ReplyShape::MultiGet => Response::Array(outcomes.into_iter().map(value).collect()),
    }
}

fn value(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Read(stamped) => match stamped.content {
            Content::Value(value) => Response::Bulk(value),
            Content::Tombstone => Response::Null,
        },
        _ => Response::Null,
    }
}

/// The value that was read, if it was one.
pub(super) fn value_of(outcome: &mut Outcome) -> Option<&mut Bytes> {
    match outcome {
        Outcome::Read(StampedValue { content: Content::Value(value), .. }) => Some(value),
        _ => None,
    }
}

/// For a value that nobody wants: that there is one is still known.
pub(super) fn drop_value(outcome: &mut Outcome) {
    if let Some(value) = value_of(outcome) {
        *value = Bytes::new();
    }
}
