//! One JSON object per operation; the format is described in [`crate::read`].

use std::fmt::Write;

use crate::history::{Action, History, Operation};
use crate::read::json::{self, Json};
use crate::read::{Format, ReadError, Recording};

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
    let time = |name: &str, value: Option<Json>| match value {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Number(number)) => match number.parse::<u64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("{name:?} is not a whole number from 0 to 2^64 - 1")),
        },
        Some(_) => Err(format!("{name:?} is no number")),
    };
    let invoke = time("invoke", member("invoke"))?.ok_or("no \"invoke\"")?;
    let ret = time("return", member("return"))?;
    let client = time("client", member("client"))?.unwrap_or(0);
    if ret.is_some_and(|ret| ret < invoke) {
        return Err("returns before it is invoked".to_owned());
    }
    let key = match member("key") {
        Some(key) => bytes("key", key)?.ok_or("\"key\" is null")?,
        None => Vec::new(),
    };
    let mut optional = |name: &str| match member(name) {
        Some(value) => bytes(name, value),
        None => Ok(None),
    };
    let action = match op.as_str() {
        "read" | "get" => Action::Read(optional("value")?),
        "write" | "put" => Action::Write(optional("value")?.ok_or("no \"value\"")?),
        "append" => Action::Append(optional("value")?.ok_or("no \"value\"")?),
        "delete" => Action::Delete,
        "cas" => {
            let (from, to) = (optional("from")?, optional("to")?.ok_or("no \"to\"")?);
            let applied = match member("ok") {
                None | Some(Json::Null) => true,
                Some(Json::Bool(ok)) => ok,
                Some(_) => return Err("\"ok\" is neither true nor false".to_owned()),
            };
            Action::Cas { from, to, applied }
        }
        _ => return Err(format!("\"op\" is {op:?}, not read, write, delete, cas or append")),
    };
    // A misspelt "return" would silently turn an answer into an unknown outcome.
    match members.first() {
        Some((name, _)) => Err(format!("{op:?} has no member {name:?}")),
        None => Ok(Operation { client, key, action, invoke, ret }),
    }
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
        let nullable = |value: &Option<Vec<u8>>| value.as_deref().map_or("null".to_owned(), quote);
        let action = match &operation.action {
            Action::Read(value) => format!("\"op\":\"read\",\"value\":{}", nullable(value)),
            Action::Write(value) => format!("\"op\":\"write\",\"value\":{}", quote(value)),
            Action::Delete => "\"op\":\"delete\"".to_owned(),
            Action::Cas { from, to, applied } => {
                format!("\"op\":\"cas\",\"from\":{},\"to\":{},\"ok\":{applied}", nullable(from), quote(to))
            }
            Action::Append(value) => format!("\"op\":\"append\",\"value\":{}", quote(value)),
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
