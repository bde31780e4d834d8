//! What functions of this crate raise in Lua, and what Lua's `pcall` makes of it.
//!
//! A function in Rust cannot raise any value of Lua, only an error of Rust, which Lua sees as a userdata. So whatever catches
//! errors in Lua first asks here what it caught ([`caught`]).

use crate::watch::Watch;
use mlua::{Error, Lua, Result, Value};
use std::cell::RefCell;
use std::rc::Rc;

/// What a function raises.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Raised {
    /// A table with this text as its field `err`.
    #[error("{0}")]
    Reply(String),
    /// A string.
    #[error("{0}")]
    Text(String),
    /// Nothing that can be caught: the script ends with this error.
    #[error("{0}")]
    Stop(String),
    /// The value that lies in [`Pending`]: a function of the script has raised it, within one of ours.
    #[error("a value of Lua")]
    Pending,
}

/// Holds a value on its way through a function in Rust.
pub(crate) type Pending = Rc<RefCell<Option<Value>>>;

/// What was caught.
pub(crate) enum Caught {
    /// Any value: the script may have it.
    Value(Value),
    /// The end of the script, with this error.
    Stop(String),
}

impl From<Raised> for Error {
    fn from(raised: Raised) -> Self {
        Self::external(raised)
    }
}

/// What Lua itself raises when memory is at its limit.
const NO_MEMORY: &[u8] = b"not enough memory";

/// Finds out what an error value is.
pub(crate) fn caught(lua: &Lua, watch: &Watch, pending: &Pending, error: Value) -> Result<Caught> {
    let error = match error {
        Value::Error(error) => error,
        Value::String(text) if text.as_bytes() == NO_MEMORY => {
            return Ok(Caught::Stop(watch.exhausted_text()));
        }
        other => return Ok(Caught::Value(other)),
    };
    for cause in error.chain() {
        if let Some(Error::MemoryError(_)) = cause.downcast_ref::<Error>() {
            return Ok(Caught::Stop(watch.exhausted_text()));
        }
        match cause.downcast_ref::<Raised>() {
            Some(Raised::Stop(text)) => return Ok(Caught::Stop(text.clone())),
            Some(Raised::Text(text)) => return Ok(Caught::Value(Value::String(lua.create_string(text)?))),
            Some(Raised::Reply(text)) => {
                let table = lua.create_table()?;
                table.raw_set("err", text.as_str())?;
                return Ok(Caught::Value(Value::Table(table)));
            }
            Some(Raised::Pending) => {
                let value = pending.take().unwrap_or(Value::Nil);
                return caught(lua, watch, pending, value);
            }
            None => {}
        }
    }
    // An error of the binding, as when a stack is full. Its text is all there is.
    let text = error.to_string();
    Ok(Caught::Value(Value::String(lua.create_string(text.lines().next().unwrap_or_default())?)))
}
