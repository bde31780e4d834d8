//! One JSON object per operation; the format is described in [`crate::read`].

use std::fmt::Write;

use crate::history::{Action, History, Operation};
use crate::read::json::{self, Json};
use crate::read::{Format, ReadError, Recording};
use crate::update::{Answer, Change, Condition, Update};

pub(crate) fn read(text: &str) -> Result<Recording, ReadError> {
    let mut operations = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            operations.push(operation(trimmed).map_err(|message| ReadError::new(i + 1, message))?);
        }
    }
    Ok(Recording { format: Format::JsonLines, history: History::new(operations), initial: None })
}

fn operation(line: &str) -> Result<Operation, String> {
    let Json::Object(mut members) = json::parse(line)? else { return Err("not an object".to_owned()) };
    let mut member = |name: &str| {
        let position = members.iter().position(|(other, _)| other == name)?;
        Some(members.swap_remove(position).1)
    };
    let Some(Json::Text(op)) = member("op") else { return Err("no \"op\"".to_owned()) };
    let invoke = natural("invoke", member("invoke"))?.ok_or("no \"invoke\"")?;
    let ret = natural("return", member("return"))?;
    let client = natural("client", member("client"))?.unwrap_or(0);
    if ret.is_some_and(|ret| ret < invoke) {
        return Err("returns before it is invoked".to_owned());
    }
    let key = match member("key") {
        Some(key) => bytes("key", key)?.ok_or("\"key\" is null")?,
        None => Vec::new(),
    };
    let action = match op.as_str() {
        "read" | "get" => Action::Read(bytes_of(member("value"), "value")?),
        "write" | "put" => Action::Write(bytes_of(member("value"), "value")?.ok_or("no \"value\"")?),
        "delete" => Action::Delete,
        "append" => {
            let tail = bytes_of(member("value"), "value")?.ok_or("no \"value\"")?;
            Update { answer: answer(&mut member)?, ..Update::append(&tail) }.into()
        }
        "cas" => {
            let from = bytes_of(member("from"), "from")?;
            let to = bytes_of(member("to"), "to")?.ok_or("no \"to\"")?;
            Update::cas(from.as_deref(), &to, truth(member("ok"))?.unwrap_or(true)).into()
        }
        "update" => {
            let update = Update { answer: answer(&mut member)?, ..change(&mut member)? };
            Update { condition: condition(&mut member)?, ..update }.into()
        }
        _ => return Err(format!("\"op\" is {op:?}, not read, write, delete, cas, append or update")),
    };
    // A misspelt "return" would silently turn an answer into an unknown outcome.
    match members.first() {
        Some((name, _)) => Err(format!("{op:?} has no member {name:?}")),
        None => Ok(Operation { client, key, action, invoke, ret }),
    }
}

/// The member of that name, taken out.
type Member<'a> = &'a mut dyn FnMut(&str) -> Option<Json>;

/// The one member of these that is there.
fn one_of<'a>(member: Member<'_>, names: &[&'a str]) -> Result<Option<(&'a str, Json)>, String> {
    let mut found = None;
    for name in names {
        if let Some(value) = member(name)
            && let Some((other, _)) = found.replace((*name, value))
        {
            return Err(format!("both {other:?} and {name:?}"));
        }
    }
    Ok(found)
}

fn condition(member: Member<'_>) -> Result<Condition, String> {
    Ok(match one_of(member, &["is", "is_not"])? {
        None => Condition::Always,
        Some((name @ "is", value)) => Condition::Is(bytes(name, value)?),
        Some((name, value)) => Condition::IsNot(bytes(name, value)?),
    })
}

fn change(member: Member<'_>) -> Result<Update, String> {
    Ok(match one_of(member, &["set", "append", "add"])? {
        Some((name @ "set", value)) => {
            bytes(name, value)?.map_or_else(Update::delete, |value| Update::set(&value))
        }
        Some((name @ "append", value)) => Update::append(&bytes(name, value)?.ok_or("\"append\" is null")?),
        Some(("add", Json::Number(number))) => {
            Update::add(number.parse().map_err(|_| "\"add\" has more than 64 bits")?)
        }
        Some(_) => return Err("\"add\" is no number".to_owned()),
        None => return Err("none of \"set\", \"append\" and \"add\"".to_owned()),
    })
}

fn answer(member: Member<'_>) -> Result<Answer, String> {
    Ok(match one_of(member, &["ok", "before", "after", "length"])? {
        Some(("ok", ok)) => truth(Some(ok))?.map_or(Answer::Nothing, Answer::Applied),
        Some((name @ "before", value)) => Answer::Before(bytes(name, value)?),
        Some((name @ "after", value)) => Answer::After(bytes(name, value)?),
        Some((name, length)) => natural(name, Some(length))?.map_or(Answer::Nothing, Answer::Length),
        None => Answer::Nothing,
    })
}

