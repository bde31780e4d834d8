//! The files that batches are written to.
//!
//! A segment's blocks are written before it is used: a sync then has data to write and no metadata of the file system, as
//! it has for each block that a file grows by. A segment for large values is written past the page cache: to bring a page
//! into the cache that is written once and seldom read costs more than all else that a large value costs.

use super::record::{BLOCK, blank_block};
use crate::database::DatabaseError;
use crate::engine::failure::{io_error, sync_directory};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the page cache takes one by one, and what every disk takes as a place in memory to write from.
const PAGE: usize = 4096;
/// How much is written at a time to a new segment past the page cache: a sync of the journal waits behind it.
const CHUNK: usize = 256 << 10;

/// Never written to, so it costs no memory of its own.
#[repr(align(4096))]
struct Zeros([u8; CHUNK]);
static ZEROS: Zeros = Zeros([0; CHUNK]);

/// A file that batches are written to.
#[derive(Debug)]
pub(in crate::engine) struct Segment {
    pub(super) file: Arc<File>,
    /// Whether it was made for large values, and then the same file, past the page cache.
    large_values: bool,
    direct: Option<File>,
    pub(super) path: PathBuf,
    pub(super) capacity: u64,
}

/// A segment to be made ready by whoever has time.
#[derive(Debug)]
pub(in crate::engine) struct Blank {
    pub(in crate::engine) path: PathBuf,
    pub(in crate::engine) capacity: u64,
    /// What one that has been used before must have.
    pub(in crate::engine) least: u64,
    /// Whether most of what it is for are large values.
    pub(in crate::engine) large_values: bool,
}

impl Blank {
    /// Whether a segment that has been used before serves as well as a new one. It need not be quite as large: what is asked
    /// for changes with what is kept.
    pub(in crate::engine) fn is_like(&self, used: &Segment) -> bool {
        self.large_values == used.large_values
            && (self.least.max(self.capacity / 2)..=4 * self.capacity).contains(&used.capacity)
    }

    /// Writes the segment's blocks, durably.
    ///
    /// # Errors
    /// When the disk is full or fails; then nothing is left behind.
    pub(in crate::engine) fn make(self) -> Result<Segment, DatabaseError> {
        let made = self.write().map_err(|why| io_error("prepare a journal segment", &why));
        let made = made.and_then(|segment| {
            self.path.parent().map_or(Ok(()), sync_directory)?;
            Ok(segment)
        });
        if made.is_err() {
            let _ = std::fs::remove_file(&self.path);
        }
        made
    }

    fn write(&self) -> io::Result<Segment> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&self.path)?;
        let direct = if self.large_values { open_direct(&self.path) } else { None };
        let mut segment = Segment {
            file: Arc::new(file),
            large_values: self.large_values,
            direct,
            path: self.path.clone(),
            capacity: self.capacity,
        };
        // A page at a time: the page cache keeps in one piece what was written in one piece, and writes all of it again
        // when a part of it has changed.
        let step = if segment.direct.is_some() { CHUNK } else { PAGE };
        for at in (0..self.capacity).step_by(step) {
            let size = usize::try_from(self.capacity - at).unwrap_or(step).min(step);
            segment.write(&ZEROS.0[..size], at)?;
        }
        segment.file.sync_all()?;
        Ok(segment)
    }
}

/// A file system that does not offer this is used through its cache.
fn open_direct(path: &Path) -> Option<File> {
    let flags = rustix::fs::OFlags::DIRECT.bits();
    OpenOptions::new().write(true).custom_flags(i32::try_from(flags).ok()?).open(path).ok()
}

/// Empties a buffer and makes room in it for so many bytes that can be written past the page cache; returns where they begin.
pub(super) fn align(buffer: &mut Vec<u8>, bytes: usize) -> usize {
    buffer.clear();
    buffer.reserve(bytes + PAGE);
    let from = buffer.as_ptr().align_offset(PAGE);
    buffer.resize(from, 0);
    from
}

impl Segment {
    /// A file from an earlier run.
    pub(super) fn found(file: File, path: PathBuf, capacity: u64) -> Self {
        Self { file: Arc::new(file), large_values: false, direct: None, path, capacity }
    }

    /// Full, and kept for its large values, for which it may be used again, too. Nothing more is written to it now, so that
    /// one open file is enough.
    pub(super) fn closed(self) -> Self {
        Self { direct: None, large_values: true, ..self }
    }

    /// To be used again.
    pub(in crate::engine) fn reopened(self) -> Self {
        let direct = if self.large_values { open_direct(&self.path) } else { None };
        Self { direct, ..self }
    }

    /// Writes whole blocks, from memory that [`align`] gave.
    pub(super) fn write(&mut self, blocks: &[u8], at: u64) -> io::Result<()> {
        debug_assert!(blocks.len().is_multiple_of(BLOCK) && at.is_multiple_of(BLOCK as u64));
        if let Some(direct) = &self.direct {
            match direct.write_all_at(blocks, at) {
                // The disk's blocks are larger than ours.
                Err(why) if why.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                written => return written,
            }
        }
        self.file.write_all_at(blocks, at)
    }

    /// Takes away what makes it a segment, so that it can be used again at any time: what was in it is not found by a
    /// recovery.
    ///
    /// # Errors
    /// When the disk fails.
    pub(in crate::engine) fn wipe(&self) -> Result<(), DatabaseError> {
        self.file
            .write_all_at(&blank_block(), 0)
            .and_then(|()| self.file.sync_data())
            .map_err(|why| io_error("wipe a journal segment", &why))
    }

    /// Whether nobody else has its file.
    pub(in crate::engine) fn is_unshared(&self) -> bool {
        Arc::strong_count(&self.file) == 1
    }

    /// Bytes that it takes.
    pub(in crate::engine) fn bytes(&self) -> u64 {
        self.capacity
    }

    /// Gives back the space behind `end`, which is of no use any more.
    pub(super) fn shorten(&mut self, end: u64) {
        match self.file.set_len(end) {
            Ok(()) => self.capacity = end,
            Err(why) => log::warn!("cannot shorten the journal segment {}: {why}", self.path.display()),
        }
    }

    /// A file that is left over does no harm: its batches are in the tables.
    pub(in crate::engine) fn delete(self) {
        if let Err(why) = std::fs::remove_file(&self.path) {
            log::warn!("cannot delete the journal segment {}: {why}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both kinds hold what is written to them, where the file system has both.
    #[test]
    fn a_segment_has_its_blocks_and_takes_what_is_written() {
        let directory = tempfile::tempdir().unwrap();
        for large_values in [false, true] {
            let path = directory.path().join(format!("{large_values}"));
            let capacity = CHUNK as u64 + 3 * BLOCK as u64;
            let mut segment = Blank { path: path.clone(), capacity, least: 0, large_values }.make().unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), vec![0; usize::try_from(capacity).unwrap()]);
            let mut buffer = Vec::new();
            let from = align(&mut buffer, 2 * BLOCK);
            buffer.resize(from + 2 * BLOCK, 7);
            segment.write(&buffer[from..], capacity - 2 * BLOCK as u64).unwrap();
            assert!(std::fs::read(&path).unwrap().ends_with(&[7; 2 * BLOCK]));
            segment.write(&buffer[from..], 0).unwrap();
            segment.wipe().unwrap();
            assert_eq!(std::fs::read(&path).unwrap()[..BLOCK], blank_block());
        }
    }
}
