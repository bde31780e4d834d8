//! Rule P1: of each pair of key and base one update is chosen, and it is the base's successor, for ever. Looked at where acceptances
//! become durable, and where what was chosen is published.

use super::Conviction;
use crate::history::OperationRecord;
use abd::{AcceptedRecord, Ballot, Proposal, StampedValue, UpdateId, Version};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The instance of consensus on the successor of a version.
type Instance = (Bytes, Version);

/// Everything that was ever accepted durably.
#[derive(Debug, Default)]
pub struct Chosen {
    accepted: BTreeMap<(Instance, Ballot), (Proposal, BTreeSet<u32>)>,
    chosen: BTreeMap<Instance, Proposal>,
    /// Where each update was chosen.
    updates: BTreeMap<UpdateId, Instance>,
}

impl Chosen {
    /// An acceptance is durable at a node; `suffice`: whether such nodes are a quorum in the epoch of its ballot. If that chooses it: the version that it is from now on.
    ///
    /// # Errors
    /// When a ballot proposes two things, two things are chosen for one version, or one is chosen for two.
    pub fn accepted(
        &mut self,
        node: u32,
        key: &Bytes,
        record: &AcceptedRecord,
        suffice: impl Fn(&BTreeSet<u32>) -> bool,
    ) -> Result<Option<StampedValue>, Conviction> {
        let AcceptedRecord { base, acceptance } = record;
        let instance = (key.clone(), *base);
        let place = (instance.clone(), acceptance.ballot);
        let fresh = || (acceptance.proposal.clone(), BTreeSet::new());
        let (proposal, acceptors) = self.accepted.entry(place).or_insert_with(fresh);
        if *proposal != acceptance.proposal {
            let (first, second) = (text(proposal), text(&acceptance.proposal));
            let why = format!("{:?} proposes {first} and {second} on {base}", acceptance.ballot);
            return Err(Conviction::new("one ballot, one proposal", why));
        }
        acceptors.insert(node);
        if !suffice(acceptors) {
            return Ok(None);
        }
        let proposal = proposal.clone();
        let known = self.chosen.entry(instance.clone()).or_insert_with(|| proposal.clone());
        if *known != proposal {
            let why = format!("{} and {} are chosen on {base}", text(known), text(&proposal));
            return Err(Conviction::new("one base, one successor", why));
        }
        let first = self.updates.entry(proposal.update).or_insert_with(|| instance.clone());
        if *first != instance {
            let why = format!("{} is chosen on {} and on {base}", text(&proposal), first.1);
            return Err(Conviction::new("an update is applied once", why));
        }
        Ok(base.successor().map(|version| proposal.stamped(version)))
    }

    /// What was chosen on a version, if anything was.
    pub fn successor(&self, key: &Bytes, base: Version) -> Option<&Proposal> {
        self.chosen.get(&(key.clone(), base))
    }

    /// What was chosen that an operation may have been a part of, and on which versions.
    pub fn proposals(&self, record: &OperationRecord) -> impl Iterator<Item = (Version, &Proposal)> {
        let instances = record.proposals.iter().filter_map(|update| self.updates.get(update));
        instances.filter_map(|instance| Some((instance.1, self.chosen.get(instance)?)))
    }

    /// Whether an update may have had an effect: it was a part of a proposal that was chosen.
    pub fn may_have_updated(&self, record: &OperationRecord) -> bool {
        let has_own_fate = record.kind.is_update() && !record.is_blind;
        !has_own_fate || record.proposals.iter().any(|update| self.updates.contains_key(update))
    }

    /// A coordinator publishes an update.
    ///
    /// # Errors
    /// When it was not chosen.
    pub fn published(&self, key: &Bytes, stamped: &StampedValue) -> Result<(), Conviction> {
        let Some(rmwc) = stamped.version.rmwc.checked_sub(1) else { return Ok(()) };
        let base = Version { rmwc, ..stamped.version };
        match self.chosen.get(&(key.clone(), base)) {
            Some(chosen) if chosen.clone().stamped(stamped.version) == *stamped => Ok(()),
            chosen => {
                let chosen = chosen.map_or_else(|| "nothing".into(), text);
                let why = format!(
                    "{:?} is published as {}, and {chosen} is chosen",
                    stamped.update, stamped.version
                );
                Err(Conviction::new("what is published was chosen", why))
            }
        }
    }
}

fn text(proposal: &Proposal) -> String {
    let value = super::unique::text(&proposal.content);
    format!("{value} by {:?}", proposal.update)
}

/// Rule P7: whoever has accepted something has the base that it is about, or a newer version.
///
/// # Errors
/// When it has not.
pub fn has_base(node: u32, base: Version, newest: Version) -> Result<(), Conviction> {
    if newest >= base {
        return Ok(());
    }
    let why = format!("n{} has accepted an update of {base}, and has {newest}", node + 1);
    Err(Conviction::new("an acceptance contains its base", why))
}
