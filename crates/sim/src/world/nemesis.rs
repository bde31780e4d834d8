//! Faults of the plan, as they begin and end.

use super::node::Stopping;
use super::{Event, World};
use crate::directory::{PartState, Parts};
use crate::disk::{Loss, Mood, Platter};
use crate::plan::{Plan, Point, What as Fault};
use crate::trace::What;
use ::node::configuration::Member;
use abd::wire::Received;
use abd::{CallId, Content, NodeId, Request, Scope, StampedValue, Timestamp, Version};
use bytes::Bytes;

impl World {
    /// A fault begins.
    pub(super) fn inflict(&mut self, index: usize) {
        let mut fault = self.plan.faults[index].clone();
        if !fault.what.limit_to(self.count()) {
            // There is no such node yet.
            return;
        }
        if fault.what.loses_data().is_some_and(|node| !self.can_lose(node)) {
            return;
        }
        if !match &fault.what {
            Fault::Damage(node, _) if self.plan.heals => self.can_lose_part(*node),
            Fault::Damage(node, _) => self.can_abstain(*node),
            Fault::Lose(node, _) => self.can_lose_part(*node),
            _ => true,
        } {
            return;
        }
        if let Some((node, parts)) = fault.what.parts()
            && !self.is_noticed(node, parts)
        {
            return;
        }
        self.trace.record(self.now, || What::Fault { text: fault.what.to_string(), begins: true });
        if fault.lasts > 0 && !matches!(fault.what, Fault::KillAt(..)) {
            self.queue.push(self.now + fault.lasts, Event::Repair(index));
        }
        match fault.what {
            Fault::Cut { pairs, .. } => self.wires.cut(&pairs),
            Fault::Kill(who) => who.iter().for_each(|node| self.crash(*node, false, "killed")),
            Fault::Stop(node) => self.stop(node),
            Fault::KillAt(node, point) => self.nodes[node as usize].trap = Some((point, index)),
            Fault::PowerCut(who) => who.iter().for_each(|node| self.crash(*node, true, "no power")),
            Fault::Pause(node) => self.pause(node),
            Fault::Slow(node, by) => self.nodes[node as usize].slow_by = by,
            Fault::WallJump(node, by) => self.nodes[node as usize].clocks.jump(by),
            Fault::WallFreeze(node) => self.nodes[node as usize].clocks.freeze(Some(self.now)),
            Fault::ClockUnknown(node) => self.nodes[node as usize].clocks.unknown = true,
            Fault::DiskFull(node) => self.set_mood(node, Mood::Full),
            Fault::DiskSlow(node, by) => self.nodes[node as usize].slow_sync = Some(by),
            Fault::SyncFails(node) => self.set_mood(node, Mood::FailsSync),
            Fault::BitFlip(node) => self.rot(node, false),
            Fault::Zeroed(node) => self.rot(node, true),
            Fault::Damage(node, key) => self.damage(node, &Plan::key(key)),
            Fault::Lose(node, loss) => self.lose_part(node, &loss),
            Fault::EmptyDisk(node) => self.replace(node, [PartState::Gone; 3]),
            Fault::OldDisk(node) => self.replace(node, [PartState::Older; 3]),
            Fault::Parts(node, parts) => self.replace(node, parts),
            Fault::Poison(node, time) => self.poison(node, time),
            Fault::Reset(node) => self.reset(node),
            Fault::ReadOnly(node) => self.nodes[node as usize].read_only = true,
            Fault::Stranger(node, claimed) => self.greet_as_stranger(node, claimed),
            Fault::Break(from, to) => self.break_lanes(from, to),
            Fault::Backlog(from, to) => self.backlogs.cut(&[(from, to)]),
            Fault::Mute(from, to) => self.mute(from, to),
            Fault::Members(node, wish) => self.ask_for_change(index, node, wish),
        }
    }

