//! What scripts see of Lua: the globals that Redis has, read-only.
//!
//! Lua 5.1 has no read-only tables. So a script gets an empty table in place of each that scripts share, whose metatable has the
//! real one behind it and refuses assignments.

use crate::arguments::{Arguments, fail, type_name};
use crate::chunks;
use crate::raised::{Caught, Pending, Raised, caught};
use crate::watch::Watch;
use crate::{bits, cjson, cmsgpack, loading, random::Random, strings, structs, tables};
use mlua::{Error, Function, Lua, MultiValue, Result, Table, Value};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

/// The error of a change to what scripts share.
pub(crate) const READ_ONLY: &str = "Attempt to modify a readonly table";

/// Coroutines that may be resumed one within another.
const RESUMES_MAX: u32 = 16;

/// The tables that stand in place of others.
#[derive(Clone, Default)]
pub(crate) struct Locked(Rc<RefCell<HashSet<usize>>>, Rc<RefCell<Vec<Table>>>);

impl Locked {
    /// Whether a script may not change the table.
    pub(crate) fn holds(&self, table: &Table) -> bool {
        self.0.borrow().contains(&(table.to_pointer() as usize))
    }

    fn add(&self, table: &Table) {
        self.0.borrow_mut().insert(table.to_pointer() as usize);
        self.1.borrow_mut().push(table.clone());
    }

    /// Takes out whatever got into them past their metatables, as `table.setn` or `table.sort` may.
    pub(crate) fn empty(&self) -> Result<()> {
        for table in self.1.borrow().iter() {
            let mut keys = Vec::new();
            table.for_each(|key: Value, _: Value| {
                keys.push(key);
                Ok(())
            })?;
            for key in keys {
                table.raw_set(key, Value::Nil)?;
            }
        }
        Ok(())
    }
}

/// What the parts of the sandbox share.
pub(crate) struct Parts {
    pub(crate) watch: Rc<Watch>,
    pub(crate) pending: Pending,
    pub(crate) random: Random,
    pub(crate) cjson: cjson::Shared,
}

/// The sandbox of an interpreter.
pub(crate) struct Sandbox {
    /// The environment of scripts, for them alone.
    pub(crate) environment: Table,
    /// What is behind it. `KEYS` and `ARGV` of a run go here.
    pub(crate) globals: Table,
    pub(crate) locked: Locked,
    /// `run` of the prelude.
    pub(crate) run: Function,
}

/// Functions of Lua's own library that are as scripts may have them.
const BASE: [&str; 14] = [
    "assert",
    "error",
    "gcinfo",
    "getmetatable",
    "ipairs",
    "next",
    "pairs",
    "rawequal",
    "rawget",
    "select",
    "tonumber",
    "tostring",
    "type",
    "_VERSION",
];

