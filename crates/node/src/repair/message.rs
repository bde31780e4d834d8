//! What replicas ask each other to find out who lacks what, and the bytes of it.
//!
//! Whatever arrives is checked before anybody acts on it: sizes, counts, versions.

use super::ranges::{CHUNK_KEYS, Digest, PAGE_KEYS, Range};
use crate::body::{get_copy, get_count, get_optional, put_count, put_head, put_optional};
use crate::limits::KEY_BYTES_MAX;
use abd::wire::{Reader, WireError, get_refusal, put_bytes, put_refusal};
use abd::{CallId, Refusal, Version, VersionError};
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of keys, versions and lengths in one list, unless a single key is longer. With the ends of a range, at most three
/// keys of any size go into one message.
pub const LIST_BYTES_MAX: usize = 3 << 10;
/// A listed key costs this much beside its bytes.
const ENTRY_BYTES: usize = 4 + Version::LEN;

/// A key and the newest version that somebody has of it; [`Version::MIN`] if it has none.
pub type KeyVersion = (Bytes, Version);

/// A question from the node that repairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Has the replica exactly these versions in this range? Answered by [`Answer::Same`].
    Digest {
        /// Which keys.
        range: Range,
        /// How many there are. The replica need not look at many more of its own.
        count: u32,
        /// Of all keys and versions.
        digest: Digest,
    },
    /// Which versions has the replica of these keys, and what else in this range? Answered by [`Answer::Versions`].
    Versions {
        /// At most [`CHUNK_KEYS`], in any order.
        listed: Vec<KeyVersion>,
        /// Where to look for keys that are not listed; nowhere, if `None`.
        range: Option<Range>,
    },
}

/// A replica's answer. What it tells is durable there (rule S2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Whether the replica has the same keys and versions.
    Same(bool),
    /// Both lists.
    Versions {
        /// Its newest version of each listed key, in the order of the list.
        versions: Vec<Version>,
        /// Keys of the range that were not listed.
        others: Vec<KeyVersion>,
        /// Set if there are more: where the next question should begin. The replica has told everything up to this key.
        told_up_to: Option<Bytes>,
    },
    /// Nothing can be told now.
    Refused(Refusal),
}

/// How many of these keys fit into one list: at least one, if there is any.
pub fn fit<'a>(keys: impl Iterator<Item = &'a Bytes>) -> usize {
    let mut bytes = 0;
    let fits = |key: &&Bytes| {
        let first = bytes == 0;
        bytes += key.len() + ENTRY_BYTES;
        first || bytes <= LIST_BYTES_MAX
    };
    keys.take(CHUNK_KEYS).take_while(fits).count()
}

const DIGEST: u8 = 140;
const VERSIONS: u8 = 141;
const SAME: u8 = 142;
const TOLD: u8 = 143;
const REFUSED: u8 = 144;

/// Whether a body is that of a [`Question`].
pub fn is_question(body: &[u8]) -> bool {
    matches!(body.first(), Some(&(DIGEST | VERSIONS)))
}

/// Whether a body is that of an [`Answer`].
pub fn is_answer(body: &[u8]) -> bool {
    matches!(body.first(), Some(&(SAME | TOLD | REFUSED)))
}

/// Appends a question's body.
pub fn put_question(out: &mut BytesMut, call: CallId, question: &Question) {
    match question {
        Question::Digest { range, count, digest } => {
            put_head(out, DIGEST, call);
            put_range(out, range);
            out.put_u32(*count);
            out.put_slice(digest);
        }
        Question::Versions { listed, range } => {
            put_head(out, VERSIONS, call);
            put_list(out, listed);
            out.put_u8(u8::from(range.is_some()));
            if let Some(range) = range {
                put_range(out, range);
            }
        }
    }
}

/// Reads a question's body.
///
/// # Errors
/// When the body is anything but exactly one question within the limits.
pub fn get_question(body: Bytes) -> Result<(CallId, Question), WireError> {
    let mut reader = Reader::new(&body);
    let (kind, call) = (reader.u8()?, reader.call()?);
    let question = match kind {
        DIGEST => {
            let (range, count) = (get_range(&mut reader)?, get_count(&mut reader, PAGE_KEYS)?);
            Question::Digest { range, count, digest: *reader.take()? }
        }
        VERSIONS => {
            // Whoever has heard of a version may not have the key itself.
            let listed = get_list(&mut reader, true)?;
            let range = if reader.flags(1)? == 1 { Some(get_range(&mut reader)?) } else { None };
            Question::Versions { listed, range }
        }
        other => return Err(WireError::Kind(other)),
    };
    reader.end()?;
    Ok((call, question))
}

/// Appends an answer's body.
pub fn put_answer(out: &mut BytesMut, call: CallId, answer: &Answer) {
    match answer {
        Answer::Same(same) => {
            put_head(out, SAME, call);
            out.put_u8(u8::from(*same));
        }
        Answer::Versions { versions, others, told_up_to } => {
            put_head(out, TOLD, call);
            put_count(out, versions.len());
            versions.iter().for_each(|version| out.put_slice(&version.to_bytes()));
            put_list(out, others);
            put_optional(out, told_up_to.as_ref());
        }
        Answer::Refused(refusal) => {
            put_head(out, REFUSED, call);
            put_refusal(out, *refusal);
        }
    }
}

/// Reads an answer's body.
///
/// # Errors
/// When the body is anything but exactly one answer within the limits.
pub fn get_answer(body: Bytes) -> Result<(CallId, Answer), WireError> {
    let mut reader = Reader::new(&body);
    let (kind, call) = (reader.u8()?, reader.call()?);
    let answer = match kind {
        SAME => Answer::Same(reader.flags(1)? == 1),
        TOLD => {
            let count = get_count(&mut reader, CHUNK_KEYS)?;
            let versions = (0..count).map(|_| reader.version()).collect::<Result<Vec<_>, _>>()?;
            let others = get_list(&mut reader, false)?;
            Answer::Versions { versions, others, told_up_to: get_bound(&mut reader)? }
        }
        REFUSED => Answer::Refused(get_refusal(reader.u8()?)?),
        other => return Err(WireError::Kind(other)),
    };
    reader.end()?;
    Ok((call, answer))
}

fn put_list(out: &mut BytesMut, list: &[KeyVersion]) {
    put_count(out, list.len());
    for (key, version) in list {
        put_bytes(out, key);
        out.put_slice(&version.to_bytes());
    }
}

pub(crate) fn put_range(out: &mut BytesMut, range: &Range) {
    put_optional(out, range.after.as_ref());
    put_optional(out, range.up_to.as_ref());
}

fn get_list(reader: &mut Reader<'_>, may_be_never: bool) -> Result<Vec<KeyVersion>, WireError> {
    let count = get_count(reader, CHUNK_KEYS)?;
    let entry = |_| {
        let (key, version) = (get_copy(reader, KEY_BYTES_MAX)?, reader.version()?);
        if version == Version::MIN && !may_be_never {
            return Err(VersionError::NoWriter { node: 0, boot: 0, time: 0 }.into());
        }
        Ok((key, version))
    };
    (0..count).map(entry).collect()
}

pub(crate) fn get_range(reader: &mut Reader<'_>) -> Result<Range, WireError> {
    Ok(Range { after: get_bound(reader)?, up_to: get_bound(reader)? })
}

/// An end of a range, or how far somebody has told: a key.
pub(crate) fn get_bound(reader: &mut Reader<'_>) -> Result<Option<Bytes>, WireError> {
    get_optional(reader, KEY_BYTES_MAX)
}
