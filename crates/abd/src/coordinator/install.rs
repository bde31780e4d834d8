//! A new configuration: nothing that was counted in an older one counts any more, and what is in flight goes on (rule C1; the table of
//! PROTOCOL section 7.2).
//!
//! ```text
//! a query, timestamps, a look    the same phase from zero
//! a write, a publication         the same version (V2), acknowledgements from zero
//! a write-back                   its query
//! Prepare, Accept                Prepare at the same base, with a ballot of the new epoch
//! what is known of a fate        who has won, and who was told (P3'): that nobody has accepted it says nothing across epochs
//! ```

use super::get::Get;
use super::in_flight::Taken;
use super::machine::Machine;
use super::storing::Storing;
use super::update::fold::FoldPhase;
use super::update::look::Look;
use super::write::Write;
use super::{Contention, Coordinator};
use crate::issuer::TimestampIssuer;
use crate::operation::OperationId;
use crate::quorum::{NodeSet, QuorumSystem};
use crate::time::Now;
use crate::version::Version;
use alloc::vec::Vec;

impl Coordinator {
    /// Whose answers suffice.
    pub fn quorums(&self) -> &QuorumSystem {
        &self.config.quorums
    }

    /// Whether an operation stores this version. In a newer epoch it is sent to everybody anew (V2).
    pub fn is_storing(&self, operation: OperationId, version: Version) -> bool {
        let storing = match self.running.get(operation.0).map(|running| &running.machine) {
            Some(Machine::Write(Write::Store(storing, _))) => storing,
            Some(Machine::Fold(fold)) => match &fold.phase {
                FoldPhase::Publish(storing) => storing,
                _ => return false,
            },
            _ => return false,
        };
        storing.stamped.version == version
    }

    /// From now on these suffice, and everything in flight goes on in their epoch.
    ///
    /// # Panics
    /// When their epoch is not a newer one.
    pub fn install(&mut self, quorums: QuorumSystem, now: Now, issuer: &TimestampIssuer) {
        let (old, new) = (self.config.quorums.scope(), quorums.scope());
        assert!(
            old.partition == new.partition && old.epoch < new.epoch,
            "C1: {new:?} does not follow {old:?}"
        );
        let voters = quorums.voters();
        self.suspects = self.suspects.common(voters);
        self.unwritable = self.unwritable.common(voters);
        self.unreachable = self.unreachable.common(voters);
        self.boots.retain(|member, _| voters.contains(*member));
        self.nearness.install(quorums.clone());
        self.contention = Contention::default();
        let before = core::mem::replace(&mut self.config.quorums, quorums);
        // What was still to be sent belongs to an epoch in which nobody will answer it.
        self.transmits.clear();
        let in_flight: Vec<u64> = self.running.iter_mut().map(|running| running.id).collect();
        for id in in_flight {
            if let Some(mut running) = self.running.take(id) {
                running.scope = new;
                self.go_on(running, &before, now, issuer);
            }
        }
    }

    /// An operation in flight goes on in a new epoch.
    fn go_on(&mut self, mut running: Taken, before: &QuorumSystem, now: Now, issuer: &TimestampIssuer) {
        match &mut running.machine {
            Machine::Get(get) => *get = Get::new(),
            Machine::Look(look) => *look = Look::new(core::mem::take(&mut look.functions)),
            Machine::Write(write) => write.begin_anew(),
            Machine::Fold(_) => return self.fold_goes_on(running, before, now, issuer),
            // They wait for a fold, or for a time: what has settled was answered by a quorum of its epoch.
            Machine::Member(_) | Machine::CommitWait(_) => return self.keep(running),
        }
        self.begin_phase(running, now.instant);
    }

    fn fold_goes_on(
        &mut self,
        mut running: Taken,
        before: &QuorumSystem,
        now: Now,
        issuer: &TimestampIssuer,
    ) {
        let fold = running.fold_mut();
        if let Some(own) = &mut fold.own {
            own.enter_epoch(before.clone());
        }
        match &mut fold.phase {
            FoldPhase::Publish(storing) => {
                *storing = Storing::new(storing.stamped.clone(), NodeSet::EMPTY);
                self.begin_phase(running, now.instant);
            }
            FoldPhase::Pause(_) => self.keep(running),
            FoldPhase::Prepare(_) | FoldPhase::Evaluate(_) | FoldPhase::Accept(_) => {
                let next = fold.next_attempt();
                if fold.own.is_none() {
                    // They were to be evaluated at a base, and nothing of theirs was sent.
                    let operations = core::mem::take(&mut fold.operations);
                    self.put_back(&running.key, operations);
                }
                self.prepare(running, next, now, issuer);
            }
        }
    }
}

impl Write {
    /// Nothing that was counted counts any more. A version that was picked stays (V2).
    fn begin_anew(&mut self) {
        match self {
            Self::ReadTimestamp(query) => query.begin_anew(),
            Self::Store(storing, _) => *storing = Storing::new(storing.stamped.clone(), NodeSet::EMPTY),
        }
    }
}
