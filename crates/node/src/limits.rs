//! How large keys, values and messages may be.
//!
//! A node's limits bound what *clients* may write, and a Set or an update counts the votes: it begins only if a majority of the members let
//! their clients write as much. What was written so is passed on between all of them, whatever the limits say now, up to what the
//! protocol carries: what is stored stays readable, and every replica gets it in the end.

use crate::configuration::Configuration;
use crate::functions::Function;
use crate::hello::Limits;
use abd::{NodeId, NodeSet, Operation, QuorumSystem, Reason, Refusal};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 64 << 10;
/// Largest value that any node may allow, in bytes.
pub const VALUE_BYTES_MAX: usize = 512 << 20;
/// Largest body of a frame: the largest value, its key, and room for the rest.
pub const FRAME_BYTES_MAX: usize = KEY_BYTES_MAX + VALUE_BYTES_MAX + FRAME_ROOM;
/// What a request or a reply has beside its key and its value, with room to spare, in bytes.
pub const FRAME_ROOM: usize = 4096;

/// The limits of all members, as far as they have said so: who has said nothing yet refuses nothing.
///
/// This is a pure state machine, of which a node has one. Event loops ask at every write: whoever shares it between them keeps
/// [`Least`] and [`KnownLimits::value_bytes_max`] beside it.
#[derive(Debug)]
pub struct KnownLimits {
    quorums: QuorumSystem,
    /// Of everybody whom the configuration names.
    said: BTreeMap<NodeId, Option<Taken>>,
}

/// What somebody takes from its clients, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    key: usize,
    value: usize,
}

impl Taken {
    fn refuses(self, operation: &Operation, written: usize) -> bool {
        operation.key().len() > self.key || written > self.value
    }
}

/// What every voter takes: an operation that is no larger is refused by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Least {
    /// Largest key, in bytes.
    pub key: usize,
    /// Largest value, in bytes.
    pub value: usize,
}

impl Least {
    /// Whether nobody refuses an operation as too large.
    pub fn allows(self, operation: &Operation) -> bool {
        let Self { key, value } = self;
        written(operation).is_none_or(|written| !Taken { key, value }.refuses(operation, written))
    }
}

/// Bytes that an operation brings; `None` if it brings nothing, and then its key may have any size.
fn written(operation: &Operation) -> Option<usize> {
    match operation {
        Operation::Set { value, .. } => Some(value.len()),
        // What comes of functions is known later; it has no fewer bytes. A key to which none of them gives any is deleted.
        Operation::Update { functions, .. } => {
            functions.iter().filter_map(|function| Function::decode(&function.encoded).ok()?.brings()).max()
        }
        Operation::Get { .. } | Operation::Delete { .. } => None,
    }
}

impl KnownLimits {
    /// Of those whom a configuration names, none of whom has said anything.
    pub fn new(configuration: &Configuration) -> Self {
        let mut limits = Self { quorums: configuration.quorums(), said: BTreeMap::new() };
        limits.install(configuration);
        limits
    }

    /// A configuration is installed. What those have said whom it does not name is forgotten.
    pub fn install(&mut self, configuration: &Configuration) {
        self.quorums = configuration.quorums();
        let mut before = core::mem::take(&mut self.said);
        let known = |id| (id, before.remove(&id).flatten());
        self.said = configuration.everybody().iter().map(|member| member.id).map(known).collect();
    }

    /// A node has said what it takes.
    pub fn learn(&mut self, node: NodeId, limits: Limits) {
        if let Some(known) = self.said.get_mut(&node) {
            let [key, value] =
                [limits.key, limits.value].map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
            *known = Some(Taken { key, value });
        }
    }

