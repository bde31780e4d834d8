//! Calls and answers on separate lines, put together.

use std::collections::BTreeMap;
use std::mem::discriminant;

use crate::history::{Action, History, Operation};
use crate::read::ReadError;

/// What happened to an operation.
pub(crate) enum Ending {
    /// It happened like this.
    Done(Action),
    /// It did not happen, or says nothing.
    Dropped,
    /// Nobody knows.
    Unknown,
}

/// A call that has not been answered yet.
struct Open {
    key: Vec<u8>,
    action: Action,
    invoke: u64,
    line: usize,
}

/// Joins events by process. The place of an event in the file is its time.
#[derive(Default)]
pub(crate) struct Events {
    now: u64,
    open: BTreeMap<u64, Open>,
    operations: Vec<Operation>,
}

impl Events {
    /// A process calls; the action is what to assume should no answer come.
    pub(crate) fn invoke(
        &mut self,
        line: usize,
        client: u64,
        key: Vec<u8>,
        action: Action,
    ) -> Result<(), ReadError> {
        self.now += 1;
        match self.open.insert(client, Open { key, action, invoke: self.now, line }) {
            Some(earlier) => {
                let message = format!("process {client} is still busy since line {}", earlier.line);
                Err(ReadError::new(line, message))
            }
            None => Ok(()),
        }
    }

    /// The call that the process waits for, if any.
    pub(crate) fn pending(&self, client: u64) -> Option<&Action> {
        self.open.get(&client).map(|open| &open.action)
    }

    /// A process learns how its call ended.
    pub(crate) fn complete(&mut self, line: usize, client: u64, outcome: Ending) -> Result<(), ReadError> {
        self.now += 1;
        let Some(open) = self.open.remove(&client) else {
            return Err(ReadError::new(line, format!("process {client} gets an answer but asked nothing")));
        };
        match outcome {
            Ending::Done(action) if !same_call(&action, &open.action) => {
                let message = format!("process {client} asked for something else on line {}", open.line);
                return Err(ReadError::new(line, message));
            }
            Ending::Done(action) => self.push(client, Open { action, ..open }, Some(self.now)),
            Ending::Unknown => self.push(client, open, None),
            Ending::Dropped => {}
        }
        Ok(())
    }

    /// The history; calls without an answer are unknown.
    pub(crate) fn finish(mut self) -> History {
        for (client, open) in std::mem::take(&mut self.open) {
            self.push(client, open, None);
        }
        self.operations.sort_by_key(|operation| operation.invoke);
        History::new(self.operations)
    }

    fn push(&mut self, client: u64, open: Open, ret: Option<u64>) {
        let Open { key, action, invoke, .. } = open;
        self.operations.push(Operation { client, key, action, invoke, ret });
    }
}

/// True when both are of one kind, whatever their values.
fn same_call(a: &Action, b: &Action) -> bool {
    match (a, b) {
        (Action::Update(a), Action::Update(b)) => {
            discriminant(&a.change) == discriminant(&b.change)
                && discriminant(&a.condition) == discriminant(&b.condition)
        }
        (a, b) => discriminant(a) == discriminant(b),
    }
}
