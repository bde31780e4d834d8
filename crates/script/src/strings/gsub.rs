//! `string.gsub`.

use super::captures::{capture, captures};
use super::pattern::{Matcher, Pattern};
use crate::arguments::{Arguments, fail, type_name};
use crate::numbers;
use crate::raised::{Pending, Raised};
use crate::watch::Watch;
use mlua::{Function, MultiValue, Result, String as LuaString, Table, Value};
use std::rc::Rc;

/// What it needs beside its arguments.
pub(super) struct Gsub {
    watch: Rc<Watch>,
    pending: Pending,
    protected_call: Function,
}

/// What stands for a match.
enum Replacement {
    Text(LuaString),
    Table(Table),
    Function(Function),
}

impl Gsub {
    pub(super) fn new(watch: &Rc<Watch>, pending: &Pending, protected_call: &Function) -> Self {
        let (watch, pending) = (Rc::clone(watch), Rc::clone(pending));
        Self { watch, pending, protected_call: protected_call.clone() }
    }

    pub(super) fn call(&self, arguments: &Arguments<'_>) -> Result<MultiValue> {
        let (subject, pattern) = (arguments.string(1)?, arguments.string(2)?);
        let replacement = match arguments.value(3) {
            Value::String(_) | Value::Integer(_) | Value::Number(_) => {
                Replacement::Text(arguments.string(3)?)
            }
            Value::Table(table) => Replacement::Table(table),
            Value::Function(function) => Replacement::Function(function),
            _ => return Err(arguments.bad(3, "string/function/table expected")),
        };
        let subject = subject.as_bytes();
        let most = match arguments.is_nil(4) {
            true => usize::MAX,
            false => usize::try_from(numbers::to_i32(arguments.number(4)?)).unwrap_or(0),
        };
        let pattern = pattern.as_bytes();
        let (anchored, pattern) = Pattern::anchored(&pattern);
        let mut matcher = Matcher::new(arguments.lua, &subject, pattern, &self.watch);
        let (mut out, mut from, mut count) = (Vec::new(), 0, 0);
        while count < most {
            let end = matcher.at(from)?;
            if let Some(end) = end {
                count += 1;
                self.replace(&matcher, (from, end), &replacement, &mut out)?;
                self.watch.fits(out.len())?;
            }
            match end {
                Some(end) if end > from => from = end,
                _ if from < subject.len() => {
                    out.push(subject[from]);
                    from += 1;
                }
                _ => break,
            }
            if anchored {
                break;
            }
        }
        out.extend_from_slice(&subject[from..]);
        #[expect(clippy::cast_precision_loss, reason = "no text is as long as that")]
        let count = Value::Number(count as f64);
        Ok(MultiValue::from_iter([Value::String(arguments.lua.create_string(out)?), count]))
    }

    /// Appends what stands for a match.
    fn replace(
        &self,
        matcher: &Matcher<'_>,
        found: (usize, usize),
        replacement: &Replacement,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let value = match replacement {
            Replacement::Text(text) => return self.insert(matcher, found, text, out),
            Replacement::Table(table) => table.get(capture(matcher, 0, found)?)?,
            Replacement::Function(function) => {
                let mut values = captures(matcher, Some(found))?;
                values.push_front(Value::Function(function.clone()));
                let (fine, value): (bool, Value) = self.protected_call.call(values)?;
                if !fine {
                    self.pending.replace(Some(value));
                    return Err(Raised::Pending.into());
                }
                value
            }
        };
        match value {
            Value::Nil | Value::Boolean(false) => out.extend_from_slice(&matcher.subject[found.0..found.1]),
            Value::String(text) => {
                self.watch.fits(out.len().saturating_add(text.as_bytes().len()))?;
                self.watch.bytes(text.as_bytes().len())?;
                out.extend_from_slice(&text.as_bytes());
            }
            number @ (Value::Integer(_) | Value::Number(_)) => append(matcher, number, out)?,
            other => {
                let text = format!("invalid replacement value (a {})", type_name(&other));
                return Err(fail(matcher.lua, &text));
            }
        }
        Ok(())
    }

    /// Appends a text in which `%1` means the first capture, and `%0` the match.
    fn insert(
        &self,
        matcher: &Matcher<'_>,
        found: (usize, usize),
        text: &LuaString,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let text = text.as_bytes();
        let mut bytes = text.iter();
        while let Some(byte) = bytes.next() {
            self.watch.step()?;
            match byte {
                b'%' => match bytes.next().copied().unwrap_or(0) {
                    b'0' => out.extend_from_slice(&matcher.subject[found.0..found.1]),
                    digit @ b'1'..=b'9' => {
                        append(matcher, capture(matcher, usize::from(digit - b'1'), found)?, out)?;
                    }
                    other => out.push(other),
                },
                _ => out.push(*byte),
            }
            self.watch.fits(out.len())?;
        }
        Ok(())
    }
}

fn append(matcher: &Matcher<'_>, value: Value, out: &mut Vec<u8>) -> Result<()> {
    if let Some(text) = matcher.lua.coerce_string(value)? {
        out.extend_from_slice(&text.as_bytes());
    }
    Ok(())
}
