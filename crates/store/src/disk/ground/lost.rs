//! The file that remembers what was lost of the tables (rule S3), and what of that is being healed.
//!
//! ```text
//! "AKVLOST1" | crc32 of what follows u32 | 1 if the number of the last flushed batch was lost u8 | parts
//! "AKVLOST2" | crc32 of what follows u32 | the same u8 | directory id 16 | parts that are being healed | further parts
//! parts      count u32 | for each: length u32 | from | length u32 | to                          big-endian
//! ```
//! It is durable before tables are used that have no gap any more where something was lost. Tables that are written later say
//! how many parts there are, so it is noticed if this file goes missing. It is written anew as a whole, in the second form only while
//! something is being healed: earlier releases do not read that.
//!
//! **Healing.** What is lost is forgotten when a replica has it again from others, which is when its directory has another id. Which
//! that will be is noted before the first thing comes back, with all that was lost by then. What is lost later is not forgotten with it.

use super::failure::{damaged, io_error};
use super::tables::FIRST;
use crate::damage::{DamagedParts, Part};
use crate::database::{DatabaseError, DirectoryId};
use crate::files::{FileSystem, contents, if_there, replace};
use bytes::{Buf, BufMut, Bytes};
use std::path::Path;

/// The name of the file.
pub(crate) const NAME: &str = "lost";
const MAGIC: &[u8] = b"AKVLOST1";
const MAGIC_HEALING: &[u8] = b"AKVLOST2";

/// What was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// What was lost since healing began, or at all.
    parts: DamagedParts,
    healing: Option<Healing>,
    /// The tables may say less than they hold: the number of the last batch in them was in a damaged block.
    pub(crate) flushed: bool,
}

/// What is being healed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Healing {
    /// The id that the directory has when these parts are whole again.
    directory: DirectoryId,
    parts: DamagedParts,
}

impl Lost {
    /// All that was lost, in parts.
    pub fn parts(&self) -> DamagedParts {
        let mut all = self.healing.as_ref().map(|healing| healing.parts.clone()).unwrap_or_default();
        self.parts.iter().for_each(|part| all.add(part.clone()));
        all
    }

    /// How many parts that is, as the file has them.
    pub(crate) fn count(&self) -> usize {
        self.parts.len() + self.healing.as_ref().map_or(0, |healing| healing.parts.len())
    }

    /// Another part is lost.
    pub fn add(&mut self, part: Part) {
        self.parts.add(part);
    }

    /// Everything is lost, and how much it was.
    pub fn add_everything(&mut self) {
        self.flushed = true;
        self.parts.add(everything());
    }

    /// Whether everything is lost: then no part is missed.
    pub(crate) fn is_everything(&self) -> bool {
        self.parts().contains(&everything())
    }

    /// Everything that was lost by now is being healed, for a directory that will have this id.
    pub fn begin_healing(&mut self, directory: DirectoryId) {
        let parts = self.parts();
        self.parts = DamagedParts::default();
        self.healing = Some(Healing { directory, parts });
    }

    /// What is still lost when a directory that has this id was healed; `None` if nothing was healed for it.
    pub fn healed(&self, directory: DirectoryId) -> Option<Self> {
        let healing = self.healing.as_ref()?;
        (healing.directory == directory).then(|| Self { healing: None, ..self.clone() })
    }

    /// What was being healed.
    pub fn being_healed(&self) -> &[Part] {
        self.healing.as_ref().map_or(&[], |healing| &healing.parts)
    }

    /// Reads the file in the database's directory; without one nothing was lost.
    /// Fails with [`DatabaseError::Damaged`] when it is not what was written: then nobody knows which keys are concerned.
    pub(crate) fn read(files: &dyn FileSystem, directory: &Path) -> Result<Self, DatabaseError> {
        let path = directory.join(NAME);
        let read = files.open(&path).and_then(|file| contents(&*file));
        let read = if_there(read).map_err(|why| io_error("read what was lost of the tables", &why))?;
        let Some(bytes) = read else { return Ok(Self::default()) };
        Self::decode(&bytes).ok_or_else(|| {
            damaged(format!("{}, which says what was lost of the tables, is damaged", path.display()))
        })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, mut bytes) = bytes.split_at_checked(MAGIC.len())?;
        if bytes.try_get_u32().ok()? != crc32fast::hash(bytes) {
            return None;
        }
        let flushed = bytes.try_get_u8().ok()? == 1;
        let healing = match magic {
            MAGIC => None,
            MAGIC_HEALING => {
                let directory = *bytes.first_chunk()?;
                bytes.advance(directory.len());
                Some(Healing { directory, parts: get_parts(&mut bytes)? })
            }
            _ => return None,
        };
        let parts = get_parts(&mut bytes)?;
        bytes.is_empty().then_some(Self { parts, healing, flushed })
    }

    /// Writes the file, durably.
    pub(crate) fn write(&self, files: &dyn FileSystem, directory: &Path) -> Result<(), DatabaseError> {
        let mut body = vec![u8::from(self.flushed)];
        if let Some(Healing { directory, parts }) = &self.healing {
            body.put_slice(directory);
            put_parts(&mut body, parts);
        }
        put_parts(&mut body, &self.parts);
        let mut bytes = if self.healing.is_some() { MAGIC_HEALING } else { MAGIC }.to_vec();
        bytes.put_u32(crc32fast::hash(&body));
        bytes.extend_from_slice(&body);
        replace(files, &directory.join(NAME), &bytes)
            .and_then(|_| files.sync_directory(directory))
            .map_err(|why| io_error("remember what was lost of the tables", &why))
    }
}

