//! Tables on their way to the disk.
//!
//! Whoever writes a table leaves all of it in the page cache until it is synced. Then tens of megabytes go to the disk at once, and
//! the sync of a journal, for which clients wait, stands behind them. So whoever writes one says so here, and what is there is
//! pushed out little by little.

use std::fs::File;
use std::path::PathBuf;

/// Bytes of entries between two looks at the files.
const LOOK_AFTER: usize = 128 << 10;
/// Bytes that go to the disk at once, about: the disk takes them in less than a millisecond.
const AT_ONCE: u64 = 256 << 10;
/// How far ahead the next file is looked for: numbers may have been used up in vain. Where more of them were, as on a full
/// disk, the rest of the tables goes to the disk when it is synced.
const NUMBERS_AHEAD: u64 = 8;
/// A flush and a merge write one each; two more, so that neither is taken for complete too soon.
const OPEN_MAX: usize = 4;

/// Pushes tables to the disk while they are written. Whoever writes one pushes those that are written beside it, too, which
/// does no harm.
pub(crate) struct Writeback {
    folder: PathBuf,
    /// Files are named by numbers that go up; one from here on may be begun by now.
    next: u64,
    tables: Vec<Table>,
    /// Bytes since the last look.
    written: usize,
}

/// A table that may still be growing.
struct Table {
    file: File,
    length: u64,
    /// Bytes that have begun to move, and those before them that have arrived.
    begun: u64,
    arrived: u64,
    /// Looks since it last grew.
    still: u32,
}

impl Writeback {
    /// For tables in a folder, from a number on.
    pub(crate) fn new(folder: PathBuf, first: u64) -> Self {
        Self { folder, next: first, tables: Vec::new(), written: 0 }
    }

    /// An entry of so many bytes is about to be written.
    pub(crate) fn entry(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written >= LOOK_AFTER {
            self.written = 0;
            self.push();
        }
    }

    fn push(&mut self) {
        self.tables.iter_mut().for_each(Table::look);
        for number in self.next..self.next + NUMBERS_AHEAD {
            // One that was never made, or is gone again.
            let Ok(file) = File::open(self.folder.join(number.to_string())) else { continue };
            let mut table = Table { file, length: 0, begun: 0, arrived: 0, still: 0 };
            table.look();
            self.tables.push(table);
            self.next = number + 1;
        }
        // One that is complete, and synced, does not grow.
        self.tables.sort_by_key(|table| table.still);
        self.tables.truncate(OPEN_MAX);
        self.tables.iter_mut().for_each(Table::push);
    }
}

impl Table {
    fn look(&mut self) {
        let length = self.file.metadata().map_or(self.length, |metadata| metadata.len());
        self.still = if length > self.length { 0 } else { self.still + 1 };
        self.length = length;
    }

    /// Failures are told to whoever syncs the file: each descriptor hears of them.
    fn push(&mut self) {
        if self.length < self.begun + AT_ONCE {
            return;
        }
        // Not more than two pushes under way, so that a sync waits behind little.
        let _ = move_out(&self.file, self.arrived, self.begun - self.arrived, Move::AndWait);
        let _ = move_out(&self.file, self.begun, self.length - self.begun, Move::Begin);
        (self.arrived, self.begun) = (self.begun, self.length);
    }
}

#[derive(Clone, Copy)]
enum Move {
    Begin,
    AndWait,
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "sync_file_range has no safe wrapper among our dependencies")]
fn move_out(file: &File, from: u64, length: u64, how: Move) -> std::io::Result<()> {
    use std::io::Error;
    use std::os::fd::AsRawFd;
    if length == 0 {
        return Ok(());
    }
    let flags = match how {
        Move::Begin => libc::SYNC_FILE_RANGE_WRITE,
        Move::AndWait => libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER,
    };
    let (Ok(from), Ok(length)) = (from.try_into(), length.try_into()) else {
        return Err(Error::from(std::io::ErrorKind::InvalidInput));
    };
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and no memory is passed.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), from, length, flags) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
fn move_out(_: &File, _: u64, _: u64, _: Move) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::path::Path;

    fn grow(folder: &Path, number: u64, bytes: u64) {
        let mut file =
            File::options().create(true).append(true).open(folder.join(number.to_string())).unwrap();
        file.write_all(&vec![7; usize::try_from(bytes).unwrap()]).unwrap();
    }

    fn progress(writeback: &Writeback) -> Vec<(u64, u64)> {
        writeback.tables.iter().map(|table| (table.arrived, table.begun)).collect()
    }

    #[test]
    fn what_has_grown_is_pushed_out_and_the_step_before_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        grow(folder, 6, AT_ONCE);
        let mut writeback = Writeback::new(folder.into(), 7);
        // A merge's table, and beside it a flush's; number 8 was made in vain.
        grow(folder, 7, AT_ONCE - 1);
        grow(folder, 9, 3 * AT_ONCE);
        writeback.push();
        assert_eq!(progress(&writeback), [(0, 0), (0, 3 * AT_ONCE)]);
        grow(folder, 7, 1);
        grow(folder, 9, AT_ONCE);
        writeback.entry(LOOK_AFTER - 1);
        assert_eq!(progress(&writeback), [(0, 0), (0, 3 * AT_ONCE)]);
        writeback.entry(1);
        assert_eq!(progress(&writeback), [(0, AT_ONCE), (3 * AT_ONCE, 4 * AT_ONCE)]);
    }

    /// The table of a long merge stays beside those of many flushes, and the other way round.
    #[test]
    fn a_table_that_grows_is_not_forgotten_for_later_ones() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        let mut writeback = Writeback::new(folder.into(), 1);
        for number in 2..20 {
            grow(folder, 1, AT_ONCE);
            grow(folder, number, AT_ONCE);
            writeback.push();
            let all = AT_ONCE * (number - 1);
            assert!(progress(&writeback).contains(&(all - AT_ONCE, all)), "{:?}", progress(&writeback));
            assert!(writeback.tables.len() <= OPEN_MAX);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_takes_the_range() {
        let directory = tempfile::tempdir().unwrap();
        grow(directory.path(), 1, AT_ONCE);
        let file = File::open(directory.path().join("1")).unwrap();
        for how in [Move::Begin, Move::AndWait] {
            move_out(&file, 0, AT_ONCE, how).unwrap();
        }
        move_out(&file, u64::MAX, 1, Move::Begin).unwrap_err();
    }
}
