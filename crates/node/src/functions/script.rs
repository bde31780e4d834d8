//! Scripts: functions whose meaning an interpreter knows, which is not a part of this crate.

use super::answer::FunctionAnswer;
use super::apply::{Circumstances, Held};
use abd::Evaluation;
use abd::wire::{Reader, WireError, put_bytes};
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

/// A script on its way to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its text.
    pub source: Bytes,
    /// What it is told of keys (`KEYS`). The one that it touches first is its key, whether it is among them or not.
    pub keys: Vec<Bytes>,
    /// What else it is told (`ARGV`).
    pub arguments: Vec<Bytes>,
    /// Whether it may change nothing.
    pub read_only: bool,
    /// Whether its client speaks RESP3.
    pub resp3: bool,
}

/// What runs scripts.
pub trait Interpreter {
    /// Runs a script on what its key holds. Returns its answer, and whether it has changed the key.
    fn run(
        &mut self,
        script: &Script,
        key: &Bytes,
        held: &mut Held,
        circumstances: Circumstances,
    ) -> (FunctionAnswer, bool);

    /// Whether a fold may take one more operation that has a script. It has taken one already.
    fn has_time(&mut self) -> bool;
}

/// Whether an interpreter is needed.
pub fn has_script(evaluation: &Evaluation) -> bool {
    evaluation.operations.iter().flatten().any(Script::is_in)
}

/// The kind of its bytes: see [`super::encoding`].
pub(super) const SCRIPT: u8 = 13;

const READ_ONLY: u8 = 1;
const RESP3: u8 = 2;
const FLAG_BITS: u32 = 2;

impl Script {
    /// Whether a function is one.
    pub fn is_in(function: &abd::Function) -> bool {
        function.encoded.first() == Some(&SCRIPT)
    }

    /// Bytes of what it consists of.
    pub(super) fn size(&self) -> usize {
        self.source.len() + self.keys.iter().chain(&self.arguments).map(|part| part.len() + 4).sum::<usize>()
    }

    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_u8(if self.read_only { READ_ONLY } else { 0 } | if self.resp3 { RESP3 } else { 0 });
        put_bytes(out, &self.source);
        for list in [&self.keys, &self.arguments] {
            let Ok(count) = u32::try_from(list.len()) else { unreachable!("each has bytes in a request") };
            out.put_u32(count);
            list.iter().for_each(|part| put_bytes(out, part));
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let flags = reader.flags(FLAG_BITS)?;
        let source = reader.bytes()?;
        // No room is made for what only a count promises.
        let mut list = || (0..reader.u32()?).map(|_| reader.bytes()).collect::<Result<Vec<_>, _>>();
        let (keys, arguments) = (list()?, list()?);
        let (read_only, resp3) = (flags & READ_ONLY != 0, flags & RESP3 != 0);
        Ok(Self { source, keys, arguments, read_only, resp3 })
    }
}
