//! A connection of a client without its socket: requests in, operations, replies out in the order of the requests. RESP and the
//! Coordinator service differ in their [`Front`] alone.
//!
//! Pipelined requests on different keys run at the same time, and so do reads of one key. Others that touch a key in
//! flight on this connection wait for it, and so do those behind them. So one connection sees its own writes, and no
//! read sees a write that was asked for after it.
//!
//! Requests are read while others are being carried out, and while replies wait to be read: a client may write everything
//! before it reads anything. Replies wait up to a limit; beyond it no more is done for the connection until it reads, and if
//! it reads nothing for a while it is closed.
//!
//! A client that sends a batch and waits for all of its answers gets them in one piece, if the batch came in one. When more
//! requests come in before that, the connection is taken for one that several callers share, each of whom waits for its own
//! answer: then an answer goes out as soon as it is its turn.

use super::front::{Front, Next};
use super::operations::Operations;
use super::output::Output;
use super::patience::Patience;
use super::pipeline::{OUT_BYTES, Pipeline, PipelineRequest, Until};
use abd::Instant;
use abd::wire::WireError;
use alloc::rc::Rc;
use bytes::{Buf, BytesMut};
use core::task::{Context, Poll};

/// While a request waits for one before it, no more is read once there is this much.
const INPUT_BYTES: usize = 16 << 10;
/// After so many requests it is the turn of other connections.
const TURN_REQUESTS: usize = 128;

/// What a conversation comes to next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// It waits: for its operations, for its client to read, or to write if it [reads](Conversation::reads).
    Waits,
    /// It is the turn of other connections.
    OthersTurn,
    /// All is said: the connection is to be closed.
    Done,
}

/// One conversation. After every input it is to [`advance`](Self::advance).
pub struct Conversation<F> {
    front: F,
    pipeline: Pipeline,
    input: BytesMut,
    /// Replies that are gathered, and whether they are to be sent now; and those that wait for the client to read.
    out: BytesMut,
    sends: bool,
    output: Output,
    /// Bytes that may wait.
    output_limit: usize,
    /// A request that waits for one before it.
    held: Option<PipelineRequest>,
    /// Whether requests come in while others are carried out.
    shared: bool,
    /// Whether the client sends no more, and whether no more is wanted of it.
    ended: bool,
    closing: bool,
    /// Whether more is to be read, and how long to wait for what is owed.
    reads: bool,
    until: Until,
    /// Bytes of memory that it takes beside the replies.
    requests: usize,
    /// One look at the clock for all that arrived together.
    now: Instant,
    patience: Rc<Patience>,
}

impl<F: Front> Conversation<F> {
    /// A fresh one, of which `input` has come already. So many bytes of replies may wait.
    pub fn new(front: F, input: BytesMut, output_limit: usize, patience: Rc<Patience>, now: Instant) -> Self {
        Self {
            front,
            pipeline: Pipeline::default(),
            input,
            out: BytesMut::new(),
            sends: false,
            output: Output::default(),
            output_limit,
            held: None,
            shared: false,
            ended: false,
            closing: false,
            reads: false,
            until: Until::All,
            requests: 0,
            now,
            patience,
        }
    }

    /// Begins what can begin of the requests that have come.
    ///
    /// # Errors
    /// When the bytes that have come make no sense, and the connection is to be closed without a word.
    pub fn advance(&mut self, shard: &impl Operations) -> Result<Advance, WireError> {
        if core::mem::take(&mut self.sends) {
            // What was not taken at once.
            self.output.add(&mut self.out);
            shard.take_back(&mut self.out);
        }
        let is_full = self.output.len() >= self.output_limit;
        let begun = if is_full { 0 } else { self.begin(shard)? };
        if self.pipeline.is_empty() {
            self.shared = false;
            if self.closing && self.output.is_empty() {
                return Ok(Advance::Done);
            }
        }
        self.until = match (self.shared, &self.held) {
            (true, _) => Until::SomethingToSend,
            (false, Some(_)) => Until::OneMore,
            (false, None) => Until::All,
        };
        self.reads = !is_full
            && !self.closing
            && !self.ended
            && (!self.is_held_up() || self.input.len() < INPUT_BYTES);
        shard.take_back(&mut self.input);
        let half_sent = self.input.capacity() + self.front.held_bytes();
        let held = self.held.as_ref().map_or(0, PipelineRequest::bytes);
        self.requests = half_sent + self.front.kept_bytes() + held;
        let waits_for_more = self.reads && !self.is_held_up() && half_sent > 0;
        let arrived = self.front.arrived_bytes(&self.input);
        self.patience.wait_for_request(waits_for_more, begun > 0, arrived, self.now);
        self.patience.wait_for_reader((is_full || self.closing) && !self.output.is_empty(), || shard.now());
        Ok(if begun == TURN_REQUESTS { Advance::OthersTurn } else { Advance::Waits })
    }

