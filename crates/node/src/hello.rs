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
//! On a connection of the Coordinator service the welcome is the end: requests follow, and nobody has said who he is. So it is on
//! one of the Join service, whose welcome says who is expected at an address. In place of any message but the first there may be a
//! refusal, after which the connection ends. How an introduction shows that nobody else could have made it is in
//! [`crate::introduction`]; it tells the configuration, too.
//!
//! A hello is `128 | magic u32 | newest u16 | oldest u16 | fields`, a welcome `129 | magic u32 | spoken u16 | fields`, a
//! verdict `134 | fields`, an introduction `135 | fields`, a refusal `130, 131 or 136 | text | fields`: the text says why, that of
//! 136 is a configuration. What stands before the fields never changes, so that any two releases understand at least why they
//! cannot talk. A field is `tag u16 | length u32 | bytes`, in ascending order of tags. A field with an
//! unknown tag is skipped, and so is what follows the known part of a known field: a later release may say more.

mod refused;
mod versions;

pub(crate) use refused::take_kind;
pub use refused::{Refused, harmless};
pub use versions::{Versions, WITH_CONFIGURATIONS};

use crate::configuration::{Configuration, ConfigurationError};
use crate::endpoint::Endpoint;
use crate::fields::{Fields, FieldsError, put_field};
use crate::introduction::sixteen;
use abd::wire::WireError;
use alloc::string::String;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// No message of the handshake is longer, in bytes.
pub const HANDSHAKE_BYTES_MAX: usize = 64 << 10;

/// As many event loops as a node may have: a peer has lanes to each.
pub const LOOPS_MAX: u16 = 64;

const MAGIC: u32 = 0x414b_5631; // "AKV1"
/// The last version whose greetings had neither a range nor fields. Its number stood where the newest one is now.
const WITHOUT_RANGE: u16 = 2;

const HELLO: u8 = 128;
const WELCOME: u8 = 129;
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
const EPOCH: u16 = 11;
const ADDRESS: u16 = 12;
const CONFIGURATION: u16 = 13;

/// Which of the services of the peer port a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `LocalRead`, `LocalReadTimestamp`, `LocalWrite`, `Prepare`, `Accept`: members only.
    Replica = 1,
    /// `Set`, `Get`, `Delete`: members and client libraries.
    Coordinator = 2,
    /// Which node is expected at an address: whoever is to become one.
    Join = 3,
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
    /// The epoch of its configuration, once that is another than the first.
    pub epoch: Option<u32>,
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
    /// On a connection of the Join service: where whoever asks is to be a node, HOST:PORT.
    pub address: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The protocol version that both speak from now on.
    pub version: u16,
    /// Who has answered.
    pub about: About,
    /// On a connection of the Join service: the configuration, without ids of directories.
    pub configuration: Option<Configuration>,
}

/// What one member says of the other: your disk is durably remembered here, and this node never knew you with another one
/// (rule M1). An introduction of whoever accepts says it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met;

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
    /// A configuration that cannot be understood.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
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
        if let Some(address) = &self.address {
            put_field(out, ADDRESS, |out| out.put_slice(address.as_bytes()));
        }
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
            3 => Service::Join,
            other => return Err(WireError::Kind(other).into()),
        };
        let (about, lane) = About::get(&mut fields)?;
        let address = fields.optional(ADDRESS)?.map(text);
        fields.end()?;
        Ok(Self { versions: theirs, service, lane, about, address })
    }
}

fn text(bytes: Bytes) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
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
    /// What somebody says of itself that is no member: a client library, or a node that does not know yet which one it is.
    pub fn of_a_stranger() -> Self {
        Self {
            cluster: String::new(),
            timestamps: String::new(),
            member: None,
            challenge: [0; 16],
            admitted: false,
            limits: Limits { key: 0, value: 0, frame: 0 },
            loops: 1,
            endpoint: None,
            epoch: None,
        }
    }

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
        if let Some(epoch) = self.epoch {
            put_field(out, EPOCH, |out| out.put_u32(epoch));
        }
    }

    fn get(fields: &mut Fields) -> Result<(Self, Option<LaneId>), HelloError> {
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
        let epoch = fields.optional(EPOCH)?.map(|mut field| field.try_get_u32()).transpose()?;
        let challenge = challenge.unwrap_or_default();
        Ok((Self { cluster, timestamps, member, challenge, admitted, limits, loops, endpoint, epoch }, lane))
    }
}

impl Welcome {
    /// Appends the message's body.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u8(WELCOME);
        out.put_u32(MAGIC);
        out.put_u16(self.version);
        self.about.put(None, out);
        if let Some(configuration) = &self.configuration {
            put_field(out, CONFIGURATION, |out| out.put_slice(&configuration.encoded()));
        }
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
        let mut fields = Fields::new(body);
        let (about, _) = About::get(&mut fields)?;
        let configuration = fields.optional(CONFIGURATION)?;
        fields.end()?;
        let configuration = configuration.map(|bytes| Configuration::decode(&bytes)).transpose()?;
        Ok(Self { version, about, configuration })
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

#[cfg(test)]
#[path = "hello_tests.rs"]
mod tests;
