//! The files that batches are written to.
//!
//! A segment's blocks are written before it is used: a sync then has data to write and no metadata of the file system, as
//! it has for each block that a file grows by.
//!
//! They are written past the page cache, where the file system offers that. What is written is seldom read, and to bring a
//! page into the cache costs a large value more than all else does. Each write is then durable when it returns: one system
//! call, and where the disk can write through its own cache (`FUA`), one request in place of a write and a flush.

use super::record::blank_block;
use crate::database::DatabaseError;
use crate::disk::ground::failure::io_error;
use crate::files::{Direct, FileSystem, OpenFile};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What is written to a segment is so many bytes, or a multiple, from such a multiple on, in the file and in memory. The page
/// cache and many disks have no smaller pieces: of less they would read the rest first. A disk with larger ones is used
/// through the cache.
pub(super) const PAGE: usize = 4096;
/// How much is written at a time to a new segment past the page cache: a sync of the journal waits behind it.
const CHUNK: usize = 256 << 10;

/// Never written to, so it costs no memory of its own.
#[repr(align(4096))]
struct Zeros([u8; CHUNK]);
static ZEROS: Zeros = Zeros([0; CHUNK]);

/// A file that batches are written to.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn OpenFile>,
    files: Arc<dyn FileSystem>,
    /// The same, past the page cache, while it is written to.
    direct: Option<Direct>,
    /// Whether it was made for large values.
    large_values: bool,
    pub(super) path: PathBuf,
    pub(crate) capacity: u64,
}

/// Why pages are not durable.
#[derive(Debug)]
pub(super) enum Undurable {
    /// What was durable before still is.
    Unwritten(io::Error),
    /// A sync failed: nobody knows what the disk holds of all that was written.
    Unknown(io::Error),
}

/// A segment to be made ready by whoever has time.
#[derive(Debug)]
pub(crate) struct Blank {
    pub(crate) files: Arc<dyn FileSystem>,
    pub(crate) path: PathBuf,
    pub(crate) capacity: u64,
    /// What one that has been used before must have.
    pub(crate) least: u64,
    /// Whether most of what it is for are large values.
    pub(crate) large_values: bool,
}

impl Blank {
    /// Whether a segment that has been used before serves as well as a new one. It need not be quite as large: what is asked
    /// for changes with what is kept.
    pub(crate) fn is_like(&self, used: &Segment) -> bool {
        self.large_values == used.large_values
            && (self.least.max(self.capacity / 2)..=4 * self.capacity).contains(&used.capacity)
    }

    /// Writes the segment's blocks, durably.
    /// Fails when the disk is full or fails; then nothing is left behind.
    pub(crate) fn make(self) -> Result<Segment, DatabaseError> {
        let made = self.write().and_then(|file| {
            self.path.parent().map_or(Ok(()), |directory| self.files.sync_directory(directory))?;
            Ok(file)
        });
        match made {
            Ok(file) => {
                let large_values = self.large_values;
                Ok(Segment { large_values, ..Segment::found(file, self.files, self.path, self.capacity) })
            }
            Err(why) => {
                let _ = self.files.remove(&self.path);
                Err(io_error("prepare a journal segment", &why))
            }
        }
    }

    fn write(&self) -> io::Result<Arc<dyn OpenFile>> {
        let file = self.files.create(&self.path)?;
        let mut direct = self.files.open_direct(&self.path, false);
        for at in (0..self.capacity).step_by(CHUNK) {
            let size = usize::try_from(self.capacity - at).unwrap_or(CHUNK).min(CHUNK);
            let zeros = &ZEROS.0[..size];
            if let Some(past_the_cache) = &direct {
                match past_the_cache.file.write_at(zeros, at) {
                    Err(why) if not_offered(&why) => direct = None,
                    written => {
                        written?;
                        continue;
                    }
                }
            }
            // A page at a time: the cache keeps in one piece what was written in one piece, and writes all of it again when
            // a part of it has changed.
            for from in (0..size).step_by(PAGE) {
                file.write_at(&zeros[from..size.min(from + PAGE)], at + from as u64)?;
            }
        }
        file.sync()?;
        Ok(file)
    }
}

