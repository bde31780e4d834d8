//! What can still be read of a table that is damaged, and a new table of it.
//!
//! A table is a row of blocks of entries, each with a checksum, then an index, a filter and what describes the table. Entries are
//! read block by block, so neither of these is needed to save them; the index tells where the next block begins when the
//! head of one is damaged, and how far the keys of a damaged one reach. What lies between what can be read is lost.

use super::archive::{Section, contents};
use super::library::{self, Block, BlockType, Cache, Checksum, CompressionType, DataBlock, Decode, Header};
use super::library::{IndexBlock, InternalValue, ParsedItem, Table, Writer};
use super::list::Listed;
use crate::damage::Part;
use crate::database::DatabaseError;
use crate::disk::ground::failure::{caught, io_error};
use crate::disk::ground::tables::FIRST;
use crate::disk::ground::tables::head::{FLUSHED_KEY, begins as begins_of};
use bytes::Bytes;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Sections of a table that are rows of blocks, beside its entries.
const ROWS_OF_BLOCKS: [&[u8]; 5] = [b"tli", b"index", b"filter_tli", b"filter", b"meta"];
const ENTRIES: &[u8] = b"data";
/// Behind every key.
const END: &[u8] = &[0xff; 32];

/// How a table is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Data keys that it may have had and has not any more.
    pub(super) lost: Vec<Part>,
    /// Whether anything of it cannot be read, be it not needed for its entries.
    pub(super) damaged: bool,
}

/// Where a block is, and the last key in it.
type Places = BTreeMap<u64, (u64, Bytes)>;

/// A disk that fails to read something may do so for a moment only. Again after so long, and so often in all for one table: what
/// cannot be read by then is lost for good.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
const AGAIN_MAX: u32 = 6;

/// A table's file, as far as it can be read.
struct Blocks {
    file: File,
    length: u64,
    again: Cell<u32>,
}

impl Blocks {
    fn new(file: File) -> std::io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length, again: Cell::new(AGAIN_MAX) })
    }

    /// What the disk says, if not at once, then a little later.
    fn patiently<T>(&self, read: impl Fn() -> std::io::Result<T>) -> std::io::Result<T> {
        loop {
            match read() {
                Err(why) if why.kind() != ErrorKind::UnexpectedEof && self.again.get() > 0 => {
                    self.again.set(self.again.get() - 1);
                    log::warn!("a table cannot be read ({why}); again in {AGAIN_AFTER:?}");
                    #[expect(clippy::disallowed_methods, reason = "no event loop salvages")]
                    std::thread::sleep(AGAIN_AFTER);
                }
                done => return done,
            }
        }
    }

    fn contents(&self) -> Option<Vec<Section>> {
        self.patiently(|| contents(&self.file)).ok()?
    }

    fn bytes(&self, at: u64, size: u64) -> Option<Vec<u8>> {
        let (end, size) = (at.checked_add(size)?, usize::try_from(size).ok()?);
        let read = || {
            let mut bytes = vec![0; size];
            self.file.read_exact_at(&mut bytes, at).map(|()| bytes)
        };
        if end <= self.length { self.patiently(read).ok() } else { None }
    }

    /// What a block says of itself: its bytes in the file and what is in it.
    fn head(&self, at: u64) -> Option<(u64, BlockType)> {
        let bytes = self.bytes(at, Header::serialized_len() as u64)?;
        let header = Header::decode_from(&mut &bytes[..]).ok()?;
        let size = Header::serialized_len() as u64 + u64::from(header.data_length);
        (at.checked_add(size)? <= self.length).then_some((size, header.block_type))
    }

    /// A whole block.
    fn block(&self, at: u64, size: u64, kind: BlockType) -> Option<Block> {
        let bytes = self.bytes(at, size)?;
        let block = Block::from_reader(&mut &bytes[..], CompressionType::None).ok()?;
        (block.header.block_type == kind).then_some(block)
    }

    /// Whether a section is a row of whole blocks.
    fn is_whole(&self, section: &Section) -> bool {
        let (mut at, end) = (section.from, section.from + section.length);
        while at < end {
            let Some((size, kind)) = self.head(at) else { return false };
            if self.block(at, size, kind).is_none() {
                return false;
            }
            at += size;
        }
        at == end
    }

    /// The same for all that has no entries.
    fn others_are_whole(&self, sections: &[Section]) -> bool {
        let mut others = sections.iter().filter(|section| ROWS_OF_BLOCKS.contains(&&section.name[..]));
        others.all(|section| self.is_whole(section))
    }

    /// Where the blocks of entries are, as far as the index can be read.
    fn places(&self, sections: &[Section]) -> Places {
        let mut places = Places::new();
        let indexes = sections.iter().filter(|section| [&b"tli"[..], b"index"].contains(&&section.name[..]));
        for section in indexes {
            let (mut at, end) = (section.from, section.from + section.length);
            while at < end
                && let Some((size, BlockType::Index)) = self.head(at)
            {
                if let Some(block) = self.block(at, size, BlockType::Index) {
                    let index = IndexBlock::new(block);
                    for item in index.iter() {
                        let place = item.materialize(index.as_slice());
                        places.insert(
                            place.offset().0,
                            (u64::from(place.size()), Bytes::from(place.end_key().clone())),
                        );
                    }
                }
                at += size;
            }
        }
        places
    }
}

