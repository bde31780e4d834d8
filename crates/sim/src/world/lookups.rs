//! Questions whose answers are on a disk, by the rules of the node ([`node::lookups`]): when they leave the event loop, how many
//! wait, when they are forgotten, and when the others are asked at once.
//!
//! What is not simulated: that an event loop which looks up for itself stands still meanwhile.

use super::{Event, Source, World};
use ::node::lookups::READERS;
use abd::{Instant, Reply, Request};
use std::time::Duration;

/// A look-up that takes a while.
#[derive(Debug)]
pub(crate) struct Lookup {
    source: Source,
    found: LookupMoment,
    took: u64,
}

/// The snapshot that a look-up is answered from is of any moment of the time that it takes.
#[derive(Debug)]
enum LookupMoment {
    AtItsBeginning(Option<Reply>),
    AtItsEnd(Request),
}

impl World {
    /// Answers a question that memory cannot answer, or lets it wait.
    pub(super) fn look_up(
        &mut self,
        node: u32,
        question: Request,
        source: Source,
        deadline: Instant,
    ) -> Option<Reply> {
        let (now, times) = (Instant(self.now), self.plan.lookups);
        let process = self.nodes[node as usize].process.as_mut()?;
        let Some((from, to)) = times.filter(|_| process.hand_over.is_on(now)).or_else(|| {
            // The event loop looks for itself, and may find it in the page cache.
            let (from, to) = times.filter(|_| self.rng.one_in(2))?;
            process.hand_over.has_read(Duration::from_nanos(self.rng.between(from, to)), now);
            None
        }) else {
            return self.react(node, question, source);
        };
        if let Err(refused) = process.lookups.ask(question, source, deadline, now) {
            return Some(refused);
        }
        self.begin_lookups(node, (from, to));
        None
    }

    fn begin_lookups(&mut self, node: u32, (from, to): (u64, u64)) {
        loop {
            let now = Instant(self.now);
            let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
            if process.looking == READERS {
                return;
            }
            let Some((question, source)) = process.lookups.next(now) else { return };
            process.looking += 1;
            self.stats.lookups += 1;
            let incarnation = process.incarnation;
            let took = self.rng.between(from, to);
            let found = match self.rng.one_in(2) {
                true => LookupMoment::AtItsBeginning(self.react(node, question, source)),
                false => LookupMoment::AtItsEnd(question),
            };
            let lookup = Box::new(Lookup { source, found, took });
            self.queue.push(self.now + took, Event::LookedUp { node, incarnation, lookup });
        }
    }

    /// A look-up is over.
    pub(super) fn looked_up(&mut self, node: u32, incarnation: u64, lookup: Lookup) {
        let Some(process) = self.nodes[node as usize].process.as_mut() else { return };
        if process.incarnation != incarnation {
            return;
        }
        process.looking -= 1;
        process.hand_over.has_read(Duration::from_nanos(lookup.took), Instant(self.now));
        let reply = match lookup.found {
            LookupMoment::AtItsBeginning(reply) => reply,
            LookupMoment::AtItsEnd(question) => self.react(node, question, lookup.source),
        };
        match (lookup.source, reply) {
            (_, None) => {}
            (Source::Local(call), Some(reply)) => self.handle_reply(node, node, call, reply),
            (Source::Peer { .. }, Some(reply)) => self.send_reply(node, lookup.source, &reply),
        }
        self.pump(node);
        if let Some(times) = self.plan.lookups {
            self.begin_lookups(node, times);
        }
    }
}
