//! Runs scripts, one after the other.

use crate::api::Api;
use crate::chunks;
use crate::convert::Answer;
use crate::failure::{self, Failure};
use crate::header::Header;
use crate::keyspace::{Keyspace, Stop};
use crate::raised::{Caught, Pending, caught};
use crate::random::Random;
use crate::sandbox::{self, Parts, Sandbox};
use crate::watch::{INSTRUCTIONS, Watch};
use bytes::Bytes;
use mlua::{Error, Function, HookTriggers, Lua, LuaOptions, Result, StdLib, Value, VmState};
use node::resp::{Protocol, Response};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Memory above what an empty interpreter has, in bytes, at which a run ends with a collection.
const GARBAGE_BYTES: usize = 1 << 20;

/// The collector of Lua 5.1 is not asked when memory is short. So it goes through everything in one step, whenever memory has doubled.
const STEP_MULTIPLIER: i32 = 1_000_000;

/// The limits of an interpreter.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory of Lua, in bytes: values, and what is kept of sources. As much again may be in use while an answer is made.
    pub memory_bytes: usize,
    /// Where `math.random` begins; 48 bits count. What one script leaves the next one goes on with.
    pub random: u64,
    /// Sources that are kept ready to run; the oldest one goes first.
    pub chunks: usize,
}

/// A script.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// Its source.
    pub source: &'a [u8],
    /// [`sha1hex`](crate::sha1hex) of it.
    pub sha: &'a str,
}

/// An interpreter. It stays on the thread that made it.
pub struct Interpreter<K> {
    limits: Limits,
    machine: Machine<K>,
}

impl<K: Keyspace + 'static> Interpreter<K> {
    /// Makes one.
    ///
    /// # Errors
    /// The memory of the limits is not enough for an interpreter without a script.
    pub fn new(limits: Limits) -> std::result::Result<Self, String> {
        let machine = Machine::new(limits).map_err(|error| error.to_string())?;
        Ok(Self { limits, machine })
    }

    /// Finds out whether the source is a script.
    ///
    /// # Errors
    /// It is not; this is the reply.
    pub fn compile(&mut self, script: &Script<'_>) -> std::result::Result<(), Response> {
        self.machine.chunk(script).map(|_| ()).map_err(|failure| match failure {
            Failure::Error(text) | Failure::Stop(text) => Response::Error(text),
        })
    }

    /// Runs a script on a keyspace, which it gives back with the answer. An error is an answer, too, but for what ends a script
    /// against its will.
    pub fn run(
        &mut self,
        script: &Script<'_>,
        keys: &[Bytes],
        argv: &[Bytes],
        keyspace: K,
    ) -> (std::result::Result<Response, Stop>, K) {
        self.machine.api.keyspace.replace(Some(keyspace));
        let attempt = AssertUnwindSafe(|| self.machine.run(script, keys, argv));
        let answer = catch_unwind(attempt)
            .unwrap_or_else(|_| Err(Failure::Stop("ERR The interpreter of scripts failed".to_owned())));
        let keyspace = self.machine.api.keyspace.take();
        let fresh = matches!(self.machine.clean(), Ok(true));
        self.limits.random = self.machine.parts.random.end_of_script();
        if !fresh && let Ok(machine) = Machine::new(self.limits) {
            self.machine = machine;
        }
        let answer = match answer {
            Ok(response) => Ok(response),
            Err(Failure::Error(text)) => Ok(Response::Error(text)),
            Err(Failure::Stop(text)) => Err(Stop(text)),
        };
        (answer, keyspace.expect("a run leaves the keyspace where it is"))
    }

    /// Memory of Lua in use, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.machine.lua.used_memory()
    }
}

/// The machine of Lua and what belongs to it.
struct Machine<K> {
    sandbox: Sandbox,
    parts: Parts,
    api: Api<K>,
    chunks: HashMap<String, Function>,
    oldest: VecDeque<String>,
    chunks_max: usize,
    /// What has ended the last run.
    failure: Rc<RefCell<Option<Failure>>>,
    /// The script that runs, for that text.
    running: Rc<RefCell<String>>,
    handler: Function,
    memory_bytes_empty: usize,
    lua: Lua,
}

