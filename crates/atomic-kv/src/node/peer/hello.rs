//! The first frame in each direction on a peer connection: who is there, and whether we may talk at all.

use crate::identity::{ANCESTRY_MAX, Introduction};
use abd::wire::{WireError, get_bytes, put_bytes};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Version of everything that travels between nodes. Raised with any change to it.
pub const PROTOCOL_VERSION: u16 = 2;

const MAGIC: u32 = 0x414b_5631; // "AKV1"

/// Which of the two services of the peer port a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `LocalRead`, `LocalReadTimestamp`, `LocalWrite`: members only.
    Replica,
    /// `Set`, `Get`, `Delete`: members and client libraries.
    Coordinator,
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What the connection is for.
    pub service: Service,
    /// `id=host:port,…` in ascending order of id. Nodes of different clusters do not talk.
    pub cluster: String,
    /// `logical` or `truetime`: mixing them is not linearizable.
    pub timestamps: String,
    /// The member, with its disk, boot count, run and durable sequence; `None` for a client library.
    pub member: Option<Introduction>,
    /// Whether its replica votes.
    pub admitted: bool,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Welcome {
    /// The listener's own introduction. To a member it also says: your disk is durably remembered here, and this node
    /// never knew you with another one (rule M1).
    Accepted(Hello),
    /// Wrong cluster, mode or protocol version: a mistake that somebody can correct.
    Mismatch(String),
    /// Your data directory is not the one that this node remembers: refuse to serve.
    Impostor(String),
}

const HELLO: u8 = 128;
const ACCEPTED: u8 = 129;
const MISMATCH: u8 = 130;
const IMPOSTOR: u8 = 131;

/// A hello whose sender speaks another protocol version cannot be read further than that.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// Not our protocol at all.
    #[error("the first frame is not an Atomic KV greeting")]
    Stranger,
    /// Another version of it.
    #[error(
        "it speaks peer protocol version {theirs}, this node speaks {PROTOCOL_VERSION}; run the same release on all nodes"
    )]
    Version {
        /// The other side's version.
        theirs: u16,
    },
    /// Damaged.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl Hello {
    /// Appends the greeting's body.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u8(HELLO);
        self.put_fields(out);
    }

    fn put_fields(&self, out: &mut BytesMut) {
        out.put_u32(MAGIC);
        out.put_u16(PROTOCOL_VERSION);
        out.put_u8(match self.service {
            Service::Replica => 1,
            Service::Coordinator => 2,
        });
        put_bytes(out, self.cluster.as_bytes());
        put_bytes(out, self.timestamps.as_bytes());
        out.put_u8(u8::from(self.admitted));
        out.put_u8(u8::from(self.member.is_some()));
        if let Some(member) = &self.member {
            out.put_u32(member.node);
            out.put_slice(&member.disk);
            out.put_u32(member.boot);
            out.put_u64(member.nonce);
            out.put_u8(u8::try_from(member.ancestry.len()).unwrap_or(u8::MAX));
            for nonce in &member.ancestry {
                out.put_u64(*nonce);
            }
            out.put_u64(member.sequence);
        }
    }

    /// Reads a greeting's body.
    ///
    /// # Errors
    /// [`HelloError`]; the connection is to be closed.
    pub fn get(mut body: Bytes) -> Result<Self, HelloError> {
        if body.is_empty() || body.get_u8() != HELLO {
            return Err(HelloError::Stranger);
        }
        Self::get_fields(&mut body)
    }

    fn get_fields(body: &mut Bytes) -> Result<Self, HelloError> {
        let short = |_| HelloError::Wire(WireError::Length);
        if body.try_get_u32().map_err(|_| HelloError::Stranger)? != MAGIC {
            return Err(HelloError::Stranger);
        }
        let theirs = body.try_get_u16().map_err(short)?;
        if theirs != PROTOCOL_VERSION {
            return Err(HelloError::Version { theirs });
        }
        let service = match body.try_get_u8().map_err(short)? {
            1 => Service::Replica,
            2 => Service::Coordinator,
            other => return Err(WireError::Kind(other).into()),
        };
        let cluster = String::from_utf8_lossy(&get_bytes(body)?).into_owned();
        let timestamps = String::from_utf8_lossy(&get_bytes(body)?).into_owned();
        let admitted = body.try_get_u8().map_err(short)? == 1;
        let member = if body.try_get_u8().map_err(short)? == 1 {
            let node = body.try_get_u32().map_err(short)?;
            let mut disk = [0; 16];
            body.try_copy_to_slice(&mut disk).map_err(short)?;
            let boot = body.try_get_u32().map_err(short)?;
            let nonce = body.try_get_u64().map_err(short)?;
            let starts = usize::from(body.try_get_u8().map_err(short)?);
            if starts > ANCESTRY_MAX {
                return Err(WireError::Length.into());
            }
            let ancestry = (0..starts)
                .map(|_| body.try_get_u64().map_err(short))
                .collect::<Result<Vec<u64>, HelloError>>()?;
            let sequence = body.try_get_u64().map_err(short)?;
            Some(Introduction { node, disk, boot, nonce, ancestry, sequence })
        } else {
            None
        };
        if !body.is_empty() {
            return Err(WireError::Length.into());
        }
        Ok(Self { service, cluster, timestamps, member, admitted })
    }
}

impl Welcome {
    /// Appends the answer's body.
    pub fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Accepted(hello) => {
                out.put_u8(ACCEPTED);
                hello.put_fields(out);
            }
            Self::Mismatch(why) => {
                out.put_u8(MISMATCH);
                put_bytes(out, why.as_bytes());
            }
            Self::Impostor(why) => {
                out.put_u8(IMPOSTOR);
                put_bytes(out, why.as_bytes());
            }
        }
    }

    /// Reads an answer's body.
    ///
    /// # Errors
    /// [`HelloError`]; the connection is to be closed.
    pub fn get(mut body: Bytes) -> Result<Self, HelloError> {
        if body.is_empty() {
            return Err(HelloError::Stranger);
        }
        match body.get_u8() {
            ACCEPTED => Ok(Self::Accepted(Hello::get_fields(&mut body)?)),
            MISMATCH => Ok(Self::Mismatch(String::from_utf8_lossy(&get_bytes(&mut body)?).into_owned())),
            IMPOSTOR => Ok(Self::Impostor(String::from_utf8_lossy(&get_bytes(&mut body)?).into_owned())),
            _ => Err(HelloError::Stranger),
        }
    }
}
