//! The Updates of tiny worlds: what their functions come to, and how broken rows garble what travels for them.

use super::scenario::{Break, OperationKind};
use super::values::Text;
use abd::{
    AcceptedThere, Closed, Content, Deadline, Evaluated, EvaluatedOperation, Evaluation, Function, Moment,
    Operation, Reply, StampedValue, Timestamp, UpdateId, Version,
};
use bytes::Bytes;

// A function is its kind and its operation.
const APPEND: u8 = b'+';
const CREATE: u8 = b'?';
const LOCK: u8 = b'!';
const PERSIST: u8 = b'=';

/// How long a value lives that has a deadline: from the time of a Set on where there is one.
pub(super) const TIME_TO_LIVE: u8 = 2;

/// The Update of an operation.
pub(super) fn update(kind: OperationKind, operation: u8, key: Bytes) -> Operation {
    let always_changes = kind == OperationKind::Append;
    let code = match kind {
        OperationKind::Append => APPEND,
        OperationKind::Create => CREATE,
        OperationKind::Lock => LOCK,
        OperationKind::Persist => PERSIST,
        other => unreachable!("{other:?} is no Update"),
    };
    let encoded = vec![code, operation];
    Operation::Update { key, functions: vec![Function { encoded: encoded.into(), always_changes }] }
}

/// What functions come to: each answers what it found. A base that is due is absent to all of them, and that it is gone is a change
/// (rule E2).
pub(super) fn evaluate(evaluation: &Evaluation, moment: Moment) -> Evaluated {
    let (mut text, mut deadline) = (Text::of(&evaluation.base.content), evaluation.base.deadline);
    let mut has_expired = evaluation.base.is_due(moment);
    if has_expired {
        (text, deadline) = (Text::ABSENT, Deadline::NONE);
    }
    let mut operations = Vec::new();
    for functions in &evaluation.operations {
        let mut changes = std::mem::take(&mut has_expired);
        let mut answers = Vec::new();
        for function in functions {
            let &[kind, operation] = &*function.encoded else { unreachable!("{function:?} is of nobody") };
            answers.push(answer(text));
            let applies = match kind {
                APPEND => true,
                CREATE | LOCK => text == Text::ABSENT,
                _ => deadline != Deadline::NONE,
            };
            if !applies {
                continue;
            }
            (text, changes) = (text.and(operation), true);
            match kind {
                LOCK => deadline = Deadline(TIME_TO_LIVE.into()),
                PERSIST => deadline = Deadline::NONE,
                _ => {}
            }
        }
        operations.push(EvaluatedOperation { answers, changes });
    }
    Evaluated { operations, content: text.content(), deadline }
}

/// A text as an answer, and back.
fn answer(text: Text) -> Bytes {
    text.content().value().cloned().unwrap_or_default()
}

/// What an Update found, by its answers.
pub(super) fn found(answers: &[Bytes]) -> Text {
    let [answer] = answers else { unreachable!("an Update has one function") };
    if answer.is_empty() { Text::ABSENT } else { Text::of(&Content::Value(answer.clone())) }
}

/// What a broken row makes of a reply on its way to the coordinator of an Update.
pub(super) fn garbled(breaks: Break, epoch: u8, mut reply: Reply) -> Reply {
    if breaks == Break::RoundsAlone {
        take_for_own(&mut reply, epoch.into());
    }
    let Reply::Closed(closed) = reply else { return reply };
    Reply::Closed(Box::new(match breaks {
        // Only its newest version tells who has won.
        Break::Evidence => {
            let winner = closed.winner.filter(|winner| *winner == closed.newest.update);
            Closed { accepted: AcceptedThere::Nothing, winner, ..*closed }
        }
        Break::Resolution => Closed { winner: Some(UpdateId::NONE), ..*closed },
        _ => *closed,
    }))
}

/// Every ballot is taken for one of this configuration.
fn take_for_own(reply: &mut Reply, epoch: u32) {
    match reply {
        Reply::Promise(promise) => {
            promise.accepted.iter_mut().for_each(|accepted| accepted.ballot.epoch = epoch);
        }
        Reply::Nack { promised, .. } => promised.epoch = epoch,
        Reply::Closed(closed) => {
            if let AcceptedThere::Update { lowest, highest, .. } = &mut closed.accepted {
                (lowest.epoch, highest.epoch) = (epoch, epoch);
            }
        }
        _ => {}
    }
}

/// What an Update publishes without a carstamp: the next time, by the coordinator of the Update.
pub(super) fn without_carstamp(stamped: StampedValue) -> StampedValue {
    let Version { timestamp, rmwc } = stamped.version;
    if rmwc == 0 {
        return stamped;
    }
    let UpdateId { node, boot, .. } = stamped.update;
    let version = Version::of_write(Timestamp { time: timestamp.time + rmwc, node, boot });
    StampedValue { version, ..stamped }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::{EvaluationId, OperationId};

    #[test]
    fn functions_answer_what_they_found() {
        let (append, create) = (OperationKind::Append, OperationKind::Create);
        let (lock, persist) = (OperationKind::Lock, OperationKind::Persist);
        let applied_at = |kinds: &[(OperationKind, u8)], base: StampedValue, moment: u64| {
            let operations = kinds.iter().map(|(kind, letter)| {
                let Operation::Update { functions, .. } = update(*kind, *letter, Bytes::new()) else {
                    panic!("it is an Update")
                };
                functions
            });
            let id = EvaluationId { operation: OperationId(0), phase: 0 };
            let evaluated = evaluate(
                &Evaluation { id, key: Bytes::new(), base, operations: operations.collect() },
                Moment(moment),
            );
            let answers: Vec<String> =
                evaluated.operations.iter().map(|operation| found(&operation.answers).describe()).collect();
            (Text::of(&evaluated.content).describe(), evaluated.deadline.0, answers)
        };
        let applied = |kinds: &[(OperationKind, u8)], base: Text| {
            let (text, _, answers) = applied_at(kinds, StampedValue::plain(Version::MIN, base.content()), 0);
            (text, answers)
        };
        let told = |text: &str, answers: &[&str]| {
            (text.to_owned(), answers.iter().map(|answer| (*answer).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(applied(&[(append, 0), (append, 2)], Text::ABSENT), told("ac", &["nothing", "a"]));
        assert_eq!(applied(&[(create, 1), (create, 0)], Text::ABSENT), told("b", &["nothing", "b"]));
        let base = StampedValue {
            deadline: Deadline(2),
            ..StampedValue::plain(Version::MIN, Text::ABSENT.and(0).content())
        };
        let until =
            |text: &str, deadline: u64, answer: &str| (text.to_owned(), deadline, vec![answer.to_owned()]);
        assert_eq!(applied_at(&[(persist, 1)], base.clone(), 1), until("ab", 0, "a"));
        assert_eq!(applied_at(&[(persist, 1)], base.clone(), 2), until("nothing", 0, "nothing"));
        assert_eq!(applied_at(&[(lock, 1)], base.clone(), 1), until("a", 2, "a"));
        assert_eq!(applied_at(&[(lock, 1)], base, 2), until("b", 2, "nothing"));
    }
}
