//! What one side of a handshake says when it does not go on.

use super::{HelloError, Versions};
use crate::fields::{Fields, put_field};
use crate::introduction::get_tags;
use crate::nonce::Tag;
use abd::wire::{get_bytes, put_bytes};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::{Buf, BufMut, Bytes, BytesMut};

const MISMATCH: u8 = 130;
const IMPOSTOR: u8 = 131;
const RETIRED: u8 = 136;

const TAGS: u16 = 1;

/// What the other side has said, as it may be shown: it may be a stranger, who must not begin a line in a log or do something to
/// a terminal.
pub fn harmless(said: &str) -> String {
    said.replace(char::is_control, "\u{fffd}")
}

/// Why one side does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Wrong cluster, mode or protocol version: a mistake that somebody can correct.
    #[error("it refuses to talk to this node: {}", harmless(.0))]
    Mismatch(String),
    /// Your data directory is not the one that this node remembers: refuse to serve. With it, what shows who says so.
    #[error("it refuses this node: {}", harmless(.0))]
    Impostor(String, Vec<Tag>),
    /// This configuration names you no more, with the data directory that you have: refuse to serve, for ever (M1). With it, what
    /// shows who says so.
    #[error("it refuses this node: this node is no member any more, it says")]
    Retired(Bytes, Vec<Tag>),
}

impl Refused {
    /// Appends the message's body.
    pub fn put(&self, out: &mut BytesMut) {
        let (kind, why, tags) = match self {
            Self::Mismatch(why) => (MISMATCH, why.as_bytes(), None),
            Self::Impostor(why, tags) => (IMPOSTOR, why.as_bytes(), Some(tags)),
            Self::Retired(configuration, tags) => (RETIRED, &configuration[..], Some(tags)),
        };
        out.put_u8(kind);
        put_bytes(out, why);
        if let Some(tags) = tags {
            put_field(out, TAGS, |out| tags.iter().for_each(|tag| out.put_slice(&tag.0)));
        }
    }
}

/// Takes the kind of message that has to come now, in whose place there may be a refusal.
pub(crate) fn take_kind(body: &mut Bytes, expected: u8, ours: Versions) -> Result<(), HelloError> {
    let kind = body.try_get_u8().map_err(|_| HelloError::Stranger)?;
    if kind == expected {
        return Ok(());
    }
    if !(kind == MISMATCH || kind == IMPOSTOR || kind == RETIRED) {
        return Err(HelloError::Stranger);
    }
    let said = get_bytes(body)?;
    let text = || String::from_utf8_lossy(&said).into_owned();
    if kind == MISMATCH {
        let why = text();
        return match why.parse() {
            // What was said before there were ranges: the version alone.
            Ok(version) => Err(HelloError::Version { theirs: Versions::only(version), ours }),
            Err(_) => Err(Refused::Mismatch(why).into()),
        };
    }
    let mut fields = Fields::new(body.split_off(0));
    let tags = get_tags(fields.optional(TAGS)?)?;
    fields.end()?;
    Err(if kind == IMPOSTOR { Refused::Impostor(text(), tags) } else { Refused::Retired(said, tags) }.into())
}
