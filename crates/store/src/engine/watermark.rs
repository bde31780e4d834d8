//! The durable watermark: how many batches this directory has acknowledged, kept apart from the database.
//!
//! The journal finds what is damaged or missing before its last record, but it cannot know whether that record was the
//! last. So this file remembers the last number that was acknowledged: a database that opens below it has lost something
//! that somebody was promised.
//!
//! Two slots are written in turn, in place, so that a torn write leaves the other one and a full disk is no obstacle.
//! The file is written *after* the batch is durable, so it is never ahead of the truth. A thread of its own syncs it, about
//! once a second under load: kill -9 cannot make it stale, a power cut by about that much.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Two slots fill 1024 bytes. A slot has a sector of its own: a torn write stays in it.
const SLOT: u64 = 512;
/// How long the file may be unsynced under load.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The open file and the thread that syncs it.
#[derive(Debug)]
pub(super) struct Watermark {
    file: File,
    turn: u64,
    /// The last number that was recorded.
    recorded: u64,
    syncing: Arc<Syncing>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Syncing {
    dirty: AtomicBool,
    stop: AtomicBool,
    failed: AtomicBool,
}

fn slot_bytes(sequence: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&sequence.to_be_bytes());
    let checksum = crc32fast::hash(&bytes[..8]);
    bytes[8..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

impl Watermark {
    /// Creates the file with a first number, durably; the caller syncs the directory. It appears whole or not at all.
    pub(super) fn create(path: &Path, sequence: u64) -> io::Result<Self> {
        let unfinished = path.with_extension("new");
        let mut bytes = [0; 1024];
        bytes[..12].copy_from_slice(&slot_bytes(sequence));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        Self::over(OpenOptions::new().read(true).write(true).open(path)?, 0, sequence)
    }

    /// Opens the file; the number is the larger of the two whole slots, `None` when neither is whole.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<u64>)> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut newest: Option<(u64, u64)> = None;
        for slot in 0..2 {
            let mut bytes = [0; 12];
            match file.read_exact_at(&mut bytes, slot * SLOT) {
                Ok(()) => {}
                Err(short) if short.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(why) => return Err(why),
            }
            let number = bytes[..8].iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
            if number > 0 && bytes == slot_bytes(number) {
                newest = newest.max(Some((number, slot)));
            }
        }
        // The next write goes to the other slot.
        let (recorded, turn) = newest.unwrap_or_default();
        Ok((Self::over(file, turn, recorded)?, newest.map(|(number, _)| number)))
    }

    fn over(file: File, turn: u64, recorded: u64) -> io::Result<Self> {
        let syncing = Arc::new(Syncing::default());
        let (shared, handle) = (syncing.clone(), file.try_clone()?);
        let thread =
            std::thread::Builder::new().name("watermark".into()).spawn(move || shared.run(&handle))?;
        Ok(Self { file, turn, recorded, syncing, thread: Some(thread) })
    }

    /// Whether all syncs have succeeded so far.
    ///
    /// # Errors
    /// When one has not: nobody knows what is on the disk then.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.syncing.failed.load(Ordering::Relaxed) {
            return Err(io::Error::other("an earlier sync of the watermark failed"));
        }
        Ok(())
    }

    /// Records a number, unless that was done. It survives the death of the process at once, and a power cut about a
    /// second later.
    ///
    /// # Errors
    /// When the file cannot be written; after a failed sync, always.
    pub(super) fn set(&mut self, sequence: u64) -> io::Result<()> {
        self.check()?;
        if self.recorded >= sequence {
            return Ok(());
        }
        let turn = self.turn ^ 1;
        self.file.write_all_at(&slot_bytes(sequence), turn * SLOT)?;
        (self.turn, self.recorded) = (turn, sequence);
        if !self.syncing.dirty.swap(true, Ordering::AcqRel)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Ok(())
    }
}

impl Syncing {
    fn run(&self, file: &File) {
        loop {
            while !self.dirty.swap(false, Ordering::AcqRel) {
                if self.stop.load(Ordering::Acquire) {
                    return;
                }
                std::thread::park();
            }
            // A failed sync is never retried: the next write of the database says so.
            if let Err(why) = file.sync_data() {
                log::error!("the watermark cannot be synced: {why}");
                self.failed.store(true, Ordering::Relaxed);
                return;
            }
            let next = std::time::Instant::now() + SYNC_EVERY;
            // Unparked by the first write after the sync, too, and that one can wait.
            while !self.stop.load(Ordering::Acquire) {
                let left = next.saturating_duration_since(std::time::Instant::now());
                if left.is_zero() {
                    break;
                }
                std::thread::park_timeout(left);
            }
        }
    }
}

impl Drop for Watermark {
    fn drop(&mut self) {
        self.syncing.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                log::error!("the watermark's thread panicked");
            }
        }
    }
}

#[cfg(test)]
impl Watermark {
    /// One that cannot be written.
    pub(super) fn broken(path: &Path, recorded: u64) -> Self {
        Self::over(File::open(path).unwrap(), 0, recorded).unwrap()
    }
}
