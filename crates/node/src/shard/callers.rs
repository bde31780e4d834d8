//! Who waits for which operation of an event loop.

use crate::inquiry::Finding;
use abd::{Operation, OperationId, Outcome};
use alloc::collections::VecDeque;

/// The way back of one operation or inquiry. What is called here must not come back into the event loop at once: it is in the middle of
/// something.
pub trait Return {
    /// Has whoever waits look how it stands, although there is no outcome yet.
    fn wake(&self);

    /// Hands the outcome over.
    fn send(self, outcome: Outcome);

    /// Hands over what an inquiry has found.
    fn tell(self, finding: Finding);
}

/// What kind an operation is of, for those who count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// A Get.
    Read,
    /// A Set or a Delete.
    Write,
    /// An Update.
    Update,
}

impl From<&Operation> for OperationKind {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::Get { .. } => Self::Read,
            Operation::Set { .. } | Operation::Delete { .. } => Self::Write,
            Operation::Update { .. } => Self::Update,
        }
    }
}

/// Who waits for which operation. Numbers count up, so a queue that begins with the oldest one waited for is enough: it
/// has a slot for each operation since then, at most those of one operation timeout.
#[derive(Debug)]
pub(super) struct Callers<R> {
    /// The number of the first one.
    first: u64,
    slots: VecDeque<Option<(OperationKind, R)>>,
}

impl<R> Default for Callers<R> {
    fn default() -> Self {
        Self { first: 0, slots: VecDeque::new() }
    }
}

impl<R: Return> Callers<R> {
    fn index(&self, id: OperationId) -> Option<usize> {
        id.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok())
    }

    pub(super) fn insert(&mut self, id: OperationId, kind: OperationKind, back: R) {
        if self.slots.is_empty() {
            self.first = id.0;
        }
        let Some(index) = self.index(id) else { unreachable!("operation numbers count up") };
        while self.slots.len() <= index {
            self.slots.push_back(None);
        }
        self.slots[index] = Some((kind, back));
    }

    pub(super) fn wake(&self, id: OperationId) {
        if let Some(Some((_, back))) = self.index(id).and_then(|index| self.slots.get(index)) {
            back.wake();
        }
    }

    pub(super) fn remove(&mut self, id: OperationId) -> Option<(OperationKind, R)> {
        let back = self.slots.get_mut(self.index(id)?)?.take();
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        back
    }
}