fn everything() -> Part {
    Part { from: Bytes::from_static(FIRST), to: Bytes::from_static(&[0xff; 32]) }
}

fn get_parts(bytes: &mut &[u8]) -> Option<DamagedParts> {
    let mut parts = DamagedParts::default();
    for _ in 0..bytes.try_get_u32().ok()? {
        let mut key = || {
            let length = bytes.try_get_u32().ok()? as usize;
            let key = Bytes::copy_from_slice(bytes.get(..length)?);
            bytes.advance(length);
            Some(key)
        };
        parts.add(Part { from: key()?, to: key()? });
    }
    Some(parts)
}

fn put_parts(body: &mut Vec<u8>, parts: &DamagedParts) {
    let length = |length: usize| u32::try_from(length).unwrap_or_else(|_| unreachable!("keys are short"));
    body.put_u32(length(parts.len()));
    for Part { from, to } in parts.iter() {
        for key in [from, to] {
            body.put_u32(length(key.len()));
            body.put_slice(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::System;

    fn part(from: &'static str, to: &'static [u8]) -> Part {
        Part { from: from.into(), to: Bytes::from_static(to) }
    }

    #[test]
    fn what_was_lost_is_remembered_and_every_flipped_bit_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Lost::read(&System, directory.path()).unwrap(), Lost::default());
        let mut lost = Lost { flushed: true, ..Lost::default() };
        lost.add(part("a", b"b\0"));
        lost.add(part("x", &[0xff; 32]));
        let mut healing = lost.clone();
        healing.begin_healing([7; 16]);
        healing.add(part("c", b"d"));
        for (lost, magic) in [(lost, MAGIC), (healing, MAGIC_HEALING)] {
            lost.write(&System, directory.path()).unwrap();
            assert_eq!(Lost::read(&System, directory.path()).unwrap(), lost);
            let path = directory.path().join(NAME);
            let whole = std::fs::read(&path).unwrap();
            assert!(whole.starts_with(magic));
            for at in 0..whole.len() * 8 {
                let mut flipped = whole.clone();
                flipped[at / 8] ^= 1 << (at % 8);
                std::fs::write(&path, flipped).unwrap();
                assert!(
                    matches!(Lost::read(&System, directory.path()), Err(DatabaseError::Damaged(_))),
                    "bit {at}"
                );
            }
        }
    }

    /// The bytes are on disks: they stay what they are.
    #[test]
    fn the_formats_are_pinned() {
        let body = |rest: &[&[u8]]| [&[0][..], &rest.concat()].concat();
        let one = b"\0\0\0\x01\0\0\0\x01a\0\0\0\x01b";
        for (magic, body, healing) in
            [(MAGIC, body(&[one]), None), (MAGIC_HEALING, body(&[&[7; 16], one, &[0; 4]]), Some([7; 16]))]
        {
            let bytes = [magic, &crc32fast::hash(&body).to_be_bytes(), &body].concat();
            let lost = Lost::decode(&bytes).unwrap();
            assert_eq!((&lost.parts()[..], lost.count()), (&[part("a", b"b")][..], 1));
            assert_eq!(lost.healing.map(|healing| healing.directory), healing);
        }
    }

    /// S3: what is lost while something is healed is still lost after that, be it the same part again.
    #[test]
    fn s3_what_is_healed_is_what_was_lost_before() {
        let mut lost = Lost::default();
        lost.add(part("a", b"b"));
        lost.add(part("c", b"d"));
        assert_eq!(lost.healed([1; 16]), None);
        lost.begin_healing([1; 16]);
        lost.add(part("c", b"d"));
        lost.add(part("e", b"f"));
        assert_eq!((lost.parts().len(), lost.count()), (3, 4));
        assert_eq!(lost.healed([2; 16]), None);
        let left = lost.healed([1; 16]).unwrap();
        assert_eq!(left.parts()[..], [part("c", b"d"), part("e", b"f")]);
        // From the beginning, for another id.
        lost.begin_healing([2; 16]);
        assert_eq!((lost.healed([1; 16]), lost.being_healed().len()), (None, 3));
        assert_eq!(lost.healed([2; 16]), Some(Lost::default()));
    }
}