impl<K: Keyspace + 'static> Machine<K> {
    fn new(limits: Limits) -> Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        lua.gc_set_step_multiplier(STEP_MULTIPLIER);
        let keyspace: Rc<RefCell<Option<K>>> = Rc::default();
        let asked = Rc::clone(&keyspace);
        // While a command is carried out nobody asks; so the keyspace is free whenever it is asked for.
        let interrupt = move || asked.borrow_mut().as_mut().map_or(Ok(()), Keyspace::interrupt);
        let watch = Rc::new(Watch::new(limits.memory_bytes, Box::new(interrupt)));
        let api = Api { keyspace, protocol: Rc::default(), watch: Rc::clone(&watch) };
        let pending = Pending::default();
        let parts = Parts {
            watch: Rc::clone(&watch),
            pending: Rc::clone(&pending),
            random: Random::new(limits.random),
            cjson: crate::cjson::Shared::default(),
        };
        let sandbox = sandbox::build(&lua, &parts, api.table(&lua)?)?;
        let (failure, running): (Rc<RefCell<Option<Failure>>>, Rc<RefCell<String>>) = Default::default();
        let handler = {
            let (watch, pending) = (Rc::clone(&watch), Rc::clone(&pending));
            let (failure, running) = (Rc::clone(&failure), Rc::clone(&running));
            lua.create_function(move |lua: &Lua, error: Value| {
                let text = failure::describe(lua, &watch, &pending, error, &running.borrow())?;
                failure.replace(Some(text));
                Ok(())
            })?
        };
        let hook = move |lua: &Lua, _: &mlua::Debug<'_>| {
            watch.instructions(lua.used_memory()).map(|()| VmState::Continue)
        };
        lua.set_global_hook(HookTriggers::new().every_nth_instruction(INSTRUCTIONS), hook)?;
        lua.gc_collect()?;
        lua.set_memory_limit(limits.memory_bytes)?;
        let memory_bytes_empty = lua.used_memory();
        Ok(Self {
            sandbox,
            parts,
            api,
            chunks: HashMap::new(),
            oldest: VecDeque::new(),
            chunks_max: limits.chunks.max(1),
            failure,
            running,
            handler,
            memory_bytes_empty,
            lua,
        })
    }

    /// The function of a script.
    fn chunk(&mut self, script: &Script<'_>) -> std::result::Result<Function, Failure> {
        if let Some(chunk) = self.chunks.get(script.sha) {
            return Ok(chunk.clone());
        }
        let header = Header::read(script.source).map_err(Failure::Error)?;
        let chunk = chunks::load(&self.lua, header.body, chunks::SCRIPT, &self.sandbox.environment);
        let chunk = chunk.map_err(|error| match error {
            Error::SyntaxError { message, .. } => {
                Failure::Error(format!("ERR Error compiling script (new function): {message}"))
            }
            error => self.failure_of(error),
        })?;
        if self.chunks.len() == self.chunks_max
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.chunks.remove(&oldest);
        }
        self.chunks.insert(script.sha.to_owned(), chunk.clone());
        self.oldest.push_back(script.sha.to_owned());
        Ok(chunk)
    }

    /// An error that did not pass through the handler.
    fn failure_of(&self, error: Error) -> Failure {
        match caught(&self.lua, &self.parts.watch, &self.parts.pending, Value::Error(Box::new(error))) {
            Ok(Caught::Stop(text)) => Failure::Stop(text),
            Ok(Caught::Value(Value::String(text))) => {
                Failure::Error(format!("ERR {}", text.to_string_lossy()))
            }
            _ => Failure::Stop(self.parts.watch.exhausted_text()),
        }
    }

    fn run(
        &mut self,
        script: &Script<'_>,
        keys: &[Bytes],
        argv: &[Bytes],
    ) -> std::result::Result<Response, Failure> {
        let chunk = self.chunk(script)?;
        self.api.protocol.set(Protocol::Resp2);
        self.parts.cjson.reset();
        self.failure.take();
        script.sha.clone_into(&mut self.running.borrow_mut());
        let answer = self.call(&chunk, keys, argv);
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => answer.map_err(|error| self.failure_of(error))?,
        }
    }

    fn call(
        &self,
        chunk: &Function,
        keys: &[Bytes],
        argv: &[Bytes],
    ) -> Result<std::result::Result<Response, Failure>> {
        for (name, texts) in [("KEYS", keys), ("ARGV", argv)] {
            let list = self.lua.create_table_with_capacity(texts.len(), 0)?;
            for (place, text) in texts.iter().enumerate() {
                list.raw_set(place + 1, self.lua.create_string(text)?)?;
            }
            self.sandbox.globals.raw_set(name, list)?;
        }
        let (fine, value): (bool, Value) = self.sandbox.run.call((chunk, &self.handler))?;
        if fine {
            let protocol = self.api.protocol.get();
            return Answer { watch: &self.parts.watch, protocol, bytes: 0 }.of(&value, 0).map(Ok);
        }
        // The handler has noted the error, but for those for which Lua does not call it.
        Ok(Err(match caught(&self.lua, &self.parts.watch, &self.parts.pending, value)? {
            Caught::Stop(text) => Failure::Stop(text),
            Caught::Value(Value::String(text)) => Failure::Error(format!("ERR {}", text.to_string_lossy())),
            Caught::Value(_) => Failure::Error("ERR execution failure".to_owned()),
        }))
    }

    /// Forgets the run. Answers whether that is all done.
    fn clean(&self) -> Result<bool> {
        for name in ["KEYS", "ARGV"] {
            self.sandbox.globals.raw_set(name, Value::Nil)?;
        }
        self.sandbox.locked.empty()?;
        self.parts.pending.take();
        if self.lua.used_memory() > self.memory_bytes_empty.saturating_mul(2) + GARBAGE_BYTES {
            self.lua.gc_collect()?;
        }
        Ok(self.lua.used_memory() < self.parts.watch.memory_bytes() / 2)
    }
}
