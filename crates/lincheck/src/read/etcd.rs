//! The etcd logs.

use crate::history::Action;
use crate::read::events::{Ending, Events};
use crate::read::{Format, ReadError, Recording};
use crate::update::Update;

/// What every line with an event contains.
pub(crate) const MARK: &str = "jepsen.util - ";

pub(crate) fn read(text: &str) -> Result<Recording, ReadError> {
    let mut events = Events::default();
    for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line)) {
        // Other lines are chatter of the test harness.
        let Some((_, event)) = line.split_once(MARK) else { continue };
        let Some((process, event)) = event.trim().split_once(char::is_whitespace) else {
            return Err(ReadError::new(number, "an event needs a process, a type, a function and a value"));
        };
        // The process that breaks the network is called :nemesis and does nothing to the register.
        if process == ":nemesis" {
            continue;
        }
        let error = |what: &str| ReadError::new(number, what);
        let process = process.parse().map_err(|_| error("the process is no number"))?;
        let mut words = event.split_whitespace();
        let (Some(kind), Some(function)) = (words.next(), words.next()) else {
            return Err(error("an event needs a process, a type, a function and a value"));
        };
        let values: Vec<&str> = words.map(|word| word.trim_matches(['[', ']'])).collect();
        let action =
            || action(function, &values).ok_or_else(|| error("not a read, write or cas with its values"));
        match (kind, function) {
            (":invoke", _) => events.invoke(number, process, Vec::new(), action()?)?,
            (":ok", _) => events.complete(number, process, Ending::Done(action()?))?,
            (":fail", ":read") => events.complete(number, process, Ending::Dropped)?,
            (":fail", ":cas") => {
                let Action::Update(cas) = action()? else { return Err(error("not a cas")) };
                events.complete(number, process, Ending::Done(cas.applied(false).into()))?;
            }
            (":fail", _) => return Err(error("only a read or a cas can fail")),
            (":info", _) => events.complete(number, process, Ending::Unknown)?,
            _ => return Err(error("the type is none of :invoke, :ok, :fail and :info")),
        }
    }
    Ok(Recording { format: Format::EtcdLog, history: events.finish(), initial: None })
}

fn action(function: &str, values: &[&str]) -> Option<Action> {
    let value = |word: &str| (word != "nil").then(|| word.as_bytes().to_vec());
    match (function, values) {
        (":read", [seen]) => Some(Action::Read(value(seen))),
        (":write", [new]) => Some(Action::Write(value(new)?)),
        (":cas", [from, to]) => Some(Update::cas(value(from).as_deref(), &value(to)?, true).into()),
        _ => None,
    }
}
