//! Several registers as one object.

use std::collections::BTreeMap;

use crate::history::Access;

/// A transaction with the reads that its answer vouches for.
#[derive(Debug)]
pub(crate) struct Transaction(Vec<Access>);

impl Transaction {
    /// An unknown outcome keeps the writes and forgets what was read.
    pub(crate) fn new(steps: &[Access], known: bool) -> Self {
        Transaction(steps.iter().filter(|step| known || matches!(step, Access::Write(..))).cloned().collect())
    }

    /// The registers afterwards, or `None` when a read would have seen something else.
    pub(crate) fn run(&self, state: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut registers = decode(state.unwrap_or_default());
        for step in &self.0 {
            match step {
                Access::Read(register, value) if registers.get(register) != Some(value) => return None,
                Access::Read(..) => {}
                Access::Write(register, value) => {
                    registers.insert(register.clone(), value.clone());
                }
            }
        }
        Some(encode(&registers))
    }
}

/// Registers and values, each preceded by its length.
pub(crate) fn encode(registers: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in registers.iter().flat_map(|(register, value)| [register, value]) {
        bytes.extend_from_slice(&part.len().to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut part = || {
        let (length, rest) = bytes.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(usize::from_le_bytes(*length))?;
        bytes = rest;
        Some(part.to_vec())
    };
    let mut registers = BTreeMap::new();
    while let (Some(register), Some(value)) = (part(), part()) {
        registers.insert(register, value);
    }
    registers
}
