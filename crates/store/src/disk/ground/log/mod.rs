//! The write-ahead log: every batch is durable here before it is visible.
//!
//! Segments are files whose blocks were written before they are used, and they are used again and again. ARCHITECTURE.md,
//! "Why a journal and memtables of our own", has what that buys. One that has large values is kept, because tables point at them.
//!
//! ```text
//! kept: large values      sealed, oldest first: in use until the tables hold their batches      active      spare: written before
//! [  7 … 31 ] [ 88 … ]    [ 101 … 240 ] [ 241 … 377 ]                                           [ 378 … → ] [      ] [      ]
//! ```

mod record;
mod recovery;
mod segment;

pub(crate) use recovery::recover;
pub(crate) use segment::{Blank, Segment};

use super::failure::{io_error, is_full};
use super::values::{LargeValues, Location};
use crate::database::{Change, DatabaseError};
use crate::files::{FileSystem, OpenFile};
use record::{BLOCK, Header};
use segment::{PAGE, Undurable};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The first segment of a database, and of one that has been quiet; each further one is twice as large.
const SMALLEST: u64 = 256 << 10;
const LARGEST: u64 = 4 << 20;
/// The same where many large values are kept: a file for every few bytes of them would be too many files.
const LARGEST_KEPT: u64 = 64 << 20;
/// Up to this many files of large values they need not be larger.
const KEPT_FILES: u64 = 64;
/// Spare segments that are kept for the next batches.
const SPARE_MAX: usize = 8;
/// A buffer that has grown beyond this is given back after use.
const BUFFER_KEPT: usize = 1 << 20;

/// The name of a segment's file.
fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08}"))
}

/// The segment that is being written.
struct Active {
    segment: Segment,
    header: Header,
    /// Where the next record goes; zero until the header has been written, with the first record.
    end: u64,
    /// What the page holds in which that is, up to there: whole pages are written.
    last_page: Vec<u8>,
    /// Bytes of records with large values.
    large: u64,
    /// What the largest record needs of a segment.
    largest_record: u64,
}

impl Active {
    /// How large the next record may be.
    fn room(&self) -> u64 {
        let pages = self.segment.capacity - self.segment.capacity % PAGE as u64;
        pages.saturating_sub(self.end.max(BLOCK as u64))
    }

    fn is_mostly_large_values(&self) -> bool {
        self.large > self.end / 2
    }
}

/// What a record of this size needs of a segment that holds nothing else.
fn needs(size: usize) -> u64 {
    (BLOCK + size).next_multiple_of(PAGE) as u64
}

/// A full segment.
struct Sealed {
    segment: Segment,
    header: Header,
    /// Number of the last batch in it.
    last: u64,
    has_large_values: bool,
}

/// A segment that is there for its large values: all its batches are in tables.
pub(crate) struct Kept {
    pub(crate) segment: Segment,
    header: Header,
}

impl Kept {
    fn new(segment: Segment, header: Header) -> Self {
        Self { segment: segment.kept(), header }
    }

    /// What pointers call it.
    pub(crate) fn id(&self) -> u64 {
        self.header.id
    }

    /// Has the next start know it without reading it, when what is returned is done. If that fails, or is forgotten in a
    /// power cut, it is read.
    pub(crate) fn mark(&mut self) -> Option<impl FnOnce() + use<>> {
        if std::mem::replace(&mut self.header.kept, true) {
            return None;
        }
        let (file, header) = (self.segment.file.clone(), self.header);
        Some(move || {
            let mut block = Vec::new();
            header.put(&mut block);
            if let Err(why) = file.write_at(&block, 0) {
                log::warn!("cannot mark journal segment {} as kept: {why}", header.id);
            }
        })
    }
}

/// The journal of an open database. One batch at a time.
pub(crate) struct Journal {
    files: Arc<dyn FileSystem>,
    directory: PathBuf,
    active: Option<Active>,
    sealed: VecDeque<Sealed>,
    /// Oldest first, so that the segments with records are always a row without holes.
    spare: VecDeque<Segment>,
    /// What tables point into, until the collector takes it over.
    kept: Vec<Kept>,
    next_id: u64,
    next_file: u64,
    next_capacity: u64,
    /// How large a segment for large values may be made.
    largest: u64,
    /// Bytes of all batches that were written, and of what was found at the start.
    written: u64,
    buffer: Vec<u8>,
    /// A sync has failed: what the disk holds is not known any more.
    failed: bool,
}

