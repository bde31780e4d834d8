//! Requests.

use super::fields::{Reader, put_bytes, put_call, put_stamped};
use super::{WireError, fields::put_proposal};
use crate::ballot::Scope;
use crate::message::{CallId, Request};
use crate::update::Base;
use crate::version::{Version, VersionError};
use alloc::boxed::Box;
use bytes::{BufMut, Bytes, BytesMut};

const LOCAL_READ: u8 = 1;
const LOCAL_READ_TIMESTAMP: u8 = 2;
const LOCAL_WRITE: u8 = 3;
const PREPARE: u8 = 4;
const ACCEPT: u8 = 5;

const NO_BASE: u8 = 0;
const NAMED_BASE: u8 = 1;
const WHOLE_BASE: u8 = 2;

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// To be returned with the reply.
    pub call: CallId,
    /// Milliseconds until nobody waits for the reply any more.
    pub remaining_ms: u32,
    /// The part of the keys and the configuration that it belongs to.
    pub scope: Scope,
    /// The request.
    pub request: Request,
}

/// Whether a body is that of a request.
pub(super) fn is_request(body: &[u8]) -> bool {
    matches!(body.first(), Some(&(LOCAL_READ..=ACCEPT)))
}

/// Appends a request's body.
pub fn put_request(out: &mut BytesMut, call: CallId, remaining_ms: u32, scope: Scope, request: &Request) {
    out.put_u8(match request {
        Request::LocalRead { .. } => LOCAL_READ,
        Request::LocalReadTimestamp { .. } => LOCAL_READ_TIMESTAMP,
        Request::LocalWrite { .. } => LOCAL_WRITE,
        Request::Prepare { .. } => PREPARE,
        Request::Accept { .. } => ACCEPT,
        Request::Adopt { .. } => unreachable!("nobody but the own replica is asked to adopt anything"),
    });
    put_call(out, call);
    out.put_u32(remaining_ms);
    out.put_u32(scope.partition);
    out.put_u32(scope.epoch);
    put_bytes(out, request.key());
    match request {
        Request::LocalRead { have, .. } => out.put_slice(&have.to_bytes()),
        Request::LocalReadTimestamp { .. } => {}
        Request::LocalWrite { stamped, .. } => put_stamped(out, stamped),
        Request::Prepare { ballot, base, have, .. } => {
            out.put_slice(&ballot.to_bytes());
            match base {
                None => out.put_u8(NO_BASE),
                Some(base) => put_base(out, base),
            }
            out.put_slice(&have.to_bytes());
        }
        Request::Accept { ballot, base, proposal, .. } => {
            out.put_slice(&ballot.to_bytes());
            put_base(out, base);
            put_proposal(out, proposal);
        }
        Request::Adopt { .. } => {}
    }
}

fn put_base(out: &mut BytesMut, base: &Base) {
    match base {
        Base::Named(version) => {
            out.put_u8(NAMED_BASE);
            out.put_slice(&version.to_bytes());
        }
        Base::Whole(stamped) => {
            out.put_u8(WHOLE_BASE);
            put_stamped(out, stamped);
        }
    }
}

fn get_base(reader: &mut Reader<'_>) -> Result<Option<Box<Base>>, WireError> {
    Ok(match reader.u8()? {
        NO_BASE => None,
        NAMED_BASE => Some(Box::new(Base::Named(reader.version()?))),
        WHOLE_BASE => Some(Box::new(Base::Whole(reader.stamped()?))),
        other => return Err(WireError::Kind(other)),
    })
}

/// Reads a request's body.
///
/// # Errors
/// When the body is anything but exactly one request.
pub fn get_request(body: Bytes) -> Result<Received, WireError> {
    let mut reader = Reader::new(&body);
    let kind = reader.u8()?;
    let call = reader.call()?;
    let remaining_ms = reader.u32()?;
    let scope = Scope { partition: reader.u32()?, epoch: reader.u32()? };
    let key = reader.bytes()?;
    let request = match kind {
        LOCAL_READ => Request::LocalRead { key, have: reader.version()? },
        LOCAL_READ_TIMESTAMP => Request::LocalReadTimestamp { key },
        LOCAL_WRITE => {
            let stamped = reader.stamped()?;
            if stamped.version == Version::MIN {
                return Err(VersionError::NoWriter { node: 0, boot: 0, time: 0 }.into());
            }
            Request::LocalWrite { key, stamped }
        }
        PREPARE => {
            let (ballot, base) = (reader.ballot()?, get_base(&mut reader)?);
            Request::Prepare { key, ballot, base, have: reader.version()? }
        }
        ACCEPT => {
            let ballot = reader.ballot()?;
            let base = get_base(&mut reader)?.ok_or(WireError::Kind(NO_BASE))?;
            Request::Accept { key, ballot, base, proposal: Box::new(reader.proposal()?) }
        }
        other => return Err(WireError::Kind(other)),
    };
    reader.end()?;
    Ok(Received { call, remaining_ms, scope, request })
}
