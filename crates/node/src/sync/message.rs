//! What a replica that pulls asks a source, and the bytes of it.
//!
//! Whatever arrives is checked before anybody acts on it: sizes, counts, versions.

use super::source::{CONTENTS_KEYS, LOST_MAX};
use super::{Entry, Told};
use crate::body::{get_count, get_head, put_count, put_head, put_optional};
use crate::repair::message::{get_bound, get_range, put_range};
use crate::repair::ranges::{Digest, PAGE_KEYS, Range};
use abd::wire::{Reader, WireError, get_refusal, put_acceptance, put_bytes, put_refusal, put_stamped};
use abd::{CallId, Refusal, Scope};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

/// What has a source in a range that differs from what is here? Answered by a source that has installed exactly that configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// In which configuration it is asked (rule C3).
    pub scope: Scope,
    /// Which keys.
    pub range: Range,
    /// Whether what is accepted is a part of what is compared and told.
    pub records: bool,
    /// What is here.
    pub has: Has,
}

/// What is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Has {
    /// So many keys with this digest. Answered by [`Answer::Same`] or [`Answer::Differs`].
    Together {
        /// How many keys. The source need not look at many more of its own.
        count: u32,
        /// Of the digests of all of them.
        digest: Digest,
    },
    /// Keys with these digests, [`PAGE_KEYS`] at the most. Answered by [`Answer::Contents`].
    Each(Vec<Digest>),
}

/// A source's answer. What it tells is durable there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the same.
    Same,
    /// It does not.
    Differs,
    /// What differs.
    Contents(Contents),
    /// Nothing can be told now.
    Refused(Refusal),
}

/// What a source has that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// In the order of the store; [`CONTENTS_KEYS`] at the most.
    pub entries: Vec<Entry>,
    /// Parts of the range of which the source may have lost something; [`LOST_MAX`] at the most.
    pub lost: Vec<Range>,
    /// The source has told everything up to this key; `None`: up to the end of the range.
    pub told_up_to: Option<Bytes>,
}

/// A peer has, or may have, something that this node lacks. Told until it is answered that all of it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Another number means: from the beginning.
    pub number: u64,
    /// Whether something is known to lack.
    pub urgent: bool,
}

/// How far this node is with that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaughtUp {
    /// Keys compared so far.
    pub compared: u64,
    /// Keys that were lacking.
    pub keys: u64,
    /// Everything is here.
    pub done: bool,
}

const PULL: u8 = 170;
const SAME: u8 = 171;
const DIFFERS: u8 = 172;
const CONTENTS: u8 = 173;
const REFUSED: u8 = 174;

const WANTED: u8 = 175;
const CAUGHT_UP: u8 = 176;

const TOGETHER: u8 = 0;
const EACH: u8 = 1;

const IS_LARGE: u8 = 1;
const HAS_ACCEPTED: u8 = 2;

/// Whether a body is that of a [`Question`].
pub fn is_question(body: &[u8]) -> bool {
    body.first() == Some(&PULL)
}

/// Whether a body is that of an [`Answer`].
pub fn is_answer(body: &[u8]) -> bool {
    matches!(body.first(), Some(&(SAME | DIFFERS | CONTENTS | REFUSED)))
}

/// Whether a body is that of a [`Wanted`].
pub fn is_wanted(body: &[u8]) -> bool {
    body.first() == Some(&WANTED)
}

/// Whether a body is that of a [`CaughtUp`].
pub fn is_caught_up(body: &[u8]) -> bool {
    body.first() == Some(&CAUGHT_UP)
}

impl Answer {
    /// Bytes of keys and contents in it.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Contents(contents) => contents.entries.iter().map(Entry::bytes).sum(),
            Self::Same | Self::Differs | Self::Refused(_) => 0,
        }
    }
}

/// Appends a question's body.
pub fn put_question(out: &mut BytesMut, call: CallId, question: &Question) {
    let Question { scope, range, records, has } = question;
    put_head(out, PULL, call);
    put_scope(out, *scope);
    put_range(out, range);
    out.put_u8(u8::from(*records));
    match has {
        Has::Together { count, digest } => {
            out.put_u8(TOGETHER);
            out.put_u32(*count);
            out.put_slice(digest);
        }
        Has::Each(digests) => {
            out.put_u8(EACH);
            put_count(out, digests.len());
            digests.iter().for_each(|digest| out.put_slice(digest));
        }
    }
}

