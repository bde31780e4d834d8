//! What a thread does around an event loop ([`node::shard::Shard`]): inputs into it, and after each what it wants done.

use super::environment::{Moment, Note};
use super::node::{Loop, Process, Stopping};
use super::running::About;
use super::{Event, World};
use crate::mutant::{ClockLie, ExpiryLie};
use crate::plan::Point;
use crate::time::MS;
use crate::trace::What;
use abd::{Instant, Interval, Now, TimestampMode};
use node::client::operations::Operations;
use node::clock::Moments;

/// How a process ends that has stopped in order.
pub(crate) const STOPPED: &str = "stopped";

/// Timers fire at multiples of this.
const TIMER: u64 = MS;

impl World {
    /// A node's process at this moment, and what its event loop is told about time. `about`: what that is about.
    pub(super) fn enter(&mut self, node: u32, about: About) -> Option<(&mut Process, Now)> {
        self.nodes[node as usize].process.as_ref()?;
        let interval = self.interval_at(node);
        self.record_clock(node);
        let state = &mut self.nodes[node as usize];
        let sequence = state.sequence();
        let true_time = self.plan.mode == TimestampMode::TrueTime;
        let clock = state.clocks.interval(self.now, &self.plan.clocks).filter(|_| true_time);
        let wall = state.clocks.wall(self.now);
        let latest = clock.map_or(wall, |interval| interval.latest);
        let moments = if true_time { Moments::of_interval(clock, wall) } else { Moments::of_wall(wall) };
        let process = state.process.as_mut()?;
        let standing = process.desk.admission.borrow().standing(process.rounds.has_room());
        let now = Instant(self.now);
        let around = process.around();
        let lookups = self.plan.lookups;
        around.moment.set(Moment { now, interval, latest, moments, standing, sequence, lookups });
        around.store.is_replaced.set(state.replaced);
        around.about.set(about);
        let (interval, moment) = (around.told_interval(), around.judged_by());
        if around.lies.expiry == ExpiryLie::Hides {
            around.store.hides_due_at.set(moment);
        }
        Some((process, Now { instant: now, interval, moment }))
    }

    fn interval_at(&self, node: u32) -> Option<Interval> {
        if self.plan.mode == TimestampMode::Logical {
            return None;
        }
        let clocks = &self.nodes[node as usize].clocks;
        let interval = clocks.interval(self.now, &self.plan.clocks);
        match self.lies.clock {
            ClockLie::Wall => Some(Interval { earliest: u64::MAX, latest: clocks.wall(self.now) }),
            ClockLie::NobodyWaits => interval.map(|i| Interval { earliest: u64::MAX, ..i }),
            ClockLie::None | ClockLie::GetsDoNotWait | ClockLie::UpdatesDoNotWait => interval,
            ClockLie::Stale => {
                // As if it had been read at the last full tenth of a second.
                let before = self.now / (100 * MS) * (100 * MS);
                let then = clocks.interval(before, &self.plan.clocks);
                interval.map(|i| Interval { latest: then.map_or(i.latest, |then| then.latest), ..i })
            }
        }
    }

    /// Tells an event loop something, and does what it wants done about it.
    pub(super) fn tell<T>(
        &mut self,
        node: u32,
        about: About,
        input: impl FnOnce(&mut Loop, Now) -> T,
    ) -> Option<T> {
        let (process, now) = self.enter(node, about)?;
        let told = input(process.desk.shard.get_mut(), now);
        self.follow_up(node);
        Some(told)
    }

    /// Does what an event loop wants done: to be called after every input.
    pub(super) fn follow_up(&mut self, node: u32) {
        if self.heed(node) && self.springs(node, Point::BeforeWrites) {
            return;
        }
        while let Some((process, _)) = self.enter(node, About::Other)
            && let Some(key) = process.desk.shard.get_mut().poll_replaced()
        {
            self.close_lane(node, key);
        }
        while let Some((process, now)) = self.enter(node, About::Other)
            && let Some(asked) = process.desk.shard.get_mut().poll_question()
        {
            // It takes no time here.
            let around = process.around();
            let admitted = around.moment.get().standing.admitted;
            let answer = asked.carry_out(&around.store, admitted, |range| around.accepted(range));
            process.desk.shard.get_mut().handle_answered(asked.to, answer, now);
        }
        self.keep_changing(node);
        self.delete_what_is_due(node);
        self.keep_sweeping(node);
        self.send_what_waits(node);
        self.hand_out(node);
        self.arm(node);
        self.keep_repairing(node);
        self.begin_lookups(node);
        self.work(node);
        self.check_lanes(node);
        self.look_at_end(node);
    }

