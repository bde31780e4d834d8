//! Units on their way to the database: encoded by the event loops that are asked to store them, committed by another thread.
//!
//! That thread makes the allocations in which they stay. It is also the one that frees those of the versions they replace,
//! so the allocator hands out what is still in its processor's cache; allocations that one thread makes and another one frees
//! cost several cache misses each. And what waits for the disk does not keep network buffers from being used again.

use super::changes::{Changes, Put, RecordChange};
use crate::encoding::{accepted, key, record};
use abd::counted::copied;
use abd::{AcceptedRecord, Ballot, StampedValue, Unit, Version, WriteGroup, needs_room};
use bytes::Bytes;

/// Larger records get their allocation at once: to copy them twice would cost more.
const ENCODED_MAX: usize = 4 << 10;
/// Room that is kept when what it was used for is done.
const KEPT_BYTES: usize = 256 << 10;
/// The same, for that many units.
const KEPT: usize = 1024;

/// Units to be committed together.
#[derive(Debug, Default)]
pub struct Puts {
    /// Data keys and records of the small ones, one behind the other.
    encoded: Vec<u8>,
    units: Vec<Form>,
    bytes: usize,
}

/// A unit.
#[derive(Debug)]
struct Form {
    version: Option<VersionForm>,
    beside: Beside,
    /// As [`Unit::needs_room`].
    needs_room: bool,
}

#[derive(Debug)]
enum VersionForm {
    /// The next bytes of what is encoded.
    Encoded(Parts),
    /// Too large to be copied twice, or its key does not stand in the data key as it is.
    Whole(Box<Put>),
}

/// What is where in an encoded version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) user_key_length: u32,
    pub(super) data_key_length: u32,
    pub(super) record_length: u32,
    /// `None`: a tombstone.
    pub(super) value_length: Option<u32>,
    pub(super) version: Version,
}

/// What goes with a version, or alone.
#[derive(Debug)]
enum Beside {
    Nothing,
    /// The end of the key's accepted record.
    End,
    /// An accepted record: the next bytes of what is encoded, behind the version.
    Encoded {
        key_length: u32,
        length: u32,
        needs_room: bool,
    },
    /// The same, too large for that.
    Whole {
        record: Box<(Bytes, Bytes)>,
        needs_room: bool,
    },
    /// A raised mark.
    Mark(Box<Ballot>),
    /// A configuration.
    Configuration(Box<Bytes>),
}

impl Parts {
    fn length(self) -> usize {
        (self.data_key_length + self.record_length) as usize
    }
}

impl Form {
    /// How much of what is encoded is its own: the version's, and what stands behind that.
    fn encoded(&self) -> (usize, usize) {
        let of_version = match &self.version {
            Some(VersionForm::Encoded(parts)) => parts.length(),
            _ => 0,
        };
        match self.beside {
            Beside::Encoded { key_length, length, .. } => (of_version, (key_length + length) as usize),
            _ => (of_version, 0),
        }
    }
}

impl WriteGroup for Puts {
    fn push(&mut self, unit: &Unit) {
        let (version, beside) = match unit {
            Unit::Version { key, stamped } => return self.push_version(key, stamped),
            Unit::Closing { key, stamped } => (Some(self.version(key, stamped)), Beside::End),
            Unit::Acceptance { key, base, record } => {
                let version = base.as_ref().map(|base| self.version(key, base));
                (version, self.record(key, record))
            }
            Unit::Mark(ballot) => {
                self.bytes += key::MARK.len() + Ballot::LEN;
                (None, Beside::Mark(Box::new(*ballot)))
            }
            Unit::Configuration(configuration) => {
                self.bytes += key::CONFIGURATION.len() + configuration.len();
                (None, Beside::Configuration(Box::new(copied(configuration))))
            }
        };
        self.units.push(Form { version, beside, needs_room: unit.needs_room() });
    }

    fn append(&mut self, other: &mut Self) {
        self.encoded.extend_from_slice(&other.encoded);
        self.units.append(&mut other.units);
        self.bytes += other.bytes;
        other.clear();
    }

