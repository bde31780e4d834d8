//! From the outcomes of a request's operations to its reply.

use super::pipeline::Kind;
use crate::resp::Reply;
use abd::{Content, Outcome, StampedValue};
use bytes::Bytes;
use smallvec::SmallVec;

/// How the operations of a request have ended; nearly always one.
pub(super) type Outcomes = SmallVec<[Outcome; 1]>;

/// The reply to a request of this kind.
pub(super) fn combine(kind: &Kind, outcomes: Outcomes) -> Reply {
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
        Kind::Ready(_) | Kind::Call(_) | Kind::Cancelled => unreachable!("it has a form of its own"),
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
