//! What members ask each other for an inquiry, and the bytes of it.
//!
//! Whatever arrives is checked before anybody acts on it.

use super::listing::{ListedKey, Listing, PAGE_BYTES, PATTERN_BYTES_MAX, Wanted};
use super::notes::{NOTE_BYTES_MAX, Note, NoteId, NoteKind};
use crate::body::{get_copy, get_count, get_optional, put_count, put_head, put_optional};
use crate::limits::KEY_BYTES_MAX;
use abd::wire::{Reader, WireError, get_refusal, put_bytes, put_refusal};
use abd::{CallId, Deadline, Refusal, Version};
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

/// A question to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which keys has your replica? Answered by [`Answer::Keys`].
    Keys(Wanted),
    /// Which durable version has your replica of this key? Answered by [`Answer::Newest`].
    Newest(Bytes),
    /// Remember this. Answered by [`Answer::Done`].
    Remember(Note),
    /// What do you remember under this? Answered by [`Answer::Note`].
    Recall(NoteId),
    /// Forget all of this kind. Answered by [`Answer::Done`].
    Forget(NoteKind),
}

/// A member's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A page of keys.
    Keys(Listing),
    /// A version; [`Version::MIN`] if the key was never written.
    Newest(Version),
    /// So it is.
    Done,
    /// What is remembered, if anything.
    Note(Option<Bytes>),
    /// Nothing can be told now.
    Refused(Refusal),
}

impl Question {
    /// Whether a look at the store answers it, which may wait for the disk.
    pub fn needs_store(&self) -> bool {
        matches!(self, Self::Keys(_) | Self::Newest(_))
    }

    /// Bytes that it carries, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Keys(Wanted { after, pattern, .. }) => {
                [after, pattern].into_iter().flatten().map(Bytes::len).sum()
            }
            Self::Newest(key) => key.len(),
            Self::Remember(note) => note.bytes.len(),
            Self::Recall(_) | Self::Forget(_) => 0,
        }
    }
}

impl Answer {
    /// Bytes that it carries, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Keys(listing) => listing.entries.iter().map(|entry| entry.key.len() + ENTRY_BYTES).sum(),
            Self::Note(Some(note)) => note.len(),
            _ => 0,
        }
    }
}

/// What a listed key takes beside its bytes.
const ENTRY_BYTES: usize = 4 + 1 + Version::LEN;
/// More keys than a page of the shortest ones has.
const ENTRIES_MAX: usize = PAGE_BYTES as usize / Version::LEN + 1;

const KEYS: u8 = 150;
const NEWEST: u8 = 151;
const REMEMBER: u8 = 152;
const RECALL: u8 = 153;
const FORGET: u8 = 154;
const LISTED: u8 = 160;
const HAS: u8 = 161;
const DONE: u8 = 162;
const NOTE: u8 = 163;
const REFUSED: u8 = 164;

/// Flags of a listed key.
const IS_PRESENT: u8 = 1;
const HAS_DEADLINE: u8 = 2;

/// Whether a body is that of a [`Question`].
pub fn is_question(body: &[u8]) -> bool {
    matches!(body.first(), Some(&(KEYS..=FORGET)))
}

/// Whether a body is that of an [`Answer`].
pub fn is_answer(body: &[u8]) -> bool {
    matches!(body.first(), Some(&(LISTED..=REFUSED)))
}

