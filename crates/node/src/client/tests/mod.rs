//! Whole conversations in memory: bytes in, replies out, with an event loop whose operations end when a test says so.

mod calls;
mod resp;
mod scripts;
mod transactions;

use super::answers::WayBack;
use super::conversation::{Advance, Conversation};
use super::front::{Calls, Front, Resp};
use super::operations::{Operations, Started};
use super::parked::{Parked, Ticket};
use super::patience::Patience;
use super::turns::{Load, Turns};
use crate::clock::{Clock, Moments};
use crate::functions::registers::Registers;
use crate::inquiry::notes::Notes;
use crate::inquiry::{Inquiries, Inquiry, InquiryId};
use crate::resp::{Counts, Host, Limits, Listed, Names, Policy, Response, Section, Session, SlowRequests};
use crate::shard::Return;
use crate::topology::Topology;
use abd::{
    Instant, Members, NodeId, Operation, OperationId, Outcome, QuorumSystem, Reason, Refusal, Scope,
    ValueFound,
};
use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::cell::{Cell, RefCell};
use core::task::{Context, Waker};
use core::time::Duration;

const LIMITS: Limits = Limits { max_key_bytes: 16, max_value_bytes: 4096, max_args: 128 };
const OUTPUT_LIMIT: usize = 10_000;
const OP_TIMEOUT: Duration = Duration::from_secs(5);

fn at(seconds: u64) -> Instant {
    Instant(seconds * 1_000_000_000)
}

/// An event loop with a store of its own.
struct World {
    counts: Counts,
    slow: RefCell<SlowRequests>,
    notes: RefCell<Notes>,
    turns: RefCell<Turns>,
    registers: RefCell<Registers>,
    /// Whether the disks are.
    is_full: Cell<bool>,
    running: RefCell<VecDeque<(OperationId, Operation, WayBack)>>,
    begun: Cell<u64>,
    may_begin: Cell<bool>,
    parked: RefCell<Parked>,
    now: Cell<Instant>,
    inquiries: RefCell<Inquiries<WayBack>>,
    policy: Cell<Policy>,
    /// How often all keys were to be deleted in the background, and how many were in the foreground.
    flushes: Cell<usize>,
    flushed: Cell<usize>,
}

impl World {
    fn new() -> Self {
        Self {
            counts: Counts::default(),
            slow: RefCell::default(),
            notes: RefCell::default(),
            turns: RefCell::new(Turns::new(Load { operations: 64, bytes: 1 << 20 })),
            registers: RefCell::new(Registers::new(LIMITS.max_value_bytes)),
            is_full: Cell::new(false),
            running: RefCell::default(),
            begun: Cell::new(0),
            may_begin: Cell::new(true),
            parked: RefCell::default(),
            now: Cell::new(at(0)),
            flushes: Cell::new(0),
            flushed: Cell::new(0),
            inquiries: RefCell::new(Inquiries::new(
                QuorumSystem::of(Members::new([NodeId(1)].into()), Scope::FIRST),
                NodeId(1),
                <[u8]>::cmp,
                OP_TIMEOUT,
            )),
            policy: Cell::default(),
        }
    }

    /// Lets everything that has begun end; whether anything had.
    fn run(&self) -> bool {
        let running = self.running.take();
        let had_any = !running.is_empty();
        for (_, operation, back) in running {
            back.send(self.carry_out(operation));
        }
        had_any
    }

    fn carry_out(&self, operation: Operation) -> Outcome {
        if self.is_full.get() && matches!(operation, Operation::Set { .. } | Operation::Update { .. }) {
            let refusal = Some(Refusal::DiskFull);
            return Outcome::Refused(Reason::TooManyRefused { refused: 2, members: 3, refusal });
        }
        self.registers.borrow_mut().carry_out(operation)
    }

    fn submit(&self, operation: Operation, back: WayBack) -> Started {
        self.begun.set(self.begun.get() + 1);
        let id = OperationId(self.begun.get());
        self.running.borrow_mut().push_back((id, operation, back));
        Started::Running(id)
    }
}

impl Clock for World {
    fn moments(&self) -> Moments {
        Moments::of_wall(0)
    }
}

