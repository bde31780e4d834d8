//! From values to JSON.

use super::{DEPTH_MAX, Invalid, Settings};
use crate::arguments::{fail, number_of, type_name};
use crate::numbers;
use crate::watch::Watch;
use mlua::{Error, Lua, Result, Table, Value};

pub(super) struct Encoder<'a> {
    lua: &'a Lua,
    watch: &'a Watch,
    settings: &'a Settings,
    out: Vec<u8>,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(lua: &'a Lua, watch: &'a Watch, settings: &'a Settings) -> Self {
        Self { lua, watch, settings, out: Vec::new() }
    }

    pub(super) fn encode(mut self, value: &Value) -> Result<Vec<u8>> {
        self.value(value, 0)?;
        Ok(self.out)
    }

    fn refuse(&self, value: &Value, why: &str) -> Error {
        fail(self.lua, &format!("Cannot serialise {}: {why}", type_name(value)))
    }

    fn value(&mut self, value: &Value, depth: i32) -> Result<()> {
        self.watch.step()?;
        self.watch.fits(self.out.len())?;
        match value {
            Value::String(text) => self.text(&text.as_bytes())?,
            Value::Integer(_) | Value::Number(_) => return self.number(value),
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Nil => self.out.extend_from_slice(b"null"),
            null if *null == Value::NULL => self.out.extend_from_slice(b"null"),
            Value::Table(table) => return self.table(table, depth + 1),
            other => return Err(self.refuse(other, "type not supported")),
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8]) -> Result<()> {
        self.watch.bytes(text.len().saturating_mul(8))?;
        self.out.push(b'"');
        for byte in text {
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'/' => self.out.extend_from_slice(b"\\/"),
                0x08 => self.out.extend_from_slice(b"\\b"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                0x0c => self.out.extend_from_slice(b"\\f"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                0..=0x1f | 0x7f => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => self.out.push(*byte),
            }
        }
        self.out.push(b'"');
        self.watch.fits(self.out.len())
    }

    fn number(&mut self, value: &Value) -> Result<()> {
        let number = number_of(self.lua, value)?.unwrap_or(0.0);
        match self.settings.encode_invalid {
            _ if number.is_finite() => {}
            Invalid::Refused => return Err(self.refuse(value, "must not be NaN or Inf")),
            Invalid::Null => {
                self.out.extend_from_slice(b"null");
                return Ok(());
            }
            Invalid::Kept if number.is_nan() => {
                self.out.extend_from_slice(b"nan");
                return Ok(());
            }
            Invalid::Kept => {}
        }
        let precision = usize::try_from(self.settings.precision).unwrap_or(14);
        self.out.extend_from_slice(numbers::print(number, precision).as_bytes());
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: i32) -> Result<()> {
        if depth > self.settings.encode_depth_max.min(DEPTH_MAX) {
            return Err(fail(self.lua, &format!("Cannot serialise, excessive nesting ({depth})")));
        }
        match self.array_length(table)? {
            Some(length) if length > 0 => self.array(table, length, depth),
            _ => self.object(table, depth),
        }
    }

    /// The length, if all keys are integers from 1, and not too few of them are there.
    fn array_length(&self, table: &Table) -> Result<Option<usize>> {
        let (mut max, mut count, mut is_array) = (0_usize, 0_usize, true);
        table.for_each(|key: Value, _: Value| {
            self.watch.step()?;
            match key {
                Value::Integer(key) if key >= 1 && is_array => {
                    max = max.max(usize::try_from(key).unwrap_or(usize::MAX));
                    count += 1;
                }
                _ => is_array = false,
            }
            Ok(())
        })?;
        let setting = |number: i32| usize::try_from(number).unwrap_or(0);
        let (ratio, safe) = (setting(self.settings.sparse_ratio), setting(self.settings.sparse_safe));
        if !is_array {
            return Ok(None);
        }
        if ratio > 0 && max > count.saturating_mul(ratio) && max > safe {
            if !self.settings.sparse_convert {
                return Err(self.refuse(&Value::Table(table.clone()), "excessively sparse array"));
            }
            return Ok(None);
        }
        Ok(Some(max))
    }

    fn array(&mut self, table: &Table, length: usize, depth: i32) -> Result<()> {
        self.out.push(b'[');
        for place in 1..=length {
            if place > 1 {
                self.out.push(b',');
            }
            self.value(&table.raw_get(place)?, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: i32) -> Result<()> {
        self.out.push(b'{');
        let mut is_first = true;
        table.for_each(|key: Value, value: Value| {
            if !core::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            match &key {
                Value::String(text) => self.text(&text.as_bytes())?,
                Value::Integer(_) | Value::Number(_) => {
                    self.out.push(b'"');
                    self.number(&key)?;
                    self.out.push(b'"');
                }
                other => return Err(self.refuse(other, "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(&value, depth)
        })?;
        self.out.push(b'}');
        Ok(())
    }
}
