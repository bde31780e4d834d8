//! How a member presents itself to another, so that nobody else can (rules V1 and M1).
//!
//! A member knows the nonce of the start in which it met another one last. A later boot count is believed only from somebody
//! who proves that he knows that nonce, by a keyed hash (HMAC-SHA256; Krawczyk, Bellare and Canetti, RFC 2104) over what
//! both sides have drawn for this handshake. The nonce itself is told once, at the first meeting; those of later starts travel
//! masked with the ones before. Whoever has nothing to prove is believed at a first meeting, and never after it.

use crate::fields::{Fields, FieldsError, put_field};
use crate::hello::{HelloError, Versions, take_kind};
use crate::nonce::{Nonce, Tag};
use abd::wire::WireError;
use alloc::vec::Vec;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// How many earlier starts a directory remembers.
pub const ANCESTRY_MAX: usize = 64;
/// Proofs in an introduction: of the present start, those before, and that in which the other side met this one last.
pub const PROOFS_MAX: usize = ANCESTRY_MAX + 2;

const INTRODUCTION: u8 = 135;

const MEMBER: u16 = 1;
const PRESENT: u16 = 2;
const PROOFS: u16 = 3;
const CONFIGURATION: u16 = 4;

/// How a member presents itself to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Its id.
    pub node: u32,
    /// The random id of its data directory.
    pub disk: [u8; 16],
    /// How often it was started on that directory.
    pub boot: u32,
    /// Its last durable batch.
    pub sequence: u64,
    /// The nonce of its present start, for somebody who has never met it.
    pub present: Present,
    /// For its last starts, and the one in which the other side met it last: that it knows their nonces.
    pub proofs: Vec<Proof>,
    /// The configuration that it has installed, once that is another than the first. What is proven is that it says so, too.
    pub configuration: Option<Bytes>,
}

/// The nonce of the present start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Present {
    /// Told to somebody whom this node has never met.
    Clear(Nonce),
    /// For somebody whom it has met: a proof that it knows a nonce of his, and its own masked with that.
    Sealed(Tag, Nonce),
}

/// That somebody knows the nonce of one of his starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Which start.
    pub boot: u32,
    /// The proof.
    pub tag: Tag,
    /// The nonce of the present start, masked with that of this one.
    pub masked: Nonce,
}

impl Introduction {
    /// What is proven with it.
    pub(crate) fn statement(&self) -> Vec<u8> {
        let mut said = member(self.node, self.disk, self.boot, self.sequence).to_vec();
        said.extend_from_slice(self.configuration.as_deref().unwrap_or_default());
        said
    }

    /// Appends the message's body.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u8(INTRODUCTION);
        let member = member(self.node, self.disk, self.boot, self.sequence);
        put_field(out, MEMBER, |out| out.put_slice(&member));
        put_field(out, PRESENT, |out| match &self.present {
            Present::Clear(nonce) => {
                out.put_u8(1);
                out.put_slice(&nonce.0);
            }
            Present::Sealed(tag, masked) => {
                out.put_u8(2);
                out.put_slice(&tag.0);
                out.put_slice(&masked.0);
            }
        });
        put_field(out, PROOFS, |out| {
            for proof in &self.proofs {
                out.put_u32(proof.boot);
                out.put_slice(&proof.tag.0);
                out.put_slice(&proof.masked.0);
            }
        });
        if let Some(configuration) = &self.configuration {
            put_field(out, CONFIGURATION, |out| out.put_slice(configuration));
        }
    }

    /// Reads the message's body; `ours` is what this side speaks.
    ///
    /// # Errors
    /// [`HelloError`]; the connection is to be closed.
    pub fn get(mut body: Bytes, ours: Versions) -> Result<Self, HelloError> {
        take_kind(&mut body, INTRODUCTION, ours)?;
        let mut fields = Fields::new(body);
        let mut member = fields.required(MEMBER, "member")?;
        let node = member.try_get_u32()?;
        let disk = sixteen(&mut member)?;
        let boot = member.try_get_u32()?;
        let sequence = member.try_get_u64()?;
        let mut present = fields.required(PRESENT, "present start")?;
        let present = match present.try_get_u8()? {
            1 => Present::Clear(Nonce(sixteen(&mut present)?)),
            2 => Present::Sealed(Tag(sixteen(&mut present)?), Nonce(sixteen(&mut present)?)),
            other => return Err(WireError::Kind(other).into()),
        };
        let mut field = fields.required(PROOFS, "proofs")?;
        let mut proofs = Vec::new();
        while !field.is_empty() {
            if proofs.len() == PROOFS_MAX {
                return Err(WireError::Length.into());
            }
            let boot = field.try_get_u32()?;
            proofs.push(Proof { boot, tag: Tag(sixteen(&mut field)?), masked: Nonce(sixteen(&mut field)?) });
        }
        let configuration = fields.optional(CONFIGURATION)?;
        fields.end()?;
        Ok(Self { node, disk, boot, sequence, present, proofs, configuration })
    }
}

fn member(node: u32, disk: [u8; 16], boot: u32, sequence: u64) -> [u8; 32] {
    let mut said = [0; 32];
    said[..4].copy_from_slice(&node.to_be_bytes());
    said[4..20].copy_from_slice(&disk);
    said[20..24].copy_from_slice(&boot.to_be_bytes());
    said[24..].copy_from_slice(&sequence.to_be_bytes());
    said
}

pub(crate) fn sixteen(field: &mut Bytes) -> Result<[u8; 16], HelloError> {
    let mut bytes = [0; 16];
    field.try_copy_to_slice(&mut bytes)?;
    Ok(bytes)
}

/// Reads the tags beside a verdict, none where there is no such field.
pub(crate) fn get_tags(field: Option<Bytes>) -> Result<Vec<Tag>, HelloError> {
    let mut tags = Vec::new();
    let Some(mut field) = field else { return Ok(tags) };
    while !field.is_empty() {
        if tags.len() == PROOFS_MAX {
            return Err(FieldsError::Missing("an end of the proofs").into());
        }
        tags.push(Tag(sixteen(&mut field)?));
    }
    Ok(tags)
}
