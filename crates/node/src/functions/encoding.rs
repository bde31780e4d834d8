//! Functions as bytes. They may be kept and sent, so a kind never gets another meaning.
//!
//! `kind u8 | what the kind needs`, integers big-endian, values with a `u32` length in front.
//!
//! | kind | function | what follows |
//! |---|---|---|
//! | 1 | `Set` | `flags u8 \| condition \| value`; flags 8: `get`, 16: `wants_version` |
//! | 2 | `Delete` | `flags u8 \| condition`; flag 8: `get` |
//! | 3 | `Increment` | `i64` |
//! | 4 | `IncrementFloat` | the ten bytes of the number |
//! | 5 | `Append` | value |
//! | 6 | `SetRange` | `offset u64 \| value` |
//! | 7 | `Set` with an expiry | `expiry \| flags u8 \| condition \| value`, the flags as above |
//! | 8 | `Expire` | `deadline u64 \| flags u8`; flags 1: `none`, 2: `some`, 4: `earlier`, 8: `later` |
//! | 9 | `GetExpire` | `expiry` |
//! | 10 | `Persist` | |
//! | 11 | `Read` | `flags u8`; flag 1: `wants_version` |
//! | 12 | `Guard` | version (24 bytes) |
//! | 13 | `Script` | `flags u8 \| source \| keys \| arguments`, lists as `count u32 \| values`; flags 1: `read_only`, 2: `resp3` |
//! | 14 | `IncrementWithin` | `flags u8 \| expiry \| three numbers`: what is added, the least and the greatest sum; flags 1: the ten bytes of numbers, not `i64`; 2: `saturates`, 4: `only_if_none` |
//! | 15 | `Configure` | two values: what the key holds, and what it gets |
//!
//! An expiry is `kind u8 \| deadline u64`: 0 never, 1 keep, 2 at the deadline, which is zero in the others.
//!
//! The lowest three bits of the flags say which condition there is: 0 always, 1 absent, 2 present, 3 equals (a value follows), 4
//! differs (a value), 5 version (its 24 bytes).

use super::script::SCRIPT;
use super::{BoundedIncrement, Condition, Expiry, Extended, Function, Replaces, Script};
use abd::Deadline;
use abd::wire::{Reader, WireError, put_bytes};
use bytes::{BufMut, Bytes, BytesMut};

const SET: u8 = 1;
const DELETE: u8 = 2;
const INCREMENT: u8 = 3;
const INCREMENT_FLOAT: u8 = 4;
const APPEND: u8 = 5;
const SET_RANGE: u8 = 6;
const SET_WITH_EXPIRY: u8 = 7;
const EXPIRE: u8 = 8;
const GET_EXPIRE: u8 = 9;
const PERSIST: u8 = 10;
const READ: u8 = 11;
const GUARD: u8 = 12;
const INCREMENT_WITHIN: u8 = 14;
const CONFIGURE: u8 = 15;

const CONDITION: u8 = 7;
const GET: u8 = 8;
const WANTS_VERSION: u8 = 16;
/// Bits that the flags of a Set and of a Delete have.
const SET_BITS: u32 = 5;
const DELETE_BITS: u32 = 4;
/// Of a [`Replaces`].
const REPLACES_BITS: u32 = 4;

