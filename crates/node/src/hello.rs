//! The handshake at the start of every peer connection: who is there, and whether they may talk at all.
//!
//! ```text
//! whoever connects                         whoever accepts
//!   Hello: versions, service, lane, about ─►
//!                                         ◄─ Welcome: the version that is spoken, about
//!   Introduction: who it is ─►
//!                                         ◄─ Introduction: who it is; it has met the other
//!   Met ─►
//! ```
//!
//! On a connection of the Coordinator service the welcome is the end: requests follow, and nobody has said who he is. In place of
//! any message but the first there may be a refusal, after which the connection ends. How an introduction shows that nobody else
//! could have made it is in [`crate::introduction`].
//!
//! A hello is `128 | magic u32 | newest u16 | oldest u16 | fields`, a welcome `129 | magic u32 | spoken u16 | fields`, a
//! verdict `134 | fields`, a refusal `130 or 131 | text | fields`, an introduction `135 | fields`. What stands before the fields never changes, so that any two releases understand
//! at least why they cannot talk. A field is `tag u16 | length u32 | bytes`, in ascending order of tags. A field with an
//! unknown tag is skipped, and so is what follows the known part of a known field: a later release may say more.

use crate::endpoint::Endpoint;
use crate::fields::{Fields, FieldsError, put_field};
use crate::introduction::{get_tags, sixteen};
use crate::nonce::Tag;
use abd::wire::{WireError, get_bytes, put_bytes};
use alloc::{string::String, vec::Vec};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use core::fmt;

/// No message of the handshake is longer, in bytes.
pub const HANDSHAKE_BYTES_MAX: usize = 64 << 10;

/// As many event loops as a node may have: a peer has lanes to each.
pub const LOOPS_MAX: u16 = 64;

const MAGIC: u32 = 0x414b_5631; // "AKV1"
/// The last version whose greetings had neither a range nor fields. Its number stood where the newest one is now.
const WITHOUT_RANGE: u16 = 2;

const HELLO: u8 = 128;
const WELCOME: u8 = 129;
const MISMATCH: u8 = 130;
const IMPOSTOR: u8 = 131;
const MET: u8 = 134;

const SERVICE: u16 = 1;
const CLUSTER: u16 = 2;
const TIMESTAMPS: u16 = 3;
const ADMITTED: u16 = 4;
const MEMBER: u16 = 5;
const LIMITS: u16 = 6;
const LOOPS: u16 = 7;
const LANE: u16 = 8;
const CHALLENGE: u16 = 9;
const ENDPOINT: u16 = 10;
/// In a refusal.
const TAGS: u16 = 1;

/// The versions of the peer protocol that a node speaks, all from the oldest to the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    oldest: u16,
    newest: u16,
}

impl Versions {
    /// Those of this release. `newest` is raised with any change to what travels between nodes after the handshake; `oldest`
    /// when this release cannot talk as an earlier one did any more.
    pub const OURS: Self = Self::only(5);

    /// All from `oldest` to `newest`; `None` when there is none.
    pub fn new(oldest: u16, newest: u16) -> Option<Self> {
        (oldest <= newest).then_some(Self { oldest, newest })
    }

    const fn only(version: u16) -> Self {
        Self { oldest: version, newest: version }
    }

    /// The highest version that both speak.
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }

    /// Whether this version is among them.
    pub fn contains(self, version: u16) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            write!(f, "version {}", self.newest)
        } else {
            write!(f, "versions {} to {}", self.oldest, self.newest)
        }
    }
}

/// Which of the two services of the peer port a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `LocalRead`, `LocalReadTimestamp`, `LocalWrite`, `Prepare`, `Accept`: members only.
    Replica = 1,
    /// `Set`, `Get`, `Delete`: members and client libraries.
    Coordinator = 2,
}

/// What a node lets its clients write and its peers send, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest key.
    pub key: u64,
    /// Largest value.
    pub value: u64,
    /// Largest frame body. What is longer is not sent to it.
    pub frame: u64,
}

/// What a connection of the Replica service carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LaneKind {
    /// Questions, acknowledgements, small values.
    Small = 1,
    /// Large values.
    Bulk = 2,
}

/// Which connection of the many between two nodes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// What it carries.
    pub kind: LaneKind,
    /// Pair `k` joins the event loops `k mod a` and `k mod b` of two nodes that have `a` and `b` of them.
    pub pair: u16,
}

