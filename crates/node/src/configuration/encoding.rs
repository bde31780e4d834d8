//! A configuration as bytes: the value of its key, and what nodes tell each other. Fields that later releases may add to.

use super::{Configuration, DirectoryId, Member, Stage};
use crate::fields::{Fields, FieldsError, put_field};
use abd::{NodeId, Scope, TimestampMode};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Why bytes are no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// Its fields are damaged.
    #[error("a configuration: {0}")]
    Fields(#[from] FieldsError),
    /// A field says what this release does not know, or nothing that can be.
    #[error("a configuration: {0}")]
    Value(&'static str),
}

const SCOPE: u16 = 1;
const TIMESTAMPS: u16 = 2;
const LEVEL: u16 = 3;
const NEXT_ID: u16 = 4;
const MEMBERS: u16 = 5;
const STAGE: u16 = 6;
const NEXT: u16 = 7;
const LOST: u16 = 8;

const STABLE: u8 = 0;
const AWAITING: u8 = 1;
const JOINT: u8 = 2;

/// No address is longer, in bytes.
const ADDRESS_BYTES_MAX: usize = 300;

impl Configuration {
    /// As bytes.
    pub fn encoded(&self) -> Bytes {
        let mut out = BytesMut::new();
        put_field(&mut out, SCOPE, |out| {
            out.put_u32(self.scope.partition);
            out.put_u32(self.scope.epoch);
        });
        put_field(&mut out, TIMESTAMPS, |out| {
            out.put_u8(match self.timestamps {
                TimestampMode::Logical => 0,
                TimestampMode::TrueTime => 1,
            });
        });
        put_field(&mut out, LEVEL, |out| out.put_u32(self.level));
        put_field(&mut out, NEXT_ID, |out| out.put_u32(self.next_id));
        put_field(&mut out, MEMBERS, |out| put_members(out, &self.members));
        let (stage, lost) = match &self.stage {
            Stage::Stable => (STABLE, &[][..]),
            Stage::Awaiting(_) => (AWAITING, &[][..]),
            Stage::Joint { lost, .. } => (JOINT, lost.as_slice()),
        };
        put_field(&mut out, STAGE, |out| out.put_u8(stage));
        if let Some(next) = self.next() {
            put_field(&mut out, NEXT, |out| put_members(out, next));
        }
        if self.is_joint() {
            put_field(&mut out, LOST, |out| lost.iter().for_each(|id| out.put_u32(id.0)));
        }
        out.freeze()
    }

    /// The inverse of [`Configuration::encoded`].
    ///
    /// # Errors
    /// [`ConfigurationError`].
    pub fn decode(bytes: &Bytes) -> Result<Self, ConfigurationError> {
        let mut fields = Fields::new(bytes.clone());
        let mut scope = fields.required(SCOPE, "scope")?;
        let scope = Scope { partition: u32_of(&mut scope)?, epoch: u32_of(&mut scope)? };
        let timestamps = match u8_of(&mut fields.required(TIMESTAMPS, "timestamps")?)? {
            0 => TimestampMode::Logical,
            1 => TimestampMode::TrueTime,
            _ => {
                return Err(ConfigurationError::Value(
                    "timestamps of a kind that this release does not know",
                ));
            }
        };
        let level = u32_of(&mut fields.required(LEVEL, "level")?)?;
        let next_id = u32_of(&mut fields.required(NEXT_ID, "next id")?)?;
        let members = get_members(fields.required(MEMBERS, "members")?)?;
        let stage = u8_of(&mut fields.required(STAGE, "stage")?)?;
        let stage = match stage {
            STABLE => Stage::Stable,
            AWAITING => Stage::Awaiting(get_members(fields.required(NEXT, "next members")?)?),
            JOINT => {
                let next = get_members(fields.required(NEXT, "next members")?)?;
                let mut field = fields.required(LOST, "lost members")?;
                let mut lost = Vec::new();
                while !field.is_empty() {
                    lost.push(NodeId(u32_of(&mut field)?));
                }
                if lost.iter().any(|id| !members.iter().any(|member| member.id == *id)) {
                    return Err(ConfigurationError::Value("somebody is lost who was no member"));
                }
                Stage::Joint { next, lost }
            }
            _ => return Err(ConfigurationError::Value("a stage that this release does not know")),
        };
        fields.end()?;
        Ok(Self { scope, timestamps, level, next_id, members, stage })
    }
}

fn put_members(out: &mut BytesMut, members: &[Member]) {
    for Member { id, directory, address } in members {
        out.put_u32(id.0);
        out.put_u8(u8::from(directory.is_some()));
        out.put_slice(&directory.unwrap_or_default());
        out.put_u16(u16::try_from(address.len()).unwrap_or(u16::MAX));
        out.put_slice(address.as_bytes());
    }
}

fn get_members(mut field: Bytes) -> Result<Vec<Member>, ConfigurationError> {
    let mut members: Vec<Member> = Vec::new();
    while !field.is_empty() {
        let id = NodeId(u32_of(&mut field)?);
        let is_named = u8_of(&mut field)? == 1;
        let mut directory = DirectoryId::default();
        field.try_copy_to_slice(&mut directory).map_err(|_| FieldsError::Length)?;
        let length = usize::from(field.try_get_u16().map_err(|_| FieldsError::Length)?);
        if length > ADDRESS_BYTES_MAX || length > field.len() {
            return Err(FieldsError::Length.into());
        }
        let address = String::from_utf8(field.split_to(length).to_vec());
        let address = address.map_err(|_| ConfigurationError::Value("an address that is no text"))?;
        if id.0 == 0 || members.last().is_some_and(|last| last.id >= id) {
            return Err(ConfigurationError::Value("ids of members begin at 1 and ascend"));
        }
        members.push(Member { id, directory: is_named.then_some(directory), address });
    }
    if !(1..=abd::quorum::MEMBERS_MAX).contains(&members.len()) {
        return Err(ConfigurationError::Value("a configuration has 1 to 7 members"));
    }
    Ok(members)
}

fn u32_of(field: &mut Bytes) -> Result<u32, ConfigurationError> {
    field.try_get_u32().map_err(|_| FieldsError::Length.into())
}

fn u8_of(field: &mut Bytes) -> Result<u8, ConfigurationError> {
    field.try_get_u8().map_err(|_| FieldsError::Length.into())
}
