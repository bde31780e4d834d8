//! Questions whose answers are on a disk, by the rules of the node ([`node::lookups`]): when they leave the event loop, how many
//! wait, when they are forgotten, and when the others are asked at once.
//!
//! What is not simulated: that an event loop which looks up for itself stands still meanwhile.

use super::running::About;
use super::{Event, World};
use abd::{Instant, Request};
use node::lookups::{Completed, READERS, look_up};
use node::shard::{REPLICA, ReplyTo};
use std::time::Duration;

/// A look-up that takes a while.
#[derive(Debug)]
pub(crate) struct Lookup {
    to: ReplyTo,
    found: LookupMoment,
    took: u64,
}

/// The snapshot that a look-up is answered from is of any moment of the time that it takes.
#[derive(Debug)]
enum LookupMoment {
    AtItsBeginning(Option<Completed>),
    AtItsEnd(Request),
}

impl World {
    /// Whoever looks up for a node takes the next questions.
    pub(super) fn begin_lookups(&mut self, node: u32) {
        let Some((from, to)) = self.plan.lookups else { return };
        while let Some((process, now)) = self.enter(node, About::Other)
            && process.looking < READERS
            && let Some((question, reply_to)) = process.around().next_lookup(now.instant)
        {
            process.looking += 1;
            let incarnation = process.incarnation;
            self.stats.lookups += 1;
            let took = self.rng.between(from, to);
            let found = match self.rng.one_in(2) {
                true => LookupMoment::AtItsBeginning(self.look_up(node, question)),
                false => LookupMoment::AtItsEnd(question),
            };
            let lookup = Box::new(Lookup { to: reply_to, found, took });
            self.queue.push(self.now + took, Event::LookedUp { node, incarnation, lookup });
        }
    }

    fn look_up(&mut self, node: u32, request: Request) -> Option<Completed> {
        let (process, _) = self.enter(node, About::Other)?;
        let around = process.around();
        Some(look_up(&REPLICA, &around.store, request, around.moment.get().standing))
    }

    /// A look-up is over.
    pub(super) fn looked_up(&mut self, node: u32, incarnation: u64, lookup: Lookup) {
        let now = Instant(self.now);
        let Some(process) = self.process_of(node, incarnation) else { return };
        process.looking -= 1;
        let around = process.around();
        around.hand_over.borrow_mut().has_read(Duration::from_nanos(lookup.took), now);
        let completed = match lookup.found {
            LookupMoment::AtItsBeginning(completed) => completed,
            LookupMoment::AtItsEnd(question) => self.look_up(node, question),
        };
        let Some(completed) = completed else { return };
        if let Some(process) = self.nodes[node as usize].process.as_ref() {
            process.around().lookups.borrow_mut().found(completed.bytes());
        }
        self.complete(node, lookup.to, completed, None);
    }
}
