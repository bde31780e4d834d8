//! The library `cjson`: settings, and the two functions that matter.

mod decode;
mod encode;

use crate::arguments::Arguments;
use crate::numbers;
use crate::watch::Watch;
use decode::Decoder;
use encode::Encoder;
use mlua::{Lua, MultiValue, Result, Table, Value};
use std::cell::Cell;
use std::rc::Rc;

/// What numbers that are no numbers become.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refused,
    Kept,
    Null,
}

/// What a script may change; each begins with the defaults.
#[derive(Clone, Copy)]
struct Settings {
    sparse_convert: bool,
    sparse_ratio: i32,
    sparse_safe: i32,
    encode_depth_max: i32,
    decode_depth_max: i32,
    encode_invalid: Invalid,
    decode_invalid: bool,
    precision: i32,
    keep_buffer: bool,
}

const DEFAULTS: Settings = Settings {
    sparse_convert: false,
    sparse_ratio: 2,
    sparse_safe: 10,
    encode_depth_max: DEPTH_MAX,
    decode_depth_max: DEPTH_MAX,
    encode_invalid: Invalid::Refused,
    decode_invalid: true,
    precision: 14,
    keep_buffer: true,
};

/// How deep values may be nested, whatever a script asks for.
const DEPTH_MAX: i32 = 1000;

/// The settings of the module that all scripts see.
#[derive(Clone)]
pub(crate) struct Shared(Rc<Cell<Settings>>);

impl Default for Shared {
    fn default() -> Self {
        Self(Rc::new(Cell::new(DEFAULTS)))
    }
}

impl Shared {
    /// Back to the defaults.
    pub(crate) fn reset(&self) {
        self.0.set(DEFAULTS);
    }
}

/// Makes the module.
pub(crate) fn module(lua: &Lua, watch: &Rc<Watch>, settings: &Shared) -> Result<Table> {
    let module = lua.create_table()?;
    let add =
        |name: &str, function: fn(&Arguments<'_>, &Rc<Watch>, &Cell<Settings>) -> Result<MultiValue>| {
            let (watch, settings) = (Rc::clone(watch), settings.clone());
            let call = move |lua: &Lua, values: MultiValue| {
                function(&Arguments::new(lua, values), &watch, &settings.0)
            };
            module.raw_set(name, lua.create_function(call)?)
        };
    add("encode", |arguments, watch, settings| {
        one_argument(arguments)?;
        let settings = settings.get();
        let text = Encoder::new(arguments.lua, watch, &settings).encode(&arguments.value(1))?;
        Ok(MultiValue::from_iter([Value::String(arguments.lua.create_string(text)?)]))
    })?;
    add("decode", |arguments, watch, settings| {
        one_argument(arguments)?;
        let text = arguments.string(1)?;
        let settings = settings.get();
        let value = Decoder::new(arguments.lua, watch, &settings, &text.as_bytes()).decode()?;
        Ok(MultiValue::from_iter([value]))
    })?;
    add("encode_sparse_array", |arguments, _, settings| {
        at_most(arguments, 3)?;
        let mut changed = settings.get();
        changed.sparse_convert = switch(arguments, changed.sparse_convert)?;
        changed.sparse_ratio = number(arguments, 2, changed.sparse_ratio, 0, i32::MAX)?;
        changed.sparse_safe = number(arguments, 3, changed.sparse_safe, 0, i32::MAX)?;
        settings.set(changed);
        let Settings { sparse_convert, sparse_ratio, sparse_safe, .. } = changed;
        let numbers = [sparse_ratio, sparse_safe].map(|number| Value::Integer(number.into()));
        Ok([Value::Boolean(sparse_convert)].into_iter().chain(numbers).collect())
    })?;
    add("encode_max_depth", |arguments, _, settings| {
        change(arguments, settings, 1, i32::MAX, |settings| &mut settings.encode_depth_max)
    })?;
    add("decode_max_depth", |arguments, _, settings| {
        change(arguments, settings, 1, i32::MAX, |settings| &mut settings.decode_depth_max)
    })?;
    add("encode_number_precision", |arguments, _, settings| {
        change(arguments, settings, 1, 14, |settings| &mut settings.precision)
    })?;
    add("encode_keep_buffer", |arguments, _, settings| {
        toggle(arguments, settings, |settings| &mut settings.keep_buffer)
    })?;
    add("decode_invalid_numbers", |arguments, _, settings| {
        toggle(arguments, settings, |settings| &mut settings.decode_invalid)
    })?;
    add("encode_invalid_numbers", encode_invalid_numbers)?;
    add("new", |arguments, watch, _| {
        Ok(MultiValue::from_iter([Value::Table(self::module(arguments.lua, watch, &Shared::default())?)]))
    })?;
    module.raw_set("null", Value::NULL)?;
    module.raw_set("_NAME", "cjson")?;
    module.raw_set("_VERSION", "2.1.0")?;
    Ok(module)
}

