//! Scripts in Lua 5.1, in the sandbox that Redis documents.
//!
//! An [`Interpreter`] runs one script after the other, on a thread of its own. What a script does beyond itself goes through its
//! [`Keyspace`]: commands, the log, and the question whether it may go on.
//!
//! What is promised of a script, whatever it does:
//! - It ends. Whatever takes long asks [`Keyspace::interrupt`] again and again: the machine of Lua after few instructions, and
//!   each library function that may take longer than it takes to go through all memory once (those of C's Lua that may, and that
//!   never ask, are replaced). So it ends late by a fraction of a second at most.
//! - It takes no more memory than [`Limits::memory_bytes`], and as much again while its answer is made.
//! - It leaves nothing behind. Whatever scripts share is read-only to them.
//! - It cannot end the process. No byte code is loaded; nesting is bounded everywhere, so that [`STACK_BYTES`] are enough.
//!
//! Texts of errors and conversions of values are those of Redis 7.0.

mod api;
mod arguments;
mod bits;
mod chunks;
mod cjson;
mod cmsgpack;
mod convert;
mod failure;
mod header;
mod interpreter;
mod keyspace;
mod loading;
mod numbers;
mod raised;
mod random;
mod sandbox;
mod strings;
mod structs;
mod tables;
mod watch;

pub use header::{Flags, Header};
pub use interpreter::{Interpreter, Limits, Script};
pub use keyspace::{Keyspace, LogLevel, Stop};

use sha1::{Digest, Sha1};

/// Whether a source is a script.
///
/// # Errors
/// It is not; the text is the reply.
pub fn check(source: &[u8]) -> Result<(), String> {
    thread_local! {
        static LUA: mlua::Lua = mlua::Lua::new_with(mlua::StdLib::NONE, mlua::LuaOptions::new())
            .expect("an interpreter without libraries begins");
    }
    let header = Header::read(source)?;
    LUA.with(|lua| {
        let loaded = chunks::load(lua, header.body, chunks::SCRIPT, &lua.globals()).map(|_| ());
        match loaded.and(lua.gc_collect()) {
            Ok(()) => Ok(()),
            Err(mlua::Error::SyntaxError { message, .. }) => {
                Err(format!("ERR Error compiling script (new function): {message}"))
            }
            Err(error) => Err(format!("ERR {error}")),
        }
    })
}

/// The stack that the thread of an [`Interpreter`] needs, in bytes.
pub const STACK_BYTES: usize = 16 << 20;

/// The name of a script: the SHA-1 of its source, in small hexadecimal digits.
pub fn sha1hex(source: &[u8]) -> String {
    hex(Sha1::new().chain_update(source))
}

fn hex(hash: Sha1) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
