//! From values to MessagePack.

use crate::arguments::number_of;
use crate::numbers;
use crate::watch::Watch;
use mlua::{Lua, Result, Table, Value};

/// How deep tables may be nested; what lies deeper is nil.
const DEPTH_MAX: u32 = 16;

pub(super) struct Packer<'a> {
    lua: &'a Lua,
    watch: &'a Watch,
    pub(super) out: Vec<u8>,
}

impl<'a> Packer<'a> {
    pub(super) fn new(lua: &'a Lua, watch: &'a Watch) -> Self {
        Self { lua, watch, out: Vec::new() }
    }

    pub(super) fn value(&mut self, value: &Value, depth: u32) -> Result<()> {
        self.watch.step()?;
        self.watch.fits(self.out.len())?;
        match value {
            Value::String(text) => {
                self.watch.bytes(text.as_bytes().len())?;
                self.text(&text.as_bytes());
            }
            Value::Boolean(truth) => self.out.push(if *truth { 0xc3 } else { 0xc2 }),
            Value::Integer(_) | Value::Number(_) => self.number(number_of(self.lua, value)?.unwrap_or(0.0)),
            Value::Table(table) if depth < DEPTH_MAX => return self.table(table, depth),
            _ => self.out.push(0xc0),
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8]) {
        let length = text.len();
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length @ ..32), _) => self.out.push(0xa0 | length),
            (Ok(length), _) => self.out.extend_from_slice(&[0xd9, length]),
            (_, Ok(length)) => self.with(0xda, &length.to_be_bytes()),
            _ => self.with(0xdb, &u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()),
        }
        self.out.extend_from_slice(text);
    }

    fn with(&mut self, kind: u8, bytes: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(bytes);
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "it is compared with what it was"
    )]
    fn number(&mut self, number: f64) {
        let integer = numbers::to_i64(number);
        if integer as f64 == number {
            return self.integer(integer);
        }
        let single = number as f32;
        if f64::from(single) == number {
            self.with(0xca, &single.to_be_bytes());
        } else {
            self.with(0xcb, &number.to_be_bytes());
        }
    }

    fn integer(&mut self, number: i64) {
        if let Ok(number) = u64::try_from(number) {
            match (u8::try_from(number), u16::try_from(number), u32::try_from(number)) {
                (Ok(number @ ..=127), ..) => self.out.push(number),
                (Ok(number), ..) => self.out.extend_from_slice(&[0xcc, number]),
                (_, Ok(number), _) => self.with(0xcd, &number.to_be_bytes()),
                (_, _, Ok(number)) => self.with(0xce, &number.to_be_bytes()),
                _ => self.with(0xcf, &number.to_be_bytes()),
            }
            return;
        }
        match (i8::try_from(number), i16::try_from(number), i32::try_from(number)) {
            (Ok(number @ -32..), ..) => self.out.push(number.cast_unsigned()),
            (Ok(number), ..) => self.with(0xd0, &number.to_be_bytes()),
            (_, Ok(number), _) => self.with(0xd1, &number.to_be_bytes()),
            (_, _, Ok(number)) => self.with(0xd2, &number.to_be_bytes()),
            _ => self.with(0xd3, &number.to_be_bytes()),
        }
    }

    /// The head of a list or a map of so many.
    fn head(&mut self, small: u8, kinds: [u8; 2], count: usize) {
        match (u8::try_from(count), u16::try_from(count)) {
            (Ok(count @ ..16), _) => self.out.push(small | count),
            (_, Ok(count)) => self.with(kinds[0], &count.to_be_bytes()),
            _ => self.with(kinds[1], &u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes()),
        }
    }

    fn table(&mut self, table: &Table, depth: u32) -> Result<()> {
        let (mut max, mut count, mut is_list) = (0, 0_usize, true);
        table.for_each(|key: Value, _: Value| {
            self.watch.step()?;
            count += 1;
            match key {
                Value::Integer(key @ 1..=0x7fff_ffff) => max = max.max(usize::try_from(key).unwrap_or(0)),
                _ => is_list = false,
            }
            Ok(())
        })?;
        if is_list && max == count {
            self.head(0x90, [0xdc, 0xdd], count);
            for place in 1..=count {
                self.value(&table.raw_get(place)?, depth + 1)?;
            }
            return Ok(());
        }
        self.head(0x80, [0xde, 0xdf], count);
        table.for_each(|key: Value, value: Value| {
            self.value(&key, depth + 1)?;
            self.value(&value, depth + 1)
        })
    }
}