    /// A fault ends.
    pub(super) fn repair(&mut self, index: usize) {
        if self.now >= self.plan.chaos_end {
            // Everything was repaired at once.
            return;
        }
        let mut fault = self.plan.faults[index].clone();
        if !fault.what.limit_to(self.count()) {
            return;
        }
        self.trace.record(self.now, || What::Fault { text: fault.what.to_string(), begins: false });
        match fault.what {
            Fault::Cut { pairs, .. } => self.wires.mend(&pairs),
            Fault::Kill(who) | Fault::PowerCut(who) => {
                for node in who {
                    // Whoever still has a connection to the process before it learns now that it is gone.
                    self.reset_lanes_to(node);
                    self.start(node);
                }
            }
            Fault::KillAt(node, _) => self.start(node),
            Fault::Stop(node) => {
                let process = self.nodes[node as usize].process.as_ref();
                if process.is_some_and(|process| process.stopping != Stopping::No) {
                    // Whoever waits for its end has waited long enough.
                    self.crash(node, false, "killed");
                }
                self.start(node);
            }
            Fault::Pause(node) => self.resume(node),
            Fault::Slow(node, _) => self.nodes[node as usize].slow_by = 0,
            Fault::WallFreeze(node) => self.nodes[node as usize].clocks.freeze(None),
            Fault::ClockUnknown(node) => self.nodes[node as usize].clocks.unknown = false,
            Fault::DiskFull(node) | Fault::SyncFails(node) => {
                self.set_mood(node, Mood::Good);
                self.start(node);
            }
            Fault::ReadOnly(node) => self.make_writable(node),
            Fault::DiskSlow(node, _) => self.nodes[node as usize].slow_sync = None,
            Fault::BitFlip(node) | Fault::Zeroed(node) => {
                // A disk that rots is looked at when the node starts.
                self.crash(node, false, "restarted by hand");
                self.start(node);
            }
            Fault::EmptyDisk(node) | Fault::OldDisk(node) | Fault::Parts(node, _) => self.start(node),
            Fault::Backlog(from, to) => self.reads_again(from, to),
            Fault::Members(..) => self.start_machines(Some(index)),
            Fault::WallJump(..)
            | Fault::Damage(..)
            | Fault::Lose(..)
            | Fault::Stranger(..)
            | Fault::Poison(..)
            | Fault::Reset(_)
            | Fault::Mute(..)
            | Fault::Break(..) => {}
        }
    }

    /// An identity can be written again.
    pub(crate) fn make_writable(&mut self, node: u32) {
        self.nodes[node as usize].read_only = false;
        self.start(node);
    }

    /// A process comes to a point; whether it ends there.
    pub(super) fn springs(&mut self, node: u32, point: Point) -> bool {
        let Some((trap, index)) = self.nodes[node as usize].trap else { return false };
        if trap != point || self.now >= self.plan.chaos_end {
            return false;
        }
        self.nodes[node as usize].trap = None;
        self.crash(node, false, "killed");
        self.queue.push(self.now + self.plan.faults[index].lasts, Event::Repair(index));
        true
    }

    /// Whether the cluster can do without one more disk. A cluster that never had all its members confirmed needs
    /// every one of them.
    fn can_lose(&self, node: u32) -> bool {
        self.spares_one() && !self.nodes[node as usize].is_gone()
    }

    /// Whether each set of members that is in force or to come has a majority and one more that are whole; and all vote that may.
    fn spares_one(&self) -> bool {
        let newest = self.configurations.newest();
        let is_gone = |id: NodeId| self.nodes.get(id.0 as usize - 1).is_none_or(super::Node::is_gone);
        let sets = core::iter::once(newest.members.as_slice()).chain(newest.next());
        // Those who were asked to remove two may do so at any moment.
        let leaving = if self.shrinks { 2 } else { 0 };
        let spares = |members: &[Member]| {
            let gone = members.iter().filter(|member| is_gone(member.id)).count();
            let left = members.len().saturating_sub(leaving);
            gone + left / 2 + 1 < left
        };
        let mut members = (0..self.count()).filter(|node| self.is_member(*node));
        sets.into_iter().all(spares) && members.all(|node| self.votes(node))
    }

    /// Whether the cluster can do without the node's answers to questions about a key, as it can do without the node: a
    /// key for which no majority answers is not served, and nobody can be asked to.
    fn can_abstain(&self, node: u32) -> bool {
        self.nodes[node as usize].damaged || self.spares_one()
    }

    /// What a node has stored of a key cannot be read any more.
    pub(crate) fn damage(&mut self, node: u32, key: &[u8]) {
        if self.nodes[node as usize].process.is_some() {
            self.lose_part(node, &Loss::Versions(Bytes::copy_from_slice(key)));
        }
    }