/// Whether the file system does not write past its cache what it was to, or not so: its blocks are larger, or it is of an
/// older system.
fn not_offered(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// Empties a buffer and makes room in it for so many bytes that can be written to a segment; returns where they begin.
pub(super) fn align(buffer: &mut Vec<u8>, bytes: usize) -> usize {
    buffer.clear();
    buffer.reserve(bytes + PAGE);
    let from = buffer.as_ptr().align_offset(PAGE);
    buffer.resize(from, 0);
    from
}

impl Segment {
    /// A file from an earlier run.
    pub(super) fn found(
        file: Arc<dyn OpenFile>,
        files: Arc<dyn FileSystem>,
        path: PathBuf,
        capacity: u64,
    ) -> Self {
        Self { file, files, direct: None, large_values: false, path, capacity }
    }

    /// Kept for its large values, for which it may be used again, too.
    pub(super) fn kept(self) -> Self {
        Self { direct: None, large_values: true, ..self }
    }

    /// To be written to.
    pub(super) fn opened(self) -> Self {
        Self { direct: self.files.open_direct(&self.path, true), ..self }
    }

    /// Nothing more is written to it now, so that one open file is enough.
    pub(super) fn full(self) -> Self {
        Self { direct: None, ..self }
    }

    /// Writes whole pages, from memory that [`align`] gave, durably.
    pub(super) fn write_durably(&mut self, pages: &[u8], at: u64) -> Result<(), Undurable> {
        assert!(pages.len().is_multiple_of(PAGE) && at.is_multiple_of(PAGE as u64));
        assert!(pages.as_ptr().align_offset(PAGE) == 0, "the buffer has moved");
        if let Some(direct) = &self.direct {
            match direct.file.write_at(pages, at) {
                Ok(()) if direct.durable => return Ok(()),
                Ok(()) => return self.file.sync().map_err(Undurable::Unknown),
                Err(why) if not_offered(&why) => self.direct = None,
                // What was durable does not depend on these pages.
                Err(why) => return Err(Undurable::Unwritten(why)),
            }
        }
        self.file.write_at(pages, at).map_err(Undurable::Unwritten)?;
        self.file.sync().map_err(Undurable::Unknown)
    }

    /// Takes away what makes it a segment, so that it can be used again at any time: what was in it is not found by a
    /// recovery.
    pub(crate) fn wipe(&self) -> Result<(), DatabaseError> {
        self.file
            .write_at(&blank_block(), 0)
            .and_then(|()| self.file.sync())
            .map_err(|why| io_error("wipe a journal segment", &why))
    }

    /// Gives back the space behind `end`, which is of no use any more, but for the rest of a page.
    pub(super) fn shorten(&mut self, end: u64) {
        let end = end.next_multiple_of(PAGE as u64);
        match self.file.set_length(end) {
            Ok(()) => self.capacity = end,
            Err(why) => log::warn!("cannot shorten the journal segment {}: {why}", self.path.display()),
        }
    }

    /// A file that is left over does no harm: its batches are in the tables.
    pub(crate) fn delete(self) {
        if let Err(why) = self.files.remove(&self.path) {
            log::warn!("cannot delete the journal segment {}: {why}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::ground::failure::is_full;
    use crate::files::System;
    use std::fs::OpenOptions;
    use std::path::Path;

    impl Segment {
        /// Has every write to it find no room.
        pub(crate) fn without_room(&mut self) {
            let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            self.direct = Some(Direct { file: Arc::new(full), durable: true });
        }
    }

    fn segment(path: &Path, capacity: u64) -> Segment {
        let files = Arc::new(System);
        Blank { files, path: path.to_path_buf(), capacity, least: 0, large_values: false }.make().unwrap()
    }

    /// Pages of this byte, from where they begin in the buffer.
    fn pages(count: usize, byte: u8) -> (Vec<u8>, usize) {
        let mut buffer = Vec::new();
        let from = align(&mut buffer, count * PAGE);
        buffer.resize(from + count * PAGE, byte);
        (buffer, from)
    }

    /// Past the page cache, where the file system offers that, and through it.
    #[test]
    fn a_segment_has_its_blocks_and_takes_what_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let capacity = CHUNK as u64 + 3 * PAGE as u64;
        for cached in [false, true] {
            let path = directory.path().join(format!("{cached}"));
            let segment = segment(&path, capacity);
            assert_eq!(std::fs::read(&path).unwrap(), vec![0; usize::try_from(capacity).unwrap()]);
            let mut segment = if cached { segment } else { segment.opened() };
            let (mut buffer, from) = pages(2, 7);
            for at in [capacity - 2 * PAGE as u64, 0] {
                segment.write_durably(&buffer[from..], at).unwrap();
                let at = usize::try_from(at).unwrap();
                assert_eq!(std::fs::read(&path).unwrap()[at..at + 2 * PAGE], [7; 2 * PAGE]);
            }
            segment.wipe().unwrap();
            assert!(std::fs::read(&path).unwrap().starts_with(&blank_block()));
            // What was read or written through the cache meanwhile is not in the way.
            buffer[from] = 8;
            let mut segment = segment.kept().opened();
            segment.write_durably(&buffer[from..], 0).unwrap();
            assert!(std::fs::read(&path).unwrap().starts_with(&buffer[from..]));
        }
    }

    /// A file of the system's own that refuses every such write, as a file system does whose blocks are larger than a page.
    #[test]
    fn what_cannot_be_written_past_the_cache_is_written_through_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segment");
        let mut segment = segment(&path, PAGE as u64);
        let refuses = OpenOptions::new().write(true).open("/proc/self/oom_score_adj").unwrap();
        segment.direct = Some(Direct { file: Arc::new(refuses), durable: true });
        let (buffer, from) = pages(1, 7);
        segment.write_durably(&buffer[from..], 0).unwrap();
        assert!(segment.direct.is_none());
        assert_eq!(std::fs::read(&path).unwrap(), [7; PAGE]);
    }

    #[test]
    fn without_room_past_the_cache_nothing_is_written_through_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segment");
        let mut segment = segment(&path, PAGE as u64);
        segment.without_room();
        let (buffer, from) = pages(1, 7);
        let refused = segment.write_durably(&buffer[from..], 0);
        assert!(matches!(&refused, Err(Undurable::Unwritten(why)) if is_full(why)), "{refused:?}");
        assert_eq!(std::fs::read(&path).unwrap(), [0; PAGE]);
    }
}