impl Journal {
    /// An empty journal in a directory that holds none of the files from `next_file` on.
    fn new(files: Arc<dyn FileSystem>, directory: PathBuf, next_id: u64, next_file: u64) -> Self {
        Self {
            files,
            directory,
            active: None,
            sealed: VecDeque::new(),
            spare: VecDeque::new(),
            kept: Vec::new(),
            next_id,
            next_file,
            next_capacity: SMALLEST,
            largest: LARGEST,
            written: 0,
            buffer: Vec::new(),
            failed: false,
        }
    }

    /// Makes a batch durable; returns where its large values are. `flushed`: all batches up to this one are in synced
    /// tables.
    /// Fails with [`DatabaseError::Full`]: the batch may be found after a restart, unless another one takes its number.
    /// [`DatabaseError::Fatal`] after a failed sync, or a write that failed for another reason than room, and ever after.
    pub(crate) fn append(
        &mut self,
        number: u64,
        changes: &[Change],
        flushed: u64,
    ) -> Result<LargeValues, DatabaseError> {
        if self.failed {
            return Err(DatabaseError::Fatal("an earlier write to the journal failed".into()));
        }
        let size = record::record_size(changes);
        if self.active.as_ref().is_none_or(|active| active.room() < size as u64) {
            self.begin_segment(number, flushed, size)?;
        }
        let Some(active) = &mut self.active else { unreachable!("a segment was begun") };
        let held = active.last_page.len();
        let from = segment::align(&mut self.buffer, held + BLOCK + size + PAGE);
        self.buffer.extend_from_slice(&active.last_page);
        if active.end == 0 {
            active.header.put(&mut self.buffer);
        }
        let first_page = active.end - held as u64;
        let offset = first_page + (self.buffer.len() - from) as u64;
        let at = Location { segment: active.header.id, offset };
        let pointers = record::put_record(&mut self.buffer, active.header.salt, number, changes, at);
        let end = self.buffer.len();
        self.buffer.resize(from + (end - from).next_multiple_of(PAGE), 0);
        match active.segment.write_durably(&self.buffer[from..], first_page) {
            Ok(()) => {}
            Err(Undurable::Unwritten(why)) => {
                // Nobody was told anything: the next batch is written over it.
                self.failed = !is_full(&why);
                return Err(io_error("write to the journal", &why));
            }
            Err(Undurable::Unknown(why)) => {
                // Whatever the reason.
                self.failed = true;
                return Err(DatabaseError::Fatal(format!("cannot sync the journal: {why}")));
            }
        }
        let pages = &self.buffer[from..end];
        active.last_page.clear();
        active.last_page.extend_from_slice(&pages[pages.len() - pages.len() % PAGE..]);
        let written = (pages.len() - held) as u64;
        active.end += written;
        active.largest_record = active.largest_record.max(needs(size));
        self.written += written;
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        if pointers.is_empty() {
            return Ok(LargeValues::default());
        }
        active.large += written;
        Ok(LargeValues { segment: Some((active.header.id, active.segment.file.clone())), pointers })
    }

