//! An operation as functions of what its key holds, for what carries out several of them with nothing in between: a transaction, a
//! script. Their answers are made into the outcome that the operation would have had alone, so that a command need not know of it.

use crate::functions::{Condition, Expiry, Function, FunctionAnswer};
use abd::{Content, Deadline, Operation, Outcome, StampedValue, UpdateId, Version};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// An operation that is carried out as functions.
#[derive(Debug)]
pub(super) struct Part {
    /// Its key.
    pub(super) key: Bytes,
    /// What is done to the key.
    pub(super) functions: Vec<abd::Function>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Get,
    Set,
    Delete,
    Update,
}

impl Part {
    /// `tells_version`: as in [`Run`](super::Run).
    pub(super) fn of(operation: Operation, tells_version: bool) -> Self {
        let one = |function: Function| vec![function.encode()];
        let (key, functions, kind) = match operation {
            Operation::Get { key } => (key, one(Function::Read { wants_version: tells_version }), Kind::Get),
            Operation::Set { key, value, deadline } => {
                let expiry = if deadline == Deadline::NONE { Expiry::Never } else { Expiry::At(deadline) };
                let condition = Condition::Always;
                let set =
                    Function::Set { value, expiry, condition, get: false, wants_version: tells_version };
                (key, one(set), Kind::Set)
            }
            Operation::Delete { key } => {
                let delete = Function::Delete { condition: Condition::Always, get: false };
                (key, one(delete), Kind::Delete)
            }
            Operation::Update { key, functions } => (key, functions, Kind::Update),
        };
        Self { key, functions, kind }
    }

    /// How it has ended. `answers` are those of its functions, `version` is what the key has after all of it.
    pub(super) fn outcome(&self, answers: Vec<Bytes>, version: Version) -> Outcome {
        assert_eq!(answers.len(), self.functions.len(), "each function has answered");
        let answer = || FunctionAnswer::decode(&answers[0]).expect("this node has encoded it");
        match self.kind {
            Kind::Update => Outcome::Updated { answers, version },
            Kind::Set | Kind::Delete => {
                Outcome::Written { version, existed: answer() == FunctionAnswer::Integer(1) }
            }
            Kind::Get => Outcome::Read(match answer() {
                FunctionAnswer::Held { value: Some(value), deadline } => {
                    let content = Content::Value(value);
                    StampedValue { version, content, deadline, update: UpdateId::NONE }
                }
                _ => StampedValue::plain(version, Content::Tombstone),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::registers::Registers;
    use crate::resp::outcomes::{has_taken_away, has_value};

    /// Every kind of operation leaves behind the same alone and as functions, and its outcome says the same.
    #[test]
    fn an_operation_as_functions_is_the_operation() {
        let key = || Bytes::from_static(b"k");
        let deadline = Deadline(77);
        let operations = || {
            [
                Operation::Get { key: key() },
                Operation::Delete { key: key() },
                Operation::Set { key: key(), value: "v".into(), deadline },
                Operation::Get { key: key() },
                Operation::Update { key: key(), functions: vec![Function::Persist.encode()] },
                Operation::Delete { key: key() },
                Operation::Set { key: key(), value: "w".into(), deadline: Deadline::NONE },
            ]
        };
        let (mut alone, mut together) = (Registers::new(9), Registers::new(9));
        for (operation, same) in operations().into_iter().zip(operations()) {
            let expected = alone.carry_out(operation);
            let part = Part::of(same, false);
            let update = Operation::Update { key: part.key.clone(), functions: part.functions.clone() };
            let Outcome::Updated { answers, version } = together.carry_out(update) else {
                panic!("it is one")
            };
            let outcome = part.outcome(answers, version);
            let told = |outcome: &Outcome| match outcome {
                Outcome::Updated { answers, .. } => (answers.clone(), false, false),
                Outcome::Written { .. } => (Vec::new(), has_taken_away(outcome), false),
                outcome => (Vec::new(), false, has_value(outcome)),
            };
            assert_eq!(told(&outcome), told(&expected));
            let (one, other) = (alone.read(&key()), together.read(&key()));
            assert_eq!((one.content, one.deadline), (other.content, other.deadline));
        }
    }
}