    /// Begins requests as far as they need not wait, and as long as it is the turn of this connection. Returns how many.
    fn begin(&mut self, shard: &impl Operations) -> Result<usize, WireError> {
        let mut begun = 0;
        while (!self.closing || self.held.is_some()) && begun < TURN_REQUESTS {
            let request = match self.held.take() {
                Some(request) => request,
                None if self.front.waits() => break,
                None => match self.front.next(&mut self.input, shard)? {
                    Next::Request(request) => request,
                    Next::Last(request) => {
                        self.closing = true;
                        request
                    }
                    Next::Cancel(number) => {
                        self.pipeline.cancel(shard, number);
                        continue;
                    }
                    Next::Close => {
                        self.closing = true;
                        break;
                    }
                    Next::Incomplete => {
                        self.closing |= self.ended;
                        break;
                    }
                },
            };
            if self.pipeline.has_to_wait(shard, &request) {
                self.held = Some(request);
                break;
            }
            self.pipeline.push(shard, request, self.front.protocol(), self.now);
            begun += 1;
        }
        Ok(begun)
    }

    /// Whether what comes next waits for what is being carried out.
    fn is_held_up(&self) -> bool {
        self.held.is_some() || self.front.waits()
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.requests + self.pipeline.memory() + self.output.memory() + self.out.capacity()
    }

    /// Whether it waits for operations.
    pub fn is_owed(&self) -> bool {
        !self.pipeline.is_empty()
    }

    /// Gathers replies of operations that have ended; pending until it is to advance for them.
    pub fn poll_settle(&mut self, shard: &impl Operations, context: &mut Context<'_>) -> Poll<()> {
        if self.pipeline.poll_settle(shard, &mut self.out, self.until, context).is_pending() {
            return Poll::Pending;
        }
        for took in self.pipeline.take_slow() {
            self.front.took(took, shard);
        }
        if self.is_held_up() {
            // It may have waited for long.
            self.now = shard.now();
        }
        let is_part = self.until == Until::OneMore || self.until == Until::All && !self.pipeline.is_empty();
        self.sends = !is_part || self.out.len() > OUT_BYTES;
        Poll::Ready(())
    }

    /// What is to be written to the client now; empty if there is nothing.
    pub fn output(&self) -> &[u8] {
        match self.output.front() {
            [] if self.sends => &self.out,
            waiting => waiting,
        }
    }

    /// So much of [`output`](Self::output) is written. What is not waits when the conversation advances.
    pub fn handle_written(&mut self, count: usize) {
        if self.output.is_empty() {
            self.out.advance(count);
        } else {
            self.output.advance(count);
            self.patience.has_read();
        }
    }

    /// Whether more is to be read from the client.
    pub fn reads(&self) -> bool {
        self.reads
    }

    /// Where to append what is read, and how much must come before the next request can be complete, as far as that is known.
    pub fn input(&mut self) -> (&mut BytesMut, usize) {
        let missing = self.front.missing_bytes(&self.input);
        (&mut self.input, missing)
    }

    /// So much was read. Nothing means that no more will come: whoever has sent everything may still wait for answers.
    pub fn handle_read(&mut self, count: usize, now: Instant) {
        self.ended = count == 0;
        self.shared |= !self.ended && !self.pipeline.is_empty();
        self.now = now;
        self.front.heard(now);
    }

    /// The client is gone, or has to go: whatever is in flight ends.
    pub fn abandon(&mut self, shard: &impl Operations) {
        self.pipeline.abandon(shard);
    }
}
