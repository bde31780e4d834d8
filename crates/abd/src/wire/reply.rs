//! Replies.

use super::WireError;
use super::fields::{Reader, put_bytes, put_call, put_glimpse, put_proposal};
use crate::ballot::{Ballot, UpdateId};
use crate::message::{CallId, Closed, Promise, Refusal, Reply};
use crate::update::{Acceptance, AcceptedThere, Told};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

const READ: u8 = 65;
const TIMESTAMP: u8 = 66;
const WRITTEN: u8 = 67;
const REFUSED: u8 = 68;
const PROMISE: u8 = 69;
const NACK: u8 = 70;
const CLOSED: u8 = 71;
const ACCEPTED: u8 = 72;
const NEED_BASE: u8 = 73;
const STALE: u8 = 74;
/// [`CLOSED`], and who was told. Releases that do not know of that write and read [`CLOSED`] alone.
const CLOSED_AND_TOLD: u8 = 75;

const NOTHING: u8 = 0;
const UPDATE: u8 = 1;
const FORGOTTEN: u8 = 2;

/// Whether a body is that of a reply, rather than of a request or of anything else.
pub fn is_reply(body: &[u8]) -> bool {
    matches!(body.first(), Some(&(READ..=CLOSED_AND_TOLD)))
}

/// Appends a reply's body.
pub fn put_reply(out: &mut BytesMut, call: CallId, reply: &Reply) {
    out.put_u8(match reply {
        Reply::Read(_) => READ,
        Reply::Timestamp { .. } => TIMESTAMP,
        Reply::Written { .. } => WRITTEN,
        Reply::Promise(_) => PROMISE,
        Reply::Nack { .. } => NACK,
        Reply::Closed(closed) if closed.told == Told::ANYBODY => CLOSED,
        Reply::Closed(_) => CLOSED_AND_TOLD,
        Reply::Accepted => ACCEPTED,
        Reply::NeedBase => NEED_BASE,
        Reply::Stale { .. } => STALE,
        Reply::Refused(_) => REFUSED,
    });
    put_call(out, call);
    match reply {
        Reply::Read(glimpse) => put_glimpse(out, glimpse),
        Reply::Timestamp { version, present, writable } => {
            out.put_slice(&version.to_bytes());
            out.put_u8(u8::from(*present) | (u8::from(*writable) << 1));
        }
        Reply::Written { previous } => {
            out.put_u8(u8::from(previous.is_some()));
            if let Some((version, present)) = previous {
                out.put_slice(&version.to_bytes());
                out.put_u8(u8::from(*present));
            }
        }
        Reply::Promise(promise) => {
            let Promise { newest, accepted, writable, boot } = &**promise;
            out.put_u8(u8::from(*writable) | (u8::from(accepted.is_some()) << 1));
            out.put_u32(*boot);
            put_glimpse(out, newest);
            if let Some(Acceptance { ballot, proposal }) = accepted {
                out.put_slice(&ballot.to_bytes());
                put_proposal(out, proposal);
            }
        }
        Reply::Nack { promised, newest } => {
            out.put_slice(&promised.to_bytes());
            put_glimpse(out, newest);
        }
        Reply::Closed(closed) => {
            let Closed { newest, boot, accepted, winner, told } = &**closed;
            out.put_u32(*boot);
            put_glimpse(out, newest);
            put_accepted_there(out, *accepted);
            out.put_slice(&winner.unwrap_or(UpdateId::NONE).to_bytes());
            if let Some(ballots) = told.ballots() {
                put_ballots(out, ballots);
            }
        }
        Reply::Accepted | Reply::NeedBase => {}
        Reply::Stale { configuration } => put_bytes(out, configuration),
        Reply::Refused(refusal) => put_refusal(out, *refusal),
    }
}

fn put_accepted_there(out: &mut BytesMut, accepted: AcceptedThere) {
    match accepted {
        AcceptedThere::Nothing => out.put_u8(NOTHING),
        AcceptedThere::Update { update, lowest, highest } => {
            out.put_u8(UPDATE);
            out.put_slice(&update.to_bytes());
            out.put_slice(&lowest.to_bytes());
            out.put_slice(&highest.to_bytes());
        }
        AcceptedThere::Forgotten => out.put_u8(FORGOTTEN),
    }
}

