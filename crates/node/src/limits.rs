//! How large keys, values and messages may be.
//!
//! A node's limits bound what *clients* may write, and a Set or an update counts the votes: it begins only if a majority of the members let
//! their clients write as much. What was written so is passed on between all of them, whatever the limits say now, up to what the
//! protocol carries: what is stored stays readable, and every replica gets it in the end.

use crate::functions::Function;
use crate::hello::Limits;
use abd::{Members, NodeId, NodeSet, Operation, Reason, Refusal};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 64 << 10;
/// Largest value that any node may allow, in bytes.
pub const VALUE_BYTES_MAX: usize = 512 << 20;
/// Largest body of a frame: the largest value, its key, and room for the rest.
pub const FRAME_BYTES_MAX: usize = KEY_BYTES_MAX + VALUE_BYTES_MAX + FRAME_ROOM;
/// What a request or a reply has beside its key and its value, with room to spare, in bytes.
pub const FRAME_ROOM: usize = 4096;

/// The limits of all members, as far as they have said so: who has said nothing yet refuses nothing.
#[derive(Debug)]
pub struct KnownLimits {
    /// By member: largest key, largest value. Both may be changed while an operation looks at them, which then counts as one that
    /// came before or after.
    by_member: Box<[(NodeId, [AtomicUsize; 2])]>,
}

impl KnownLimits {
    /// Of these members, none of whom has said anything.
    pub fn new(members: &Members) -> Self {
        Self { by_member: members.iter().map(|id| (id, [usize::MAX; 2].map(AtomicUsize::new))).collect() }
    }

    /// A member has said what it takes.
    pub fn learn(&self, member: NodeId, limits: Limits) {
        let Some((_, known)) = self.by_member.iter().find(|(id, _)| *id == member) else { return };
        for (known, said) in known.iter().zip([limits.key, limits.value]) {
            known.store(usize::try_from(said).unwrap_or(usize::MAX), Ordering::Relaxed);
        }
    }

    /// The largest value that a majority lets its clients write, in bytes.
    pub fn value_bytes_max(&self, members: &Members) -> usize {
        let of = |(id, [_, value]): &(NodeId, [AtomicUsize; 2])| (value.load(Ordering::Relaxed), *id);
        let mut largest: Vec<(usize, NodeId)> = self.by_member.iter().map(of).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let mut allow = NodeSet::EMPTY;
        let enough = largest.into_iter().find(|(_, id)| {
            allow.insert(*id);
            members.is_majority(allow)
        });
        enough.map_or(VALUE_BYTES_MAX, |(value, _)| value.min(VALUE_BYTES_MAX))
    }

    /// Why an operation may not begin, as too many members refuse what is so large.
    pub fn reason_to_refuse(&self, operation: &Operation, members: &Members) -> Option<Reason> {
        let written = match operation {
            Operation::Set { value, .. } => value.len(),
            // What comes of functions is known later; it has no fewer bytes. A key to which none of them gives any is deleted.
            Operation::Update { functions, .. } => functions
                .iter()
                .filter_map(|function| Function::decode(&function.encoded).ok()?.brings())
                .max()?,
            Operation::Get { .. } | Operation::Delete { .. } => return None,
        };
        let refuses = |(_, [largest_key, largest_value]): &&(NodeId, [AtomicUsize; 2])| {
            operation.key().len() > largest_key.load(Ordering::Relaxed)
                || written > largest_value.load(Ordering::Relaxed)
        };
        let refused: NodeSet = self.by_member.iter().filter(refuses).map(|(id, _)| *id).collect();
        (!members.suffices_without(refused)).then(|| Reason::TooManyRefused {
            refused: refused.len(),
            members: members.count(),
            refusal: Some(Refusal::TooLarge),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::Condition;
    use abd::Deadline;
    use alloc::{string::ToString, vec};
    use bytes::Bytes;

    fn members() -> Members {
        Members::new((1..=3).map(NodeId).collect())
    }

    #[test]
    fn a_majority_of_the_limits_decides() {
        let limits = |value| Limits { key: 10, value, frame: 1000 };
        let set = |key: usize, value: usize| Operation::Set {
            key: Bytes::from(vec![b'k'; key]),
            value: Bytes::from(vec![b'v'; value]),
            deadline: Deadline::NONE,
        };
        let refused = |operation: Operation, values: &[u64]| {
            let known = KnownLimits::new(&members());
            members().iter().zip(values).for_each(|(member, value)| known.learn(member, limits(*value)));
            known.reason_to_refuse(&operation, &members()).map(|why| why.to_string())
        };
        assert_eq!(refused(set(1, 20), &[64, 20, 16]), None);
        let why = refused(set(1, 21), &[64, 20, 16]).unwrap();
        assert!(why.contains("2 of 3 replicas refused"), "{why}");
        assert!(refused(set(11, 1), &[64, 64, 64]).is_some_and(|why| why.contains("3 of 3")));
        // Nobody knows better.
        assert_eq!(refused(set(1, 21), &[20, 64]), None);
        // So do those of what comes of an update.
        let known = KnownLimits::new(&members());
        assert_eq!(known.value_bytes_max(&members()), VALUE_BYTES_MAX);
        members().iter().zip([64, 16, 20]).for_each(|(member, value)| known.learn(member, limits(value)));
        assert_eq!(known.value_bytes_max(&members()), 20);
        // What is stored is read and deleted whatever the limits are.
        assert_eq!(refused(Operation::Get { key: vec![b'k'; 20].into() }, &[1, 1, 1]), None);
        let update = |key: usize, function: Function| {
            let functions = vec![function.encode()];
            Operation::Update { key: vec![b'k'; key].into(), functions }
        };
        let append = |length: usize| Function::Append(vec![b'v'; length].into());
        assert_eq!(refused(update(10, append(20)), &[64, 20, 16]), None);
        assert!(refused(update(10, append(21)), &[64, 20, 16]).is_some_and(|why| why.contains("2 of 3")));
        assert!(
            refused(update(11, Function::Increment(1)), &[64, 64, 64])
                .is_some_and(|why| why.contains("3 of 3"))
        );
        let delete = Function::Delete { condition: Condition::Equals("value".into()), get: true };
        assert_eq!(refused(update(20, delete), &[1, 1, 1]), None);
        assert_eq!(refused(Operation::Delete { key: vec![b'k'; 20].into() }, &[1, 1, 1]), None);
    }
}
