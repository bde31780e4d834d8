//! One lane: the same at either side, once the handshake is over.

use super::greet::NewLane;
use super::lanes::{Lanes, Pair};
use super::{ConnectionError, Outbox, PING, PING_EVERY, PONG, SILENCE_LIMIT, put_pong, read_some};
use crate::logging::limit::limited;
use crate::node::now_instant;
use crate::node::repair;
use crate::node::shard::Shard;
use crate::node::signal::Signal;
use ::node::frames::{Frames, Incoming};
use ::node::hello::LaneId;
use ::node::lanes::kind_of;
use ::node::limits::FRAME_BYTES_MAX;
use ::node::lookups::found_bytes;
use ::node::repair::message::{Answer, is_answer, is_question, put_answer};
use abd::wire::{call_of, get_reply, get_request, is_reply};
use abd::{CallId, Instant, Now, Refusal, Reply};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::tcp::OwnedReadHalf;

/// A lane that is up.
pub(crate) struct Lane {
    pub(super) id: LaneId,
    /// The boot count of the peer. A reply never goes to another run of it, whose calls have the same numbers.
    pub(super) run: u32,
    pub(super) pair: Rc<Pair>,
    /// By which replies that come later find it.
    pub(super) number: u64,
    pub(super) outbox: Outbox,
    /// Another one took its place.
    pub(super) replaced: Signal,
    /// Whether a question of the peer's repair is being looked at.
    pub(super) answers: Cell<bool>,
}

impl Lane {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether a question of the peer's repair may be looked at now: one at a time.
    pub(crate) fn begin_answer(&self) -> bool {
        !self.answers.replace(true)
    }

    /// Sends the answer to it.
    pub(crate) fn end_answer(&self, call: CallId, answer: &Answer) {
        self.answers.set(false);
        self.tell(call, answer);
    }

    /// Sends an answer of repair's.
    pub(crate) fn tell(&self, call: CallId, answer: &Answer) {
        self.over_the_way_for(0, |outbox| outbox.frame(|body| put_answer(body, call, answer)));
    }

    /// Sends a reply to what came over this lane.
    pub(crate) fn answer(&self, call: CallId, reply: &Reply) {
        let found = found_bytes(reply);
        self.over_the_way_for(found, |outbox| {
            if found > 0 && !outbox.takes_contents() {
                // It is asked again; others are asked at once.
                self.over_the_way_for(0, |outbox| outbox.reply(call, &Reply::Refused(Refusal::Overloaded)));
            } else {
                outbox.reply(call, reply);
            }
        });
    }

    /// The lane of the pair that a message of this size takes, if it leads to the same run of the peer.
    fn over_the_way_for<T>(&self, bytes: usize, act: impl FnOnce(&Outbox) -> T) -> T {
        let kind = kind_of(bytes);
        let other = if kind == self.id.kind { None } else { self.pair.lane(kind) };
        match other.filter(|other| other.run == self.run) {
            Some(other) => act(&other.outbox),
            None => act(&self.outbox),
        }
    }

    fn ping(&self) {
        self.outbox.frame(|body| body.put_u8(PING));
    }
}

/// Serves a lane until it ends.
pub(super) async fn serve(shard: &Shard, lanes: &Lanes, lane: NewLane) {
    let NewLane { member, stream, input } = lane;
    let id = member.lane;
    lanes.learn(shard, member.about.limits);
    let lane = lanes.open(shard, id, member.boot);
    let (reader, writer) = stream.into_split();
    let ended = tokio::select! {
        biased;
        () = lane.replaced.wait() => Err(ConnectionError::Replaced),
        ended = read(shard, lanes, &lane, reader, input) => ended,
        ended = lane.outbox.drain_into(writer, || lanes.refill(shard, &lane)) => ended,
    };
    lanes.close(shard, &lane);
    let why = ended.err().map_or_else(|| "it closed the connection".to_owned(), |why| why.to_string());
    let peer = lanes.peer.0;
    if lanes.is_up() {
        limited!(info, "lost one of the lanes to a peer", peer, ?id.kind, id.pair, why);
    } else {
        limited!(warn, "lost a peer", peer, why);
    }
}

