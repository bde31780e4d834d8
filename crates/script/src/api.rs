//! The table `redis`.

use crate::arguments::{Arguments, number_of};
use crate::convert;
use crate::keyspace::{Keyspace, LogLevel, Stop};
use crate::numbers;
use crate::raised::Raised;
use crate::watch::Watch;
use bytes::Bytes;
use mlua::{Error, Lua, MultiValue, Result, Table, Value};
use node::resp::{Protocol, Response};
use sha1::{Digest, Sha1};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The version of Redis whose scripts run here.
const REDIS_VERSION: (u32, u32, u32) = (7, 0, 15);

/// What the functions of the table need.
pub(crate) struct Api<K> {
    /// There is one while a script runs.
    pub(crate) keyspace: Rc<RefCell<Option<K>>>,
    /// What the script has set.
    pub(crate) protocol: Rc<Cell<Protocol>>,
    pub(crate) watch: Rc<Watch>,
}

impl<K> Clone for Api<K> {
    fn clone(&self) -> Self {
        Self {
            keyspace: Rc::clone(&self.keyspace),
            protocol: Rc::clone(&self.protocol),
            watch: Rc::clone(&self.watch),
        }
    }
}

type Function<K> = fn(&Api<K>, &Arguments<'_>) -> Result<Value>;

impl<K: Keyspace + 'static> Api<K> {
    pub(crate) fn table(&self, lua: &Lua) -> Result<Table> {
        let redis = lua.create_table()?;
        let functions: [(&str, Function<K>); 13] = [
            ("call", |api, arguments| api.call(arguments, true)),
            ("pcall", |api, arguments| api.call(arguments, false)),
            ("error_reply", error_reply),
            ("status_reply", status_reply),
            ("sha1hex", sha1hex),
            ("log", Self::log),
            ("setresp", Self::setresp),
            ("set_repl", set_repl),
            ("acl_check_cmd", Self::acl_check_cmd),
            ("replicate_commands", |_, _| Ok(Value::Boolean(true))),
            ("breakpoint", |_, _| Ok(Value::Boolean(false))),
            ("breakreplication", |_, _| Ok(Value::Nil)),
            ("debug", |_, _| Ok(Value::Nil)),
        ];
        for (name, function) in functions {
            let api = self.clone();
            let call = move |lua: &Lua, values: MultiValue| function(&api, &Arguments::new(lua, values));
            redis.raw_set(name, lua.create_function(call)?)?;
        }
        let (major, minor, patch) = REDIS_VERSION;
        redis.raw_set("REDIS_VERSION", format!("{major}.{minor}.{patch}"))?;
        redis.raw_set("REDIS_VERSION_NUM", major << 16 | minor << 8 | patch)?;
        for (name, number) in [
            ("LOG_DEBUG", 0),
            ("LOG_VERBOSE", 1),
            ("LOG_NOTICE", 2),
            ("LOG_WARNING", 3),
            ("REPL_NONE", 0),
            ("REPL_AOF", 1),
            ("REPL_SLAVE", 2),
            ("REPL_REPLICA", 2),
            ("REPL_ALL", 3),
        ] {
            redis.raw_set(name, number)?;
        }
        Ok(redis)
    }

    fn with<R>(&self, what: impl FnOnce(&mut K) -> R) -> Result<R> {
        self.keyspace.borrow_mut().as_mut().map(what).ok_or_else(|| raised("no script is running"))
    }

    fn call(&self, arguments: &Arguments<'_>, raises: bool) -> Result<Value> {
        let command = match self.command(arguments)? {
            Ok(command) => command,
            Err(text) if raises => return Err(Raised::Reply(text).into()),
            Err(text) => return convert::error(arguments.lua, &text),
        };
        let protocol = self.protocol.get();
        let outcome = self.with(|keyspace| keyspace.call(command, protocol))?;
        // However long it took.
        self.watch.check()?;
        match outcome.map_err(|Stop(text)| Error::from(Raised::Stop(text)))? {
            Response::Error(text) if raises => {
                let text = if text.contains(' ') { text } else { format!("ERR {text}") };
                Err(Raised::Reply(text).into())
            }
            response => convert::to_value(arguments.lua, &self.watch, &response, protocol),
        }
    }

    /// The arguments of a command, or the error of arguments that are none.
    fn command(&self, arguments: &Arguments<'_>) -> Result<std::result::Result<Vec<Bytes>, String>> {
        if arguments.count() == 0 {
            return Ok(Err("ERR Please specify at least one argument for this redis lib call".to_owned()));
        }
        let (mut command, mut bytes) = (Vec::with_capacity(arguments.count()), 0_usize);
        for value in &arguments.values {
            let argument = match value {
                Value::String(text) => Bytes::copy_from_slice(&text.as_bytes()),
                Value::Integer(number) if number.unsigned_abs() < 100_000_000_000_000_000 => {
                    Bytes::from(number.to_string())
                }
                number @ (Value::Integer(_) | Value::Number(_)) => {
                    let number = number_of(arguments.lua, number)?.unwrap_or(0.0);
                    Bytes::from(numbers::print(number, 17))
                }
                _ => {
                    let text = "ERR Lua redis lib command arguments must be strings or integers";
                    return Ok(Err(text.to_owned()));
                }
            };
            bytes = bytes.saturating_add(argument.len());
            self.watch.fits(bytes)?;
            self.watch.bytes(argument.len())?;
            command.push(argument);
        }
        Ok(Ok(command))
    }

    fn log(&self, arguments: &Arguments<'_>) -> Result<Value> {
        if arguments.count() < 2 {
            return Err(raised("redis.log() requires two arguments or more."));
        }
        let Some(level) = arguments.number_if_any(1)? else {
            return Err(raised("First argument must be a number (log level)."));
        };
        let level = match numbers::to_i32(level) {
            0 => LogLevel::Debug,
            1 => LogLevel::Verbose,
            2 => LogLevel::Notice,
            3 => LogLevel::Warning,
            _ => return Err(raised("Invalid debug level.")),
        };
        let mut line = Vec::new();
        for (place, value) in arguments.values.iter().enumerate().skip(1) {
            let Some(text) = arguments.lua.coerce_string(value.clone())? else {
                continue;
            };
            if place > 1 {
                line.push(b' ');
            }
            line.extend_from_slice(&text.as_bytes());
            self.watch.fits(line.len())?;
            self.watch.bytes(line.len())?;
        }
        self.with(|keyspace| keyspace.log(level, &line))?;
        Ok(Value::Nil)
    }

    fn setresp(&self, arguments: &Arguments<'_>) -> Result<Value> {
        if arguments.count() != 1 {
            return Err(raised("redis.setresp() requires one argument."));
        }
        match arguments.number_if_any(1)?.map(numbers::to_i32) {
            Some(2) => self.protocol.set(Protocol::Resp2),
            Some(3) => self.protocol.set(Protocol::Resp3),
            _ => return Err(raised("RESP version must be 2 or 3.")),
        }
        Ok(Value::Nil)
    }

    fn acl_check_cmd(&self, arguments: &Arguments<'_>) -> Result<Value> {
        let command = self.command(arguments)?.map_err(|text| Error::from(Raised::Reply(text)))?;
        match self.with(|keyspace| keyspace.knows(&command[0]))? {
            true => Ok(Value::Boolean(true)),
            false => Err(raised("Invalid command passed to redis.acl_check_cmd()")),
        }
    }
}

