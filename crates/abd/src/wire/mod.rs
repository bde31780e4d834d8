//! Bytes between coordinators and replicas.
//!
//! A [`frame`] is `length u32 | crc32 u32 | body`, all integers big-endian. The body of a [`request`] is
//! `kind u8 | operation u64 | phase u32 | remaining ms u32 | partition u32 | epoch u32 | payload`; of a [`reply`] it is
//! `kind u8 | operation u64 | phase u32 | payload`. Deadlines travel as *remaining* time, because the two clocks need not agree.

pub mod fields;
pub mod frame;
pub mod reply;
pub mod request;

pub use fields::{Reader, get_bytes, put_acceptance, put_bytes, put_call, put_stamped};
pub use frame::{FRAME_HEADER, missing_bytes, put_frame, take_frame};
pub use reply::{get_refusal, get_reply, is_reply, put_refusal, put_reply};
pub use request::{Received, get_request, put_request};

use crate::message::CallId;
use crate::version::VersionError;

/// Why bytes are not a frame or not a message. The connection that sent them is closed; nothing else happens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The length field exceeds the limit.
    #[error("a frame of {length} bytes exceeds the limit of {limit}")]
    TooLong {
        /// As announced.
        length: usize,
        /// What is accepted.
        limit: usize,
    },
    /// The body does not match its checksum.
    #[error("a frame's checksum does not match: it was damaged, or the sender speaks another protocol")]
    Checksum,
    /// The body ends too early or goes on too long.
    #[error("a message ends in the wrong place")]
    Length,
    /// An unknown kind of message.
    #[error("unknown message kind {0}")]
    Kind(u8),
    /// The rounds of ballots are below a ceiling, so that no peer can use them up.
    #[error("round {0} of a ballot is above the ceiling of 2^63-1; no correct node begins it")]
    Round(u64),
    /// A version that no correct node issues.
    #[error(transparent)]
    Version(#[from] VersionError),
}

/// The call that a body belongs to, by its first bytes, and whether it is a reply to that call or a request. `None` when it
/// is neither.
pub fn call_of(head: &[u8]) -> Option<(CallId, bool)> {
    let is_reply = is_reply(head);
    let (operation, rest) = head.get(1..)?.split_first_chunk()?;
    let call =
        CallId { operation: u64::from_be_bytes(*operation), phase: u32::from_be_bytes(*rest.first_chunk()?) };
    (is_reply || request::is_request(head)).then_some((call, is_reply))
}
