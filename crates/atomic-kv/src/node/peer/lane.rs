//! One lane: the same at either side, once the handshake is over. What it carries is for the machine ([`::node::shard`]); here are
//! its socket and its time.

use super::greet::NewLane;
use super::sender::send_all;
use super::{ConnectionError, read_some};
use crate::logging::limit::limited;
use crate::node::now_instant;
use crate::node::shard::Shard;
use ::node::lanes::lane::{LaneKey, PING_EVERY};
use ::node::lanes::outgoing::LONG;
use bytes::BytesMut;
use std::pin::pin;
use std::time::Duration;
use tokio::net::tcp::OwnedReadHalf;

/// How often a lane on which nothing comes is looked after: no ping is later than by this.
const LOOK_EVERY: Duration = PING_EVERY.checked_div(4).unwrap();

/// Serves a lane until it ends.
pub(super) async fn serve(shard: &Shard, lane: NewLane) {
    let NewLane { member: peer, stream, input } = lane;
    let (id, limits) = (peer.lane, peer.about.limits);
    shard.membership.learn(peer.id, limits, peer.about.endpoint);
    let now = shard.now();
    let opened =
        shard.with(|machine| machine.open_lane(peer.id, id, peer.boot, peer.version, limits.frame, now));
    let Some(key) = opened else { return };
    let signals = shard.add_lane(key);
    let (reader, writer) = stream.into_split();
    let take = |chunk: &mut BytesMut| shard.with(|machine| machine.take_output(key, chunk, now_instant));
    let patience = || shard.look(|machine| machine.patience(key));
    let ended = tokio::select! {
        biased;
        () = signals.replaced.wait() => Err(ConnectionError::Replaced),
        () = signals.dismissed.wait() => Err(ConnectionError::Dismissed),
        ended = read(shard, key, reader, input) => ended,
        ended = send_all(writer, &signals.sends, LONG, take, patience) => ended,
    };
    shard.remove_lane(key);
    let why = ended.err().map_or_else(|| "it closed the connection".to_owned(), |why| why.to_string());
    let (is_up, peer) = (shard.look(|machine| machine.is_up(peer.id)), peer.id.0);
    if is_up {
        limited!(info, "lost one of the lanes to a peer", peer, ?id.kind, id.pair, why);
    } else if shard.membership.admission.is_stopping() {
        // The peer may be stopping, too, and be the first to be through.
        limited!(info, "lost a peer while stopping", peer, why);
    } else {
        limited!(warn, "lost a peer", peer, why);
    }
}

async fn read(
    shard: &Shard,
    key: LaneKey,
    mut reader: OwnedReadHalf,
    mut input: BytesMut,
) -> Result<(), ConnectionError> {
    // One timer for as long as the lane lives: a timer for each batch of frames would be set and taken back for nothing.
    let mut quiet = pin!(tokio::time::sleep(LOOK_EVERY));
    loop {
        let now = shard.now();
        shard.with(|machine| machine.handle_bytes(key, &mut input, now))?;
        loop {
            tokio::select! {
                biased;
                count = read_some(&mut reader, &mut input) => {
                    if count? == 0 {
                        return Ok(());
                    }
                    break;
                }
                () = &mut quiet => {
                    quiet.as_mut().reset(tokio::time::Instant::now() + LOOK_EVERY);
                    shard.with(|machine| machine.look_after(key, now_instant()))?;
                }
            }
        }
    }
}