fn one_argument(arguments: &Arguments<'_>) -> Result<()> {
    if arguments.count() == 1 { Ok(()) } else { Err(arguments.bad(1, "expected 1 argument")) }
}

fn at_most(arguments: &Arguments<'_>, count: usize) -> Result<()> {
    if arguments.count() <= count {
        Ok(())
    } else {
        Err(arguments.bad(count + 1, "found too many arguments"))
    }
}

/// An integer within bounds, or what it was.
fn number(arguments: &Arguments<'_>, place: usize, old: i32, min: i32, max: i32) -> Result<i32> {
    if arguments.is_nil(place) {
        return Ok(old);
    }
    let number = numbers::to_i32(arguments.number(place)?);
    if !(min..=max).contains(&number) {
        return Err(arguments.bad(1, &format!("expected integer between {min} and {max}")));
    }
    Ok(number)
}

/// A truth value or its name, or what it was.
fn switch(arguments: &Arguments<'_>, old: bool) -> Result<bool> {
    match arguments.value(1) {
        Value::Nil => Ok(old),
        Value::Boolean(on) => Ok(on),
        _ => match &*arguments.string(1)?.as_bytes() {
            b"on" => Ok(true),
            b"off" => Ok(false),
            other => Err(invalid_option(arguments, other)),
        },
    }
}

fn invalid_option(arguments: &Arguments<'_>, option: &[u8]) -> mlua::Error {
    arguments.bad(1, &format!("invalid option '{}'", String::from_utf8_lossy(option)))
}

fn change(
    arguments: &Arguments<'_>,
    settings: &Cell<Settings>,
    min: i32,
    max: i32,
    field: fn(&mut Settings) -> &mut i32,
) -> Result<MultiValue> {
    at_most(arguments, 1)?;
    let mut changed = settings.get();
    let new = number(arguments, 1, *field(&mut changed), min, max)?;
    *field(&mut changed) = new;
    settings.set(changed);
    Ok(MultiValue::from_iter([Value::Integer(new.into())]))
}

fn toggle(
    arguments: &Arguments<'_>,
    settings: &Cell<Settings>,
    field: fn(&mut Settings) -> &mut bool,
) -> Result<MultiValue> {
    at_most(arguments, 1)?;
    let mut changed = settings.get();
    let new = switch(arguments, *field(&mut changed))?;
    *field(&mut changed) = new;
    settings.set(changed);
    Ok(MultiValue::from_iter([Value::Boolean(new)]))
}

fn encode_invalid_numbers(
    arguments: &Arguments<'_>,
    _: &Rc<Watch>,
    settings: &Cell<Settings>,
) -> Result<MultiValue> {
    at_most(arguments, 1)?;
    let mut changed = settings.get();
    changed.encode_invalid = match arguments.value(1) {
        Value::Nil => changed.encode_invalid,
        Value::Boolean(true) => Invalid::Kept,
        Value::Boolean(false) => Invalid::Refused,
        _ => match &*arguments.string(1)?.as_bytes() {
            b"on" => Invalid::Kept,
            b"off" => Invalid::Refused,
            b"null" => Invalid::Null,
            other => return Err(invalid_option(arguments, other)),
        },
    };
    settings.set(changed);
    Ok(MultiValue::from_iter([match changed.encode_invalid {
        Invalid::Refused => Value::Boolean(false),
        Invalid::Kept => Value::Boolean(true),
        Invalid::Null => Value::String(arguments.lua.create_string("null")?),
    }]))
}
