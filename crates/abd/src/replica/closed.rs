//! Instances of consensus at whose base a replica is closed: what it remembers of them, as evidence for those who have proposed there (rule
//! P3'). All of it is in memory: a run that began later knows nothing.

use super::acceptor::AcceptorLimits;
use crate::ballot::{Ballot, UpdateId};
use crate::update::{AcceptedThere, Told};
use crate::version::Version;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// What is remembered of an instance at which this replica is closed, or will be when a write is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ClosedInstance {
    pub(super) accepted: Option<AcceptedUnder>,
    pub(super) winner: Option<UpdateId>,
}

/// An update, the first and the last ballot under which it was accepted, and who was told of that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AcceptedUnder {
    pub(super) update: UpdateId,
    pub(super) lowest: Ballot,
    pub(super) highest: Ballot,
    pub(super) told: Told,
}

/// The last closed instances.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClosedInstances {
    limits: AcceptorLimits,
    instances: BTreeMap<(Bytes, Version), ClosedInstance>,
    /// Their keys and bases, oldest first.
    order: VecDeque<(Bytes, Version)>,
    key_bytes: usize,
    /// By bucket, the highest base of an instance that is not remembered any more, and in which something was accepted.
    forgotten: Vec<Option<Version>>,
}

impl ClosedInstances {
    /// None yet.
    pub(super) fn new(limits: AcceptorLimits) -> Self {
        let forgotten = vec![None; limits.buckets];
        Self { limits, instances: BTreeMap::new(), order: VecDeque::new(), key_bytes: 0, forgotten }
    }

    /// What is known of an instance: what was accepted there, the winner, and who was told.
    pub(super) fn evidence(&self, key: &Bytes, base: Version) -> (AcceptedThere, Option<UpdateId>, Told) {
        let forgets = self.forgotten[bucket_of(key, self.limits)].is_some_and(|forgotten| base <= forgotten);
        match self.instances.get(&(key.clone(), base)) {
            Some(ClosedInstance { accepted: Some(accepted), winner }) => {
                let AcceptedUnder { update, lowest, highest, ref told } = *accepted;
                (AcceptedThere::Update { update, lowest, highest }, *winner, told.clone())
            }
            found => {
                let winner = found.and_then(|closed| closed.winner);
                match forgets {
                    true => (AcceptedThere::Forgotten, winner, Told::ANYBODY),
                    false => (AcceptedThere::Nothing, winner, Told::NOBODY),
                }
            }
        }
    }

    /// Something becomes known of an instance. The oldest ones are forgotten for it, if they are too many.
    pub(super) fn remember(&mut self, instance: (Bytes, Version), note: impl FnOnce(&mut ClosedInstance)) {
        if !self.instances.contains_key(&instance) {
            self.key_bytes += instance.0.len();
            self.order.push_back(instance.clone());
        }
        note(self.instances.entry(instance).or_default());
        while self.order.len() > self.limits.closed || self.key_bytes > self.limits.key_bytes {
            let Some(oldest) = self.order.pop_front() else { break };
            self.key_bytes -= oldest.0.len();
            if self.instances.remove(&oldest).is_some_and(|closed| closed.accepted.is_some()) {
                let forgotten = &mut self.forgotten[bucket_of(&oldest.0, self.limits)];
                *forgotten = (*forgotten).max(Some(oldest.1));
            }
        }
    }
}

/// Which keys share what is remembered of what was forgotten one by one.
pub(super) fn bucket_of(key: &[u8], limits: AcceptorLimits) -> usize {
    crc32fast::hash(key) as usize % limits.buckets
}