impl Host for World {
    fn info(&self, _: &dyn Fn(&str) -> bool) -> Vec<Section> {
        Vec::new()
    }
    fn config(&self) -> Vec<(String, String)> {
        let parameters = self.slow.borrow().parameters().into_iter();
        parameters.map(|(name, value)| (name.to_owned(), alloc::format!("{value}"))).collect()
    }
    fn policy(&self) -> Policy {
        self.policy.get()
    }
    fn key_near(&self, _: u64) -> Option<Bytes> {
        None
    }
    fn flush_in_background(&self) {
        self.flushes.set(self.flushes.get() + 1);
    }
    fn count_flushed(&self, keys: usize) {
        self.flushed.set(self.flushed.get() + keys);
    }
    fn slow(&self, look: &mut dyn FnMut(&mut SlowRequests)) {
        look(&mut self.slow.borrow_mut());
    }
    fn slow_after(&self) -> Duration {
        self.slow.borrow().threshold()
    }
    fn notes(&self, look: &mut dyn FnMut(&mut Notes)) {
        look(&mut self.notes.borrow_mut());
    }
    fn check_script(&self, source: &[u8]) -> Result<(), Response> {
        if source.starts_with(b"wrong") { Err(Response::error("ERR no script")) } else { Ok(()) }
    }
    fn end_scripts(&self) -> bool {
        false
    }
    fn give_memory_back(&self) {}
    fn uptime(&self) -> Duration {
        self.now.get().since(at(0))
    }
    fn clients(&self) -> Vec<(Arc<Listed>, Names)> {
        Vec::new()
    }
    fn rename(&self, _: u64, _: &Names) {}
    fn kill(&self, _: u64) {}
    fn topology(&self) -> Topology {
        unreachable!("nobody asks here")
    }
    fn sentinel_master(&self) -> &str {
        unreachable!("nobody asks here")
    }
    fn command_counts(&self) -> Vec<crate::resp::CommandCounts> {
        crate::resp::by_command(core::iter::once(&self.counts))
    }
    fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Operations for World {
    fn start(&self, operation: Operation, instant: Instant, back: WayBack) -> Started {
        if self.may_begin.get() {
            return self.submit(operation, back);
        }
        Started::Parked(self.parked.borrow_mut().park(operation, instant + OP_TIMEOUT, back))
    }
    fn begin(&self, ticket: Ticket) -> Started {
        let parked = self.parked.borrow_mut().take(ticket);
        parked.map_or(Started::Refused, |parked| self.submit(parked.operation, parked.back))
    }
    fn may_begin(&self) -> bool {
        self.may_begin.get()
    }
    fn found(&self, operation: OperationId) -> ValueFound {
        let running = self.running.borrow();
        let found = running.iter().find(|(id, ..)| *id == operation);
        let size = |key| self.registers.borrow().read(key).content.len();
        found.map_or(ValueFound::Ended, |(_, operation, _)| ValueFound::Bytes(size(operation.key())))
    }
    fn cancel(&self, operations: impl Iterator<Item = Started>) {
        for operation in operations {
            let back = match operation {
                Started::Refused => None,
                Started::Parked(ticket) => self.parked.borrow_mut().take(ticket).map(|parked| parked.back),
                Started::Running(id) => {
                    let mut running = self.running.borrow_mut();
                    let place = running.iter().position(|(running, ..)| *running == id);
                    place.and_then(|place| running.remove(place)).map(|(_, _, back)| back)
                }
            };
            if let Some(back) = back {
                back.send(Outcome::Refused(Reason::Cancelled));
            }
        }
    }
    fn inquire(&self, inquiry: Inquiry, instant: Instant, back: WayBack) -> InquiryId {
        let mut inquiries = self.inquiries.borrow_mut();
        inquiries.begin(inquiry, back, instant)
    }
    fn end_inquiry(&self, inquiry: InquiryId) {
        self.inquiries.borrow_mut().cancel(inquiry, self.now.get());
    }
    fn turns(&self) -> &RefCell<Turns> {
        &self.turns
    }
    fn lend(&self, buffer: &mut BytesMut) {
        buffer.reserve(1024);
    }
    fn take_back(&self, buffer: &mut BytesMut) {
        if buffer.is_empty() {
            *buffer = BytesMut::new();
        }
    }
    fn now(&self) -> Instant {
        self.now.get()
    }
}

/// A client and its connection.
struct Client<'a, F> {
    world: &'a World,
    conversation: Conversation<F>,
    patience: Rc<Patience>,
    /// How many bytes it reads at a time.
    reads: usize,
    received: Vec<u8>,
    is_done: bool,
}

impl<'a> Client<'a, Resp> {
    fn over_resp(world: &'a World) -> Self {
        let address = || "127.0.0.1:1".to_owned();
        let session = Session::new(1, address(), address(), Duration::ZERO, LIMITS);
        Self::with(world, Resp::new(session, LIMITS))
    }
}

impl<'a> Client<'a, Calls> {
    fn over_calls(world: &'a World) -> Self {
        Self::with(world, Calls::new(LIMITS))
    }
}

impl<'a, F: Front> Client<'a, F> {
    fn with(world: &'a World, front: F) -> Self {
        let patience = Rc::<Patience>::default();
        let conversation =
            Conversation::new(front, BytesMut::new(), OUTPUT_LIMIT, patience.clone(), world.now.get());
        Self { world, conversation, patience, reads: usize::MAX, received: Vec::new(), is_done: false }
    }

    /// Sends bytes, as far as they are read. Whether they were.
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.go();
        if !self.conversation.reads() {
            return false;
        }
        self.conversation.input().0.extend_from_slice(bytes.as_ref());
        self.conversation.handle_read(bytes.as_ref().len(), self.world.now.get());
        self.go();
        true
    }

    /// Sends no more.
    fn end(&mut self) {
        self.conversation.handle_read(0, self.world.now.get());
        self.go();
    }

    /// Does what can be done.
    fn go(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        while !self.is_done {
            match self.conversation.advance(self.world).unwrap() {
                Advance::Done => self.is_done = true,
                Advance::OthersTurn => {}
                Advance::Waits => {
                    let settled = self.conversation.is_owed()
                        && self.conversation.poll_settle(self.world, &mut context).is_ready();
                    let count = self.conversation.output().len().min(self.reads);
                    if count > 0 {
                        self.received.extend_from_slice(&self.conversation.output()[..count]);
                        self.conversation.handle_written(count);
                    } else if !settled {
                        return;
                    }
                }
            }
        }
    }

    /// What it has received since it was asked last, after everything that was asked for has ended.
    fn replies(&mut self) -> String {
        self.go();
        while self.world.run() {
            self.go();
        }
        self.received()
    }

    fn received(&mut self) -> String {
        String::from_utf8(core::mem::take(&mut self.received)).unwrap()
    }
}