fn after(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// Reads a table's file to its end, and hands over all entries that can be read.
pub(super) fn read(
    path: &Path,
    mut each: impl FnMut(InternalValue) -> Result<(), DatabaseError>,
) -> Result<Findings, DatabaseError> {
    let failed = |why: std::io::Error| io_error(&format!("read the table {}", path.display()), &why);
    let file = File::open(path).map_err(failed)?;
    let blocks = Blocks::new(file).map_err(failed)?;
    let sections = blocks.contents();
    let mut findings = Findings { lost: Vec::new(), damaged: sections.is_none() };
    let sections = sections.unwrap_or_default();
    let named = |name: &[u8]| sections.iter().find(|section| section.name == name);
    // Without contents the entries end where a block of something else begins.
    let end = named(ENTRIES).map(|entries| entries.from + entries.length);
    let places = blocks.places(&sections);
    let (mut at, mut last): (u64, Option<Bytes>) = (0, None);
    // From where on, and up to where if that is known, entries are missing.
    let mut missing: Option<(Bytes, Option<Bytes>)> = None;
    let number = path.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0);
    let mut begins = None;
    let from = |last: &Option<Bytes>, begins: &Option<Bytes>| match (last, begins) {
        // What is the engine's own fills the blocks before, and is whole.
        (Some(last), Some(begins)) if last[..] < *FIRST => begins.clone(),
        (Some(last), _) => after(last),
        (None, _) => Bytes::new(),
    };
    loop {
        if end.is_some_and(|end| at >= end) {
            break;
        }
        let (head, place) = (blocks.head(at), places.get(&at));
        if end.is_none() && matches!(head, Some((_, kind)) if kind != BlockType::Data) {
            break;
        }
        let size = head.map(|(size, _)| size).or(place.map(|(size, _)| *size));
        match size.and_then(|size| blocks.block(at, size, BlockType::Data)) {
            Some(block) => {
                let entries = DataBlock::new(block);
                for item in entries.iter() {
                    let entry = item.materialize(entries.as_slice());
                    let key = Bytes::copy_from_slice(&entry.key.user_key);
                    if let Some((from, to)) = missing.take() {
                        let to = to.map_or_else(|| key.clone(), |to| to.min(key.clone()));
                        findings.lost.push(Part { from, to });
                    }
                    if key == FLUSHED_KEY {
                        begins = begins_of(&entry.value, number);
                    }
                    last = Some(key);
                    each(entry)?;
                }
            }
            None => {
                let (from, _) = missing.take().unwrap_or_else(|| (from(&last, &begins), None));
                missing = Some((from, place.map(|(_, last)| after(last))));
            }
        }
        // Without, nobody knows where the next one begins, and a value may look like one.
        let Some(size) = size else { break };
        at += size;
    }
    if let Some((from, to)) = missing {
        findings.lost.push(Part { from, to: to.unwrap_or_else(|| Bytes::from_static(END)) });
    }
    findings.damaged |= !findings.lost.is_empty() || !blocks.others_are_whole(&sections);
    Ok(findings)
}

/// Whether what finds the entries of a table is whole: its index and its filter.
pub(super) fn finds(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let Ok(blocks) = Blocks::new(file) else { return false };
    blocks.contents().is_some_and(|sections| blocks.others_are_whole(&sections))
}

/// Whether the crate would open a table. No more is read than what that needs.
pub(super) fn opens(path: &Path, listed: Listed) -> bool {
    // Before the crate believes what the file says of its sizes.
    let sizes = File::open(path).and_then(|file| contents(&file));
    if !matches!(sizes, Ok(Some(_))) {
        return false;
    }
    let open = || {
        let cache = Arc::new(Cache::with_capacity_bytes(0));
        let checksum = Checksum::from_raw(listed.checksum);
        Table::recover(path.to_path_buf(), checksum, listed.added, 0, cache, None, true, true)
    };
    // The crate asserts on some damaged bytes where it could return an error.
    matches!(caught(open), Ok(Ok(_)))
}

/// Writes what can be read of a damaged table to a new one in the same folder, durably; `None` if that is nothing.
/// Fails with [`DatabaseError::Full`] or [`DatabaseError::Fatal`]. The file is not left behind then.
pub(super) fn rewrite(path: &Path, listed: Listed, number: u64) -> Result<Option<Listed>, DatabaseError> {
    let new = path.with_file_name(number.to_string());
    let failed = |why: library::Error| super::engine_error(why);
    let written = Writer::new(new.clone(), number, 0).map_err(failed).and_then(|mut writer| {
        read(path, |entry| writer.write(entry).map_err(failed))?;
        writer.finish().map_err(failed)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    Ok(written?.map(|(number, checksum)| Listed { number, checksum: checksum.into_u128(), ..listed }))
}