    /// What a voter takes, as far as it has said so.
    fn voters(&self) -> impl Iterator<Item = (NodeId, Taken)> + '_ {
        let all = Taken { key: usize::MAX, value: usize::MAX };
        let taken = move |id| self.said.get(&id).copied().flatten().unwrap_or(all);
        self.quorums.voters().iter().map(move |id| (id, taken(id)))
    }

    /// What all of them take.
    pub fn least(&self) -> Least {
        let of = |least: usize, taken: usize| least.min(taken);
        let key = self.voters().map(|(_, taken)| taken.key).fold(usize::MAX, of);
        Least { key, value: self.voters().map(|(_, taken)| taken.value).fold(usize::MAX, of) }
    }

    /// The largest value that a quorum lets its clients write, in bytes.
    pub fn value_bytes_max(&self) -> usize {
        let mut largest: Vec<(usize, NodeId)> = self.voters().map(|(id, taken)| (taken.value, id)).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let mut allow = NodeSet::EMPTY;
        let enough = largest.into_iter().find(|(_, id)| {
            allow.insert(*id);
            self.quorums.is_quorum(allow)
        });
        enough.map_or(VALUE_BYTES_MAX, |(value, _)| value.min(VALUE_BYTES_MAX))
    }

    /// Why an operation may not begin, as too many members refuse what is so large.
    pub fn reason_to_refuse(&self, operation: &Operation) -> Option<Reason> {
        let written = written(operation)?;
        let refuses = |(id, taken): (NodeId, Taken)| taken.refuses(operation, written).then_some(id);
        let refused: NodeSet = self.voters().filter_map(refuses).collect();
        (!self.quorums.suffices_without(refused)).then(|| Reason::TooManyRefused {
            refused: refused.len(),
            members: self.quorums.voters().len(),
            refusal: Some(Refusal::TooLarge),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{Member, Stage};
    use crate::functions::Condition;
    use abd::{Deadline, TimestampMode};
    use alloc::{format, string::ToString, vec};
    use bytes::Bytes;

    fn first() -> Configuration {
        let address = |id| (NodeId(id), format!("host{id}:1"));
        Configuration::first((1..=3).map(address), TimestampMode::Logical)
    }

    fn set(key: usize, value: usize) -> Operation {
        let [key, value] = [vec![b'k'; key], vec![b'v'; value]].map(Bytes::from);
        Operation::Set { key, value, deadline: Deadline::NONE }
    }

    /// Nodes from the first one on let their clients write so much.
    fn learn(known: &mut KnownLimits, values: &[u64]) {
        let limits = |value| Limits { key: 10, value, frame: 1000 };
        (1..).zip(values).for_each(|(id, value)| known.learn(NodeId(id), limits(*value)));
    }

    #[test]
    fn a_majority_of_the_limits_decides() {
        let refused = |operation: Operation, values: &[u64]| {
            let mut known = KnownLimits::new(&first());
            learn(&mut known, values);
            let reason = known.reason_to_refuse(&operation);
            assert!(reason.is_none() || !known.least().allows(&operation));
            reason.map(|why| why.to_string())
        };
        assert_eq!(refused(set(1, 20), &[64, 20, 16]), None);
        let why = refused(set(1, 21), &[64, 20, 16]).unwrap();
        assert!(why.contains("2 of 3 replicas refused"), "{why}");
        assert!(refused(set(11, 1), &[64, 64, 64]).is_some_and(|why| why.contains("3 of 3")));
        // Nobody knows better.
        assert_eq!(refused(set(1, 21), &[20, 64]), None);
        // So do those of what comes of an update.
        let mut known = KnownLimits::new(&first());
        assert_eq!(known.value_bytes_max(), VALUE_BYTES_MAX);
        learn(&mut known, &[64, 16, 20]);
        assert_eq!((known.value_bytes_max(), known.least()), (20, Least { key: 10, value: 16 }));
        assert!(known.least().allows(&set(10, 16)) && !known.least().allows(&set(10, 17)));
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

    #[test]
    fn the_limits_of_those_to_come_count_while_they_come() {
        let member = |id| Member { id: NodeId(id), directory: Some([7; 16]), address: format!("host{id}:1") };
        let mut awaiting = first();
        awaiting.stage = Stage::Awaiting([2, 3, 4].map(member).to_vec());
        let mut known = KnownLimits::new(&awaiting);
        learn(&mut known, &[64, 64, 16, 8, 1]);
        assert_eq!(
            (known.value_bytes_max(), known.least().value),
            (64, 16),
            "node 4 has no say, node 5 no place"
        );
        let mut joint = first();
        joint.stage = Stage::Joint { next: [2, 3, 4].map(member).to_vec(), lost: vec![] };
        known.install(&joint);
        assert_eq!((known.value_bytes_max(), known.least().value), (16, 8));
        assert_eq!(known.reason_to_refuse(&set(1, 16)), None);
        let (refused, members) = (2, 4);
        let reason = Reason::TooManyRefused { refused, members, refusal: Some(Refusal::TooLarge) };
        assert_eq!(known.reason_to_refuse(&set(1, 17)), Some(reason));
        let mut switched = first();
        switched.members = [2, 3, 4].map(member).to_vec();
        known.install(&switched);
        known.install(&first());
        assert_eq!(known.value_bytes_max(), 64, "what node 1 has said is forgotten");
        assert_eq!(known.least().value, 16);
    }
}
