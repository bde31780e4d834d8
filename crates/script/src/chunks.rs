//! Loads sources of Lua.

use mlua::{ChunkMode, Error, Function, Lua, Result, Table};

/// The name of scripts in the places of errors.
pub(crate) const SCRIPT: &str = "@user_script";

/// The name of sources of this crate.
pub(crate) const OURS: &str = "=?";

/// The first byte of what a compiler of Lua makes. It is trusted by Lua, so it is never taken from a script.
const COMPILED: u8 = 0x1b;

/// Loads a source that a client or a script gave.
///
/// # Errors
/// The text of Lua's compiler, or of a lack of memory.
pub(crate) fn load(lua: &Lua, source: &[u8], name: &str, environment: &Table) -> Result<Function> {
    if source.first() == Some(&COMPILED) {
        return Err(Error::SyntaxError {
            message: "attempt to load chunk with wrong mode".to_owned(),
            incomplete_input: false,
        });
    }
    lua.load(source)
        .set_name(name)
        .set_mode(ChunkMode::Text)
        .set_environment(environment.clone())
        .into_function()
}

/// Loads a source of this crate, without the numbers of its lines.
pub(crate) fn trusted(lua: &Lua, source: &str) -> Result<Function> {
    let compiled = lua.load(source).set_name(OURS).set_mode(ChunkMode::Text).into_function()?.dump(true);
    lua.load(compiled).set_name(OURS).set_mode(ChunkMode::Binary).into_function()
}
