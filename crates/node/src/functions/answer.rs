//! What functions answer, and its bytes.

use abd::Deadline;
use abd::wire::{Reader, WireError, put_bytes};
use bytes::{BufMut, Bytes, BytesMut};

/// What a function answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionAnswer {
    /// It was done.
    Ok,
    /// There is no value, or the condition did not hold.
    Null,
    /// A number.
    Integer(i64),
    /// A value.
    Value(Bytes),
    /// An integer that the key holds, and what was added to it.
    Added {
        /// The sum.
        sum: i64,
        /// What was added: nothing if nothing was changed.
        by: i64,
    },
    /// A number that the key holds, and what was added to it, as Redis prints them.
    AddedFloat {
        /// The sum.
        sum: Bytes,
        /// What was added: zero if nothing was changed.
        by: Bytes,
    },
    /// It could not be done, and changed nothing.
    Error(FunctionError),
    /// What the key holds.
    Held {
        /// Its value, if it is there.
        value: Option<Bytes>,
        /// When that expires.
        deadline: Deadline,
    },
    /// The reply of a script, as it goes to its client.
    Reply(Bytes),
    /// A script has failed with this error.
    Failed(Bytes),
    /// A script is about this key instead, and has done nothing.
    OtherKey(Bytes),
    /// The operation has done nothing, as its guard did not hold.
    Aborted,
}

/// Why a function could not be done. The texts are Redis'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// The key holds no integer.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// The sum would not be in 64 bits.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// The key holds no number.
    #[error("ERR value is not a valid float")]
    NotAFloat,
    /// The sum would be no number, or an infinite one.
    #[error("ERR increment would produce NaN or Infinity")]
    NotFinite,
    /// The key holds an infinite number.
    #[error("ERR value cannot be Infinity")]
    Infinite,
    /// What is added to reach a bound would not be in 64 bits.
    #[error("ERR applied increment would overflow")]
    AddedOverflow,
    /// What is added to reach a bound would be infinite.
    #[error("ERR applied increment would be Infinity")]
    AddedInfinity,
    /// The value would be larger than this node lets its clients write.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    TooLarge,
    /// The functions of the operation would answer too much together; none of them was done.
    #[error("ERR what the commands read is larger than 64 MiB together: read less at once")]
    AnswersTooLarge,
    /// No configuration may follow another one so; nothing has changed.
    #[error("ERR this configuration may not follow that")]
    NotASuccessor,
    /// The bytes say no function that this node knows.
    #[error("ERR no such function")]
    Unknown,
}

const OK: u8 = 0;
const NULL: u8 = 1;
const INTEGER: u8 = 2;
const VALUE: u8 = 3;
const ERROR: u8 = 4;
const HELD: u8 = 5;
const HELD_NOTHING: u8 = 6;
const ABORTED: u8 = 7;
const REPLY: u8 = 8;
const FAILED: u8 = 9;
const OTHER_KEY: u8 = 10;
const ADDED: u8 = 11;
const ADDED_FLOAT: u8 = 12;

/// Errors by their code, which is one more than the place.
const ERRORS: [FunctionError; 11] = [
    FunctionError::NotAnInteger,
    FunctionError::Overflow,
    FunctionError::NotAFloat,
    FunctionError::NotFinite,
    FunctionError::TooLarge,
    FunctionError::Unknown,
    FunctionError::Infinite,
    FunctionError::AddedOverflow,
    FunctionError::AddedInfinity,
    FunctionError::AnswersTooLarge,
    FunctionError::NotASuccessor,
];

impl FunctionAnswer {
    /// A kind, then what it needs; a value goes to the end.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        match self {
            Self::Ok => return Bytes::from_static(&[OK]),
            Self::Null => return Bytes::from_static(&[NULL]),
            Self::Held { value: None, .. } => return Bytes::from_static(&[HELD_NOTHING]),
            Self::Aborted => return Bytes::from_static(&[ABORTED]),
            Self::Held { value: Some(value), deadline } => {
                out.put_u8(HELD);
                out.put_u64(deadline.0);
                out.put_slice(value);
            }
            Self::Integer(number) => {
                out.put_u8(INTEGER);
                out.put_i64(*number);
            }
            Self::Added { sum, by } => {
                out.put_u8(ADDED);
                out.put_i64(*sum);
                out.put_i64(*by);
            }
            Self::AddedFloat { sum, by } => {
                out.put_u8(ADDED_FLOAT);
                put_bytes(&mut out, sum);
                put_bytes(&mut out, by);
            }
            Self::Value(bytes) | Self::Reply(bytes) | Self::Failed(bytes) | Self::OtherKey(bytes) => {
                out.put_u8(match self {
                    Self::Reply(_) => REPLY,
                    Self::Failed(_) => FAILED,
                    Self::OtherKey(_) => OTHER_KEY,
                    _ => VALUE,
                });
                out.put_slice(bytes);
            }
            Self::Error(error) => {
                let place = ERRORS.iter().position(|known| known == error);
                let code = place.and_then(|place| u8::try_from(place + 1).ok());
                out.put_u8(ERROR);
                out.put_u8(code.expect("every error has a code"));
            }
        }
        out.freeze()
    }

    /// Reads what [`encode`](Self::encode) wrote. A value is a part of the bytes.
    ///
    /// # Errors
    /// When the bytes are anything but exactly one answer.
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let answer = match reader.u8()? {
            OK => Self::Ok,
            NULL => Self::Null,
            INTEGER => Self::Integer(reader.u64()?.cast_signed()),
            ADDED => Self::Added { sum: reader.u64()?.cast_signed(), by: reader.u64()?.cast_signed() },
            ADDED_FLOAT => Self::AddedFloat { sum: reader.bytes()?, by: reader.bytes()? },
            VALUE => return Ok(Self::Value(bytes.slice(1..))),
            REPLY => return Ok(Self::Reply(bytes.slice(1..))),
            FAILED => return Ok(Self::Failed(bytes.slice(1..))),
            OTHER_KEY => return Ok(Self::OtherKey(bytes.slice(1..))),
            HELD => {
                let deadline = Deadline(reader.u64()?);
                return Ok(Self::Held { value: Some(bytes.slice(9..)), deadline });
            }
            HELD_NOTHING => Self::Held { value: None, deadline: Deadline::NONE },
            ABORTED => Self::Aborted,
            ERROR => {
                let code = reader.u8()?;
                let place = usize::from(code).checked_sub(1);
                Self::Error(*place.and_then(|place| ERRORS.get(place)).ok_or(WireError::Kind(code))?)
            }
            other => return Err(WireError::Kind(other)),
        };
        reader.end()?;
        Ok(answer)
    }
}
