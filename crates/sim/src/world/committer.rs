//! Group commit, by the rules of the node ([`node::commit`]): the disk does what they want done, one thing at a time, and takes a
//! while. After a batch the engine may collect garbage, which is its own affair.

use super::running::About;
use super::{Event, Job, World};
use crate::checks::Conviction;
use crate::plan::Point;
use crate::trace::What;
use abd::{
    AcceptedRecord, Fit, Instant, ListedWrites, NodeId, Reply, StampedValue, Unit, Version, WriteGroup,
};
use bytes::Bytes;
use node::commit::{Batch, Opened, Round, Tidied};
use node::lookups::Completed;
use node::shard::ReplyTo;
use std::collections::BTreeSet;
use store::{DatabaseError, Puts};

/// As the store takes them.
pub(super) fn encoded(writes: &ListedWrites) -> Puts {
    let mut puts = Puts::default();
    writes.0.iter().for_each(|unit| puts.push(unit));
    puts
}

/// The versions in a group.
fn versions(writes: &ListedWrites) -> Vec<(Bytes, StampedValue)> {
    let versions = writes.0.iter().filter_map(Unit::version);
    versions.map(|(key, stamped)| (key.clone(), stamped.clone())).collect()
}

impl World {
    /// The rounds of a node are due by time.
    pub(super) fn rounds_due(&mut self, node: u32, incarnation: u64, at: u64) {
        let Some(process) = self.process_of(node, incarnation) else { return };
        if process.rounds_armed == at {
            process.rounds_armed = u64::MAX;
            self.work(node);
        }
    }

    /// Gives the disk what there is to do, if it is idle.
    pub(super) fn work(&mut self, node: u32) {
        let now = Instant(self.now);
        loop {
            let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
            if process.job.is_some() {
                return;
            }
            let writes_wait = !process.around().writes.borrow().is_empty();
            match process.rounds.poll(writes_wait, now) {
                Round::Look => {
                    // The mutant `full-disk-stays` sees what it saw before.
                    let sees = !self.lies.never_looks;
                    let has_room = if sees { process.database.has_room() } else { process.rounds.has_room() };
                    process.rounds.handle_looked(has_room, now);
                }
                Round::Tidy => match self.collect(node) {
                    Ok(tidied) => {
                        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
                        process.rounds.handle_tidied(tidied, now);
                    }
                    Err(why) => return self.fail(node, &why),
                },
                Round::Commit => return self.begin_batch(node),
                Round::Wait(until) => {
                    if until.0 < process.rounds_armed {
                        process.rounds_armed = until.0;
                        let incarnation = process.incarnation;
                        self.queue.push(until.0, Event::RoundsDue { node, incarnation, at: until.0 });
                    }
                    return;
                }
            }
        }
    }