/// An error of these functions.
fn raised(text: &str) -> Error {
    Raised::Reply(format!("ERR {text}")).into()
}

fn error_reply<K>(api: &Api<K>, arguments: &Arguments<'_>) -> Result<Value> {
    match arguments.value(1) {
        Value::String(text) if arguments.count() == 1 => {
            api.watch.bytes(text.as_bytes().len())?;
            convert::error(arguments.lua, &text.to_string_lossy())
        }
        _ => convert::error(arguments.lua, "ERR wrong number or type of arguments"),
    }
}

fn status_reply<K>(_: &Api<K>, arguments: &Arguments<'_>) -> Result<Value> {
    match arguments.value(1) {
        Value::String(text) if arguments.count() == 1 => {
            let table = arguments.lua.create_table()?;
            table.raw_set("ok", text)?;
            Ok(Value::Table(table))
        }
        _ => convert::error(arguments.lua, "ERR wrong number or type of arguments"),
    }
}

/// Bytes that are hashed before it asks whether it may go on.
const HASHED_BYTES: usize = 64 << 10;

fn sha1hex<K>(api: &Api<K>, arguments: &Arguments<'_>) -> Result<Value> {
    if arguments.count() != 1 {
        return Err(raised("wrong number of arguments"));
    }
    let text = arguments.lua.coerce_string(arguments.value(1))?;
    let mut hash = Sha1::new();
    if let Some(text) = text {
        for part in text.as_bytes().chunks(HASHED_BYTES) {
            hash.update(part);
            // To hash takes longer than to copy.
            api.watch.bytes(4 * part.len())?;
        }
    }
    arguments.lua.create_string(crate::hex(hash)).map(Value::String)
}

/// What a script changes is one decision here, whatever it asks for.
fn set_repl<K>(_: &Api<K>, arguments: &Arguments<'_>) -> Result<Value> {
    if arguments.count() != 1 {
        return Err(raised("redis.set_repl() requires two arguments."));
    }
    match arguments.number_if_any(1)?.map_or(0, numbers::to_i32) {
        0..=3 => Ok(Value::Nil),
        _ => Err(raised("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")),
    }
}
