//! What arrives on a Replica connection, at either side of it: requests of the peer, and its replies to this node's.
//!
//! Both sides may ask, whoever connected, and a reply takes the connection on which the request came. So two nodes that
//! are busy with each other's requests send them and the replies in the same messages.

use super::{ConnectionError, OUT_BYTES_MAX, Outbox, PING, PONG, put_pong};
use crate::node::shard::Shard;
use abd::wire::{get_reply, get_request, is_reply};
use abd::{NodeId, Now};
use bytes::{Buf, Bytes};
use std::rc::Rc;

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
    /// By which the committer's replies find the outbox.
    number: u64,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(shard: &'a Shard, peer: NodeId, side: Side, outbox: Rc<Outbox>) -> Self {
        let number = shard.open_outbox(outbox.clone());
        Self { shard, peer, side, outbox, number }
    }

    /// Takes one frame; the shard is to be pumped after the last of those that arrived together.
    ///
    /// # Errors
    /// When it is none that belongs here; the connection is to be closed.
    pub(super) fn take(&self, mut body: Bytes, now: Now) -> Result<(), ConnectionError> {
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
                // on, and forgets questions that it has no room to answer; who asked asks again.
                let no_room = self.outbox.len() > OUT_BYTES_MAX;
                if self.side == Side::Connected && no_room && request.is_read() {
                    return Ok(());
                }
                if let Some(reply) = self.shard.serve(request, call, self.number) {
                    self.outbox.reply(call, &reply);
                }
            }
        }
        Ok(())
    }

    /// Waits until the peer has read enough, if this is the side that may wait.
    pub(super) async fn has_room(&self) {
        if self.side == Side::Accepted {
            self.outbox.has_room().await;
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.shard.close_outbox(self.number);
    }
}