/// Appends a question's body.
pub fn put_question(out: &mut BytesMut, call: CallId, question: &Question) {
    match question {
        Question::Keys(Wanted { after, pattern, keys, bytes }) => {
            put_head(out, KEYS, call);
            put_optional(out, after.as_ref());
            put_optional(out, pattern.as_ref());
            out.put_u32(*keys);
            out.put_u32(*bytes);
        }
        Question::Newest(key) => {
            put_head(out, NEWEST, call);
            put_bytes(out, key);
        }
        Question::Remember(Note { id, bytes }) => {
            put_head(out, REMEMBER, call);
            put_note_id(out, id);
            put_bytes(out, bytes);
        }
        Question::Recall(id) => {
            put_head(out, RECALL, call);
            put_note_id(out, id);
        }
        Question::Forget(kind) => {
            put_head(out, FORGET, call);
            out.put_u8(*kind as u8);
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
        KEYS => Question::Keys(Wanted {
            after: get_optional(&mut reader, KEY_BYTES_MAX)?,
            pattern: get_optional(&mut reader, PATTERN_BYTES_MAX)?,
            keys: reader.u32()?,
            bytes: reader.u32()?,
        }),
        NEWEST => Question::Newest(get_copy(&mut reader, KEY_BYTES_MAX)?),
        REMEMBER => {
            let id = get_note_id(&mut reader)?;
            Question::Remember(Note { id, bytes: get_copy(&mut reader, NOTE_BYTES_MAX)? })
        }
        RECALL => Question::Recall(get_note_id(&mut reader)?),
        FORGET => Question::Forget(get_note_kind(&mut reader)?),
        other => return Err(WireError::Kind(other)),
    };
    reader.end()?;
    Ok((call, question))
}

/// Appends an answer's body.
pub fn put_answer(out: &mut BytesMut, call: CallId, answer: &Answer) {
    match answer {
        Answer::Keys(Listing { entries, told_up_to }) => {
            put_head(out, LISTED, call);
            put_count(out, entries.len());
            entries.iter().for_each(|entry| put_entry(out, entry));
            put_optional(out, told_up_to.as_ref());
        }
        Answer::Newest(version) => {
            put_head(out, HAS, call);
            out.put_slice(&version.to_bytes());
        }
        Answer::Done => put_head(out, DONE, call),
        Answer::Note(note) => {
            put_head(out, NOTE, call);
            put_optional(out, note.as_ref());
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
        LISTED => {
            let count = get_count(&mut reader, ENTRIES_MAX)?;
            let entries = (0..count).map(|_| get_entry(&mut reader)).collect::<Result<Vec<_>, _>>()?;
            Answer::Keys(Listing { entries, told_up_to: get_optional(&mut reader, KEY_BYTES_MAX)? })
        }
        HAS => Answer::Newest(reader.version()?),
        DONE => Answer::Done,
        NOTE => Answer::Note(get_optional(&mut reader, NOTE_BYTES_MAX)?),
        REFUSED => Answer::Refused(get_refusal(reader.u8()?)?),
        other => return Err(WireError::Kind(other)),
    };
    reader.end()?;
    Ok((call, answer))
}

fn put_entry(out: &mut BytesMut, entry: &ListedKey) {
    let flag = |holds, flag| if holds { flag } else { 0 };
    out.put_u8(flag(entry.present, IS_PRESENT) | flag(entry.deadline != Deadline::NONE, HAS_DEADLINE));
    put_bytes(out, &entry.key);
    out.put_slice(&entry.version.to_bytes());
    if entry.deadline != Deadline::NONE {
        out.put_u64(entry.deadline.0);
    }
}

fn get_entry(reader: &mut Reader<'_>) -> Result<ListedKey, WireError> {
    let flags = reader.flags(2)?;
    let (key, version) = (get_copy(reader, KEY_BYTES_MAX)?, reader.version()?);
    let deadline = if flags & HAS_DEADLINE != 0 { Deadline(reader.u64()?) } else { Deadline::NONE };
    Ok(ListedKey { key, version, present: flags & IS_PRESENT != 0, deadline })
}

fn put_note_id(out: &mut BytesMut, id: &NoteId) {
    out.put_u8(id.kind as u8);
    out.put_slice(&id.name);
}

fn get_note_id(reader: &mut Reader<'_>) -> Result<NoteId, WireError> {
    Ok(NoteId { kind: get_note_kind(reader)?, name: *reader.take()? })
}

fn get_note_kind(reader: &mut Reader<'_>) -> Result<NoteKind, WireError> {
    let kind = reader.u8()?;
    NoteKind::of(kind).ok_or(WireError::Kind(kind))
}
