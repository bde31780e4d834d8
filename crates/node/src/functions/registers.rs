//! Keys in one place, for tests: what operations do when each has the world for itself.

use super::{Circumstances, evaluate};
use crate::clock::Moments;
use abd::{
    Content, Deadline, Evaluation, EvaluationId, Operation, OperationId, Outcome, StampedValue, Timestamp,
    Version,
};
use alloc::collections::BTreeMap;
use alloc::vec;
use bytes::Bytes;

#[derive(Debug)]
pub(crate) struct Registers {
    by_key: BTreeMap<Bytes, StampedValue>,
    writes: u64,
    pub(crate) circumstances: Circumstances,
}

impl Registers {
    pub(crate) fn new(value_bytes_max: usize) -> Self {
        let circumstances = Circumstances { moments: Moments::of_wall(0), value_bytes_max };
        Self { by_key: BTreeMap::new(), writes: 0, circumstances }
    }

    fn expire(&mut self, key: &Bytes) {
        if let Some(stamped) = self.by_key.get_mut(key)
            && stamped.is_due(self.circumstances.moments.earliest)
        {
            stamped.version.rmwc += 1;
            (stamped.content, stamped.deadline) = (Content::Tombstone, Deadline::NONE);
        }
    }

    /// What a key holds.
    pub(crate) fn read(&self, key: &Bytes) -> StampedValue {
        self.by_key.get(key).cloned().unwrap_or(StampedValue::NEVER)
    }

    fn write(&mut self, key: Bytes, content: Content, deadline: Deadline) -> Outcome {
        self.writes += 1;
        let version = Version::of_write(Timestamp { time: self.writes, node: 1, boot: 1 });
        let before =
            self.by_key.insert(key, StampedValue { deadline, ..StampedValue::plain(version, content) });
        Outcome::Written { version, existed: before.is_some_and(|before| before.content.is_value()) }
    }

    pub(crate) fn carry_out(&mut self, operation: Operation) -> Outcome {
        match operation {
            Operation::Get { key } => {
                // As if its expiry were decided at once.
                self.expire(&key);
                Outcome::Read(self.read(&key))
            }
            Operation::Set { key, value, deadline } => self.write(key, Content::Value(value), deadline),
            Operation::Delete { key } => self.write(key, Content::Tombstone, Deadline::NONE),
            Operation::Update { key, functions } => {
                let mut base = self.read(&key);
                let id = EvaluationId { operation: OperationId(1), phase: 0 };
                let evaluation =
                    Evaluation { id, key: key.clone(), base: base.clone(), operations: vec![functions] };
                let mut evaluated = evaluate(&evaluation, self.circumstances, None);
                let operation = evaluated.operations.remove(0);
                if operation.changes {
                    base.version.rmwc += 1;
                    (base.content, base.deadline) = (evaluated.content, evaluated.deadline);
                    self.by_key.insert(key, base.clone());
                }
                Outcome::Updated { answers: operation.answers, version: base.version }
            }
        }
    }
}
