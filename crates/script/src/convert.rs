//! Between replies and values.

use crate::numbers;
use crate::watch::Watch;
use bytes::Bytes;
use mlua::{Error, Lua, Result, String as LuaString, Table, Value};
use node::resp::{Protocol, Response};

/// How deep an answer may be nested. Redis, too, answers an error in place of what lies deeper.
const DEPTH_MAX: u32 = 100;

/// What a value within an answer takes at least, in bytes.
const VALUE_BYTES: usize = size_of::<Response>();

/// A reply as a script sees it.
pub(crate) fn to_value(lua: &Lua, watch: &Watch, response: &Response, protocol: Protocol) -> Result<Value> {
    watch.step()?;
    let resp3 = protocol == Protocol::Resp3;
    let text = |bytes: &[u8]| {
        watch.bytes(bytes.len())?;
        lua.create_string(bytes).map(Value::String)
    };
    match response {
        Response::Simple(text) => single(lua, "ok", text.as_ref()),
        Response::Error(text) => error(lua, text),
        #[expect(clippy::cast_precision_loss, reason = "all numbers of Lua are of this kind")]
        Response::Integer(number) => Ok(Value::Number(*number as f64)),
        Response::Bulk(bytes) | Response::Encoded(bytes) => text(bytes),
        Response::Null | Response::NullArray if resp3 => Ok(Value::Nil),
        Response::Null | Response::NullArray => Ok(Value::Boolean(false)),
        Response::Boolean(truth) if resp3 => Ok(Value::Boolean(*truth)),
        Response::Boolean(truth) => Ok(Value::Number(f64::from(u8::from(*truth)))),
        Response::Double(digits) if resp3 => {
            single(lua, "double", numbers::read(digits).map_or(0.0, |(number, _)| number))
        }
        Response::Double(digits) => text(digits),
        Response::BigNumber(digits) if resp3 => single(lua, "big_number", digits.as_str()),
        Response::BigNumber(digits) => text(digits.as_bytes()),
        Response::Verbatim(bytes) if resp3 => {
            let table = lua.create_table()?;
            table.raw_set("format", "txt")?;
            table.raw_set("string", text(bytes)?)?;
            single(lua, "verbatim_string", table)
        }
        Response::Verbatim(bytes) => text(bytes),
        // No command that a script may call answers in the last two forms.
        Response::Array(items) | Response::Push(items) | Response::Several(items) => {
            list(lua, watch, items.iter(), protocol)
        }
        Response::Set(items) if resp3 => {
            let members = lua.create_table()?;
            for item in items {
                put(&members, to_value(lua, watch, item, protocol)?, Value::Boolean(true))?;
            }
            single(lua, "set", members)
        }
        Response::Set(items) => list(lua, watch, items.iter(), protocol),
        Response::Map(pairs) if resp3 => {
            let fields = lua.create_table()?;
            for (name, value) in pairs {
                put(&fields, to_value(lua, watch, name, protocol)?, to_value(lua, watch, value, protocol)?)?;
            }
            single(lua, "map", fields)
        }
        Response::Map(pairs) => {
            list(lua, watch, pairs.iter().flat_map(|(name, value)| [name, value]), protocol)
        }
    }
}

fn single(lua: &Lua, name: &str, value: impl mlua::IntoLua) -> Result<Value> {
    let table = lua.create_table()?;
    table.raw_set(name, value)?;
    Ok(Value::Table(table))
}

fn list<'a>(
    lua: &Lua,
    watch: &Watch,
    items: impl Iterator<Item = &'a Response>,
    protocol: Protocol,
) -> Result<Value> {
    let table = lua.create_table()?;
    for (place, item) in items.enumerate() {
        table.raw_set(place + 1, to_value(lua, watch, item, protocol)?)?;
    }
    Ok(Value::Table(table))
}

/// Nothing can be kept under nil.
fn put(table: &Table, key: Value, value: Value) -> Result<()> {
    if key.is_nil() { Ok(()) } else { table.raw_set(key, value) }
}