    /// Whether a record of so many bytes needs no further segment, and so no room on the disk.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.active.as_ref().is_some_and(|active| active.room() >= bytes.next_multiple_of(BLOCK as u64))
    }

    /// Takes a segment into use.
    fn begin_segment(&mut self, first: u64, flushed: u64, record: usize) -> Result<(), DatabaseError> {
        self.release(flushed);
        let needed = needs(record);
        // One that is too small would keep larger ones from being made ahead of time.
        let mut spare = self.spare.pop_front();
        while let Some(small) = spare.take_if(|spare| spare.capacity < needed) {
            small.delete();
            spare = self.spare.pop_front();
        }
        let segment = match spare {
            Some(segment) => segment,
            None => {
                let mut blank = self.next_blank();
                blank.capacity = blank.capacity.max(needed);
                blank.make()?
            }
        };
        let (id, salt) = (self.next_id, RandomState::new().hash_one(self.next_id));
        self.next_id += 1;
        let header = Header { id, salt, first, flushed, kept: false };
        let begun = Active {
            segment: segment.opened(),
            header,
            end: 0,
            last_page: Vec::new(),
            large: 0,
            largest_record: needed,
        };
        if let Some(full) = self.active.replace(begun) {
            let Active { segment, header, large, .. } = full;
            let segment = segment.full();
            self.sealed.push_back(Sealed { segment, header, last: first - 1, has_large_values: large > 0 });
        }
        Ok(())
    }

    /// Gives up segments whose batches are all in synced tables.
    pub(crate) fn release(&mut self, flushed: u64) {
        while self.sealed.front().is_some_and(|sealed| sealed.last <= flushed) {
            let Some(Sealed { segment, header, has_large_values, .. }) = self.sealed.pop_front() else {
                break;
            };
            if has_large_values {
                self.kept.push(Kept::new(segment, header));
            } else if segment.capacity == LARGEST && self.spare.len() < SPARE_MAX {
                self.spare.push_back(segment);
            } else {
                segment.delete();
            }
        }
    }

    /// For a full disk: the same, and gives up what is there for the next batches, which may have little room.
    pub(crate) fn give_back(&mut self, flushed: u64) {
        self.release(flushed);
        std::mem::take(&mut self.spare).into_iter().for_each(Segment::delete);
        self.next_capacity = SMALLEST;
    }

    /// All segments that tables may point into, after a recovery.
    pub(crate) fn with_large_values(&self) -> impl Iterator<Item = (u64, &Arc<dyn OpenFile>)> {
        let sealed = self.sealed.iter().filter(|sealed| sealed.has_large_values);
        let sealed = sealed.map(|sealed| (sealed.header.id, &sealed.segment.file));
        sealed.chain(self.kept.iter().map(|kept| (kept.id(), &kept.segment.file)))
    }

    /// No further segment gets a number that one may have had while so many batches were written.
    pub(crate) fn begin_after(&mut self, batches: u64) {
        self.next_id = self.next_id.max(batches + 1);
    }

    /// Bytes of all batches that were written since the journal was opened, and of what was in it.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether anything has become the collector's.
    pub(crate) fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    /// What has become the collector's. By `kept_bytes`, which it has already, further segments for large values are sized.
    pub(crate) fn take_kept(&mut self, kept_bytes: u64) -> Vec<Kept> {
        self.largest = (kept_bytes / KEPT_FILES).next_power_of_two().clamp(LARGEST, LARGEST_KEPT);
        std::mem::take(&mut self.kept)
    }

    /// Whether a segment is half full and the next one would have to be made while somebody waits.
    pub(crate) fn wants_spare(&self) -> bool {
        self.spare.is_empty()
            && self.active.as_ref().is_some_and(|active| active.end > active.segment.capacity / 2)
    }

    /// A segment to be made ahead of time and handed to [`Journal::add_spare`].
    pub(crate) fn next_blank(&mut self) -> Blank {
        let path = segment_path(&self.directory, self.next_file);
        let large_values = self.active.as_ref().is_some_and(Active::is_mostly_large_values);
        let capacity = self.next_capacity.min(if large_values { self.largest } else { LARGEST });
        self.next_file += 1;
        self.next_capacity = (capacity * 2).min(self.largest);
        // Records like those of this one should not need another segment than the next.
        let least = self.active.as_ref().map_or(0, |active| active.largest_record);
        Blank { files: self.files.clone(), path, capacity: capacity.max(least), least, large_values }
    }

    /// Takes a segment that was made ahead of time.
    pub(crate) fn add_spare(&mut self, segment: Segment) {
        self.spare.push_back(segment);
    }

    /// Gives all space back but that of large values, if everything up to `last`, the last batch of all, is in synced
    /// tables.
    pub(crate) fn shrink(&mut self, last: u64, flushed: u64) {
        if flushed < last {
            return;
        }
        self.give_back(flushed);
        match self.active.take() {
            Some(Active { mut segment, header, end, large: 1.., .. }) => {
                segment.shorten(end);
                self.kept.push(Kept::new(segment, header));
            }
            Some(active) => active.segment.delete(),
            None => {}
        }
    }

    /// Bytes that the files take, without those of kept segments.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let sealed = self.sealed.iter().map(|sealed| &sealed.segment);
        let active = self.active.iter().map(|active| &active.segment);
        sealed.chain(active).chain(&self.spare).map(|segment| segment.capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::System;
    use std::fs::File;

    impl Journal {
        /// Segments that are not a quarter of a megabyte, for tests that look at every sector.
        pub(crate) fn make_next_segments_of(&mut self, bytes: u64) {
            self.next_capacity = bytes;
        }
    }

    fn system() -> Arc<dyn FileSystem> {
        Arc::new(System)
    }

    fn journal(directory: &Path) -> Journal {
        Journal::new(system(), directory.to_path_buf(), 1, 1)
    }

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
            let mut journal = journal(directory.path());
            journal.begin_segment(1, 0, BLOCK).unwrap();
            journal.append(1, &changes(size), 0).unwrap();
            journal.append(2, &changes(BLOCK), 0).unwrap();
            let files = std::fs::read_dir(directory.path()).unwrap();
            let lengths: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
            assert_eq!(lengths, journal.disk_bytes());
            let mut found = Vec::new();
            let recovered = recover(&system(), directory.path(), 0, false, |record| {
                found.push(record.number);
                Ok(())
            });
            assert_eq!((recovered.unwrap().last, found), (2, vec![1, 2]));
        }
    }

    #[test]
    fn a_spare_segment_that_is_too_small_gives_way_and_the_next_one_is_large_enough() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = journal(directory.path());
        journal.append(1, &changes(BLOCK), 0).unwrap();
        let spare = journal.next_blank().make().unwrap();
        let size = usize::try_from(spare.capacity).unwrap();
        journal.add_spare(spare);
        journal.append(2, &changes(size), 0).unwrap();
        assert!(journal.spare.is_empty());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
        let next = journal.next_blank();
        assert!(next.capacity >= next.least && next.least > size as u64, "{next:?}");
        // One from an earlier run serves as well, if it is large enough.
        let found = |capacity| {
            let path = directory.path().join("found");
            Segment::found(Arc::new(File::create(&path).unwrap()), system(), path, capacity).kept()
        };
        let next = Blank { capacity: next.least, ..next };
        assert!(next.is_like(&found(next.least)) && !next.is_like(&found(next.least - 1)));
        // One large record does not make all later segments large.
        let blank = journal.next_blank();
        journal.add_spare(blank.make().unwrap());
        for number in 3..=6 {
            journal.append(number, &changes(size / 2), 0).unwrap();
        }
        assert!(journal.next_blank().least < next.least);
    }

    /// On pages that hold whole records already, and in a segment that holds none.
    #[test]
    fn what_found_no_room_is_written_over_by_the_next_batch() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = journal(directory.path());
        journal.begin_segment(1, 0, BLOCK).unwrap();
        for number in 1..=12 {
            let opened = |active: Active| Active { segment: active.segment.opened(), ..active };
            journal.active.as_mut().unwrap().segment.without_room();
            let refused = journal.append(number, &changes(3 * BLOCK), 0).map(drop);
            assert!(matches!(refused, Err(DatabaseError::Full(_))), "{refused:?}");
            journal.active = journal.active.take().map(opened);
            journal.append(number, &changes(2 * BLOCK), 0).unwrap();
        }
        let mut found = Vec::new();
        let recovered = recover(&system(), directory.path(), 0, false, |record| {
            assert_eq!(record.changes, changes(2 * BLOCK));
            found.push(record.number);
            Ok(())
        });
        assert_eq!((recovered.unwrap().last, found), (12, (1..=12).collect()));
    }

    /// Its first block may be all that a power cut lets through.
    #[test]
    fn a_wiped_segment_is_neither_journal_nor_damage() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = journal(directory.path());
        for number in 1..=3 {
            journal.append(number, &changes(2 * BLOCK), 0).unwrap();
        }
        journal.active.take().unwrap().segment.wipe().unwrap();
        let mut recovered =
            recover(&system(), directory.path(), 3, false, |batch| panic!("batch {}", batch.number)).unwrap();
        assert_eq!((recovered.last, recovered.journal.next_id), (3, 4));
        recovered.clean_up().unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
