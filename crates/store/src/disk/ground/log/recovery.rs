//! What is found when a database is opened.

use super::record::{BLOCK, Damage, Header, Records, blank_block};
use super::{Journal, Kept, Sealed, Segment, segment_path};
use crate::database::{Change, DatabaseError};
use crate::disk::ground::failure::{damaged, io_error};
use crate::disk::ground::strays::leave_alone;
use crate::disk::ground::values::LargeValues;
use crate::files::{FileSystem, Listed, OpenFile, contents};
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The journal and the last batch in it.
pub(crate) struct Recovered {
    pub(crate) journal: Journal,
    /// Number of the last batch of all, in the journal or in the tables; zero when there is none.
    pub(crate) last: u64,
    /// Files that nobody needs. They are deleted only when all is known to be well.
    stale: Vec<PathBuf>,
}

/// A batch that the tables do not have.
pub(crate) struct Replayed {
    pub(crate) number: u64,
    pub(crate) changes: Vec<Change>,
    pub(crate) large: LargeValues,
}

impl Recovered {
    /// Deletes what was found and is not needed.
    pub(crate) fn clean_up(&mut self) -> Result<(), DatabaseError> {
        for path in self.stale.drain(..) {
            self.journal
                .files
                .remove(&path)
                .map_err(|why| io_error("delete an old journal segment", &why))?;
        }
        Ok(())
    }
}

struct SegmentFound {
    path: PathBuf,
    header: Header,
}

/// Reads the journal in `directory` and hands every batch after `flushed` to `replay`, in order. `flushed` is what the
/// tables say that they hold; they hold more if `flushed_is_lost`. Then what is not in the journal any more is in the tables, because a
/// segment is given up for no other reason.
/// Fails with [`DatabaseError::Damaged`] when a batch that must be there is not, and with what `replay` returns.
pub(crate) fn recover(
    files: &Arc<dyn FileSystem>,
    directory: &Path,
    mut flushed: u64,
    flushed_is_lost: bool,
    mut replay: impl FnMut(Replayed) -> Result<(), DatabaseError>,
) -> Result<Recovered, DatabaseError> {
    let (found, mut stale, next_file) = list(&**files, directory)?;
    let next_id = found.last().map_or(1, |newest| newest.header.id + 1);
    let mut journal = Journal::new(files.clone(), directory.to_path_buf(), next_id, next_file);
    if flushed_is_lost {
        flushed = found.iter().map(|found| found.header.flushed).fold(flushed, u64::max);
    }
    let mut last = flushed;
    if let Some(newest) = found.last()
        && newest.header.flushed > flushed
    {
        return Err(damaged(format!(
            "the tables end at batch {flushed}, but held batch {} before: they are an older copy",
            newest.header.flushed
        )));
    }
    let (kept, found): (Vec<SegmentFound>, Vec<SegmentFound>) =
        found.into_iter().partition(|found| found.header.kept);
    for SegmentFound { path, header } in kept {
        journal.kept.push(Kept::new(reopen(files, &path)?, header));
    }
    for (at, SegmentFound { path, header }) in found.iter().enumerate() {
        let next = found.get(at + 1).map(|next| next.header.first);
        // Everything in it is in the tables.
        if next.is_some_and(|next| next <= flushed + 1) {
            if has_large_values(&**files, path, *header)? {
                journal.kept.push(Kept::new(reopen(files, path)?, *header));
            } else {
                stale.push(path.clone());
            }
            continue;
        }
        if header.first > last + 1 {
            if !flushed_is_lost {
                return Err(missing(last + 1, header.first));
            }
            last = header.first - 1;
        }
        let (segment, bytes) = read(files, path)?;
        let mut records = Records::new(bytes, *header);
        let mut ends_at = header.first - 1;
        let mut has_large_values = false;
        while let Some(record) = records.next().map_err(|Damage { number }| {
            damaged(format!("batch {number} in the journal does not match its checksum"))
        })? {
            // A batch that was refused may have been written, and its number used again in the next segment.
            if next.is_some_and(|next| record.number >= next) {
                break;
            }
            ends_at = record.number;
            let pointers = record.large_values(header.id);
            has_large_values |= !pointers.is_empty();
            if record.number > flushed {
                last = record.number;
                let segment = (!pointers.is_empty()).then(|| (header.id, segment.file.clone()));
                let large = LargeValues { segment, pointers };
                replay(Replayed { number: record.number, changes: record.changes, large })?;
            }
        }
        if let Some(next) = next
            && next != ends_at + 1
            && !flushed_is_lost
        {
            return Err(missing(ends_at + 1, next));
        }
        journal.sealed.push_back(Sealed { segment, header: *header, last: ends_at, has_large_values });
    }
    // Segments that are gone had numbers up to this, as numbers of batches rise faster: no pointer that one of them left
    // behind leads into a new one.
    journal.next_id = journal.next_id.max(last + 1);
    journal.written = journal.disk_bytes();
    Ok(Recovered { journal, last, stale })
}

