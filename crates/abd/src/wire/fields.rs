//! The fields that messages consist of.

use super::WireError;
use crate::ballot::{Ballot, ROUND_CEILING, UpdateId};
use crate::message::CallId;
use crate::update::{Acceptance, Proposal};
use crate::value::{Content, Deadline, Glimpse, StampedValue};
use crate::version::Version;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Flags in front of a version and what it names.
const IS_DURABLE: u8 = 1;
const HAS_CONTENT: u8 = 2;
const IS_PRESENT: u8 = 4;
/// A deadline and an update follow: plain writes have none.
const HAS_ORIGIN: u8 = 8;

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    let Ok(length) = u32::try_from(bytes.len()) else { unreachable!("no field has 4 GiB") };
    out.put_u32(length);
    out.put_slice(bytes);
}

/// Reads what [`put_bytes`] wrote, without copying.
///
/// # Errors
/// [`WireError::Length`] when fewer bytes are there.
pub fn get_bytes(body: &mut Bytes) -> Result<Bytes, WireError> {
    let length = body.try_get_u32().map_err(|_| WireError::Length)? as usize;
    if body.len() < length {
        return Err(WireError::Length);
    }
    Ok(body.split_to(length))
}

/// Appends which call a body belongs to.
pub fn put_call(out: &mut BytesMut, call: CallId) {
    out.put_u64(call.operation);
    out.put_u32(call.phase);
}

pub(super) fn put_content(out: &mut BytesMut, content: &Content) {
    match content {
        Content::Value(bytes) => {
            out.put_u8(1);
            put_bytes(out, bytes);
        }
        Content::Tombstone => out.put_u8(0),
    }
}

fn origin_flag(deadline: Deadline, update: UpdateId) -> u8 {
    if (deadline, update) == (Deadline::NONE, UpdateId::NONE) { 0 } else { HAS_ORIGIN }
}

fn put_origin(out: &mut BytesMut, deadline: Deadline, update: UpdateId) {
    if origin_flag(deadline, update) != 0 {
        out.put_u64(deadline.0);
        out.put_slice(&update.to_bytes());
    }
}

/// Appends a version and what it names.
pub fn put_stamped(out: &mut BytesMut, stamped: &StampedValue) {
    out.put_u8(origin_flag(stamped.deadline, stamped.update));
    out.put_slice(&stamped.version.to_bytes());
    put_origin(out, stamped.deadline, stamped.update);
    put_content(out, &stamped.content);
}

pub(super) fn put_glimpse(out: &mut BytesMut, glimpse: &Glimpse) {
    let Glimpse { version, present, deadline, update, content, durable } = glimpse;
    let flag = |holds, flag| if holds { flag } else { 0 };
    out.put_u8(
        flag(*durable, IS_DURABLE)
            | flag(content.is_some(), HAS_CONTENT)
            | flag(*present, IS_PRESENT)
            | origin_flag(*deadline, *update),
    );
    out.put_slice(&version.to_bytes());
    put_origin(out, *deadline, *update);
    if let Some(content) = content {
        put_content(out, content);
    }
}

pub(super) fn put_proposal(out: &mut BytesMut, proposal: &Proposal) {
    out.put_slice(&proposal.update.to_bytes());
    out.put_u64(proposal.deadline.0);
    put_content(out, &proposal.content);
}

/// Appends an acceptance.
pub fn put_acceptance(out: &mut BytesMut, acceptance: &Acceptance) {
    out.put_slice(&acceptance.ballot.to_bytes());
    put_proposal(out, &acceptance.proposal);
}