impl Function {
    /// For the core.
    pub fn encode(&self) -> abd::Function {
        abd::Function { encoded: self.to_bytes(), always_changes: self.always_changes() }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.size() + 32);
        match self {
            Self::Set { value, expiry, condition, get, wants_version } => {
                match expiry {
                    Expiry::Never => out.put_u8(SET),
                    expiry => {
                        out.put_u8(SET_WITH_EXPIRY);
                        expiry.put(&mut out);
                    }
                }
                out.put_u8(condition.code() | flag(GET, *get) | flag(WANTS_VERSION, *wants_version));
                condition.put(&mut out);
                put_bytes(&mut out, value);
            }
            Self::Delete { condition, get } => {
                out.put_u8(DELETE);
                out.put_u8(condition.code() | flag(GET, *get));
                condition.put(&mut out);
            }
            Self::Increment(by) => {
                out.put_u8(INCREMENT);
                out.put_i64(*by);
            }
            Self::IncrementFloat(by) => {
                out.put_u8(INCREMENT_FLOAT);
                out.put_slice(&by.to_bytes());
            }
            Self::Append(value) => {
                out.put_u8(APPEND);
                put_bytes(&mut out, value);
            }
            Self::SetRange { offset, value } => {
                out.put_u8(SET_RANGE);
                out.put_u64(*offset);
                put_bytes(&mut out, value);
            }
            Self::Expire { deadline, replaces } => {
                out.put_u8(EXPIRE);
                out.put_u64(deadline.0);
                out.put_u8(replaces.code());
            }
            Self::GetExpire(expiry) => {
                out.put_u8(GET_EXPIRE);
                expiry.put(&mut out);
            }
            Self::Persist => out.put_u8(PERSIST),
            Self::Read { wants_version } => {
                out.put_u8(READ);
                out.put_u8(flag(1, *wants_version));
            }
            Self::Script(script) => {
                out.put_u8(SCRIPT);
                script.put(&mut out);
            }
            Self::IncrementWithin(increment) => {
                out.put_u8(INCREMENT_WITHIN);
                increment.put(&mut out);
            }
            Self::Guard(version) => {
                out.put_u8(GUARD);
                out.put_slice(&version.to_bytes());
            }
            Self::Configure { from, to } => {
                out.put_u8(CONFIGURE);
                put_bytes(&mut out, from);
                put_bytes(&mut out, to);
            }
        }
        out.freeze()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Values are parts of the bytes.
    ///
    /// # Errors
    /// When the bytes are anything but exactly one function.
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let function = match reader.u8()? {
            kind @ (SET | SET_WITH_EXPIRY) => {
                let expiry = if kind == SET { Expiry::Never } else { Expiry::read(&mut reader)? };
                let flags = reader.flags(SET_BITS)?;
                let condition = Condition::read(flags & CONDITION, &mut reader)?;
                let (get, wants_version) = (flags & GET != 0, flags & WANTS_VERSION != 0);
                Self::Set { value: reader.bytes()?, expiry, condition, get, wants_version }
            }
            DELETE => {
                let flags = reader.flags(DELETE_BITS)?;
                let condition = Condition::read(flags & CONDITION, &mut reader)?;
                Self::Delete { condition, get: flags & GET != 0 }
            }
            INCREMENT => Self::Increment(reader.u64()?.cast_signed()),
            INCREMENT_FLOAT => {
                let by = Extended::from_bytes(reader.take()?).ok_or(WireError::Kind(INCREMENT_FLOAT))?;
                Self::IncrementFloat(by)
            }
            APPEND => Self::Append(reader.bytes()?),
            SET_RANGE => Self::SetRange { offset: reader.u64()?, value: reader.bytes()? },
            EXPIRE => Self::Expire {
                deadline: Deadline(reader.u64()?),
                replaces: Replaces::of_code(reader.flags(REPLACES_BITS)?),
            },
            GET_EXPIRE => Self::GetExpire(Expiry::read(&mut reader)?),
            PERSIST => Self::Persist,
            READ => Self::Read { wants_version: reader.flags(1)? != 0 },
            INCREMENT_WITHIN => Self::IncrementWithin(BoundedIncrement::read(&mut reader)?),
            GUARD => Self::Guard(reader.version()?),
            SCRIPT => Self::Script(Script::read(&mut reader)?),
            CONFIGURE => Self::Configure { from: reader.bytes()?, to: reader.bytes()? },
            other => return Err(WireError::Kind(other)),
        };
        reader.end()?;
        Ok(function)
    }

    /// Bytes of the values in it.
    pub fn size(&self) -> usize {
        match self {
            Self::Set { value, condition, .. } => value.len() + condition.size(),
            Self::Delete { condition, .. } => condition.size(),
            Self::Increment(_)
            | Self::IncrementFloat(_)
            | Self::IncrementWithin(_)
            | Self::Expire { .. }
            | Self::GetExpire(_)
            | Self::Persist
            | Self::Read { .. }
            | Self::Guard(_) => 0,
            Self::Script(script) => script.size(),
            Self::Configure { from, to } => from.len() + to.len(),
            Self::Append(value) | Self::SetRange { value, .. } => value.len(),
        }
    }

    /// Bytes of the value that the key gets from it, at least. `None` if it gets none: it is taken away, or keeps what it has.
    pub fn brings(&self) -> Option<usize> {
        match self {
            Self::Delete { .. }
            | Self::Expire { .. }
            | Self::GetExpire(_)
            | Self::Persist
            | Self::Read { .. }
            | Self::Guard(_) => None,
            // Nobody knows before it has run.
            Self::Script(_) => Some(0),
            Self::Increment(_) | Self::IncrementFloat(_) | Self::IncrementWithin(_) => Some(1),
            Self::Set { value, .. }
            | Self::Append(value)
            | Self::SetRange { value, .. }
            | Self::Configure { to: value, .. } => Some(value.len()),
        }
    }

    /// Whether it changes nearly every key: then a look at the key before is of no use.
    fn always_changes(&self) -> bool {
        match self {
            Self::Set { condition, .. } => *condition == Condition::Always,
            Self::Delete { .. }
            | Self::Expire { .. }
            | Self::GetExpire(_)
            | Self::Persist
            | Self::Read { .. }
            | Self::Guard(_) => false,
            // A look sees no proposal that is under way: one that was decided and stored by few has to be helped through.
            Self::Configure { .. } => true,
            Self::Script(script) => !script.read_only,
            Self::Increment(_) | Self::IncrementFloat(_) | Self::IncrementWithin(_) => true,
            Self::Append(value) | Self::SetRange { value, .. } => !value.is_empty(),
        }
    }
}

