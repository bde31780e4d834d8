//! Jepsen and Knossos events.

use std::collections::BTreeMap;

use crate::history::{Access, Action};
use crate::read::edn::{self, Edn, Spot};
use crate::read::events::{Ending, Events};
use crate::read::{Format, ReadError, Recording};
use crate::transaction;
use crate::update::{Condition, Update, decimal};

/// Where Knossos lets its registers start.
const ZERO: &[u8] = b"0";

const FREE: &[u8] = b"free";
const HELD: &[u8] = b"held";

pub(crate) fn read(text: &str) -> Result<Recording, ReadError> {
    let mut values = edn::parse(text)?;
    // Either the events follow each other, or one collection holds them all.
    if let [Spot { value: Edn::Sequence(inside), .. }] = values.as_mut_slice() {
        values = std::mem::take(inside);
    }
    let mut events = Events::default();
    for spot in &values {
        event(&mut events, spot)?;
    }
    let history = events.finish();
    let initial = initial(history.operations.iter().map(|operation| &operation.action));
    Ok(Recording { format: Format::Edn, history, initial: Some(initial) })
}

/// Registers start at zero, mutexes free; which of them it is shows in the first operation.
fn initial<'a>(actions: impl Iterator<Item = &'a Action>) -> Vec<u8> {
    let mut registers = BTreeMap::new();
    for action in actions {
        match action {
            Action::Transaction(steps) => {
                for Access::Read(register, _) | Access::Write(register, _) in steps {
                    registers.insert(register.clone(), ZERO.to_vec());
                }
            }
            Action::Update(Update { condition: Condition::Is(Some(from)), .. })
                if from == FREE || from == HELD =>
            {
                return FREE.to_vec();
            }
            _ => {}
        }
    }
    if registers.is_empty() { ZERO.to_vec() } else { transaction::encode(&registers) }
}

fn event(events: &mut Events, spot: &Spot) -> Result<(), ReadError> {
    let Edn::Map(members) = &spot.value else {
        return Err(ReadError::new(spot.line, "an event has to be a map"));
    };
    let error = |message: String| ReadError::new(spot.line, message);
    let member = |name: &str| {
        let found = members.iter().find(|(key, _)| matches!(key, Edn::Keyword(word) if word == name));
        found.map(|(_, value)| value)
    };
    let required = |name: &str| member(name).ok_or_else(|| error(format!("an event without :{name}")));
    let process = match required("process")? {
        Edn::Word(word) => word.parse().map_err(|_| error(format!("process {word:?} is no number")))?,
        // The nemesis breaks things but does not touch the object.
        Edn::Keyword(_) => return Ok(()),
        _ => return Err(error("the process is no number".to_owned())),
    };
    let Edn::Keyword(kind) = required("type")? else {
        return Err(error("the type is no keyword".to_owned()));
    };
    let Edn::Keyword(function) = required("f")? else { return Err(error("the f is no keyword".to_owned())) };
    let nil = Edn::Word("nil".to_owned());
    let value = member("value").unwrap_or(&nil);
    let action = || action(function, value).ok_or_else(|| error(format!("no value that fits :{function}")));
    match kind.as_str() {
        "invoke" => {
            let key = match member("key") {
                Some(key) => bytes(key).ok_or_else(|| error("the key is no word or string".to_owned()))?,
                None => Vec::new(),
            };
            events.invoke(spot.line, process, key, action()?.0)
        }
        "ok" => {
            let outcome = match action()? {
                (done, Says::Something) => Ending::Done(done),
                (_, Says::Nothing) => Ending::Dropped,
            };
            events.complete(spot.line, process, outcome)
        }
        "fail" => events.complete(spot.line, process, Ending::Dropped),
        // A second :info of a process that already gave up adds nothing.
        "info" if events.pending(process).is_none() => Ok(()),
        "info" => events.complete(spot.line, process, Ending::Unknown),
        _ => Err(error(format!("the type :{kind} is none of :invoke, :ok, :fail and :info"))),
    }
}

/// Whether an answer constrains the history.
enum Says {
    Something,
    Nothing,
}

fn action(function: &str, value: &Edn) -> Option<(Action, Says)> {
    let action = match function {
        "read" | "get" if value.is_nil() => return Some((Action::Read(None), Says::Nothing)),
        "read" | "get" => Action::Read(Some(bytes(value)?)),
        "write" | "put" => Action::Write(bytes(value)?),
        "append" => Update::append(&bytes(value)?).into(),
        "add" => Update::add(decimal(&bytes(value)?)?).into(),
        "delete" => Action::Delete,
        "cas" => match value {
            Edn::Sequence(pair) => match pair.as_slice() {
                [from, to] => Update::cas(bytes(&from.value).as_deref(), &bytes(&to.value)?, true).into(),
                _ => return None,
            },
            _ => return None,
        },
        // A mutex is a register that is swapped between two values.
        "acquire" => Update::cas(Some(FREE), HELD, true).into(),
        "release" => Update::cas(Some(HELD), FREE, true).into(),
        "txn" => match value {
            Edn::Sequence(steps) => return transaction(steps),
            _ => return None,
        },
        _ => return None,
    };
    Some((action, Says::Something))
}

fn transaction(steps: &[Spot]) -> Option<(Action, Says)> {
    let mut accesses = Vec::new();
    for step in steps {
        let Edn::Sequence(parts) = &step.value else { return None };
        let [verb, register, value] = parts.as_slice() else { return None };
        let Edn::Keyword(verb) = &verb.value else { return None };
        let register = bytes(&register.value)?;
        match verb.as_str() {
            "read" if value.value.is_nil() => {}
            "read" => accesses.push(Access::Read(register, bytes(&value.value)?)),
            "write" => accesses.push(Access::Write(register, bytes(&value.value)?)),
            _ => return None,
        }
    }
    let says = if accesses.is_empty() { Says::Nothing } else { Says::Something };
    Some((Action::Transaction(accesses), says))
}

fn bytes(value: &Edn) -> Option<Vec<u8>> {
    match value {
        value if value.is_nil() => None,
        Edn::Word(text) | Edn::Text(text) | Edn::Keyword(text) => Some(text.as_bytes().to_vec()),
        Edn::Sequence(_) | Edn::Map(_) => None,
    }
}