/// Reads the fields of a body. It looks at plain bytes, and shares the body's buffer only for keys and values.
#[derive(Debug)]
pub struct Reader<'a> {
    body: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// From the front of a body.
    pub fn new(body: &'a Bytes) -> Self {
        Self { body, rest: body }
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn take<const LEN: usize>(&mut self) -> Result<&'a [u8; LEN], WireError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(WireError::Length)?;
        self.rest = rest;
        Ok(field)
    }

    /// A byte.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        let [byte] = self.take()?;
        Ok(*byte)
    }

    /// A number of four bytes.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(*self.take()?))
    }

    /// A number of eight bytes.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_be_bytes(*self.take()?))
    }

    /// What [`put_call`] wrote.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn call(&mut self) -> Result<CallId, WireError> {
        Ok(CallId { operation: self.u64()?, phase: self.u32()? })
    }

    /// A version.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn version(&mut self) -> Result<Version, WireError> {
        Ok(Version::from_bytes(self.take()?)?)
    }

    /// A byte of which only the lowest `bits` may be set.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn flags(&mut self, bits: u32) -> Result<u8, WireError> {
        let flags = self.u8()?;
        if u32::from(flags) >> bits != 0 { Err(WireError::Kind(flags)) } else { Ok(flags) }
    }

    /// What [`put_bytes`] wrote, without copying.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn bytes(&mut self) -> Result<Bytes, WireError> {
        let length = self.u32()? as usize;
        let (field, rest) = self.rest.split_at_checked(length).ok_or(WireError::Length)?;
        self.rest = rest;
        Ok(self.body.slice_ref(field))
    }

    /// What [`put_content`] wrote.
    pub(super) fn content(&mut self) -> Result<Content, WireError> {
        match self.u8()? {
            0 => Ok(Content::Tombstone),
            1 => Ok(Content::Value(self.bytes()?)),
            other => Err(WireError::Kind(other)),
        }
    }

    /// A ballot.
    pub(super) fn ballot(&mut self) -> Result<Ballot, WireError> {
        let ballot = Ballot::from_bytes(self.take()?);
        if ballot.round > ROUND_CEILING { Err(WireError::Round(ballot.round)) } else { Ok(ballot) }
    }

    /// The identity of an update.
    pub(super) fn update(&mut self) -> Result<UpdateId, WireError> {
        Ok(UpdateId::from_bytes(self.take()?))
    }

    /// What [`put_origin`] wrote, as the flags say.
    pub(super) fn origin(&mut self, flags: u8) -> Result<(Deadline, UpdateId), WireError> {
        if flags & HAS_ORIGIN == 0 {
            return Ok((Deadline::NONE, UpdateId::NONE));
        }
        Ok((Deadline(self.u64()?), self.update()?))
    }

    /// What [`put_stamped`] wrote.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn stamped(&mut self) -> Result<StampedValue, WireError> {
        let flags = self.flags(4)?;
        if flags & !HAS_ORIGIN != 0 {
            return Err(WireError::Kind(flags));
        }
        let version = self.version()?;
        let (deadline, update) = self.origin(flags)?;
        Ok(StampedValue { version, content: self.content()?, deadline, update })
    }

    /// What [`put_glimpse`] wrote.
    pub(super) fn glimpse(&mut self) -> Result<Glimpse, WireError> {
        let flags = self.flags(4)?;
        let version = self.version()?;
        let (deadline, update) = self.origin(flags)?;
        let content = if flags & HAS_CONTENT != 0 { Some(self.content()?) } else { None };
        let (durable, present) = (flags & IS_DURABLE != 0, flags & IS_PRESENT != 0);
        Ok(Glimpse { version, present, deadline, update, content, durable })
    }

    /// What [`put_proposal`] wrote.
    pub(super) fn proposal(&mut self) -> Result<Proposal, WireError> {
        Ok(Proposal { update: self.update()?, deadline: Deadline(self.u64()?), content: self.content()? })
    }

    /// What [`put_acceptance`] wrote.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn acceptance(&mut self) -> Result<Acceptance, WireError> {
        Ok(Acceptance { ballot: self.ballot()?, proposal: self.proposal()? })
    }

    /// There is no more.
    ///
    /// # Errors
    /// [`WireError`] when it is not there, or nothing that it can be.
    pub fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Length) }
    }
}
