//! What arrives on a Replica connection, at either side of it: requests of the peer, and its replies to this node's.
//!
//! Both sides may ask, whoever connected, and a reply takes the connection on which the request came. So two nodes that
//! are busy with each other's requests send them and the replies in the same messages.

use super::{ConnectionError, OUT_BYTES_MAX, Outbox, PING, PONG, put_pong};
use crate::node::shard::Shard;
use abd::wire::{get_reply, get_request, is_reply, take_frame};
use abd::{NodeId, Now, Request};
use bytes::{Buf, Bytes, BytesMut};
use std::rc::Rc;

/// A peer that asks on with so many bytes unread is broken.
const UNREAD_BYTES_MAX: usize = 32 * OUT_BYTES_MAX;

/// Which side of a connection this node is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Connected,
    Accepted,
}

/// One connection's part in an event loop.
pub(super) struct Exchange<'a> {
    shard: &'a Shard,
    peer: NodeId,
    side: Side,
    outbox: Rc<Outbox>,
    /// By which replies that come later find the outbox.
    number: u64,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(shard: &'a Shard, peer: NodeId, side: Side, outbox: Rc<Outbox>) -> Self {
        let number = shard.open_outbox(outbox.clone());
        Self { shard, peer, side, outbox, number }
    }

    /// Takes a frame and those that have arrived with it: one look at what to send after all of them. Where this side was
    /// connected to and the peer has left too much unread, the others stay in `input`: a thousand questions fit into one
    /// read, and each may be for a large value.
    ///
    /// # Errors
    /// When one does not belong here, or the peer does not read what it is sent; the connection is to be closed.
    pub(super) fn take_all(
        &self,
        first: Bytes,
        input: &mut BytesMut,
        limit: usize,
        now: Now,
    ) -> Result<(), ConnectionError> {
        let mut next = Some(first);
        let mut take_all = || {
            while let Some(body) = next.take() {
                self.take(body, now)?;
                next = if self.is_full() { None } else { take_frame(input, limit)? };
            }
            Ok(())
        };
        let taken = take_all();
        self.shard.pump(now);
        taken
    }

    fn take(&self, mut body: Bytes, now: Now) -> Result<(), ConnectionError> {
        match body.first() {
            Some(&PING) if body.len() == 1 => {
                let node = &self.shard.node;
                self.outbox.frame(|body| put_pong(body, node.committer.writable(), node.store.sequence()));
            }
            Some(&PONG) => {
                if body.len() == 10 {
                    body.advance(1);
                    let writable = body.get_u8() == 1;
                    let sequence = body.get_u64();
                    self.shard.peer_writable(self.peer, writable);
                    self.shard.node.observe(self.peer, sequence);
                }
            }
            _ if is_reply(&body) => {
                let (call, reply) = get_reply(body)?;
                self.shard.handle_reply(self.peer, call, reply, now);
            }
            _ => {
                let (call, _remaining, request) = get_request(body)?;
                // If both sides stopped reading until there is room, neither would get any. The side that connected reads
                // on, and forgets reads while it has no room for what they find; the operation that asked asks again.
                let waiting = self.outbox.len();
                if waiting > UNREAD_BYTES_MAX {
                    return Err(ConnectionError::Unread(waiting));
                }
                let finds_much = matches!(request, Request::LocalRead { .. });
                if self.side == Side::Connected && finds_much && !self.outbox.takes_values() {
                    return Ok(());
                }
                if let Some(reply) = self.shard.serve(request, call, self.number) {
                    self.outbox.reply(call, &reply);
                }
            }
        }
        Ok(())
    }

    /// Whether the peer has left too much unread; for the side that was connected to.
    pub(super) fn is_full(&self) -> bool {
        self.side == Side::Accepted && !self.outbox.takes_values()
    }

    /// Waits until the peer has read enough; for the side that was connected to.
    pub(super) async fn has_room(&self) {
        assert!(self.side == Side::Accepted, "one side has to read on");
        self.outbox.has_room().await;
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.shard.close_outbox(self.number);
    }
}