    fn len(&self) -> usize {
        self.units.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn clear(&mut self) {
        self.units.clear();
        self.units.shrink_to(KEPT);
        self.encoded.clear();
        self.encoded.shrink_to(KEPT_BYTES);
        self.bytes = 0;
    }

    fn need_room(&self) -> impl Iterator<Item = bool> {
        self.units.iter().map(|form| form.needs_room)
    }

    fn versions(&self) -> impl Iterator<Item = Option<(Bytes, Version)>> {
        self.each().map(|(form, encoded, _)| match form.version.as_ref()? {
            VersionForm::Encoded(parts) => {
                let user_key = &encoded[1..=parts.user_key_length as usize];
                Some((Bytes::copy_from_slice(user_key), parts.version))
            }
            VersionForm::Whole(put) => Some((put.user_key.clone(), put.stamped.version)),
        })
    }
}

impl Puts {
    /// Adds a version with nothing beside it.
    pub(super) fn push_version(&mut self, user_key: &Bytes, stamped: &StampedValue) {
        let version = Some(self.version(user_key, stamped));
        let needs_room = needs_room(user_key, &stamped.content);
        self.units.push(Form { version, beside: Beside::Nothing, needs_room });
    }

    fn version(&mut self, user_key: &Bytes, stamped: &StampedValue) -> VersionForm {
        let size = user_key.len() + record::size(&stamped.content, None);
        if size > ENCODED_MAX || !key::is_plain(user_key) {
            let put = Put::whole(user_key, stamped);
            self.bytes += put.data_key.len() + put.record.len();
            return VersionForm::Whole(Box::new(put));
        }
        let start = self.encoded.len();
        key::append(&mut self.encoded, user_key, stamped.version);
        let data_key_length = self.encoded.len() - start;
        record::append(&mut self.encoded, stamped, None);
        let length = self.encoded.len() - start;
        self.bytes += length;
        VersionForm::Encoded(Parts {
            user_key_length: short(user_key.len()),
            data_key_length: short(data_key_length),
            record_length: short(length - data_key_length),
            value_length: stamped.content.value().map(|value| short(value.len())),
            version: stamped.version,
        })
    }

    fn record(&mut self, user_key: &Bytes, record: &AcceptedRecord) -> Beside {
        let needs_room = needs_room(user_key, &record.acceptance.proposal.content);
        let size = user_key.len() + accepted::size(record, None);
        if size > ENCODED_MAX {
            let record_key = key::of_record(user_key);
            let recorded_key = key::is_hashed(&record_key).then_some(&user_key[..]);
            let mut bytes = Vec::with_capacity(accepted::size(record, recorded_key));
            accepted::append(&mut bytes, record, recorded_key);
            self.bytes += record_key.len() + bytes.len();
            return Beside::Whole { record: Box::new((record_key, bytes.into())), needs_room };
        }
        let start = self.encoded.len();
        key::append_of_record(&mut self.encoded, user_key);
        let key_length = self.encoded.len() - start;
        accepted::append(&mut self.encoded, record, None);
        let length = self.encoded.len() - start;
        self.bytes += length;
        Beside::Encoded { key_length: short(key_length), length: short(length - key_length), needs_room }
    }

    /// Each unit, with what is encoded of its version and of its record.
    fn each(&self) -> impl Iterator<Item = (&Form, &[u8], &[u8])> {
        let mut rest = &self.encoded[..];
        self.units.iter().map(move |form| {
            let (of_version, of_record) = form.encoded();
            let (version, behind) = rest.split_at(of_version);
            let (record, behind) = behind.split_at(of_record);
            rest = behind;
            (form, version, record)
        })
    }

    /// What they change: all of them, or those that need no room. Each unit is in it as a whole or not at all; everything has an
    /// allocation of its own.
    pub(super) fn changes(&self, roomless: bool) -> Changes {
        let mut changes = Changes { puts: Vec::with_capacity(self.units.len()), ..Changes::default() };
        for (form, version, record) in self.each() {
            if roomless && form.needs_room {
                continue;
            }
            changes.units += 1;
            match &form.version {
                Some(VersionForm::Encoded(parts)) => changes.puts.push(Put::encoded(version, *parts)),
                Some(VersionForm::Whole(put)) => changes.puts.push((**put).clone()),
                None => {}
            }
            match &form.beside {
                Beside::Nothing => {}
                Beside::End => {
                    let Some(put) = changes.puts.last() else { unreachable!("a version ends a record") };
                    changes.records.push(RecordChange::end(put));
                }
                Beside::Encoded { key_length, needs_room, .. } => {
                    changes.records.push(RecordChange::encoded(record, *key_length as usize, *needs_room));
                }
                Beside::Whole { record, needs_room } => {
                    changes.records.push(RecordChange::new(record.0.clone(), record.1.clone(), *needs_room));
                }
                Beside::Mark(ballot) => changes.mark = changes.mark.max(Some(**ballot)),
                Beside::Configuration(configuration) => {
                    changes.configuration = Some((**configuration).clone());
                }
            }
        }
        changes
    }
}

/// Of what is encoded nothing is longer than [`ENCODED_MAX`] and a key.
fn short(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