    /// Rule B1: what waits for peers that do not read is bounded.
    fn check_lanes(&mut self, node: u32) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        for key in process.lanes.keys() {
            if let Some(waiting) = process.desk.shard.get_mut().waiting(*key) {
                process.around().check_lane(waiting);
            }
        }
        let conviction = process.around().store.conviction.take();
        self.convict(conviction.map_or(Ok(()), Err));
    }

    /// A process begins to stop in order: what is in flight may end.
    pub(crate) fn stop(&mut self, node: u32) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        if process.stopping != Stopping::No {
            return;
        }
        process.desk.admission.borrow_mut().stop();
        process.around().stops.set(true);
        process.stopping = Stopping::Draining;
        process.desk.shard.get_mut().stop_sweeping();
        // What has not begun is refused.
        process.desk.refuse_parked(Instant(u64::MAX));
        let incarnation = process.incarnation;
        self.queue.push(self.now + self.plan.drain, Event::Drained { node, incarnation });
        self.look_after_talks(node);
        self.follow_up(node);
    }

    /// What is in flight ends now.
    pub(super) fn end_operations(&mut self, node: u32) {
        let Some((process, now)) = self.enter(node, About::Other) else { return };
        if process.stopping != Stopping::Draining {
            return;
        }
        process.desk.shard.get_mut().handle_timeout(Now { instant: Instant(u64::MAX), ..now });
        process.stopping = Stopping::Closing;
        let around = process.around();
        around.writes.borrow_mut().close();
        around.lookups.borrow_mut().close();
        self.follow_up(node);
    }

    /// A process that stops comes to its end when nothing is in flight, and then nothing waits for the disk.
    fn look_at_end(&mut self, node: u32) {
        let Some(process) = self.nodes[node as usize].process.as_ref() else { return };
        match process.stopping {
            Stopping::No => {}
            Stopping::Draining if process.desk.shard.borrow().in_flight() == 0 => self.end_operations(node),
            Stopping::Draining => {}
            Stopping::Closing => {
                let has_ended = process.around().writes.borrow().has_ended();
                if has_ended && process.job.is_none() {
                    self.crash(node, false, STOPPED);
                }
            }
        }
    }

    /// Takes note of what an event loop has done; whether its coordinator writes.
    fn heed(&mut self, node: u32) -> bool {
        let Some((process, _)) = self.enter(node, About::Other) else { return false };
        let around = process.around();
        let (notes, conviction) = (around.notes.take(), around.store.conviction.take());
        self.convict(conviction.map_or(Ok(()), Err));
        let mut writes = false;
        for note in notes {
            match note {
                Note::Writes(key, stamped) => {
                    writes = true;
                    self.note_write(node, &key, &stamped);
                }
                Note::Link(peer, up) => self.trace.record(self.now, || What::Link { node, peer, up }),
                Note::Proposes(key, update) => self.note_proposal(node, &key, update, None),
                Note::Blind(operation) => self.records[operation].is_blind = true,
                Note::Observed(peer, batches) => {
                    self.nodes[node as usize].identity.peers.observe(peer, batches);
                }
            }
        }
        writes
    }

    /// Has whoever waits for an operation that has ended look.
    fn hand_out(&mut self, node: u32) {
        let Some(process) = self.nodes[node as usize].process.as_ref() else { return };
        let ended = process.around().ended.take();
        let may_begin = process.desk.may_begin() && process.desk.poll_timeout().is_some();
        let has_found = process.around().has_found.take();
        if ended.is_empty() && !may_begin && !has_found {
            return;
        }
        let waited = process.desk.waiting();
        let is_news = !ended.is_empty() || has_found;
        for (operation, version) in ended {
            let process = self.nodes[node as usize].process.as_ref();
            let number = process.and_then(|process| process.around().end(operation));
            if let Some(number) = number.filter(|_| self.lies.cancels_batches) {
                self.cancel_batches(node, number.0);
            }
            if let Some(version) = version {
                self.look_at_holders(operation, version);
            }
        }
        self.look_after_talks(node);
        let waits = self.nodes[node as usize].process.as_ref().map(|process| process.desk.waiting());
        if is_news || waits != Some(waited) {
            // One that has ended may have let others begin.
            self.follow_up(node);
        }
    }

    fn arm(&mut self, node: u32) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        let timers = [process.desk.shard.get_mut().poll_timeout(), process.desk.poll_timeout()];
        if let Some(due) = timers.into_iter().flatten().min()
            && due.0 < process.armed
        {
            // As coarse as the node's timers.
            let at = due.0.max(self.now + 1).next_multiple_of(TIMER);
            process.armed = at;
            let incarnation = process.incarnation;
            self.queue.push(at, Event::Wake { node, incarnation, at });
        }
    }

    /// A coordinator's timer.
    pub(super) fn wake(&mut self, node: u32, incarnation: u64, at: u64) {
        let Some(process) = self.process_of(node, incarnation) else { return };
        if process.armed == at {
            process.armed = u64::MAX;
            process.desk.refuse_parked(Instant(at));
            self.look_after_talks(node);
            self.tell(node, About::Other, |shard, now| shard.handle_timeout(now));
        }
    }
}
