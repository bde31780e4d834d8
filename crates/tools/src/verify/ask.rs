//! What a request asks, and what its answer tells.

use super::expiries::LEASE_MS;
use crate::resp::Response;
use lincheck::{Action, Answer, Change, Update};

/// A request for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// `GET key`.
    Get,
    /// `SET key value`.
    Set(Vec<u8>),
    /// `DEL key`; its count is not looked at.
    Delete,
    /// `INCR key`.
    Increment,
    /// `APPEND key token`.
    Append(Vec<u8>),
    /// `SET key token NX PX lease WITHVER`.
    Acquire(Vec<u8>),
    /// `DELIFEQ key token`.
    Release(Vec<u8>),
}

impl Ask {
    /// As a node reads it.
    pub(super) fn command<'a>(&'a self, key: &'a [u8]) -> Vec<&'a [u8]> {
        match self {
            Self::Get => vec![b"GET", key],
            Self::Set(value) => vec![b"SET", key, value],
            Self::Delete => vec![b"DEL", key],
            Self::Increment => vec![b"INCR", key],
            Self::Append(token) => vec![b"APPEND", key, token],
            Self::Acquire(token) => vec![b"SET", key, token, b"NX", b"PX", LEASE_MS, b"WITHVER"],
            Self::Release(token) => vec![b"DELIFEQ", key, token],
        }
    }

    /// As it is recorded when nobody knows its answer.
    pub(super) fn unanswered(&self) -> Action {
        match self {
            Self::Get => Action::Read(None),
            Self::Set(value) => Action::Write(value.clone()),
            Self::Delete => Action::Delete,
            Self::Increment => Update::add(1).into(),
            Self::Append(token) => Update::append(token).into(),
            Self::Acquire(token) => Update::set(token).if_absent().into(),
            Self::Release(token) => Update::delete().if_equal(token).into(),
        }
    }

    /// As it is recorded with this answer; `None` when it is not the answer to this request.
    pub(super) fn answered(&self, response: &Response) -> Option<Action> {
        let applied = |update: Update, applied| Some(update.applied(applied).into());
        match (self.unanswered(), response) {
            (Action::Read(_), Response::Bulk(value)) => Some(Action::Read(value.clone())),
            (Action::Write(value), Response::Status(_)) => Some(Action::Write(value)),
            (Action::Delete, Response::Integer(_)) => Some(Action::Delete),
            (Action::Update(update), response) => match (&update.change, response) {
                (Change::Add(_), Response::Integer(number)) => Some(update.number(*number).into()),
                (Change::Append(_), Response::Integer(length)) => {
                    Some(update.length(u64::try_from(*length).ok()?).into())
                }
                (Change::Set(Some(_)), Response::Array(Some(parts))) => match &parts[..] {
                    [Response::Status(_), Response::Bulk(Some(_))] => applied(update, true),
                    [Response::Bulk(None), Response::Bulk(Some(_))] => applied(update, false),
                    _ => None,
                },
                (Change::Set(None), Response::Integer(count @ (0 | 1))) => applied(update, *count == 1),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The version that came with a lock, if it was got: its fencing token.
pub(super) fn fence(response: &Response) -> Option<&[u8]> {
    let Response::Array(Some(parts)) = response else { return None };
    match &parts[..] {
        [Response::Status(_), Response::Bulk(Some(version))] => Some(version),
        _ => None,
    }
}

/// Whether the condition of a recorded update held, as far as its answer said.
pub(super) fn held(action: &Action) -> bool {
    matches!(action, Action::Update(Update { answer: Answer::Applied(true), .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_taken_for_what_it_tells() {
        let token = || b"7-1;".to_vec();
        let status = || Response::Status("OK".to_owned());
        let with_version =
            |reply| Response::Array(Some(vec![reply, Response::Bulk(Some(b"00c0ffee".to_vec()))]));
        for (ask, response, action) in [
            (Ask::Get, Response::Bulk(None), Action::Read(None)),
            (Ask::Set(token()), status(), Action::Write(token())),
            (Ask::Delete, Response::Integer(1), Action::Delete),
            (Ask::Increment, Response::Integer(8), Update::add(1).number(8).into()),
            (Ask::Append(token()), Response::Integer(12), Update::append(b"7-1;").length(12).into()),
            (
                Ask::Acquire(token()),
                with_version(status()),
                Update::set(b"7-1;").if_absent().applied(true).into(),
            ),
            (
                Ask::Acquire(token()),
                with_version(Response::Bulk(None)),
                Update::set(b"7-1;").if_absent().applied(false).into(),
            ),
            (
                Ask::Release(token()),
                Response::Integer(1),
                Update::delete().if_equal(b"7-1;").applied(true).into(),
            ),
        ] {
            assert_eq!(ask.answered(&response), Some(action), "{ask:?}");
        }
    }

    #[test]
    fn what_is_no_answer_to_the_request_is_none() {
        let token = || b"7-1;".to_vec();
        for (ask, response) in [
            (Ask::Get, Response::Integer(1)),
            (Ask::Set(token()), Response::Bulk(None)),
            (Ask::Release(token()), Response::Integer(2)),
            (Ask::Increment, Response::Bulk(None)),
            (Ask::Append(token()), Response::Integer(-1)),
            (Ask::Acquire(token()), Response::Bulk(Some(token()))),
            (Ask::Acquire(token()), Response::Status("OK".to_owned())),
            (Ask::Release(token()), Response::Status("OK".to_owned())),
        ] {
            assert_eq!(ask.answered(&response), None, "{ask:?}");
        }
    }
}