/// A whole number that is not negative.
fn natural(name: &str, value: Option<Json>) -> Result<Option<u64>, String> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Number(number)) => match number.parse::<u64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("{name:?} is not a whole number from 0 to 2^64 - 1")),
        },
        Some(_) => Err(format!("{name:?} is no number")),
    }
}

fn truth(value: Option<Json>) -> Result<Option<bool>, String> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Bool(ok)) => Ok(Some(ok)),
        Some(_) => Err("\"ok\" is neither true nor false".to_owned()),
    }
}

fn bytes_of(value: Option<Json>, name: &str) -> Result<Option<Vec<u8>>, String> {
    value.map_or(Ok(None), |value| bytes(name, value))
}

fn bytes(name: &str, value: Json) -> Result<Option<Vec<u8>>, String> {
    let error = || format!("{name:?} is no string, whole number or {{\"hex\": …}}");
    match value {
        Json::Null => Ok(None),
        Json::Text(text) | Json::Number(text) => Ok(Some(text.into_bytes())),
        Json::Object(members) => match members.as_slice() {
            [(tag, Json::Text(digits))] if tag == "hex" => unhex(digits).map(Some).ok_or_else(error),
            _ => Err(error()),
        },
        Json::Bool(_) => Err(error()),
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.as_bytes().chunks(2).map(|pair| Some(16 * digit(pair[0])? + digit(pair[1])?)).collect()
}

/// The history as JSON lines, which [`read`](crate::read::read) understands. Transactions have no such form and are
/// left out.
#[must_use]
pub fn write(history: &History) -> String {
    let mut lines = String::new();
    for operation in &history.operations {
        let action = match &operation.action {
            Action::Read(value) => format!("\"op\":\"read\",\"value\":{}", nullable(value)),
            Action::Write(value) => format!("\"op\":\"write\",\"value\":{}", quote(value)),
            Action::Delete => "\"op\":\"delete\"".to_owned(),
            Action::Update(update) => update_members(update),
            Action::Transaction(_) => continue,
        };
        let ret = operation.ret.map_or("null".to_owned(), |ret| ret.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(
            lines,
            "{{\"client\":{},\"key\":{},{action},\"invoke\":{},\"return\":{ret}}}",
            operation.client,
            quote(&operation.key),
            operation.invoke,
        );
    }
    lines
}

fn nullable(value: &Option<Vec<u8>>) -> String {
    value.as_deref().map_or("null".to_owned(), quote)
}

/// The short forms where there is one.
fn update_members(update: &Update) -> String {
    let Update { condition, change, answer } = update;
    if let (Condition::Is(from), Change::Set(Some(to)), Answer::Applied(applied)) =
        (condition, change, answer)
    {
        return format!("\"op\":\"cas\",\"from\":{},\"to\":{},\"ok\":{applied}", nullable(from), quote(to));
    }
    let asked = match (condition, change) {
        (Condition::Always, Change::Append(tail)) => format!("\"op\":\"append\",\"value\":{}", quote(tail)),
        (_, change) => {
            let change = match change {
                Change::Set(to) => format!("\"set\":{}", nullable(to)),
                Change::Append(tail) => format!("\"append\":{}", quote(tail)),
                Change::Add(number) => format!("\"add\":{number}"),
            };
            match condition {
                Condition::Always => format!("\"op\":\"update\",{change}"),
                Condition::Is(value) => format!("\"op\":\"update\",\"is\":{},{change}", nullable(value)),
                Condition::IsNot(value) => {
                    format!("\"op\":\"update\",\"is_not\":{},{change}", nullable(value))
                }
            }
        }
    };
    match answer {
        Answer::Nothing => asked,
        Answer::Applied(applied) => format!("{asked},\"ok\":{applied}"),
        Answer::Before(value) => format!("{asked},\"before\":{}", nullable(value)),
        Answer::After(value) => format!("{asked},\"after\":{}", nullable(value)),
        Answer::Length(bytes) => format!("{asked},\"length\":{bytes}"),
    }
}

/// Text as a string, other bytes in hexadecimal.
fn quote(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let mut quoted = String::from("\"");
            for c in text.chars() {
                match c {
                    '"' | '\\' => quoted.extend(['\\', c]),
                    c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
                    c => quoted.push(c),
                }
            }
            quoted + "\""
        }
        Err(_) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{{\"hex\":\"{digits}\"}}")
        }
    }
}
