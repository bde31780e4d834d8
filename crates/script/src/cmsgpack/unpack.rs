//! From MessagePack to values.

use crate::arguments::fail;
use crate::raised::Raised;
use crate::watch::Watch;
use mlua::{Error, Lua, Result, Value};

/// How deep lists and maps may be nested.
const DEPTH_MAX: u32 = 1000;

pub(super) struct Unpacker<'a> {
    lua: &'a Lua,
    watch: &'a Watch,
    pub(super) rest: &'a [u8],
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(lua: &'a Lua, watch: &'a Watch, rest: &'a [u8]) -> Self {
        Self { lua, watch, rest }
    }

    pub(super) fn too_many(&self) -> Error {
        let text = "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)";
        fail(self.lua, text)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(fail(self.lua, "Missing bytes in input."));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// A length of so many bytes.
    fn length(&mut self, bytes: usize) -> Result<usize> {
        Ok(self.take(bytes)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    #[expect(clippy::cast_precision_loss, reason = "all numbers of Lua are of this kind")]
    pub(super) fn value(&mut self, depth: u32) -> Result<Value> {
        self.watch.step()?;
        let [kind] = self.bytes()?;
        Ok(match kind {
            0x00..=0x7f => Value::Integer(kind.into()),
            0xe0..=0xff => Value::Integer(kind.cast_signed().into()),
            0xa0..=0xbf => self.text(usize::from(kind & 0x1f))?,
            0x90..=0x9f => self.list(usize::from(kind & 0xf), depth)?,
            0x80..=0x8f => self.map(usize::from(kind & 0xf), depth)?,
            0xc0 => Value::Nil,
            0xc2 => Value::Boolean(false),
            0xc3 => Value::Boolean(true),
            0xca => Value::Number(f32::from_be_bytes(self.bytes()?).into()),
            0xcb => Value::Number(f64::from_be_bytes(self.bytes()?)),
            0xcc => Value::Integer(u8::from_be_bytes(self.bytes()?).into()),
            0xcd => Value::Integer(u16::from_be_bytes(self.bytes()?).into()),
            0xce => Value::Integer(u32::from_be_bytes(self.bytes()?).into()),
            // The library that Redis brings reads the large ones as if they had a sign.
            0xcf | 0xd3 => Value::Number(i64::from_be_bytes(self.bytes()?) as f64),
            0xd0 => Value::Integer(i8::from_be_bytes(self.bytes()?).into()),
            0xd1 => Value::Integer(i16::from_be_bytes(self.bytes()?).into()),
            0xd2 => Value::Integer(i32::from_be_bytes(self.bytes()?).into()),
            0xd9..=0xdb => {
                let length = self.length(1 << (kind - 0xd9))?;
                self.text(length)?
            }
            0xdc | 0xdd => {
                let length = self.length(2 << (kind - 0xdc))?;
                self.list(length, depth)?
            }
            0xde | 0xdf => {
                let length = self.length(2 << (kind - 0xde))?;
                self.map(length, depth)?
            }
            _ => return Err(fail(self.lua, "Bad data format in input.")),
        })
    }

    fn text(&mut self, length: usize) -> Result<Value> {
        let text = self.take(length)?;
        self.watch.bytes(length)?;
        Ok(Value::String(self.lua.create_string(text)?))
    }

    fn list(&mut self, length: usize, depth: u32) -> Result<Value> {
        let table = self.descend(depth)?;
        for place in 1..=length {
            table.raw_seti(place, self.value(depth + 1)?)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, length: usize, depth: u32) -> Result<Value> {
        let table = self.descend(depth)?;
        for _ in 0..length {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            if key.is_nil() {
                return Err(Raised::Text("table index is nil".to_owned()).into());
            }
            if matches!(key, Value::Number(number) if number.is_nan()) {
                return Err(Raised::Text("table index is NaN".to_owned()).into());
            }
            table.raw_set(key, value)?;
        }
        Ok(Value::Table(table))
    }

    fn descend(&self, depth: u32) -> Result<mlua::Table> {
        if depth == DEPTH_MAX { Err(self.too_many()) } else { self.lua.create_table() }
    }
}
