//! `loadstring` and `load`: sources only, in the environment of scripts.

use crate::arguments::Arguments;
use crate::chunks;
use crate::watch::Watch;
use mlua::{Error, Lua, MultiValue, Result, Table, Value};
use std::rc::Rc;

/// The longest source that a script may load, in bytes: its compiler takes a fraction of a second for it.
const SOURCE_BYTES_MAX: usize = 4 << 20;

pub(crate) fn install(lua: &Lua, globals: &Table, watch: &Rc<Watch>, environment: &Table) -> Result<()> {
    let (asked, scope) = (Rc::clone(watch), environment.clone());
    let loadstring = move |lua: &Lua, values: MultiValue| {
        let arguments = Arguments::new(lua, values);
        let source = arguments.string(1)?;
        let name = match arguments.is_nil(2) {
            true => source.clone(),
            false => arguments.string(2)?,
        };
        let source = source.as_bytes();
        load(&arguments, &asked, &source, &name.as_bytes(), &scope)
    };
    globals.raw_set("loadstring", lua.create_function(loadstring)?)?;
    let (watch, scope) = (Rc::clone(watch), environment.clone());
    let load_pieces = move |lua: &Lua, values: MultiValue| {
        let arguments = Arguments::new(lua, values);
        let Value::Function(reader) = arguments.value(1) else {
            return Err(arguments.wrong_type(1, "function"));
        };
        let mut source = Vec::new();
        loop {
            watch.step()?;
            watch.fits(source.len())?;
            match reader.call::<Value>(())? {
                Value::Nil => break,
                Value::String(piece) if piece.as_bytes().is_empty() => break,
                Value::String(piece) => source.extend_from_slice(&piece.as_bytes()),
                _ => return Err(arguments.fail("reader function must return a string")),
            }
        }
        let name = if arguments.is_nil(2) { None } else { Some(arguments.string(2)?) };
        match name {
            Some(name) => load(&arguments, &watch, &source, &name.as_bytes(), &scope),
            None => load(&arguments, &watch, &source, b"=(load)", &scope),
        }
    };
    globals.raw_set("load", lua.create_function(load_pieces)?)
}

/// A function, or nothing and why.
fn load(
    arguments: &Arguments<'_>,
    watch: &Watch,
    source: &[u8],
    name: &[u8],
    environment: &Table,
) -> Result<MultiValue> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(arguments.fail("chunk is too large"));
    }
    // The compiler takes far longer than a copy does, and asks nobody.
    watch.bytes(source.len().saturating_mul(64))?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    match chunks::load(arguments.lua, source, &String::from_utf8_lossy(&name[..end]), environment) {
        Ok(function) => Ok(MultiValue::from_iter([Value::Function(function)])),
        Err(Error::SyntaxError { message, .. }) => {
            Ok([Value::Nil, Value::String(arguments.lua.create_string(message)?)].into_iter().collect())
        }
        Err(error) => Err(error),
    }
}