    fn begin_batch(&mut self, node: u32) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        let mut batch = Batch::default();
        let around = process.around();
        around.writes.borrow_mut().take(&mut batch);
        if self.plan.early_reads || self.lies.counts_unsynced {
            around.store.early.replace(versions(&batch.writes));
        }
        let early = self.lies.opens_early.then(|| batch.clone());
        process.job = Some(Job::Commit { batch, thrown_away: false });
        if !self.nodes[node as usize].lazy_disk {
            let takes = self.sync_time(node);
            self.disk_takes(node, takes, Point::InSync);
        }
        if let Some(batch) = early {
            self.open_early(node, batch);
        }
    }

    /// The mutant `opens-early`: what the node asked of its own disk it takes for done.
    fn open_early(&mut self, node: u32, mut batch: Batch<ListedWrites, ReplyTo>) {
        let mut all = Vec::new();
        batch.open(&Fit::All, |opened| all.push(opened));
        for Opened { to, reply, missed } in all.into_iter().filter(|opened| opened.to.lane.is_none()) {
            self.complete(node, to, Completed::Written(reply), missed);
        }
    }

    /// The engine begins to collect garbage, if the disk is idle. Mostly there is nothing to collect; now and then it takes as
    /// long as a batch.
    fn begin_collection(&mut self, node: u32) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        if process.job.is_some() {
            return;
        }
        process.job = Some(Job::Collect);
        let scripted = self.held.is_some();
        let takes = if !scripted && self.rng.one_in(8) { self.sync_time(node) } else { u64::from(!scripted) };
        self.disk_takes(node, takes, Point::InCollection);
    }

    fn disk_takes(&mut self, node: u32, takes: u64, point: Point) {
        let Some(process) = &self.nodes[node as usize].process else { return };
        let incarnation = process.incarnation;
        self.queue.push(self.now + takes, Event::DiskDone { node, incarnation });
        self.springs(node, point);
    }

    /// The disk is done.
    pub(crate) fn disk_done(&mut self, node: u32, incarnation: u64) {
        let Some(process) = self.process_of(node, incarnation) else { return };
        match process.job.take() {
            None => {}
            Some(Job::Commit { batch, thrown_away }) => self.commit(node, batch, thrown_away),
            Some(Job::Collect) => {
                if let Err(why) = self.collect(node) {
                    return self.fail(node, &why);
                }
                self.work(node);
            }
        }
    }

    /// Collects garbage now, if there is room for that.
    fn collect(&mut self, node: u32) -> Result<Tidied, DatabaseError> {
        let Some(process) = &self.nodes[node as usize].process else { return Ok(Tidied::All) };
        let tidied = match process.collect(&mut self.rng, self.held.is_some()) {
            Ok(()) => Tidied::All,
            Err(DatabaseError::Full(_)) => Tidied::PutOff,
            Err(why) => return Err(why),
        };
        self.look_at_garbage(node);
        Ok(tidied)
    }

    fn commit(&mut self, node: u32, mut batch: Batch<ListedWrites, ReplyTo>, thrown_away: bool) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        let puts = encoded(&batch.writes);
        let store = &process.around().store;
        store.early.take();
        let fit = if thrown_away { Ok(Fit::All) } else { store.versions.commit_what_fits(&puts) };
        let fit = match fit {
            Ok(fit) => fit,
            Err(why) => return self.fail(node, &why),
        };
        process.rounds.handle_committed(&fit, process.database.has_room(), Instant(self.now));
        let writes = batch.writes.0.clone();
        let count = writes.len();
        self.trace.record(self.now, || What::Synced { node, writes: count });
        if self.lies.drops_tombstones && fit.has(false) {
            let written = writes.iter().filter_map(Unit::version);
            for (key, _) in written.filter(|(_, stamped)| !stamped.content.is_value()) {
                // The lie is told by the disk; if the disk cannot, there is no lie this time.
                let _ = process.database.forget(key);
            }
        }
        self.look_at_garbage(node);
        if self.springs(node, Point::AfterSync) {
            return;
        }
        // The mutant `acks-what-did-not-fit` takes a batch that was written in part for a whole one.
        let told = if self.lies.all_fits { &Fit::All } else { &fit };
        let mut all = Vec::with_capacity(count);
        batch.open(told, |opened| all.push(opened));
        for (Opened { to, reply, missed }, unit) in all.into_iter().zip(&writes) {
            // What a sync brings is a copy, and no vote (rule C3).
            if let Unit::Acceptance { key, record, .. } = unit
                && reply == Reply::Accepted
            {
                self.note_acceptance(node, key, record);
            }
            if let Some((key, stamped)) = unit.version()
                && !matches!(reply, Reply::Refused(_))
                && !self.nodes[node as usize].replaced
            {
                self.monotone.borrow_mut().promises(node, key, stamped.version);
            }
            self.complete(node, to, Completed::Written(reply), missed);
        }
        if fit == Fit::All {
            self.begin_collection(node);
        }
        self.work(node);
    }

    /// A replica has accepted something durably.
    fn note_acceptance(&mut self, node: u32, key: &Bytes, record: &AcceptedRecord) {
        if let Some(process) = &self.nodes[node as usize].process {
            process.around().remember(key, record);
            if let Ok(newest) = process.store().newest(key) {
                self.convict(crate::checks::chosen::has_base(node, record.base, newest.stamped.version));
            }
        }
        let epoch = record.acceptance.ballot.epoch;
        let configurations = &self.configurations;
        let suffice = |nodes: &BTreeSet<u32>| {
            let nodes = nodes.iter().map(|node| NodeId(node + 1)).collect();
            configurations.at(epoch).is_some_and(|known| known.quorums().is_quorum(nodes))
        };
        match self.chosen.accepted(node, key, record, suffice) {
            Ok(None) => {}
            Ok(Some(stamped)) => {
                let unique = self.unique.sent(key, &stamped);
                self.convict(unique);
                let once = self.once.exists(key, &stamped);
                self.convict(once);
                self.expiries.exists(key, &stamped, self.moment);
            }
            Err(conviction) => self.convict(Err(conviction)),
        }
    }

    /// Brings what has waited for the disk to whoever waits for it.
    pub(super) fn complete(
        &mut self,
        node: u32,
        to: ReplyTo,
        completed: Completed,
        refused: Option<(Bytes, Version)>,
    ) {
        let process = self.nodes[node as usize].process.as_ref();
        let about = process.map_or(About::Other, |process| process.around().reply_about(to));
        self.tell(node, about, |shard, now| shard.handle_completions([(to, completed)], refused, now));
    }

    fn look_at_garbage(&mut self, node: u32) {
        let Some(process) = self.nodes[node as usize].process.as_ref() else { return };
        if let Some(complaint) = process.database.complaint() {
            let text = format!("n{}: {complaint}", node + 1);
            self.convict(Err(Conviction::new("garbage collection keeps the newest", text)));
        }
    }

    /// The mutant `cancel-batch`: an operation has ended, and with it go the batches that hold its writes.
    pub(super) fn cancel_batches(&mut self, owner: u32, operation: u64) {
        for state in &mut self.nodes {
            let Some(Job::Commit { batch, thrown_away }) =
                state.process.as_mut().and_then(|process| process.job.as_mut())
            else {
                continue;
            };
            let holds = |to: &ReplyTo| {
                to.lane.is_some_and(|lane| lane.peer.0 == owner + 1) && to.call.operation == operation
            };
            *thrown_away |= batch.replies.iter().any(|(to, _)| holds(to));
        }
    }
}
