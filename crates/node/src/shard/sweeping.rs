//! Expiring what nobody reads (rule E4): an event loop carries out what [`crate::sweep`] decides. One of a node's does; looks at the store,
//! which may wait for the disk, are handed out.

use super::{Environment, Return, Shard};
use crate::slots::owner_of_key;
use crate::sweep::{Action, Config, Deadlines, Found, Look, Sweep};
use abd::{Instant, NodeId, NodeSet, Now, Operation, OperationId, Outcome};
use alloc::vec::Vec;

/// The sweeper of an event loop.
#[derive(Debug)]
pub(super) struct Sweeping {
    machine: Sweep,
    /// A look that nobody has taken yet.
    look: Option<Look>,
    /// Reads in flight, with the bytes of their values.
    reads: Vec<(OperationId, usize)>,
}

impl<E: Environment, R: Return> Shard<E, R> {
    /// From now on this event loop expires what nobody reads: a node that may begin operations has one that does.
    pub fn begin_sweeping(&mut self, config: Config, now: Now) {
        let machine = Sweep::new(config, now.instant);
        self.sweeping = Some(Sweeping { machine, look: None, reads: Vec::new() });
    }

    /// It begins no more of that.
    pub fn stop_sweeping(&mut self) {
        self.sweeping = None;
    }

    /// The look at the store that is wanted next, if any; what it finds goes to [`handle_swept`](Self::handle_swept).
    pub fn poll_look(&mut self) -> Option<Look> {
        self.sweeping.as_mut()?.look.take()
    }

    /// Whether a look at the store is wanted.
    pub fn has_look(&self) -> bool {
        self.sweeping.as_ref().is_some_and(|sweeping| sweeping.look.is_some())
    }

    /// What a look has found; `None` if the store cannot be read.
    pub fn handle_swept(&mut self, found: Option<Found>, now: Now) {
        let (members, answering): (Vec<NodeId>, _) =
            (self.configuring.installed().members.iter().map(|member| member.id).collect(), self.answering());
        if let Some(sweeping) = &mut self.sweeping {
            let is_preferred = |key: &[u8]| owner_of_key(key, &members, answering) == Some(self.local);
            sweeping.machine.looked(found, is_preferred, now.instant);
            self.environment.swept(sweeping.machine.progress());
        }
        self.pump(now);
    }

    /// The members to which there are lanes, and this one.
    fn answering(&self) -> NodeSet {
        self.lanes.up().chain([self.local]).collect()
    }

    /// Does what the sweeper wants done; whether an operation has begun.
    pub(super) fn sweep(&mut self, now: Now) -> bool {
        let mut has_begun = false;
        while let Some(sweeping) = &mut self.sweeping
            && sweeping.machine.wake_at().is_some_and(|at| at <= now.instant)
        {
            let written = self.environment.store().soonest();
            match sweeping.machine.poll(now, written) {
                None => break,
                Some(Action::Look(look)) => sweeping.look = Some(look),
                Some(Action::Read { key, bytes }) => {
                    let (get, deadline) = (Operation::Get { key }, now.instant + self.op_timeout);
                    let id = self.coordinator.submit(get, deadline, now, &self.environment.issuer());
                    sweeping.reads.push((id, bytes));
                    has_begun = true;
                }
            }
        }
        has_begun
    }

    /// An operation has ended that no client waits for.
    pub(super) fn end_read(&mut self, id: OperationId, outcome: &Outcome, now: Now) {
        let Some(sweeping) = &mut self.sweeping else { return };
        if let Some(place) = sweeping.reads.iter().position(|(read, _)| *read == id) {
            let (_, bytes) = sweeping.reads.swap_remove(place);
            sweeping.machine.ended(bytes, matches!(outcome, Outcome::Read(_)), now.instant);
            self.environment.swept(sweeping.machine.progress());
        }
    }

    /// When the sweeper is to be driven on.
    pub(super) fn sweep_at(&self) -> Option<Instant> {
        self.sweeping.as_ref().and_then(|sweeping| sweeping.machine.wake_at())
    }
}