/// What each side says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// `id=host:port,…` in ascending order of id. Nodes of different clusters do not talk.
    pub cluster: String,
    /// `logical` or `truetime`: mixing them is not linearizable.
    pub timestamps: String,
    /// Which member it is, if it is one: what it says of itself follows. `None` for a client library, and to one.
    pub member: Option<u32>,
    /// Drawn for this handshake; zero for a client library.
    pub challenge: [u8; 16],
    /// Whether its replica votes.
    pub admitted: bool,
    /// What it lets others send.
    pub limits: Limits,
    /// How many event loops it has.
    pub loops: u16,
    /// Where its clients reach it. `None` for a client library, and of a release that does not say it.
    pub endpoint: Option<Endpoint>,
}

/// The first message, from whoever connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it speaks.
    pub versions: Versions,
    /// What the connection is for.
    pub service: Service,
    /// Which lane it is, on a connection of the Replica service.
    pub lane: Option<LaneId>,
    /// Who it is.
    pub about: About,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The protocol version that both speak from now on.
    pub version: u16,
    /// Who has answered.
    pub about: About,
}

/// What one member says of the other: your disk is durably remembered here, and this node never knew you with another one
/// (rule M1). An introduction of whoever accepts says it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met;

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
}

/// Why a message of the handshake cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Not our protocol at all.
    #[error("the first frame is not an Atomic KV greeting")]
    Stranger,
    /// No version in common.
    #[error(
        "no common version of the peer protocol: it speaks {theirs}, this node {ours}; run releases that are next to each \
         other"
    )]
    Version {
        /// What the other side speaks.
        theirs: Versions,
        /// What this side speaks.
        ours: Versions,
    },
    /// It says that it has none, or more than a node may have.
    #[error("it says that it has {0} event loops: a node has 1 to {LOOPS_MAX}")]
    Loops(u16),
    /// The other side does not go on.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Fields that are damaged.
    #[error(transparent)]
    Fields(#[from] FieldsError),
    /// Damaged.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl From<bytes::TryGetError> for HelloError {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Wire(WireError::Length)
    }
}

impl Hello {
    /// Appends the message's body.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u8(HELLO);
        out.put_u32(MAGIC);
        out.put_u16(self.versions.newest);
        out.put_u16(self.versions.oldest);
        put_field(out, SERVICE, |out| out.put_u8(self.service as u8));
        self.about.put(self.lane, out);
    }

    /// Reads the message's body; `ours` is what this side speaks.
    ///
    /// # Errors
    /// [`HelloError`]; the connection is to be closed, after a refusal that says so if it is [`HelloError::Version`].
    pub fn get(mut body: Bytes, ours: Versions) -> Result<Self, HelloError> {
        if body.try_get_u8().map_err(|_| HelloError::Stranger)? != HELLO
            || body.try_get_u32().map_err(|_| HelloError::Stranger)? != MAGIC
        {
            return Err(HelloError::Stranger);
        }
        let newest = body.try_get_u16()?;
        let oldest = if newest <= WITHOUT_RANGE { newest } else { body.try_get_u16()? };
        let theirs = Versions::new(oldest, newest).ok_or(WireError::Length)?;
        if theirs.common(ours).is_none() {
            return Err(HelloError::Version { theirs, ours });
        }
        let mut fields = Fields::new(body);
        let mut service = fields.required(SERVICE, "service")?;
        let service = match service.try_get_u8()? {
            1 => Service::Replica,
            2 => Service::Coordinator,
            other => return Err(WireError::Kind(other).into()),
        };
        let (about, lane) = About::get(fields)?;
        Ok(Self { versions: theirs, service, lane, about })
    }
}

fn get_lane(mut field: Bytes) -> Result<LaneId, HelloError> {
    let kind = match field.try_get_u8()? {
        1 => LaneKind::Small,
        2 => LaneKind::Bulk,
        other => return Err(WireError::Kind(other).into()),
    };
    Ok(LaneId { kind, pair: field.try_get_u16()? })
}

impl About {
    fn put(&self, lane: Option<LaneId>, out: &mut BytesMut) {
        put_field(out, CLUSTER, |out| out.put_slice(self.cluster.as_bytes()));
        put_field(out, TIMESTAMPS, |out| out.put_slice(self.timestamps.as_bytes()));
        put_field(out, ADMITTED, |out| out.put_u8(u8::from(self.admitted)));
        if let Some(member) = self.member {
            put_field(out, MEMBER, |out| out.put_u32(member));
        }
        put_field(out, LIMITS, |out| {
            out.put_u64(self.limits.key);
            out.put_u64(self.limits.value);
            out.put_u64(self.limits.frame);
        });
        put_field(out, LOOPS, |out| out.put_u16(self.loops));
        if let Some(lane) = lane {
            put_field(out, LANE, |out| {
                out.put_u8(lane.kind as u8);
                out.put_u16(lane.pair);
            });
        }
        put_field(out, CHALLENGE, |out| out.put_slice(&self.challenge));
        if let Some(endpoint) = &self.endpoint {
            put_field(out, ENDPOINT, |out| endpoint.put(out));
        }
    }