/// Makes the sandbox. `redis` is the table of that name.
pub(crate) fn build(lua: &Lua, parts: &Parts, redis: Table) -> Result<Sandbox> {
    let native = lua.globals();
    let locked = Locked::default();
    let environment = lua.create_table()?;
    let globals = lua.create_table()?;
    for name in BASE {
        globals.raw_set(name, native.raw_get::<Value>(name)?)?;
    }
    let lib = prelude(lua, parts, &native)?;
    for name in ["pcall", "xpcall"] {
        globals.raw_set(name, lib.raw_get::<Function>(name)?)?;
    }
    let Parts { watch, pending, random, cjson } = parts;
    let string: Table = native.raw_get("string")?;
    strings::install(lua, &string, watch, pending, &native.raw_get("pcall")?)?;
    let table: Table = native.raw_get("table")?;
    tables::install(lua, &table, &globals, watch, &locked)?;
    for name in ["sort", "foreachi"] {
        table.raw_set(name, lib.raw_get::<Function>(name)?)?;
    }
    let math: Table = native.raw_get("math")?;
    random.install(lua, &math)?;
    let coroutine: Table = native.raw_get("coroutine")?;
    coroutine.raw_set("resume", lib.raw_get::<Function>("resume")?)?;
    coroutine.raw_set("wrap", lib.raw_get::<Function>("wrap")?)?;
    let os = lua.create_table()?;
    os.raw_set("clock", native.raw_get::<Table>("os")?.raw_get::<Function>("clock")?)?;

    let lock = Lock::new(lua, &locked)?;
    let string = lock.around(lua, &string)?;
    for (name, library) in [
        ("table", table),
        ("math", math),
        ("coroutine", coroutine),
        ("os", os),
        ("redis", redis),
        ("cjson", cjson::module(lua, watch, cjson)?),
        ("cmsgpack", cmsgpack::module(lua, watch)?),
        ("struct", structs::module(lua, watch)?),
        ("bit", bits::module(lua)?),
    ] {
        globals.raw_set(name, lock.around(lua, &library)?)?;
    }
    // Methods of strings, and what `getmetatable` says of them.
    let methods = lua.create_table()?;
    methods.raw_set("__index", &string)?;
    methods.raw_set("__metatable", lock.around(lua, &methods)?)?;
    lua.set_type_metatable::<mlua::String>(Some(methods));
    globals.raw_set("string", string)?;

    loading::install(lua, &globals, watch, &environment)?;
    changing(lua, &globals, watch, &locked)?;
    globals.raw_set("_G", &environment)?;
    let missing = lua.create_table()?;
    missing.raw_set("__index", lua.create_function(nonexistent)?)?;
    globals.set_metatable(Some(missing))?;
    lock.put(&environment, &globals)?;
    Ok(Sandbox { environment, globals, locked, run: lib.raw_get("run")? })
}

/// Puts tables in place of others.
struct Lock<'a> {
    locked: &'a Locked,
    refuse: Function,
    metatable: Table,
    make: &'a Lua,
}

impl<'a> Lock<'a> {
    fn new(lua: &'a Lua, locked: &'a Locked) -> Result<Self> {
        let refuse = lua.create_function(|lua: &Lua, _: MultiValue| Err::<(), _>(fail(lua, READ_ONLY)))?;
        // What `getmetatable` answers of each.
        let metatable = lua.create_table()?;
        let own = lua.create_table()?;
        own.raw_set("__newindex", &refuse)?;
        own.raw_set("__metatable", &metatable)?;
        metatable.set_metatable(Some(own))?;
        locked.add(&metatable);
        Ok(Self { locked, refuse, metatable, make: lua })
    }

    /// A table in place of this one.
    fn around(&self, lua: &Lua, table: &Table) -> Result<Table> {
        let outside = lua.create_table()?;
        self.put(&outside, table)?;
        Ok(outside)
    }

    /// Puts a table in place of another one.
    fn put(&self, outside: &Table, table: &Table) -> Result<()> {
        let metatable = self.make.create_table()?;
        metatable.raw_set("__index", table)?;
        metatable.raw_set("__newindex", &self.refuse)?;
        metatable.raw_set("__metatable", &self.metatable)?;
        outside.set_metatable(Some(metatable))?;
        self.locked.add(outside);
        Ok(())
    }
}

/// Loads `prelude.lua`.
fn prelude(lua: &Lua, parts: &Parts, native: &Table) -> Result<Table> {
    let host = lua.create_table()?;
    let (watch, pending) = (Rc::clone(&parts.watch), Rc::clone(&parts.pending));
    let again = move |lua: &Lua, error: Value| match caught(lua, &watch, &pending, error)? {
        Caught::Value(value) => Ok(value),
        Caught::Stop(text) => Err(Error::from(Raised::Stop(text))),
    };
    host.raw_set("caught", lua.create_function(again)?)?;
    let (watch, pending) = (Rc::clone(&parts.watch), Rc::clone(&parts.pending));
    let seen = move |lua: &Lua, error: Value| {
        Ok(match caught(lua, &watch, &pending, error)? {
            Caught::Value(value) => (value, false),
            Caught::Stop(_) => (Value::Nil, true),
        })
    };
    host.raw_set("seen", lua.create_function(seen)?)?;
    host.raw_set("resumes_max", RESUMES_MAX)?;
    chunks::trusted(lua, include_str!("prelude.lua"))?.call((native, host))
}