fn get_accepted_there(reader: &mut Reader<'_>) -> Result<AcceptedThere, WireError> {
    Ok(match reader.u8()? {
        NOTHING => AcceptedThere::Nothing,
        UPDATE => AcceptedThere::Update {
            update: reader.update()?,
            lowest: reader.ballot()?,
            highest: reader.ballot()?,
        },
        FORGOTTEN => AcceptedThere::Forgotten,
        other => return Err(WireError::Kind(other)),
    })
}

fn put_ballots(out: &mut BytesMut, ballots: &[Ballot]) {
    out.put_u8(u8::try_from(ballots.len()).expect("few ballots are remembered"));
    ballots.iter().for_each(|ballot| out.put_slice(&ballot.to_bytes()));
}

fn get_ballots(reader: &mut Reader<'_>) -> Result<Vec<Ballot>, WireError> {
    let count = reader.u8()?;
    (0..count).map(|_| reader.ballot()).collect()
}

/// Reads a reply's body.
///
/// # Errors
/// When the body is anything but exactly one reply.
pub fn get_reply(body: Bytes) -> Result<(CallId, Reply), WireError> {
    let mut reader = Reader::new(&body);
    let kind = reader.u8()?;
    let call = reader.call()?;
    let reply = match kind {
        READ => Reply::Read(reader.glimpse()?),
        TIMESTAMP => {
            let version = reader.version()?;
            let flags = reader.flags(2)?;
            Reply::Timestamp { version, present: flags & 1 != 0, writable: flags & 2 != 0 }
        }
        WRITTEN => {
            let previous =
                if reader.flags(1)? == 1 { Some((reader.version()?, reader.flags(1)? == 1)) } else { None };
            Reply::Written { previous }
        }
        PROMISE => {
            let flags = reader.flags(2)?;
            let (boot, newest) = (reader.u32()?, reader.glimpse()?);
            let accepted = match flags & 2 {
                0 => None,
                _ => Some(Acceptance { ballot: reader.ballot()?, proposal: reader.proposal()? }),
            };
            Reply::Promise(Box::new(Promise { newest, accepted, writable: flags & 1 != 0, boot }))
        }
        NACK => Reply::Nack { promised: reader.ballot()?, newest: Box::new(reader.glimpse()?) },
        CLOSED | CLOSED_AND_TOLD => {
            let (boot, newest) = (reader.u32()?, reader.glimpse()?);
            let accepted = get_accepted_there(&mut reader)?;
            let winner = Some(reader.update()?).filter(|winner| *winner != UpdateId::NONE);
            let told = match kind {
                CLOSED => Told::ANYBODY,
                _ => Told::of(get_ballots(&mut reader)?),
            };
            Reply::Closed(Box::new(Closed { newest, boot, accepted, winner, told }))
        }
        ACCEPTED => Reply::Accepted,
        NEED_BASE => Reply::NeedBase,
        STALE => Reply::Stale { configuration: reader.bytes()? },
        REFUSED => Reply::Refused(get_refusal(reader.u8()?)?),
        other => return Err(WireError::Kind(other)),
    };
    reader.end()?;
    Ok((call, reply))
}

/// Appends why a replica did nothing.
pub fn put_refusal(out: &mut BytesMut, refusal: Refusal) {
    out.put_u8(match refusal {
        Refusal::NotAdmitted => 1,
        Refusal::DiskFull => 2,
        Refusal::FutureVersion => 3,
        Refusal::Overloaded => 4,
        Refusal::StoreFailed => 5,
        Refusal::Damaged => 6,
        Refusal::TooLarge => 7,
        Refusal::Busy => 8,
        Refusal::OtherConfiguration => 9,
    });
}

/// Reads what [`put_refusal`] wrote.
///
/// # Errors
/// [`WireError::Kind`] when nobody writes that.
pub fn get_refusal(byte: u8) -> Result<Refusal, WireError> {
    Ok(match byte {
        1 => Refusal::NotAdmitted,
        2 => Refusal::DiskFull,
        3 => Refusal::FutureVersion,
        4 => Refusal::Overloaded,
        5 => Refusal::StoreFailed,
        6 => Refusal::Damaged,
        7 => Refusal::TooLarge,
        8 => Refusal::Busy,
        9 => Refusal::OtherConfiguration,
        other => return Err(WireError::Kind(other)),
    })
}
