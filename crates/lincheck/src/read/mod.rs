//! Histories from text: JSON lines, Jepsen and Knossos EDN, and the etcd logs of the porcupine collection.
//!
//! # JSON lines
//!
//! One operation per line, an object with these members in any order; blank lines and lines that begin with `#` are
//! skipped:
//!
//! | member | meaning |
//! |---|---|
//! | `"op"` | `"read"` (or `"get"`), `"write"` (or `"put"`), `"delete"`, `"cas"`, `"append"`, `"update"` |
//! | `"value"` | what was read (`null`: absent), written or appended; not for `delete`, `cas` and `update` |
//! | `"from"`, `"to"`, `"ok"` | of a `cas`: expected (`null`: absent) and new value; `false` when refused, else `true` |
//! | `"set"`, `"append"`, `"add"` | of an `update`, one of them: the new value (`null` deletes), what is added to its end, what is added to the number that it is |
//! | `"is"`, `"is_not"` | of an `update`: it changes only this value (`null`: absent), or only others; missing: all |
//! | `"ok"`, `"before"`, `"after"`, `"length"` | of an `update` or `append`, at most one: the answer, see [`Answer`] |
//! | `"invoke"` | when it was invoked, a whole number of any unit |
//! | `"return"` | when it returned; `null` or missing when the outcome is unknown |
//! | `"client"` | a whole number, 0 if missing; only drawn |
//! | `"key"` | empty if missing; keys are judged one by one |
//!
//! Keys and values are strings, whole numbers (`1` is `"1"`) or, for bytes that are not text, `{"hex":"00ff"}`. An
//! operation that certainly did not happen is not recorded.
//!
//! # EDN
//!
//! Events as maps with `:process`, `:type`, `:f` and `:value`, in one vector or list or one after another, in the order in which they happened. `:fail` says that
//! the operation did not happen, `:info` that nobody knows; a read of `nil` says nothing. Maps may have a `:key`.
//! Registers start at 0, mutexes free.
//!
//! # etcd logs
//!
//! One event per line, `INFO  jepsen.util - PROCESS :TYPE :F VALUE`. Here a failed compare-and-set is an answer, the
//! value was another, and a read of `nil` saw an absent key. The register starts absent.

mod edn;
mod etcd;
mod events;
mod json;
mod json_lines;
mod knossos;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::history::{Action, History};
use crate::model::Model;
use crate::update::{Answer, Change, Condition, Update};

pub use json_lines::write as write_json_lines;

/// How a file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per operation.
    JsonLines,
    /// Jepsen or Knossos events.
    Edn,
    /// A log of Jepsen's test of etcd.
    EtcdLog,
}

/// Which models the command line knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// Read, write, delete; starts absent.
    Register,
    /// Read, write, compare-and-set; starts as the format says.
    CasRegister,
    /// Get, put, append; starts as the empty string.
    Kv,
    /// Read, write, delete and all updates; starts absent.
    RegisterWithUpdates,
}

impl std::str::FromStr for ModelKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "register" => Ok(ModelKind::Register),
            "cas-register" => Ok(ModelKind::CasRegister),
            "kv" => Ok(ModelKind::Kv),
            "register-with-updates" => Ok(ModelKind::RegisterWithUpdates),
            _ => Err(format!(
                "no model is called {name:?}; there are register, cas-register, kv and register-with-updates"
            )),
        }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ModelKind::Register => "register",
            ModelKind::CasRegister => "cas-register",
            ModelKind::Kv => "kv",
            ModelKind::RegisterWithUpdates => "register-with-updates",
        })
    }
}

/// A history as it was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// How the file was written.
    pub format: Format,
    /// The operations.
    pub history: History,
    /// What a compare-and-set register holds at first, by the rules of the format.
    pub initial: Option<Vec<u8>>,
}

impl Recording {
    /// The model of that kind, with the beginning that the format implies.
    #[must_use]
    pub fn model(&self, kind: ModelKind) -> Model {
        match kind {
            ModelKind::Register => Model::register(),
            ModelKind::CasRegister => Model::cas_register(self.initial.clone()),
            ModelKind::Kv => Model::kv(),
            ModelKind::RegisterWithUpdates => Model::register_with_updates(),
        }
    }

    /// The kind of model that the operations ask for, when nobody names one.
    #[must_use]
    pub fn likely_model(&self) -> ModelKind {
        let updates = self.history.operations.iter().filter_map(|operation| match &operation.action {
            Action::Update(update) => Some(update),
            _ => None,
        });
        let (mut appends, mut swaps) = (false, false);
        for Update { condition, change, answer } in updates {
            match (condition, change, answer) {
                (Condition::Always, Change::Append(_), Answer::Nothing) => appends = true,
                (Condition::Is(_), Change::Set(Some(_)), Answer::Applied(_)) => swaps = true,
                // Only JSON lines can say more.
                _ if self.format == Format::JsonLines => return ModelKind::RegisterWithUpdates,
                _ => {}
            }
        }
        if appends {
            ModelKind::Kv
        } else if self.format != Format::JsonLines || swaps {
            ModelKind::CasRegister
        } else {
            ModelKind::Register
        }
    }
}

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl ReadError {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Self {
        ReadError { line, message: message.into() }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ReadError {}

/// Recognises the format and reads the history.
///
/// # Errors
///
/// The first line that cannot be understood.
pub fn read(bytes: &[u8]) -> Result<Recording, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        ReadError::new(line, "not UTF-8")
    })?;
    // Some editors put a mark in front of UTF-8.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match recognise(text)? {
        Format::JsonLines => json_lines::read(text),
        Format::Edn => knossos::read(text),
        Format::EtcdLog => etcd::read(text),
    }
}

fn recognise(text: &str) -> Result<Format, ReadError> {
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim_start()));
    let Some((number, line)) = lines.find(|(_, line)| !line.is_empty() && !line.starts_with('#')) else {
        return Err(ReadError::new(1, "no operations"));
    };
    if let Some(inside) = line.strip_prefix('{') {
        // JSON quotes its member names, EDN marks its keywords with a colon.
        let json = inside.trim_start().starts_with(['"', '}']);
        return Ok(if json { Format::JsonLines } else { Format::Edn });
    }
    if line.starts_with(['[', '(', ';']) {
        return Ok(Format::Edn);
    }
    if text.contains(etcd::MARK) {
        return Ok(Format::EtcdLog);
    }
    Err(ReadError::new(number, "neither JSON lines, nor EDN, nor an etcd log of Jepsen"))
}