    fn get(mut fields: Fields) -> Result<(Self, Option<LaneId>), HelloError> {
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
        let cluster = text(fields.required(CLUSTER, "cluster")?);
        let timestamps = text(fields.required(TIMESTAMPS, "timestamps")?);
        let admitted = fields.required(ADMITTED, "admitted")?.try_get_u8()? == 1;
        let member = fields.optional(MEMBER)?.map(|mut field| field.try_get_u32()).transpose()?;
        let mut field = fields.required(LIMITS, "limits")?;
        let mut limit = || field.try_get_u64();
        let limits = Limits { key: limit()?, value: limit()?, frame: limit()? };
        let loops = fields.required(LOOPS, "loops")?.try_get_u16()?;
        if !(1..=LOOPS_MAX).contains(&loops) {
            return Err(HelloError::Loops(loops));
        }
        let lane = fields.optional(LANE)?.map(get_lane).transpose()?;
        let challenge = fields.optional(CHALLENGE)?.map(|mut field| sixteen(&mut field)).transpose()?;
        let endpoint = fields.optional(ENDPOINT)?.and_then(Endpoint::get);
        fields.end()?;
        let challenge = challenge.unwrap_or_default();
        Ok((Self { cluster, timestamps, member, challenge, admitted, limits, loops, endpoint }, lane))
    }
}

impl Welcome {
    /// Appends the message's body.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u8(WELCOME);
        out.put_u32(MAGIC);
        out.put_u16(self.version);
        self.about.put(None, out);
    }

    /// Reads the message's body; `ours` is what this side speaks and has said.
    ///
    /// # Errors
    /// [`HelloError`]; the connection is to be closed.
    pub fn get(mut body: Bytes, ours: Versions) -> Result<Self, HelloError> {
        take_kind(&mut body, WELCOME, ours)?;
        if body.try_get_u32().map_err(|_| HelloError::Stranger)? != MAGIC {
            return Err(HelloError::Stranger);
        }
        let version = body.try_get_u16()?;
        if !ours.contains(version) {
            return Err(HelloError::Version { theirs: Versions::only(version), ours });
        }
        let (about, _) = About::get(Fields::new(body))?;
        Ok(Self { version, about })
    }
}

impl Met {
    /// Appends the message's body.
    pub fn put(self, out: &mut BytesMut) {
        out.put_u8(MET);
    }

    /// Reads the message's body; `ours` is what this side speaks.
    ///
    /// # Errors
    /// [`HelloError`]; the connection is to be closed.
    pub fn get(mut body: Bytes, ours: Versions) -> Result<Self, HelloError> {
        take_kind(&mut body, MET, ours)?;
        Fields::new(body).end()?;
        Ok(Self)
    }
}

impl Refused {
    /// Appends the message's body.
    pub fn put(&self, out: &mut BytesMut) {
        let (kind, why) = match self {
            Self::Mismatch(why) => (MISMATCH, why),
            Self::Impostor(why, _) => (IMPOSTOR, why),
        };
        out.put_u8(kind);
        put_bytes(out, why.as_bytes());
        if let Self::Impostor(_, tags) = self {
            put_field(out, TAGS, |out| tags.iter().for_each(|tag| out.put_slice(&tag.0)));
        }
    }
}

/// Takes the kind of message that has to come now, in whose place there may be a refusal.
pub(crate) fn take_kind(body: &mut Bytes, expected: u8, ours: Versions) -> Result<(), HelloError> {
    let text = |body: &mut Bytes| -> Result<String, HelloError> {
        Ok(String::from_utf8_lossy(&get_bytes(body)?).into_owned())
    };
    match body.try_get_u8().map_err(|_| HelloError::Stranger)? {
        kind if kind == expected => Ok(()),
        MISMATCH => {
            let why = text(body)?;
            match why.parse() {
                // What was said before there were ranges: the version alone.
                Ok(version) => Err(HelloError::Version { theirs: Versions::only(version), ours }),
                Err(_) => Err(Refused::Mismatch(why).into()),
            }
        }
        IMPOSTOR => {
            let why = text(body)?;
            let mut fields = Fields::new(body.split_off(0));
            let tags = get_tags(fields.optional(TAGS)?)?;
            fields.end()?;
            Err(Refused::Impostor(why, tags).into())
        }
        _ => Err(HelloError::Stranger),
    }
}

#[cfg(test)]
#[path = "hello_tests.rs"]
mod tests;