/// Whether tables may point into a segment that was left between its last batch's flush and its mark.
fn has_large_values(files: &dyn FileSystem, path: &Path, header: Header) -> Result<bool, DatabaseError> {
    let mut records = Records::new(contents(&*open(files, path)?).map_err(unread)?.into(), header);
    loop {
        match records.next() {
            Ok(Some(record)) if record.large_values(header.id).is_empty() => {}
            // The tables have what is damaged, unless it is a large value: then its reader will find out.
            Ok(Some(_)) | Err(Damage { .. }) => return Ok(true),
            Ok(None) => return Ok(false),
        }
    }
}

fn missing(from: u64, to: u64) -> DatabaseError {
    damaged(format!("batches {from} to {} are missing in the journal", to.saturating_sub(1)))
}

/// The segments that were in use, in the order of their use; the files that were made ready and never used; and the first
/// free file number.
fn list(
    files: &dyn FileSystem,
    directory: &Path,
) -> Result<(Vec<SegmentFound>, Vec<PathBuf>, u64), DatabaseError> {
    let (mut found, mut blank) = (Vec::new(), Vec::new());
    let mut next_file = 1;
    for Listed { path, is_file, .. } in files.list(directory).map_err(unread)? {
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
        let number = number.filter(|number| path == segment_path(directory, *number));
        // Whatever it is, its name is taken.
        next_file = next_file.max(number.map_or(0, |number| number + 1));
        if number.is_none() || !is_file {
            leave_alone(&path);
            continue;
        }
        let mut block = [0; BLOCK];
        let file = open(files, &path)?;
        file.read_at(&mut block, 0).map_err(unread)?;
        match Header::get(&block) {
            Some(header) => found.push(SegmentFound { path, header }),
            None if block == blank_block() => blank.push(path),
            None if Records::are_there_without_header(contents(&*file).map_err(unread)?.into()) => {
                return Err(damaged(format!(
                    "the header of the journal segment {} is damaged",
                    path.display()
                )));
            }
            None => blank.push(path),
        }
    }
    found.sort_by_key(|found: &SegmentFound| found.header.id);
    Ok((found, blank, next_file))
}

fn unread(why: io::Error) -> DatabaseError {
    io_error("read the journal", &why)
}

fn open(files: &dyn FileSystem, path: &Path) -> Result<Arc<dyn OpenFile>, DatabaseError> {
    files.open(path).map_err(|why| io_error("open a journal segment", &why))
}

fn reopen(files: &Arc<dyn FileSystem>, path: &Path) -> Result<Segment, DatabaseError> {
    let file = open(&**files, path)?;
    let capacity = file.length().map_err(unread)?;
    Ok(Segment::found(file, files.clone(), path.to_path_buf(), capacity))
}

/// The whole segment, durable. After kill -9 the page cache may hold bytes that the disk does not, and after a sync that
/// failed it may take them for written: only writing them again makes sure.
fn read(files: &Arc<dyn FileSystem>, path: &Path) -> Result<(Segment, Bytes), DatabaseError> {
    let segment = reopen(files, path)?;
    let bytes = contents(&*segment.file).map_err(unread)?;
    segment.file.write_at(&bytes, 0).and_then(|()| segment.file.sync()).map_err(unread)?;
    Ok((segment, bytes.into()))
}