async fn read(
    shard: &Shard,
    lanes: &Lanes,
    lane: &Lane,
    mut reader: OwnedReadHalf,
    mut input: BytesMut,
) -> Result<(), ConnectionError> {
    let mut frames = Frames::new(FRAME_BYTES_MAX);
    let mut last_heard = now_instant();
    let mut last_ping = Instant(0);
    // One timer for as long as the lane lives: a timer for each batch of frames would be set and taken back for nothing.
    let mut quiet = pin!(tokio::time::sleep(PING_EVERY));
    take_all(shard, lanes, lane, &mut frames, &mut input, shard.now())?;
    loop {
        // Amid other frames too: only the answer says how much the peer has made durable, and that its disk has room again.
        // And unasked for: what the peer hears of this side may be nothing else, while it sends a large value.
        if last_heard.since(last_ping) >= PING_EVERY || last_ping == Instant(0) {
            last_ping = last_heard;
            lane.ping();
            lanes.give_up(shard, lane, last_heard);
        }
        tokio::select! {
            biased;
            count = read_some(&mut reader, &mut input) => {
                if count? == 0 {
                    return Ok(());
                }
                let now = shard.now();
                last_heard = now.instant;
                take_all(shard, lanes, lane, &mut frames, &mut input, now)?;
            }
            () = &mut quiet => {
                quiet.as_mut().reset(tokio::time::Instant::now() + PING_EVERY);
                let now = now_instant();
                if now.since(last_heard) > SILENCE_LIMIT {
                    return Err(ConnectionError::Silence(SILENCE_LIMIT));
                }
                last_ping = now;
                lane.ping();
                lanes.give_up(shard, lane, now);
            }
        }
    }
}

/// Takes all frames that are there: one look at what to send after all of them.
///
/// # Errors
/// When one does not belong here, or the peer does not read what it is sent; the lane is to be closed.
fn take_all(
    shard: &Shard,
    lanes: &Lanes,
    lane: &Lane,
    frames: &mut Frames,
    input: &mut BytesMut,
    now: Now,
) -> Result<(), ConnectionError> {
    let mut any = false;
    let mut take_all = || {
        while let Some(incoming) = frames.take(input)? {
            any = true;
            match incoming {
                Incoming::Frame(body) => take(shard, lanes, lane, body, now)?,
                Incoming::TooLong { head, length } => pass_over(shard, lanes, lane, &head, length, now),
            }
        }
        Ok(())
    };
    let taken = take_all();
    if any {
        shard.pump(now);
    }
    taken
}

fn take(shard: &Shard, lanes: &Lanes, lane: &Lane, mut body: Bytes, now: Now) -> Result<(), ConnectionError> {
    match body.first() {
        Some(&PING) if body.len() == 1 => {
            let node = &shard.node;
            lane.outbox.frame(|body| put_pong(body, node.committer.writable(), node.store.sequence()));
        }
        Some(&PONG) => {
            if body.len() == 10 {
                body.advance(1);
                let writable = body.get_u8() == 1;
                let sequence = body.get_u64();
                shard.peer_writable(lanes.peer, writable);
                shard.node.observe(lanes.peer, sequence);
            }
        }
        _ if is_reply(&body) => {
            let (call, reply) = get_reply(body)?;
            lanes.handle_reply(shard, lane, call, reply, now);
        }
        _ if is_answer(&body) => repair::take_answer(shard, lanes.peer, body)?,
        _ => {
            let overrun = lane.outbox.overrun().or_else(|| lane.over_the_way_for(0, Outbox::overrun));
            if let Some(waiting) = overrun {
                return Err(ConnectionError::Unread(waiting));
            }
            if is_question(&body) {
                repair::take_question(shard, lane, body)?;
                return Ok(());
            }
            let (call, remaining, request) = get_request(body)?;
            let deadline = now.instant + Duration::from_millis(u64::from(remaining));
            if let Some(reply) = shard.serve(request, call, lane.number, deadline) {
                lane.answer(call, &reply);
            }
        }
    }
    Ok(())
}

/// What was too long is refused by itself.
fn pass_over(shard: &Shard, lanes: &Lanes, lane: &Lane, head: &[u8], length: usize, now: Now) {
    let peer = lanes.peer.0;
    limited!(warn, "passed over a message that is too long", peer, length, limit = FRAME_BYTES_MAX);
    let refusal = Reply::Refused(Refusal::TooLarge);
    match call_of(head) {
        Some((call, true)) => lanes.handle_reply(shard, lane, call, refusal, now),
        Some((call, false)) => lane.answer(call, &refusal),
        None => {}
    }
}
