//! The peer port: two services, Coordinator and Replica, over one kind of connection.
//!
//! A connection carries checksummed, bounded frames (see [`abd::wire`]). It begins with the handshake of
//! [`::node::hello`]. On a connection for the Coordinator service requests go
//! one way after that and replies the other; on one for the Replica service both sides may ask. Many requests are under
//! way at a time, and are answered in any order.

mod exchange;
mod greet;
mod inbound;
mod link;
mod outbox;
pub mod service;

pub(crate) use inbound::serve_connection;
pub(crate) use link::{Link, keep_connected};
use outbox::OUT_BYTES_MAX;
pub(crate) use outbox::Outbox;

use ::node::hello::Versions;
use abd::wire::{WireError, take_frame};
use bytes::{BufMut, Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// "Are you there?", from the side that connected.
pub const PING: u8 = 132;
/// The answer: `writable u8 | sequence u64`.
pub const PONG: u8 = 133;

/// How often a link asks whether the other side is there.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(1);
/// A link that has heard nothing for this long is closed and opened anew.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(5);

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

/// The largest frame body that may arrive: a value, a key, and room for the rest.
pub(crate) fn frame_limit(max_key_bytes: usize, max_value_bytes: usize) -> usize {
    max_key_bytes + max_value_bytes + 4096
}

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
    #[error("it does not read what it is sent: {0} bytes wait")]
    Unread(usize),
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
        input.reserve(64 * 1024);
        if stream.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
}

/// Appends the body of the answer to [`PING`]: whether the disk has room, and the last durable batch.
pub fn put_pong(out: &mut BytesMut, writable: bool, sequence: u64) {
    out.put_u8(PONG);
    out.put_u8(u8::from(writable));
    out.put_u64(sequence);
}
