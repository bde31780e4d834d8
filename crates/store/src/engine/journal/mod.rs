//! The write-ahead log: every batch is durable here before it is visible.
//!
//! Segments are files whose blocks were written before they are used, and they are used again and again: a sync then has
//! data to write and no metadata of the file system, as it has for each block that a file grows by. ARCHITECTURE.md, "The
//! disk engine", has what that buys.
//!
//! ```text
//! sealed, oldest first: in use until the tables hold their batches      active: being written      spare: written before
//! [ 101 … 240 ] [ 241 … 377 ]                                           [ 378 … → ]                [      ] [      ]
//! ```

mod record;
mod recovery;

pub(super) use recovery::recover;

use super::failure::{io_error, is_full, sync_directory};
use crate::database::{Change, DatabaseError};
use record::{BLOCK, Header};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The first segment of a database, and of one that has been quiet; each further one is twice as large.
const SMALLEST: u64 = 256 << 10;
const LARGEST: u64 = 4 << 20;
/// Spare segments that are kept for the next batches.
const SPARE_MAX: usize = 8;
/// What the page cache takes one by one.
const PAGE: usize = 4096;
/// A buffer that has grown beyond this is given back after use.
const BUFFER_KEPT: usize = 1 << 20;

/// A file that batches are written to.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    path: PathBuf,
    capacity: u64,
}

/// The segment that is being written.
struct Active {
    segment: Segment,
    header: Header,
    /// Where the next record goes; zero until the header has been written, with the first record.
    end: u64,
}

impl Active {
    /// How large the next record may be.
    fn room(&self) -> u64 {
        self.segment.capacity.saturating_sub(self.end.max(BLOCK as u64))
    }
}

/// A full segment.
struct Sealed {
    segment: Segment,
    /// Number of the last batch in it.
    last: u64,
}

/// The journal of an open database. One batch at a time.
pub(super) struct Journal {
    directory: PathBuf,
    active: Option<Active>,
    sealed: VecDeque<Sealed>,
    /// Oldest first, so that the segments with records are always a row without holes.
    spare: VecDeque<Segment>,
    next_id: u64,
    next_file: u64,
    next_capacity: u64,
    buffer: Vec<u8>,
    /// A sync has failed: what the disk holds is not known any more.
    failed: bool,
}

/// A segment to be made ready by whoever has time.
#[derive(Debug)]
pub(super) struct Blank {
    path: PathBuf,
    capacity: u64,
}

impl Blank {
    /// Writes the segment's blocks, durably.
    ///
    /// # Errors
    /// When the disk is full or fails; then nothing is left behind.
    pub(super) fn make(self) -> Result<Segment, DatabaseError> {
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
        // A page at a time: the page cache keeps in one piece what was written in one piece, and writes all of it again
        // when a part of it has changed.
        for at in (0..self.capacity).step_by(PAGE) {
            let size = usize::try_from(self.capacity - at).unwrap_or(PAGE).min(PAGE);
            file.write_all_at(&[0; PAGE][..size], at)?;
        }
        file.sync_all()?;
        Ok(Segment { file, path: self.path.clone(), capacity: self.capacity })
    }
}

impl Journal {
    /// An empty journal in a directory that holds none of the files from `next_file` on.
    fn new(directory: PathBuf, next_id: u64, next_file: u64) -> Self {
        Self {
            directory,
            active: None,
            sealed: VecDeque::new(),
            spare: VecDeque::new(),
            next_id,
            next_file,
            next_capacity: SMALLEST,
            buffer: Vec::new(),
            failed: false,
        }
    }

