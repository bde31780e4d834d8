//! Linearizability by brute force (Herlihy and Wing 1990): is there an order of all operations that explains the
//! answers and respects real time?

use super::scenario::{Kind, MAX_OPERATIONS, Operation};

/// What a client got to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// A Set or Delete took effect.
    Written,
    /// The value that this operation wrote, or no value.
    Read(Option<u8>),
}

/// How far an operation is, as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Progress {
    /// Not invoked yet.
    Idle,
    /// Invoked, not answered.
    Open,
    /// Its coordinator crashed: nobody will ever answer, and it may take effect at any time, or never.
    Lost,
    /// Over.
    Answered(Answer),
}

/// An operation's place in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub(super) progress: Progress,
    /// The operations, as a bit set, that had answered when this one was invoked.
    pub(super) before: u8,
}

impl Record {
    pub(super) const IDLE: Self = Self { progress: Progress::Idle, before: 0 };

    pub(super) fn answered(self) -> bool {
        matches!(self.progress, Progress::Answered(_))
    }
}

/// Whether the history is linearizable. Every order is tried; writes without an answer may be left out.
pub(super) fn linearizable(operations: &[Operation], records: &[Record; MAX_OPERATIONS]) -> bool {
    let must = (0..operations.len()).filter(|&i| records[i].answered()).fold(0, |set, i| set | 1 << i);
    extend(operations, records, must, 0, None)
}

/// Whether an order that has `placed` so far, and left `value` in the register, can be completed.
fn extend(
    operations: &[Operation],
    records: &[Record; MAX_OPERATIONS],
    must: u8,
    placed: u8,
    value: Option<u8>,
) -> bool {
    if must & !placed == 0 {
        return true;
    }
    for (index, operation) in operations.iter().enumerate() {
        let record = records[index];
        if placed & 1 << index != 0 || record.before & !placed != 0 {
            continue;
        }
        let after = match (operation.kind, record.progress) {
            (_, Progress::Idle) | (Kind::Get, Progress::Open | Progress::Lost) => continue,
            (Kind::Get, Progress::Answered(answer)) if answer != Answer::Read(value) => continue,
            (Kind::Get, Progress::Answered(_)) => value,
            (Kind::Set, _) => u8::try_from(index).ok(),
            (Kind::Delete, _) => None,
        };
        if extend(operations, records, must, placed | 1 << index, after) {
            return true;
        }
    }
    false
}
