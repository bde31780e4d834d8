//! Keeps a script within its limits of time and memory.

use crate::keyspace::Stop;
use crate::raised::Raised;
use mlua::{Error, Result};
use std::cell::Cell;

/// Steps of a library function between two questions whether the script may go on; one step takes nanoseconds.
const STEPS: u32 = 4096;

/// Bytes that are copied, compared or hashed in one step.
const BYTES_PER_STEP: usize = 64;

/// Instructions of Lua between two calls of the hook. One that joins or compares strings takes as long as all memory takes, so only
/// few may come before the hook sees that there are large ones.
pub(crate) const INSTRUCTIONS: u32 = 50;

/// What an instruction counts, in steps, while Lua has little memory.
const STEPS_PER_INSTRUCTION: u32 = 4;

/// With more memory than this, in bytes, the hook asks each time.
const LITTLE_MEMORY_BYTES: usize = 1 << 20;

/// What all library functions ask while they work.
pub(crate) struct Watch {
    memory_bytes: usize,
    interrupt: Box<dyn Fn() -> std::result::Result<(), Stop>>,
    steps: Cell<u32>,
}

impl Watch {
    pub(crate) fn new(
        memory_bytes: usize,
        interrupt: Box<dyn Fn() -> std::result::Result<(), Stop>>,
    ) -> Self {
        Self { memory_bytes, interrupt, steps: Cell::new(0) }
    }

    /// The memory that Lua may have, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Ends the script if it may not go on.
    pub(crate) fn check(&self) -> Result<()> {
        (self.interrupt)().map_err(|Stop(text)| Raised::Stop(text).into())
    }

    /// One more step of a loop that no hook of Lua sees.
    pub(crate) fn step(&self) -> Result<()> {
        self.steps(1)
    }

    /// Several.
    pub(crate) fn steps(&self, count: u32) -> Result<()> {
        let steps = self.steps.get().saturating_add(count);
        if steps < STEPS {
            self.steps.set(steps);
            return Ok(());
        }
        self.steps.set(0);
        self.check()
    }

    /// As many as it takes to go through so many bytes.
    pub(crate) fn bytes(&self, count: usize) -> Result<()> {
        self.steps(u32::try_from(count / BYTES_PER_STEP).unwrap_or(u32::MAX))
    }

    /// Some instructions of Lua, which has so much memory in use.
    pub(crate) fn instructions(&self, memory_bytes: usize) -> Result<()> {
        match memory_bytes {
            ..LITTLE_MEMORY_BYTES => self.steps(INSTRUCTIONS * STEPS_PER_INSTRUCTION),
            _ => self.check(),
        }
    }

    /// Ends the script if so many bytes at once are more than it may have. For memory that is not Lua's.
    pub(crate) fn fits(&self, bytes: usize) -> Result<()> {
        if bytes <= self.memory_bytes { Ok(()) } else { Err(self.exhausted()) }
    }

    /// The script needs more memory than it may have.
    pub(crate) fn exhausted(&self) -> Error {
        Raised::Stop(self.exhausted_text()).into()
    }

    pub(crate) fn exhausted_text(&self) -> String {
        format!(
            "ERR The script needs more memory than --script-memory allows ({} bytes). It has changed nothing.",
            self.memory_bytes
        )
    }
}