    /// Makes a batch durable. `flushed`: all batches up to this one are in synced tables.
    ///
    /// # Errors
    /// [`DatabaseError::Full`]: the batch may be found after a restart, unless another one takes its number.
    /// [`DatabaseError::Fatal`] after a failed sync, or a write that failed for another reason than room, and ever after.
    pub(super) fn append(
        &mut self,
        number: u64,
        changes: &[Change],
        flushed: u64,
    ) -> Result<(), DatabaseError> {
        if self.failed {
            return Err(DatabaseError::Fatal("an earlier write to the journal failed".into()));
        }
        let size = record::record_size(changes);
        if self.active.as_ref().is_none_or(|active| active.room() < size as u64) {
            self.begin_segment(number, flushed, size)?;
        }
        let Some(active) = &mut self.active else { unreachable!("a segment was begun") };
        self.buffer.clear();
        if active.end == 0 {
            active.header.put(&mut self.buffer);
        }
        record::put_record(&mut self.buffer, active.header.salt, number, changes);
        if let Err(why) = active.segment.file.write_all_at(&self.buffer, active.end) {
            // Nobody was told anything: the next batch is written over it.
            self.failed = !is_full(&why);
            return Err(io_error("write to the journal", &why));
        }
        if let Err(why) = active.segment.file.sync_data() {
            // Whatever the reason, nobody knows what the disk holds.
            self.failed = true;
            return Err(DatabaseError::Fatal(format!("cannot sync the journal: {why}")));
        }
        active.end += self.buffer.len() as u64;
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Takes a segment into use.
    fn begin_segment(&mut self, first: u64, flushed: u64, record: usize) -> Result<(), DatabaseError> {
        self.release(flushed);
        let needed = (BLOCK + record) as u64;
        let segment = match self.spare.front() {
            Some(spare) if spare.capacity >= needed => self.spare.pop_front(),
            _ => None,
        };
        let segment = match segment {
            Some(segment) => segment,
            None => {
                let mut blank = self.next_blank();
                blank.capacity = blank.capacity.max(needed);
                blank.make()?
            }
        };
        let (id, salt) = (self.next_id, RandomState::new().hash_one(self.next_id));
        self.next_id += 1;
        let begun = Active { segment, header: Header { id, salt, first, flushed }, end: 0 };
        if let Some(full) = self.active.replace(begun) {
            self.sealed.push_back(Sealed { segment: full.segment, last: first - 1 });
        }
        Ok(())
    }

    /// Gives up segments whose batches are all in synced tables.
    pub(super) fn release(&mut self, flushed: u64) {
        while self.sealed.front().is_some_and(|sealed| sealed.last <= flushed) {
            let Some(sealed) = self.sealed.pop_front() else { break };
            if sealed.segment.capacity == LARGEST && self.spare.len() < SPARE_MAX {
                self.spare.push_back(sealed.segment);
            } else {
                sealed.segment.delete();
            }
        }
    }

    /// Whether a segment is half full and the next one would have to be made while somebody waits.
    pub(super) fn wants_spare(&self) -> bool {
        self.spare.is_empty()
            && self.active.as_ref().is_some_and(|active| active.end > active.segment.capacity / 2)
    }

    /// A segment to be made ahead of time and handed to [`Journal::add_spare`].
    pub(super) fn next_blank(&mut self) -> Blank {
        let path = self.directory.join(format!("{:08}", self.next_file));
        let capacity = self.next_capacity;
        self.next_file += 1;
        self.next_capacity = (capacity * 2).min(LARGEST);
        Blank { path, capacity }
    }

    /// Takes a segment that was made ahead of time.
    pub(super) fn add_spare(&mut self, segment: Segment) {
        self.spare.push_back(segment);
    }

    /// Gives all space back, if everything up to `last`, the last batch of all, is in synced tables.
    pub(super) fn shrink(&mut self, last: u64, flushed: u64) {
        if flushed < last {
            return;
        }
        self.release(flushed);
        let spare = std::mem::take(&mut self.spare);
        for segment in spare.into_iter().chain(self.active.take().map(|active| active.segment)) {
            segment.delete();
        }
        self.next_capacity = SMALLEST;
    }

    /// Bytes that the files take.
    pub(super) fn disk_bytes(&self) -> u64 {
        let sealed = self.sealed.iter().map(|sealed| &sealed.segment);
        let active = self.active.iter().map(|active| &active.segment);
        sealed.chain(active).chain(&self.spare).map(|segment| segment.capacity).sum()
    }
}

impl Segment {
    /// A file that is left over does no harm: its batches are in the tables.
    fn delete(self) {
        if let Err(why) = std::fs::remove_file(&self.path) {
            log::warn!("cannot delete the journal segment {}: {why}", self.path.display());
        }
    }
}

/// Creates the journal's directory, durably.
pub(super) fn create_directory(path: &Path) -> Result<(), DatabaseError> {
    std::fs::create_dir_all(path).map_err(|why| io_error("create the journal's directory", &why))?;
    sync_directory(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes whose record has exactly this size.
    fn changes(size: usize) -> Vec<Change> {
        let changes = vec![Change::Put("k".into(), vec![7; size - BLOCK].into())];
        assert_eq!(record::record_size(&changes), size);
        changes
    }

    /// A segment that was begun for a record whose write failed takes the next one, if it has room beside the header.
    #[test]
    fn a_segment_is_never_longer_than_it_was_made() {
        let smallest = usize::try_from(SMALLEST).unwrap();
        for size in [smallest - BLOCK, smallest] {
            let directory = tempfile::tempdir().unwrap();
            let mut journal = Journal::new(directory.path().to_path_buf(), 1, 1);
            journal.begin_segment(1, 0, BLOCK).unwrap();
            journal.append(1, &changes(size), 0).unwrap();
            journal.append(2, &changes(BLOCK), 0).unwrap();
            let files = std::fs::read_dir(directory.path()).unwrap();
            let lengths: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
            assert_eq!(lengths, journal.disk_bytes());
            let mut found = Vec::new();
            let recovered = recover(directory.path(), 0, |record| {
                found.push(record.number);
                Ok(())
            });
            assert_eq!((recovered.unwrap().last, found), (2, vec![1, 2]));
        }
    }
}