/// The table that stands for an error.
pub(crate) fn error(lua: &Lua, text: &str) -> Result<Value> {
    let text = text.strip_prefix('-').unwrap_or(text).trim_end_matches(['\r', '\n']);
    match text.contains(' ') {
        true => single(lua, "err", text),
        false => single(lua, "err", format!("ERR {text}")),
    }
}

/// Makes the answer of a script, which is no larger than a script may be.
pub(crate) struct Answer<'a> {
    pub(crate) watch: &'a Watch,
    /// What the script has set: only RESP3 has truth values.
    pub(crate) protocol: Protocol,
    /// Bytes that the answer has so far.
    pub(crate) bytes: usize,
}

impl Answer<'_> {
    pub(crate) fn of(&mut self, value: &Value, depth: u32) -> Result<Response> {
        self.watch.step()?;
        self.grow(VALUE_BYTES)?;
        Ok(match value {
            Value::String(text) => Response::Bulk(self.bytes_of(text)?),
            Value::Integer(number) => Response::Integer(*number),
            Value::Number(number) => Response::Integer(numbers::to_i64(*number)),
            Value::Boolean(truth) if self.protocol == Protocol::Resp3 => Response::Boolean(*truth),
            Value::Boolean(true) => Response::Integer(1),
            Value::Table(_) if depth == DEPTH_MAX => Response::error("ERR reached lua stack limit"),
            Value::Table(table) => self.table(table, depth + 1)?,
            _ => Response::Null,
        })
    }

    fn grow(&mut self, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.watch.fits(self.bytes)
    }

    fn bytes_of(&mut self, text: &LuaString) -> Result<Bytes> {
        self.grow(text.as_bytes().len())?;
        self.watch.bytes(text.as_bytes().len())?;
        Ok(Bytes::copy_from_slice(&text.as_bytes()))
    }

    fn line_of(&mut self, text: &LuaString) -> Result<String> {
        self.grow(text.as_bytes().len())?;
        self.watch.bytes(text.as_bytes().len())?;
        Ok(text.to_string_lossy())
    }

    fn table(&mut self, table: &Table, depth: u32) -> Result<Response> {
        if let Value::String(text) = table.raw_get("err")? {
            return Ok(Response::Error(self.line_of(&text)?));
        }
        if let Value::String(text) = table.raw_get("ok")? {
            return Ok(Response::Simple(self.line_of(&text)?.into()));
        }
        match table.raw_get("double")? {
            Value::Integer(number) => return Ok(Response::Double(number.to_string().into())),
            Value::Number(number) => return Ok(Response::Double(numbers::print(number, 17).into())),
            _ => {}
        }
        if let Value::String(digits) = table.raw_get("big_number")? {
            return Ok(Response::BigNumber(self.line_of(&digits)?.replace(['\r', '\n'], " ")));
        }
        if let Value::Table(verbatim) = table.raw_get("verbatim_string")?
            && let (Value::String(_), Value::String(text)) =
                (verbatim.raw_get("format")?, verbatim.raw_get("string")?)
        {
            return Ok(Response::Verbatim(self.bytes_of(&text)?));
        }
        if let Value::Table(map) = table.raw_get("map")? {
            let mut fields = Vec::new();
            map.for_each(|name: Value, value: Value| {
                fields.push((self.of(&name, depth)?, self.of(&value, depth)?));
                Ok::<_, Error>(())
            })?;
            return Ok(Response::Map(fields));
        }
        if let Value::Table(set) = table.raw_get("set")? {
            let mut members = Vec::new();
            set.for_each(|member: Value, _: Value| {
                members.push(self.of(&member, depth)?);
                Ok::<_, Error>(())
            })?;
            return Ok(Response::Set(members));
        }
        let mut items = Vec::new();
        loop {
            match table.raw_get(items.len() + 1)? {
                Value::Nil => return Ok(Response::Array(items)),
                value => items.push(self.of(&value, depth)?),
            }
        }
    }
}
