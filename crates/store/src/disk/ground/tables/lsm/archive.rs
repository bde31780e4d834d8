//! The frame of the crate's files: sections, and a table of contents at the end.
//!
//! ```text
//! file      section | section | … | contents | trailer
//! contents  "TOC!" | count u32 | for each section: position u64 | length u64 | length of its name u16 | name
//! trailer   "SFA!" | 1 | 0 | xxh3 of the contents u128 | position of the contents u64 | their length u64
//! ```
//! All integers are little-endian. The crate asks for memory for as many sections as the file claims to have before it looks at
//! the checksum, so the contents are looked at here before it opens anything.

use super::library::ChecksummedWriter;
use bytes::Buf;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

const CONTENTS_MAGIC: &[u8] = b"TOC!";
const TRAILER_MAGIC: &[u8] = b"SFA!";
const TRAILER: usize = 4 + 1 + 1 + 16 + 8 + 8;
/// No file has so many sections that their names take more.
const CONTENTS_MAX: u64 = 64 << 10;

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: Vec<u8>,
    pub(super) from: u64,
    pub(super) length: u64,
}

/// The checksum that the crate uses.
pub(super) fn checksum(bytes: &[u8]) -> u128 {
    let mut writer = ChecksummedWriter::new(io::sink());
    let Ok(()) = writer.write_all(bytes) else { unreachable!("nothing is written anywhere") };
    writer.checksum().into_u128()
}

/// The sections of a file; `None` if the file does not say.
pub(super) fn contents(file: &File) -> io::Result<Option<Vec<Section>>> {
    let length = file.metadata()?.len();
    let Some(end) = length.checked_sub(TRAILER as u64) else { return Ok(None) };
    let mut bytes = [0; TRAILER];
    file.read_exact_at(&mut bytes, end)?;
    let Some((expected, from)) = trailer(&bytes) else { return Ok(None) };
    let Some(size) = end.checked_sub(from).filter(|size| *size <= CONTENTS_MAX) else { return Ok(None) };
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    file.read_exact_at(&mut bytes, from)?;
    Ok(sections(&bytes, expected, from))
}

/// The checksum of the contents, and where they begin.
fn trailer(bytes: &[u8]) -> Option<(u128, u64)> {
    let mut fields = bytes.strip_prefix(TRAILER_MAGIC)?.strip_prefix(&[1, 0])?;
    Some((fields.get_u128_le(), fields.get_u64_le()))
}

/// The sections of a file that is in memory.
pub(super) fn contents_of(bytes: &[u8]) -> Option<Vec<Section>> {
    let end = bytes.len().checked_sub(TRAILER)?;
    let (expected, from) = trailer(bytes.get(end..)?)?;
    sections(bytes.get(usize::try_from(from).ok()?..end)?, expected, from)
}

/// What the contents say, if it lies before them.
fn sections(mut contents: &[u8], expected: u128, before: u64) -> Option<Vec<Section>> {
    if checksum(contents) != expected {
        return None;
    }
    contents = contents.strip_prefix(CONTENTS_MAGIC)?;
    let count = contents.try_get_u32_le().ok()?;
    let mut sections = Vec::new();
    for _ in 0..count {
        let (from, length) = (contents.try_get_u64_le().ok()?, contents.try_get_u64_le().ok()?);
        let name = usize::from(contents.try_get_u16_le().ok()?);
        if from.checked_add(length)? > before {
            return None;
        }
        sections.push(Section { name: contents.get(..name)?.to_vec(), from, length });
        contents.advance(name);
    }
    contents.is_empty().then_some(sections)
}

/// A file of these sections.
pub(super) fn build(sections: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut contents) = (Vec::new(), CONTENTS_MAGIC.to_vec());
    let count = u32::try_from(sections.len()).unwrap_or(u32::MAX);
    contents.extend_from_slice(&count.to_le_bytes());
    for (name, bytes) in sections {
        let Ok(name_length) = u16::try_from(name.len()) else { unreachable!("no name has 64 KiB") };
        contents.extend_from_slice(&(file.len() as u64).to_le_bytes());
        contents.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        contents.extend_from_slice(&name_length.to_le_bytes());
        contents.extend_from_slice(name);
        file.extend_from_slice(bytes);
    }
    let from = file.len() as u64;
    file.extend_from_slice(&contents);
    file.extend_from_slice(TRAILER_MAGIC);
    file.extend_from_slice(&[1, 0]);
    file.extend_from_slice(&checksum(&contents).to_le_bytes());
    file.extend_from_slice(&from.to_le_bytes());
    file.extend_from_slice(&(contents.len() as u64).to_le_bytes());
    file
}