/// A global that is not there.
fn nonexistent(lua: &Lua, (_, name): (Value, Value)) -> Result<()> {
    let text = match lua.coerce_string(name.clone())? {
        Some(name) => {
            format!("Script attempted to access nonexistent global variable '{}'", name.to_string_lossy())
        }
        None => {
            let kind = type_name(&name);
            format!("Second argument to luaProtectedTableError must be a string or number, not a {kind}")
        }
    };
    Err(fail(lua, &text))
}

/// The functions that could change what is read-only, or the collector for all scripts.
fn changing(lua: &Lua, globals: &Table, watch: &Rc<Watch>, locked: &Locked) -> Result<()> {
    let read_only = || Error::from(Raised::Text(READ_ONLY.to_owned()));
    let kept = locked.clone();
    let rawset = move |lua: &Lua, values: MultiValue| {
        let arguments = Arguments::new(lua, values);
        let Value::Table(table) = arguments.value(1) else {
            return Err(arguments.wrong_type(1, "table"));
        };
        if kept.holds(&table) {
            return Err(read_only());
        }
        match arguments.value(2) {
            Value::Nil => return Err(Raised::Text("table index is nil".to_owned()).into()),
            Value::Number(key) if key.is_nan() => {
                return Err(Raised::Text("table index is NaN".to_owned()).into());
            }
            key => table.raw_set(key, arguments.value(3))?,
        }
        Ok(table)
    };
    globals.raw_set("rawset", lua.create_function(rawset)?)?;
    let kept = locked.clone();
    let setmetatable = move |lua: &Lua, values: MultiValue| {
        let arguments = Arguments::new(lua, values);
        let Value::Table(table) = arguments.value(1) else {
            return Err(arguments.wrong_type(1, "table"));
        };
        let metatable = match arguments.value(2) {
            Value::Table(metatable) => Some(metatable),
            Value::Nil if arguments.count() > 1 => None,
            _ => return Err(arguments.bad(2, "nil or table expected")),
        };
        if kept.holds(&table) {
            return Err(read_only());
        }
        let protected = table.metatable().map(|old| old.raw_get::<Value>("__metatable")).transpose()?;
        if protected.is_some_and(|protected| !protected.is_nil()) {
            return Err(arguments.fail("cannot change a protected metatable"));
        }
        table.set_metatable(metatable)?;
        Ok(table)
    };
    globals.raw_set("setmetatable", lua.create_function(setmetatable)?)?;
    let watch = Rc::clone(watch);
    let collect = move |lua: &Lua, values: MultiValue| {
        // A collection takes long.
        watch.check()?;
        let arguments = Arguments::new(lua, values);
        let option = if arguments.is_nil(1) { None } else { Some(arguments.string(1)?) };
        match option.as_ref().map(|option| option.as_bytes()).as_deref() {
            None | Some(b"collect") => lua.gc_collect().map(|()| Value::Integer(0)),
            #[expect(clippy::cast_precision_loss, reason = "it is printed")]
            Some(b"count") => Ok(Value::Number(lua.used_memory() as f64 / 1024.0)),
            Some(b"step") => lua.gc_collect().map(|()| Value::Boolean(true)),
            // The collector is set for all scripts.
            Some(b"stop" | b"restart" | b"setpause" | b"setstepmul") => Ok(Value::Integer(0)),
            Some(other) => {
                let text = format!("invalid option '{}'", String::from_utf8_lossy(other));
                Err(arguments.bad(1, &text))
            }
        }
    };
    globals.raw_set("collectgarbage", lua.create_function(collect)?)
}
