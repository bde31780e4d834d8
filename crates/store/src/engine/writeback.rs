//! Tables on their way to the disk.
//!
//! Who writes a table leaves all of it in the page cache until it is synced. Then tens of megabytes go to the disk at once, and the
//! sync of a journal, for which clients wait, stands behind them. So whoever writes one says so here from time to time, and
//! what is there is pushed out little by little.

use std::fs::File;
use std::path::PathBuf;

/// Between two looks at the files, in entries of a table.
const LOOK_AFTER: u32 = 256;
/// Bytes that go to the disk at once. Some take less than a millisecond.
const AT_ONCE: u64 = 256 << 10;
/// A flush and a merge write at the same time; each begins its next table when one is full.
const NUMBERS_AHEAD: u64 = 4;
const OPEN_MAX: usize = 4;

/// Pushes tables to the disk while they are written.
pub(super) struct Writeback {
    folder: PathBuf,
    /// Files are named by numbers that go up; one from here on may be begun by now.
    next: u64,
    tables: Vec<Table>,
    entries: u32,
}

/// A table that may still be growing.
struct Table {
    file: File,
    /// Bytes that have begun to move, and those before them that have arrived.
    begun: u64,
    arrived: u64,
}

impl Writeback {
    /// For tables in a folder, from a number on.
    pub(super) fn new(folder: PathBuf, first: u64) -> Self {
        Self { folder, next: first, tables: Vec::new(), entries: 0 }
    }

    /// One more entry was written, or left out.
    pub(super) fn entry(&mut self) {
        self.entries += 1;
        if self.entries >= LOOK_AFTER {
            self.entries = 0;
            self.push();
        }
    }

    fn push(&mut self) {
        for number in self.next..self.next + NUMBERS_AHEAD {
            // One that was never made, or is gone again.
            let Ok(file) = File::open(self.folder.join(number.to_string())) else { continue };
            self.tables.push(Table { file, begun: 0, arrived: 0 });
            self.next = number + 1;
        }
        // Older ones are complete, and synced.
        let complete = self.tables.len().saturating_sub(OPEN_MAX);
        self.tables.drain(..complete);
        self.tables.iter_mut().for_each(Table::push);
    }
}

impl Table {
    /// Failures are told to whoever syncs the file: each descriptor hears of them.
    fn push(&mut self) {
        let Ok(length) = self.file.metadata().map(|metadata| metadata.len()) else { return };
        if length < self.begun + AT_ONCE {
            return;
        }
        // Not more than two at a time, so that a sync waits behind little.
        let (arrived, begun) = (self.arrived, self.begun);
        let _ = move_out(&self.file, arrived, begun - arrived, Move::AndWait);
        let _ = move_out(&self.file, begun, length - begun, Move::Begin);
        (self.arrived, self.begun) = (begun, length);
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
        (0..LOOK_AFTER).for_each(|_| writeback.entry());
        assert_eq!(progress(&writeback), [(0, AT_ONCE), (3 * AT_ONCE, 4 * AT_ONCE)]);
        std::fs::remove_file(folder.join("7")).unwrap();
        (10..14).for_each(|number| grow(folder, number, 0));
        writeback.push();
        assert_eq!(progress(&writeback), [(0, 0); OPEN_MAX], "the newest stay");
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
