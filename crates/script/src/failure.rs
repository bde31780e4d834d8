//! The error reply of a script that failed.

use crate::chunks;
use crate::raised::{Caught, Pending, caught};
use crate::watch::Watch;
use mlua::{Lua, Result, Value};

/// Why a script has no answer of its own. The texts are those for its client.
pub(crate) enum Failure {
    /// It has failed.
    Error(String),
    /// It was ended.
    Stop(String),
}

/// An error that a script did not catch, found while its stack is still there.
pub(crate) fn describe(
    lua: &Lua,
    watch: &Watch,
    pending: &Pending,
    error: Value,
    sha: &str,
) -> Result<Failure> {
    let value = match caught(lua, watch, pending, error)? {
        Caught::Stop(text) => return Ok(Failure::Stop(text)),
        Caught::Value(value) => value,
    };
    let text = match &value {
        Value::Table(table) => match table.raw_get("err")? {
            Value::String(text) => text.to_string_lossy(),
            _ => "ERR The script raised a table without an error in it".to_owned(),
        },
        Value::Nil => "ERR nil".to_owned(),
        Value::Boolean(truth) => format!("ERR {truth}"),
        other => match lua.coerce_string(other.clone())? {
            Some(text) => format!("ERR {}", text.to_string_lossy()),
            None => format!("ERR {}", other.type_name()),
        },
    };
    Ok(Failure::Error(match place(lua) {
        Some((source, line)) => format!("{text} script: {sha}, on {source}:{line}."),
        None => text,
    }))
}

/// Where the script is: the function that failed if it is the script's, or the one that called it.
fn place(lua: &Lua) -> Option<(String, usize)> {
    // The frame at 0 is ours. How many of ours lie on top of the script's is known: it called one, and some are two deep.
    (1..=4).find_map(|level| {
        lua.inspect_stack(level, |frame| {
            let source = frame.source();
            let name = source.source.filter(|name| source.what != "C" && name != chunks::OURS)?;
            Some((name.strip_prefix('=').unwrap_or(&name).to_owned(), frame.current_line()?))
        })?
    })
}
