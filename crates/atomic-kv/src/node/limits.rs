//! What the members let their clients write, as far as they have said so. The rule is in [`::node::limits`].

use ::node::hello::Limits;
use ::node::limits::reason_to_refuse;
use abd::{Operation, Reason};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The limits of all members.
pub(crate) struct KnownLimits {
    by_member: Mutex<Vec<Option<Limits>>>,
    /// No member refuses a key or a value of so many bytes: most operations need no lock.
    for_everybody: AtomicU64,
}

impl KnownLimits {
    /// Those of this node, the member at `own`, are known from the start.
    pub(super) fn new(members: usize, own: usize, limits: Limits) -> Self {
        let by_member = Mutex::new(vec![None; members]);
        let known = Self { by_member, for_everybody: AtomicU64::new(0) };
        known.learn(own, limits);
        known
    }

    /// A member has said what it takes.
    pub(super) fn learn(&self, member: usize, limits: Limits) {
        let mut by_member = self.by_member.lock().unwrap_or_else(PoisonError::into_inner);
        by_member[member] = Some(limits);
        let smallest = by_member.iter().flatten().map(|limits| limits.key.min(limits.value)).min();
        self.for_everybody.store(smallest.unwrap_or(0), Ordering::Relaxed);
    }

    /// Why an operation may not begin, as too many members refuse what is so large.
    pub(super) fn reason_to_refuse(&self, operation: &Operation, majority: usize) -> Option<Reason> {
        if operation.size() as u64 <= self.for_everybody.load(Ordering::Relaxed) {
            return None;
        }
        let by_member = self.by_member.lock().unwrap_or_else(PoisonError::into_inner);
        reason_to_refuse(operation, by_member.iter().copied(), majority)
    }
}