impl Condition {
    fn code(&self) -> u8 {
        match self {
            Self::Always => 0,
            Self::Absent => 1,
            Self::Present => 2,
            Self::Equals(_) => 3,
            Self::Differs(_) => 4,
            Self::Version(_) => 5,
        }
    }

    fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Always | Self::Absent | Self::Present => {}
            Self::Equals(value) | Self::Differs(value) => put_bytes(out, value),
            Self::Version(version) => out.put_slice(&version.to_bytes()),
        }
    }

    fn read(code: u8, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match code {
            0 => Self::Always,
            1 => Self::Absent,
            2 => Self::Present,
            3 => Self::Equals(reader.bytes()?),
            4 => Self::Differs(reader.bytes()?),
            5 => Self::Version(reader.version()?),
            other => return Err(WireError::Kind(other)),
        })
    }

    fn size(&self) -> usize {
        match self {
            Self::Equals(value) | Self::Differs(value) => value.len(),
            Self::Always | Self::Absent | Self::Present | Self::Version(_) => 0,
        }
    }
}

impl Expiry {
    pub(super) fn put(self, out: &mut BytesMut) {
        let (kind, deadline) = match self {
            Self::Never => (0, Deadline::NONE),
            Self::Keep => (1, Deadline::NONE),
            Self::At(deadline) => (2, deadline),
        };
        out.put_u8(kind);
        out.put_u64(deadline.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match (reader.u8()?, Deadline(reader.u64()?)) {
            (0, Deadline::NONE) => Ok(Self::Never),
            (1, Deadline::NONE) => Ok(Self::Keep),
            (2, deadline) => Ok(Self::At(deadline)),
            (other, _) => Err(WireError::Kind(other)),
        }
    }
}

impl Replaces {
    fn code(self) -> u8 {
        flag(1, self.none) | flag(2, self.some) | flag(4, self.earlier) | flag(8, self.later)
    }

    fn of_code(code: u8) -> Self {
        let is_set = |bit| code & bit != 0;
        Self { none: is_set(1), some: is_set(2), earlier: is_set(4), later: is_set(8) }
    }
}

fn flag(bit: u8, is_set: bool) -> u8 {
    if is_set { bit } else { 0 }
}
