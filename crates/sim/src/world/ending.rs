//! How a node's process ends, stands still, and is repaired.

use super::committer::encoded;
use super::node::{Job, Process, Stopping};
use super::{Event, World};
use crate::disk::Mood;
use crate::time::MS;
use crate::trace::What;
use store::DatabaseError;

impl World {
    /// Ends a node's process. What the disk was at may be done or not.
    pub(crate) fn crash(&mut self, node: u32, power: bool, how: &str) {
        let state = &mut self.nodes[node as usize];
        let Some(mut process) = state.process.take() else { return };
        state.paused = false;
        let deferred = std::mem::take(&mut state.deferred);
        // In a script a crash keeps no more than what it says; else chance decides whether the disk had begun.
        if let Some(job) = process.job.take()
            && self.held.is_none()
            && self.rng.one_in(2)
        {
            if state.mood == Mood::Good {
                process.database.set_mood(Mood::GoingDown);
            }
            // It fails, of course; what counts is the bytes that it leaves behind.
            let _ = match job {
                Job::Commit { batch, .. } => process.store().commit_puts(&encoded(&batch.writes)),
                Job::Collect => process.collect(&mut self.rng, self.held.is_some()),
            };
        }
        let platter = if power {
            process.database.after_power_cut(if self.held.is_some() { None } else { Some(&mut self.rng) })
        } else {
            process.database.after_kill()
        };
        // As far as it was written when the process ended, and the power may take some of that.
        let batches = process.database.sequence() + 1;
        if let Some(watermark) = &mut state.directory.watermark {
            let synced = watermark.synced.min(batches);
            watermark.batches = match self.held {
                _ if !power => batches,
                None => self.rng.between(synced, batches),
                Some(_) => synced,
            };
        }
        if let Some(stored) = &mut state.directory.database {
            stored.platter = platter;
        }
        self.trace.record(self.now, || What::Stopped { node, how: how.to_owned() });
        let asked = deferred.iter().filter_map(|event| match event {
            Event::Submit { operation, .. } => Some(*operation),
            _ => None,
        });
        let owed = process.talks.values().flat_map(|talk| talk.owed.iter().copied());
        let orphans: Vec<usize> = owed.chain(asked).collect();
        for operation in orphans {
            self.answer_unknown(operation, "the node ended");
        }
        // The kernel of a killed process resets its connections; a machine without power says nothing.
        self.leave(node, &process);
        if !power {
            self.reset_lanes_to(node);
        }
    }

    /// A node must not serve any more (rule M1, or a disk that failed).
    pub(crate) fn lose(&mut self, node: u32, why: String) {
        self.crash(node, false, &why);
        self.nodes[node as usize].lost = true;
        self.trace.record(self.now, || What::Refused { node, why });
    }

    /// A node's disk failed: the process ends and may be started again.
    pub(crate) fn fail(&mut self, node: u32, why: &DatabaseError) {
        self.crash(node, true, &why.to_string());
        self.reset_lanes_to(node);
    }

    /// Repairs what a fault may have done to a node.
    pub(super) fn heal_node(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        state.trap = None;
        state.slow_by = 0;
        state.slow_sync = None;
        state.read_only = false;
        state.clocks.freeze(None);
        state.clocks.unknown = false;
        state.mood = Mood::Good;
        if let Some(process) = &state.process {
            process.database.set_mood(Mood::Good);
        }
        self.resume(node);
        let stops = |process: &Process| process.stopping != Stopping::No;
        let state = &self.nodes[node as usize];
        if state.rotten || state.process.as_ref().is_some_and(stops) {
            // A disk that rots is looked at when the node starts.
            self.crash(node, false, "restarted by hand");
        }
        self.start(node);
    }

    /// A paused node goes on: whatever has come meanwhile happens now, in its order.
    pub(crate) fn resume(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        if !state.paused {
            return;
        }
        state.paused = false;
        self.trace.record(self.now, || What::Resumed { node });
        for event in std::mem::take(&mut state.deferred) {
            self.dispatch(event);
        }
    }

    /// How long a node's disk takes for a batch.
    pub(super) fn sync_time(&mut self, node: u32) -> u64 {
        let (from, to) = self.plan.sync;
        let drawn = self.rng.between(from, to);
        let state = &self.nodes[node as usize];
        state.slow_sync.unwrap_or(drawn) + state.slow_by.min(50 * MS)
    }
}
