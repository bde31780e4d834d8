//! The file that remembers what was lost of the tables (rule S3).
//!
//! ```text
//! "AKVLOST1" | crc32 of what follows u32 | 1 if the number of the last flushed batch was lost u8 | parts u32 |
//! for each: length u32 | from | length u32 | to                                            big-endian
//! ```
//! It is durable before tables are used that have no gap any more where something was lost. Tables that are written later say
//! how many parts there are, so it is noticed if this file goes missing. It is written anew as a whole.

use super::failure::{damaged, io_error};
use crate::damage::{DamagedParts, Part};
use crate::database::DatabaseError;
use crate::files::{FileSystem, contents, if_there, replace};
use bytes::{Buf, BufMut, Bytes};
use std::path::Path;

/// The name of the file.
pub(crate) const NAME: &str = "lost";
const MAGIC: &[u8] = b"AKVLOST1";

/// What was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) parts: DamagedParts,
    /// The tables may say less than they hold: the number of the last batch in them was in a damaged block.
    pub(crate) flushed: bool,
}

impl Lost {
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
        let mut bytes = bytes.strip_prefix(MAGIC)?;
        if bytes.try_get_u32().ok()? != crc32fast::hash(bytes) {
            return None;
        }
        let flushed = bytes.try_get_u8().ok()? == 1;
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
        bytes.is_empty().then_some(Self { parts, flushed })
    }

    /// Writes the file, durably.
    pub(crate) fn write(&self, files: &dyn FileSystem, directory: &Path) -> Result<(), DatabaseError> {
        let mut body = vec![u8::from(self.flushed)];
        let length = |length: usize| u32::try_from(length).unwrap_or_else(|_| unreachable!("keys are short"));
        body.put_u32(length(self.parts.len()));
        for Part { from, to } in self.parts.iter() {
            for key in [from, to] {
                body.put_u32(length(key.len()));
                body.put_slice(key);
            }
        }
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32(crc32fast::hash(&body));
        bytes.extend_from_slice(&body);
        replace(files, &directory.join(NAME), &bytes)
            .and_then(|_| files.sync_directory(directory))
            .map_err(|why| io_error("remember what was lost of the tables", &why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::System;

    #[test]
    fn what_was_lost_is_remembered_and_every_flipped_bit_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Lost::read(&System, directory.path()).unwrap(), Lost::default());
        let mut lost = Lost { flushed: true, ..Lost::default() };
        lost.parts.add(Part { from: "a".into(), to: "b\0".into() });
        lost.parts.add(Part { from: "x".into(), to: Bytes::from_static(&[0xff; 32]) });
        lost.write(&System, directory.path()).unwrap();
        assert_eq!(Lost::read(&System, directory.path()).unwrap(), lost);
        let path = directory.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
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
