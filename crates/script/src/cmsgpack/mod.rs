//! The library `cmsgpack`.

mod pack;
mod unpack;

use crate::arguments::{Arguments, Function, RESULTS_MAX, add_function};
use crate::watch::Watch;
use mlua::{Lua, MultiValue, Result, Table, Value};
use pack::Packer;
use std::rc::Rc;
use unpack::Unpacker;

/// Makes the module.
pub(crate) fn module(lua: &Lua, watch: &Rc<Watch>) -> Result<Table> {
    let module = lua.create_table()?;
    let add = |name: &str, function: Function| add_function(lua, &module, watch, name, function);
    add("pack", pack)?;
    add("unpack", |arguments, watch| unpack(arguments, watch, 0, 0))?;
    add("unpack_one", |arguments, watch| {
        let offset = arguments.integer_or(2, 0)?;
        unpack(arguments, watch, 1, offset)
    })?;
    add("unpack_limit", |arguments, watch| {
        let limit = arguments.integer(2)?;
        let offset = arguments.integer_or(3, 0)?;
        unpack(arguments, watch, limit, offset)
    })?;
    module.raw_set("_NAME", "cmsgpack")?;
    module.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    module.raw_set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    module.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(module)
}

fn pack(arguments: &Arguments<'_>, watch: &Watch) -> Result<MultiValue> {
    if arguments.count() == 0 {
        return Err(arguments.bad(0, "MessagePack pack needs input."));
    }
    let mut packer = Packer::new(arguments.lua, watch);
    for value in &arguments.values {
        packer.value(value, 0)?;
    }
    Ok(MultiValue::from_iter([Value::String(arguments.lua.create_string(packer.out)?)]))
}

/// Reads values: all if neither a limit nor an offset is given, or else so many from there, and then answers the next offset first.
#[expect(clippy::cast_precision_loss, reason = "no text is as long as that")]
fn unpack(arguments: &Arguments<'_>, watch: &Watch, limit: i64, offset: i64) -> Result<MultiValue> {
    let text = arguments.string(1)?;
    let text = text.as_bytes();
    let (Ok(start), Ok(count)) = (usize::try_from(offset), usize::try_from(limit)) else {
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {}.", text.len());
        return Err(arguments.fail(&text));
    };
    let Some(rest) = text.get(start..) else {
        let text = format!("Start offset {offset} greater than input length {}.", text.len());
        return Err(arguments.fail(&text));
    };
    let all = limit == 0 && offset == 0;
    let mut unpacker = Unpacker::new(arguments.lua, watch, rest);
    let mut values = Vec::new();
    while !unpacker.rest.is_empty() && (all || values.len() < count) {
        if values.len() == RESULTS_MAX {
            return Err(unpacker.too_many());
        }
        values.push(unpacker.value(0)?);
    }
    if !all {
        let left = unpacker.rest.len();
        values.insert(0, Value::Number(if left == 0 { -1.0 } else { (text.len() - left) as f64 }));
    }
    Ok(values.into_iter().collect())
}
