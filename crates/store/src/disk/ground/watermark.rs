//! The durable watermark: how many batches this directory has acknowledged, kept apart from the database.
//!
//! The journal finds what is damaged or missing before its last record, but it cannot know whether that record was the
//! last. So this file remembers the last number that was acknowledged: a database that opens below it has lost something
//! that somebody was promised. It also carries a mark of its owner's, which says to what it belongs.
//!
//! The file is written *after* the batch is durable, so it is never ahead of the truth. A thread of its own syncs it, about
//! once a second under load: kill -9 cannot make it stale, a power cut by about that much.

use crate::files::slots::{Opened, Slots};
use crate::files::{FileSystem, OpenFile};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A slot has a sector of its own: a torn write stays in it.
const SLOT: usize = 512;
/// How long the file may be unsynced under load.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The open file and the thread that syncs it.
#[derive(Debug)]
pub struct Watermark {
    content: Mutex<Content>,
    syncing: Arc<Syncing>,
    thread: Option<JoinHandle<()>>,
}

/// What a file held: the last number, and the mark.
pub type Recorded = (u64, Vec<u8>);

#[derive(Debug)]
struct Content {
    slots: Slots,
    /// The last number that was recorded.
    number: u64,
    mark: Vec<u8>,
}

#[derive(Debug, Default)]
struct Syncing {
    dirty: AtomicBool,
    stop: AtomicBool,
    failed: AtomicBool,
}

impl Watermark {
    /// Creates the file with a first number and a mark, durably; the caller syncs the directory. It appears whole or not at
    /// all.
    pub fn create(files: &dyn FileSystem, path: &Path, number: u64, mark: &[u8]) -> io::Result<Self> {
        let content = [&number.to_be_bytes(), mark].concat();
        let slots = Slots::create(files, path, SLOT, &content)?;
        Self::over(slots, number, mark.to_vec())
    }

    /// Opens the file; with it the number and the mark, unless neither slot is whole.
    pub fn open(files: &dyn FileSystem, path: &Path) -> io::Result<(Self, Option<Recorded>)> {
        let Opened { slots, newest, .. } = Slots::open(files, path, SLOT)?;
        let found = newest.as_deref().and_then(|content| {
            let (number, mark) = content.split_first_chunk()?;
            Some((u64::from_be_bytes(*number), mark.to_vec()))
        });
        let (number, mark) = found.clone().unwrap_or_default();
        Ok((Self::over(slots, number, mark)?, found))
    }

    fn over(slots: Slots, number: u64, mark: Vec<u8>) -> io::Result<Self> {
        let syncing = Arc::new(Syncing::default());
        let (shared, file) = (syncing.clone(), slots.file().clone());
        let thread = std::thread::Builder::new().name("watermark".into());
        let thread = thread.spawn(move || shared.run(&*file))?;
        Ok(Self { content: Mutex::new(Content { slots, number, mark }), syncing, thread: Some(thread) })
    }

    fn content(&self) -> io::Result<MutexGuard<'_, Content>> {
        self.check()?;
        Ok(self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last number that was recorded.
    pub fn number(&self) -> u64 {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).number
    }

    /// Whether all syncs have succeeded so far.
    pub(crate) fn check(&self) -> io::Result<()> {
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
    pub fn set(&self, number: u64) -> io::Result<()> {
        self.write(Some(number), None)
    }

    fn write(&self, number: Option<u64>, mark: Option<&[u8]>) -> io::Result<()> {
        let mut guard = self.content()?;
        let Content { slots, number: last, mark: present } = &mut *guard;
        if number.is_some_and(|number| *last >= number) {
            return Ok(());
        }
        let number = number.unwrap_or(*last);
        slots.write(&[&number.to_be_bytes(), mark.unwrap_or(present)].concat())?;
        *last = number;
        if let Some(mark) = mark {
            *present = mark.to_vec();
        }
        drop(guard);
        if !self.syncing.dirty.swap(true, Ordering::AcqRel)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Ok(())
    }

    /// Marks it anew. It survives the death of the process at once, and a power cut about a second later.
    pub fn mark(&self, mark: &[u8]) -> io::Result<()> {
        self.write(None, Some(mark))
    }

    /// The same, durably, and so that no older mark is left in the file.
    pub fn mark_durably(&self, mark: &[u8]) -> io::Result<()> {
        self.mark(mark)?;
        self.mark(mark)?;
        self.content()?.slots.sync()
    }
}

impl Syncing {
    fn run(&self, file: &dyn OpenFile) {
        loop {
            while !self.dirty.swap(false, Ordering::AcqRel) {
                if self.stop.load(Ordering::Acquire) {
                    return;
                }
                std::thread::park();
            }
            // A failed sync is never retried: the next write of the database says so.
            if let Err(why) = file.sync() {
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
mod tests {
    use super::*;
    use crate::files::System;

    impl Watermark {
        /// One that cannot be written.
        pub(crate) fn broken(path: &Path) -> Self {
            let Opened { slots, .. } =
                Slots::over(Arc::new(std::fs::File::open(path).unwrap()), SLOT).unwrap();
            Self::over(slots, 1, Vec::new()).unwrap()
        }
    }

    #[test]
    fn a_number_and_a_mark_are_kept_through_changes_of_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watermark");
        let reopened = || Watermark::open(&System, &path).unwrap().1.unwrap();
        let watermark = Watermark::create(&System, &path, 0, b"one").unwrap();
        assert_eq!(reopened(), (0, b"one".to_vec()));
        watermark.set(7).unwrap();
        watermark.set(5).unwrap();
        assert_eq!((reopened(), watermark.number()), ((7, b"one".to_vec()), 7));
        watermark.mark(b"two").unwrap();
        watermark.set(8).unwrap();
        watermark.mark_durably(b"three").unwrap();
        assert_eq!(reopened(), (8, b"three".to_vec()));
        drop(watermark);
        // Whichever slot is lost: the mark is in both.
        let whole = std::fs::read(&path).unwrap();
        for slot in [0, SLOT] {
            let mut torn = whole.clone();
            torn[slot + 20] ^= 1;
            std::fs::write(&path, torn).unwrap();
            assert_eq!(reopened(), (8, b"three".to_vec()));
        }
    }
}