/// Reads a question's body.
///
/// # Errors
/// When the body is anything but exactly one question within the limits.
pub fn get_question(body: Bytes) -> Result<(CallId, Question), WireError> {
    let mut reader = Reader::new(&body);
    let call = get_head(&mut reader, PULL)?;
    let (scope, range) = (get_scope(&mut reader)?, get_range(&mut reader)?);
    let (records, kind) = (reader.flags(1)? == 1, reader.flags(1)?);
    let count = get_count(&mut reader, PAGE_KEYS)?;
    let has = if kind == TOGETHER {
        Has::Together { count, digest: *reader.take()? }
    } else {
        Has::Each((0..count).map(|_| reader.take().copied()).collect::<Result<_, _>>()?)
    };
    reader.end()?;
    Ok((call, Question { scope, range, records, has }))
}

/// Appends an answer's body.
pub fn put_answer(out: &mut BytesMut, call: CallId, answer: &Answer) {
    match answer {
        Answer::Same => put_head(out, SAME, call),
        Answer::Differs => put_head(out, DIFFERS, call),
        Answer::Contents(Contents { entries, lost, told_up_to }) => {
            put_head(out, CONTENTS, call);
            put_count(out, entries.len());
            entries.iter().for_each(|entry| put_entry(out, entry));
            put_count(out, lost.len());
            lost.iter().for_each(|range| put_range(out, range));
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
        SAME => Answer::Same,
        DIFFERS => Answer::Differs,
        CONTENTS => {
            let count = get_count(&mut reader, CONTENTS_KEYS)?;
            let entries = (0..count).map(|_| get_entry(&mut reader)).collect::<Result<_, _>>()?;
            let count = get_count(&mut reader, LOST_MAX)?;
            let lost = (0..count).map(|_| get_range(&mut reader)).collect::<Result<_, _>>()?;
            Answer::Contents(Contents { entries, lost, told_up_to: get_bound(&mut reader)? })
        }
        REFUSED => Answer::Refused(get_refusal(reader.u8()?)?),
        other => return Err(WireError::Kind(other)),
    };
    reader.end()?;
    Ok((call, answer))
}

/// Appends the body of a [`Wanted`].
pub fn put_wanted(out: &mut BytesMut, call: CallId, wanted: Wanted) {
    put_head(out, WANTED, call);
    out.put_u64(wanted.number);
    out.put_u8(u8::from(wanted.urgent));
}

/// Reads the body of a [`Wanted`].
///
/// # Errors
/// When the body is anything but exactly one of them.
pub fn get_wanted(body: &Bytes) -> Result<(CallId, Wanted), WireError> {
    let mut reader = Reader::new(body);
    let call = get_head(&mut reader, WANTED)?;
    let wanted = Wanted { number: reader.u64()?, urgent: reader.flags(1)? == 1 };
    reader.end()?;
    Ok((call, wanted))
}

/// Appends the body of a [`CaughtUp`].
pub fn put_caught_up(out: &mut BytesMut, call: CallId, caught_up: CaughtUp) {
    put_head(out, CAUGHT_UP, call);
    out.put_u64(caught_up.compared);
    out.put_u64(caught_up.keys);
    out.put_u8(u8::from(caught_up.done));
}

/// Reads the body of a [`CaughtUp`].
///
/// # Errors
/// When the body is anything but exactly one of them.
pub fn get_caught_up(body: &Bytes) -> Result<(CallId, CaughtUp), WireError> {
    let mut reader = Reader::new(body);
    let call = get_head(&mut reader, CAUGHT_UP)?;
    let caught_up = CaughtUp { compared: reader.u64()?, keys: reader.u64()?, done: reader.flags(1)? == 1 };
    reader.end()?;
    Ok((call, caught_up))
}

fn put_entry(out: &mut BytesMut, entry: &Entry) {
    let Entry { key, newest, accepted } = entry;
    let flag = |holds, flag| if holds { flag } else { 0 };
    let is_large = matches!(newest, Told::Large(_));
    out.put_u8(flag(is_large, IS_LARGE) | flag(accepted.is_some(), HAS_ACCEPTED));
    put_bytes(out, key);
    match newest {
        Told::Whole(stamped) => put_stamped(out, stamped),
        Told::Large(version) => out.put_slice(&version.to_bytes()),
    }
    if let Some(accepted) = accepted {
        put_acceptance(out, accepted);
    }
}

fn get_entry(reader: &mut Reader<'_>) -> Result<Entry, WireError> {
    let flags = reader.flags(2)?;
    let key = reader.bytes()?;
    let newest =
        if flags & IS_LARGE != 0 { Told::Large(reader.version()?) } else { Told::Whole(reader.stamped()?) };
    let accepted = if flags & HAS_ACCEPTED != 0 { Some(Box::new(reader.acceptance()?)) } else { None };
    Ok(Entry { key, newest, accepted })
}

fn put_scope(out: &mut BytesMut, scope: Scope) {
    out.put_u32(scope.partition);
    out.put_u32(scope.epoch);
}

fn get_scope(reader: &mut Reader<'_>) -> Result<Scope, WireError> {
    Ok(Scope { partition: reader.u32()?, epoch: reader.u32()? })
}
