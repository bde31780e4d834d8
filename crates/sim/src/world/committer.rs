//! Group commit, as in the node: one batch at a time, all that waits goes into it, and replies stay sealed until it is
//! durable. Then a round of garbage collection.

use super::node::committer_puts;
use super::{Event, Job, PendingWrite, Source, World};
use crate::checks::Conviction;
use crate::plan::Point;
use crate::trace::What;
use abd::{Content, Refusal, Reply};
use node::repair::is_repair;
use store::{DatabaseError, Fit};

impl World {
    /// Queues a write; hands back a refusal when too much waits already.
    pub(super) fn enqueue(&mut self, node: u32, write: PendingWrite) -> Option<Reply> {
        let process = self.nodes[node as usize].process.as_mut()?;
        if process.waiting.len() >= self.plan.queue_max {
            return Some(Reply::Refused(Refusal::Overloaded));
        }
        process.waiting.push(write);
        self.start_job(node, false);
        None
    }

    /// Gives the disk something to do, if there is anything and it is idle.
    fn start_job(&mut self, node: u32, collect: bool) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        if process.job.is_some() {
            return;
        }
        let incarnation = process.incarnation;
        let scripted = self.held.is_some();
        let takes = if collect {
            process.job = Some(Job::Collect);
            // Mostly there is nothing to collect; now and then it takes as long as a batch.
            if !scripted && self.rng.one_in(8) { self.sync_time(node) } else { u64::from(!scripted) }
        } else if process.waiting.is_empty() {
            return;
        } else {
            let writes = std::mem::take(&mut process.waiting);
            process.job = Some(Job::Commit { writes, thrown_away: false });
            if self.nodes[node as usize].lazy_disk {
                return;
            }
            self.sync_time(node)
        };
        self.queue.push(self.now + takes, Event::DiskDone { node, incarnation });
        self.springs(node, if collect { Point::InCollection } else { Point::InSync });
    }

    /// The disk is done.
    pub(crate) fn disk_done(&mut self, node: u32, incarnation: u64) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        if process.incarnation != incarnation {
            return;
        }
        match process.job.take() {
            None => {}
            Some(Job::Commit { writes, thrown_away }) => self.commit(node, writes, thrown_away),
            Some(Job::Collect) => {
                match process.collect(&mut self.rng, self.held.is_some()) {
                    Ok(()) | Err(DatabaseError::Full(_)) => {}
                    Err(why) => return self.fail(node, &why),
                }
                self.look_at_garbage(node);
                self.start_job(node, false);
            }
        }
    }

    fn commit(&mut self, node: u32, writes: Vec<PendingWrite>, thrown_away: bool) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        let puts = committer_puts(&writes);
        let fit = if thrown_away { Ok(Fit::All) } else { process.store.commit_what_fits(&puts) };
        let fit = match fit {
            Ok(fit) => fit,
            Err(why) => return self.fail(node, &why),
        };
        // Tombstones alone may be in although there is no room.
        process.room.shown(fit == Fit::All && process.database.has_room());
        let count = writes.len();
        self.trace.record(self.now, || What::Synced { node, writes: count });
        if self.lies.drops_tombstones && fit.has(true) {
            for write in writes.iter().filter(|write| write.stamped.content == Content::Tombstone) {
                // The lie is told by the disk; if the disk cannot, there is no lie this time.
                let _ = process.database.forget(&write.key);
            }
        }
        self.look_at_garbage(node);
        if self.springs(node, Point::AfterSync) {
            return;
        }
        for write in writes {
            let (key, version) = (write.key, write.stamped.version);
            let reply = if fit.has(write.stamped.content == Content::Tombstone) {
                self.note_promise(node, &key, version);
                write.reply.committed()
            } else {
                Reply::Refused(Refusal::DiskFull)
            };
            match write.source {
                Source::Local(call) => {
                    if matches!(reply, Reply::Refused(_)) && !is_repair(call) {
                        self.missed(node, node, &key, version);
                    }
                    self.handle_reply(node, node, call, reply);
                }
                Source::Peer { .. } => self.send_reply(node, write.source, &reply),
            }
        }
        self.pump(node);
        self.start_job(node, fit == Fit::All);
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
            let Some(Job::Commit { writes, thrown_away }) =
                state.process.as_mut().and_then(|process| process.job.as_mut())
            else {
                continue;
            };
            let holds = |write: &PendingWrite| match write.source {
                Source::Peer { node, call, .. } => node == owner && call.operation == operation,
                Source::Local(_) => false,
            };
            *thrown_away |= writes.iter().any(holds);
        }
    }
}
