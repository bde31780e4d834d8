//! The peer port: two services, Coordinator and Replica, over one kind of connection.
//!
//! A connection carries checksummed, bounded frames (see [`abd::wire`]). It begins with the handshake of
//! [`::node::hello`]. On a connection for the Coordinator service requests go one way after that and replies the other; one for
//! the Replica service is a lane, on which both sides ask and reply (see [`::node::lanes`]). Many requests are under way at a
//! time, and are answered in any order.
//!
//! A node dials whom the configuration names with a higher id (`dial`) and accepts the others (`accept`); after the handshake a
//! `lane` is the same at either side. A newcomer asks who it is before it has a lane (`join`).

mod accept;
mod connect;
mod dial;
mod greet;
mod join;
mod lane;
mod sender;

pub(crate) use accept::{Handover, serve_connection, serve_handed_over};
pub(crate) use dial::keep_lanes;
pub(super) use join::join;

use ::node::hello::Versions;
use abd::wire::{WireError, missing_bytes, take_frame};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The versions of the peer protocol that this node speaks. A debug build may be told to claim others, for tests.
pub(crate) fn peer_versions() -> Versions {
    #[cfg(debug_assertions)]
    if let Ok(text) = std::env::var("ATOMIC_KV_TEST_PEER_VERSIONS") {
        let range = text
            .split_once("..=")
            .and_then(|(oldest, newest)| Versions::new(oldest.parse().ok()?, newest.parse().ok()?));
        return range
            .unwrap_or_else(|| panic!("ATOMIC_KV_TEST_PEER_VERSIONS: \"{text}\" is not OLDEST..=NEWEST"));
    }
    Versions::OURS
}

/// Room for what arrives together.
const READ_BYTES: usize = 64 << 10;
/// A buffer that has grown beyond this is given back after use.
const KEPT_BYTES: usize = 1 << 20;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Hello(#[from] ::node::hello::HelloError),
    #[error("no answer within {0:?}")]
    Silence(Duration),
    #[error("{0}")]
    Lane(#[from] ::node::lanes::lane::LaneError),
    #[error("{0}")]
    Client(#[from] crate::node::client::Ended),
    #[error("a later connection took its place")]
    Replaced,
    #[error("the configuration names it no more, or with another data directory")]
    Dismissed,
}

/// Reads one frame; `None` at an orderly end of the stream.
pub(crate) async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    input: &mut BytesMut,
    limit: usize,
) -> Result<Option<Bytes>, ConnectionError> {
    loop {
        if let Some(body) = take_frame(input, limit)? {
            return Ok(Some(body));
        }
        if read_some(stream, input).await? == 0 {
            return Ok(None);
        }
    }
}

/// Reads what is there; 0 at the end of the stream.
async fn read_some(stream: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> std::io::Result<usize> {
    if input.is_empty() && input.try_reclaim(KEPT_BYTES) {
        // A large frame was in it, and it would keep that memory for as long as the connection lives.
        *input = BytesMut::new();
    }
    let missing = missing_bytes(input);
    if missing <= READ_BYTES {
        input.reserve(READ_BYTES);
    } else if input.capacity() == input.len() {
        crate::buffers::grow(input, missing);
    }
    stream.read_buf(input).await
}
