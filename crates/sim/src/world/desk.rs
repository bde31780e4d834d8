//! An event loop as the connections of its clients see it ([`Operations`]).

use super::back::{Back, To};
use super::environment::{Note, Surroundings};
use super::node::Loop;
use super::running::{About, RunningOperation};
use abd::{Instant, Operation, OperationId, Outcome, ValueFound};
use bytes::{Bytes, BytesMut};
use node::admission::Admission;
use node::client::answers::WayBack;
use node::client::operations::{Operations, Started};
use node::client::parked::{Parked, Ticket};
use node::client::turns::{Load, Turns};
use node::clock::{Clock, Moments};
use node::inquiry::notes::Notes;
use node::inquiry::{Inquiry, InquiryId};
use node::resp::{Counts, Host, Listed, Names, Policy, Response, Section, SlowRequests};
use node::shard::Return;
use node::topology::Topology;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What clients may have in flight at a node, but for one operation each.
const IN_FLIGHT_MAX: Load = Load { operations: 16, bytes: 64 << 10 };

/// An operation that a client has asked for over a connection.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) operation: usize,
    pub(crate) key: Bytes,
    pub(crate) has_begun: bool,
}

/// Which of those this is that begins. Of one key they begin one after the other, as the connection has them ordered; and a blind
/// Delete takes the place of an update for which there is no room.
fn begins(asked: &mut VecDeque<Asked>, operation: &Operation) -> Option<usize> {
    let key = operation.key();
    let found = match operation {
        Operation::Delete { .. } => asked.iter_mut().rev().find(|asked| asked.has_begun && asked.key == key),
        _ => asked.iter_mut().find(|asked| !asked.has_begun && asked.key == key),
    }?;
    found.has_begun = true;
    Some(found.operation)
}

/// An event loop, what begins there, and what may not begin yet.
pub(crate) struct Desk {
    pub(crate) shard: RefCell<Loop>,
    pub(crate) around: Rc<Surroundings>,
    pub(crate) admission: Rc<RefCell<Admission>>,
    /// The mutant `begins-alone`.
    pub(crate) begins_alone: bool,
    pub(crate) op_timeout: Duration,
    pub(crate) parked: RefCell<Parked>,
    /// The operations that the connection which is looked after has asked for, the oldest first; and those that wait to begin,
    /// by their tickets.
    pub(crate) asked: RefCell<VecDeque<Asked>>,
    parked_as: RefCell<Vec<(Ticket, usize)>>,
    counts: Counts,
    slow: RefCell<SlowRequests>,
    turns: RefCell<Turns>,
}

impl Desk {
    pub(crate) fn new(
        shard: Loop,
        around: Rc<Surroundings>,
        begins_alone: bool,
        op_timeout: Duration,
    ) -> Self {
        Self {
            shard: RefCell::new(shard),
            admission: around.admission.clone(),
            around,
            begins_alone,
            op_timeout,
            parked: RefCell::default(),
            asked: RefCell::default(),
            parked_as: RefCell::default(),
            counts: Counts::default(),
            slow: RefCell::default(),
            turns: RefCell::new(Turns::new(IN_FLIGHT_MAX)),
        }
    }

    fn submit(&self, asked: usize, operation: Operation, deadline: Instant, way: WayBack) -> Started {
        let about = About::of(&operation);
        let key = operation.key().clone();
        if matches!(operation, Operation::Delete { .. }) {
            self.around.note(Note::Blind(asked));
        }
        let around = &self.around;
        around.about.set(about);
        let back = Back {
            operation: asked,
            key: key.clone(),
            around: around.clone(),
            to: To::Client(way),
            deletes: false,
        };
        let begun = self.shard.borrow_mut().submit(operation, deadline, around.moment.get().now, back);
        around.about.set(About::Other);
        match begun {
            Ok(id) => {
                let running = RunningOperation::new(asked, about, key);
                around.operations.borrow_mut().insert(id.0, running);
                Started::Running(id)
            }
            Err((reason, back)) => {
                back.send(Outcome::Refused(reason));
                Started::Refused
            }
        }
    }

    /// How many operations wait to begin.
    pub(crate) fn waiting(&self) -> usize {
        self.parked_as.borrow().len()
    }

    /// When an operation is due that has not begun.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.parked.borrow().poll_timeout()
    }

    /// Refuses what has waited in vain to begin.
    pub(crate) fn refuse_parked(&self, now: Instant) {
        self.parked.borrow_mut().handle_timeout(now, self.admission.borrow().not_begun());
    }
}