    /// Whether what comes back is noticed for certain if it is not what it should be. Rule M1 goes no further where an older
    /// copy of all parts meets members who have not heard of what came after it, and where the database and the watermark go
    /// back together by less than what the identity has written down since.
    fn is_noticed(&self, node: u32, parts: Parts) -> bool {
        let state = &self.nodes[node as usize];
        if parts.contains(&PartState::Copied) && state.copy.is_none() {
            return false;
        }
        let others = (1u32..).zip(&self.nodes).filter(|(id, other)| *id != node + 1 && !other.lost);
        let boot = state.identity.boot;
        match parts {
            [PartState::Older, PartState::Older, PartState::Older] => {
                let met = |known: Option<(u32, u64)>| known.is_some_and(|(known, _)| known == boot);
                others.map(|(_, other)| other.identity.peers.boot_and_batches(node + 1)).all(met)
            }
            [PartState::Copied, PartState::Copied, PartState::Copied] => {
                let copied = state.copy.as_ref().map_or(0, crate::directory::Directory::batches);
                let heard = |known: Option<&(u32, u64)>| {
                    known.is_some_and(|(known, batches)| *known == boot && *batches > copied)
                };
                others.map(|(_, other)| other.remembered.get(&(node + 1))).all(heard)
            }
            _ => {
                let now = state.image();
                let (truth, written) =
                    (now.batches(), now.identity.as_ref().map_or(0, node::directory::Identity::batches));
                let mixed = now.with(parts, state.backup.as_ref(), state.copy.as_ref());
                let acknowledged = mixed.watermark.map_or(0, |watermark| watermark.batches);
                let held = mixed.batches();
                parts[0] != PartState::Kept || held >= truth || held < acknowledged.max(written)
            }
        }
    }

    pub(crate) fn pause(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        if state.process.is_some() && !state.paused {
            state.paused = true;
            self.trace.record(self.now, || What::Paused { node });
        }
    }

    pub(crate) fn set_mood(&mut self, node: u32, mood: Mood) {
        let state = &mut self.nodes[node as usize];
        state.mood = mood;
        if let Some(process) = &state.process {
            process.database.set_mood(mood);
        }
    }

    fn rot(&mut self, node: u32, zeros: bool) {
        let state = &mut self.nodes[node as usize];
        let Some(process) = &state.process else { return };
        state.meddled = true;
        if !zeros && self.rng.one_in(2) {
            // What only reads can notice; a restart finds the truth in the journal.
            let _ = process.database.rot_record(store::key::FIRST);
        } else if process.database.rot(&mut self.rng, zeros) {
            self.nodes[node as usize].rotten = true;
        }
    }

    /// Parts of the node's directory are missing or from another time when it comes back.
    pub(crate) fn replace(&mut self, node: u32, parts: Parts) {
        // A disk that is exchanged takes the power; whoever copies files lets the process end first.
        let whole = parts == [parts[0]; 3];
        self.crash(node, whole, "its disk is replaced");
        self.trace.record(self.now, || What::Replaced { node, parts });
        self.reset_lanes_to(node);
        let state = &mut self.nodes[node as usize];
        state.meddled = true;
        if self.lies.keeps_identity && parts == [PartState::Gone; 3] {
            state.claims = state.sequence() - 1;
            if let Some(stored) = &mut state.directory.database {
                stored.platter = Platter::default();
            }
            return;
        }
        let now = std::mem::take(&mut state.directory);
        state.directory = now.with(parts, state.backup.as_ref(), state.copy.as_ref());
        // Such a one is noticed by the others; what is not of one piece by itself, or it is what it was.
        state.replaced = whole || state.directory.is_empty();
        state.exchanged = true;
    }

    /// Somebody who speaks the protocol sends a version of the far future.
    fn poison(&mut self, node: u32, time: u64) {
        let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
        let stamped = StampedValue::plain(version, Content::Value("poison".into()));
        let request = Request::LocalWrite { key: Plan::key(0), stamped };
        let call = CallId { operation: u64::MAX, phase: 1 };
        let received = Received { call, remaining_ms: 1_000_000, scope: Scope::FIRST, request };
        self.serve_stray(node, node, received);
    }

    /// Somebody takes again what is sent to him.
    pub(crate) fn reads_again(&mut self, from: u32, to: u32) {
        self.backlogs.mend(&[(from, to)]);
        for key in self.lanes_of(from, Some(to)) {
            self.flush(from, key);
        }
    }
}
