//! The Updates of tiny worlds: what their functions come to, and how broken rows garble what travels for them.

use super::scenario::{Break, OperationKind};
use super::values::Text;
use abd::{
    AcceptedThere, Closed, Content, Evaluated, EvaluatedOperation, Evaluation, Function, Operation, Reply,
    StampedValue, Timestamp, UpdateId, Version,
};
use bytes::Bytes;

// A function is its kind and its operation.
const APPEND: u8 = b'+';
const CREATE: u8 = b'?';

/// The Update of an operation.
pub(super) fn update(kind: OperationKind, operation: u8, key: Bytes) -> Operation {
    let always_changes = kind == OperationKind::Append;
    let encoded = vec![if always_changes { APPEND } else { CREATE }, operation];
    Operation::Update { key, functions: vec![Function { encoded: encoded.into(), always_changes }] }
}

/// What functions come to: each answers what it found.
pub(super) fn evaluate(evaluation: &Evaluation) -> Evaluated {
    let mut text = Text::of(&evaluation.base.content);
    let mut operations = Vec::new();
    for function in evaluation.operations.iter().flatten() {
        let &[kind, operation] = &*function.encoded else { unreachable!("{function:?} is of nobody") };
        let answers = vec![answer(text)];
        let changes = kind == APPEND || text == Text::ABSENT;
        if changes {
            text = text.and(operation);
        }
        operations.push(EvaluatedOperation { answers, changes });
    }
    Evaluated { operations, content: text.content(), deadline: evaluation.base.deadline }
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
pub(super) fn garbled(breaks: Break, reply: Reply) -> Reply {
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
        let applied = |kinds: &[(OperationKind, u8)], base: Text| {
            let operations = kinds.iter().map(|(kind, letter)| {
                let Operation::Update { functions, .. } = update(*kind, *letter, Bytes::new()) else {
                    panic!("it is an Update")
                };
                functions
            });
            let base = StampedValue::plain(Version::MIN, base.content());
            let id = EvaluationId { operation: OperationId(0), phase: 0 };
            let evaluated =
                evaluate(&Evaluation { id, key: Bytes::new(), base, operations: operations.collect() });
            let answers: Vec<String> =
                evaluated.operations.iter().map(|operation| found(&operation.answers).describe()).collect();
            (Text::of(&evaluated.content).describe(), answers)
        };
        let told = |text: &str, answers: &[&str]| {
            (text.to_owned(), answers.iter().map(|answer| (*answer).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(applied(&[(append, 0), (append, 2)], Text::ABSENT), told("ac", &["nothing", "a"]));
        assert_eq!(applied(&[(create, 1), (create, 0)], Text::ABSENT), told("b", &["nothing", "b"]));
    }
}