impl Clock for Desk {
    fn moments(&self) -> Moments {
        self.around.moment.get().moments
    }
}

impl Host for Desk {
    fn info(&self, _: &dyn Fn(&str) -> bool) -> Vec<Section> {
        Vec::new()
    }

    fn config(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn policy(&self) -> Policy {
        Policy::default()
    }

    fn key_near(&self, _: u64) -> Option<Bytes> {
        None
    }

    fn flush_in_background(&self) {
        unreachable!("no client asks for that");
    }

    fn count_flushed(&self, _: usize) {}

    fn slow(&self, look: &mut dyn FnMut(&mut SlowRequests)) {
        look(&mut self.slow.borrow_mut());
    }
    fn slow_after(&self) -> Duration {
        self.slow.borrow().threshold()
    }
    fn notes(&self, look: &mut dyn FnMut(&mut Notes)) {
        look(&mut Notes::default());
    }
    fn check_script(&self, _: &[u8]) -> Result<(), Response> {
        unreachable!("clients of the simulator load no scripts")
    }
    fn end_scripts(&self) -> bool {
        false
    }
    fn give_memory_back(&self) {}
    fn uptime(&self) -> Duration {
        Duration::ZERO
    }

    fn clients(&self) -> Vec<(Arc<Listed>, Names)> {
        Vec::new()
    }

    fn rename(&self, _: u64, _: &Names) {}

    fn kill(&self, _: u64) {}

    fn topology(&self) -> Topology {
        unreachable!("clients of the simulator do not ask for the nodes")
    }

    fn sentinel_master(&self) -> &str {
        unreachable!("clients of the simulator know no Sentinel")
    }

    fn command_counts(&self) -> Vec<node::resp::CommandCounts> {
        node::resp::by_command(core::iter::once(&self.counts))
    }

    fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Operations for Desk {
    fn start(&self, operation: Operation, instant: Instant, back: WayBack) -> Started {
        let deadline = instant + self.op_timeout;
        // What is refused as it stands never begins.
        let Some(asked) = begins(&mut self.asked.borrow_mut(), &operation) else {
            unreachable!("nothing begins that nobody has asked for")
        };
        if self.may_begin() {
            return self.submit(asked, operation, deadline, back);
        }
        if self.admission.borrow().is_stopping() {
            back.send(Outcome::Refused(self.admission.borrow().not_begun()));
            return Started::Refused;
        }
        let ticket = self.parked.borrow_mut().park(operation, deadline, back);
        self.parked_as.borrow_mut().push((ticket, asked));
        Started::Parked(ticket)
    }

    fn begin(&self, ticket: Ticket) -> Started {
        let mut parked_as = self.parked_as.borrow_mut();
        let asked = parked_as.iter().find(|(other, _)| *other == ticket).map(|(_, asked)| *asked);
        parked_as.retain(|(other, _)| *other != ticket);
        let parked = self.parked.borrow_mut().take(ticket);
        asked.zip(parked).map_or(Started::Refused, |(asked, parked)| {
            self.submit(asked, parked.operation, parked.deadline, parked.back)
        })
    }

    fn may_begin(&self) -> bool {
        self.admission.borrow().may_begin() || self.begins_alone && self.admission.borrow().is_admitted()
    }

    fn found(&self, operation: OperationId) -> ValueFound {
        self.shard.borrow().found(operation)
    }

    fn cancel(&self, operations: impl Iterator<Item = Started>) {
        let cancel = |started| self.parked.borrow_mut().cancel(started);
        let running: Vec<OperationId> = operations.filter_map(cancel).collect();
        self.shard.borrow_mut().cancel(running.into_iter(), self.around.moment.get().now);
    }

    fn inquire(&self, inquiry: Inquiry, instant: Instant, way: WayBack) -> InquiryId {
        // It is no operation.
        let (key, around) = (Bytes::new(), self.around.clone());
        let back = Back { operation: usize::MAX, key, around, to: To::Client(way), deletes: false };
        self.shard.borrow_mut().inquire(inquiry, back, instant)
    }

    fn end_inquiry(&self, inquiry: InquiryId) {
        self.shard.borrow_mut().end_inquiry(inquiry, self.around.moment.get().now);
    }

    fn turns(&self) -> &RefCell<Turns> {
        &self.turns
    }

    fn lend(&self, buffer: &mut BytesMut) {
        buffer.reserve(256);
    }

    fn take_back(&self, buffer: &mut BytesMut) {
        if buffer.is_empty() {
            *buffer = BytesMut::new();
        }
    }

    fn now(&self) -> Instant {
        self.around.moment.get().now
    }
}
