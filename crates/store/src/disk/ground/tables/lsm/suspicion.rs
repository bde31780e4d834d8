//! What the crate's errors mean, and who hears of those that say damage.

use super::library::Error;
use crate::database::DatabaseError;
use crate::disk::ground::failure::{damaged, io_error, unreadable};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Hears of reads that found damage.
#[derive(Default)]
pub(crate) struct Suspicion {
    raised: AtomicBool,
    hears: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Suspicion {
    /// Has somebody called when there is one.
    pub(crate) fn tell(&self, hears: impl Fn() + Send + Sync + 'static) {
        let _ = self.hears.set(Box::new(hears));
    }

    fn raise(&self) {
        if !self.raised.swap(true, Ordering::Relaxed)
            && let Some(hears) = self.hears.get()
        {
            hears();
        }
    }

    /// Whether there is one.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// It has been looked into.
    pub(crate) fn settle(&self) {
        self.raised.store(false, Ordering::Relaxed);
    }
}

/// A short file is damage, a checksum that does not match too, and a missing file is lost data; everything else that a file
/// system reports is a disk that fails.
pub(super) fn engine_error(why: Error) -> DatabaseError {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    match &why {
        Error::Io(io) if io.kind() == NotFound => damaged(&why),
        Error::Io(io) if !matches!(io.kind(), InvalidData | UnexpectedEof) => io_error("use the tables", io),
        _ => unreadable(&why),
    }
}

/// The same for what only reads: whatever keeps it from reading concerns what it wanted to read, and nothing else. Somebody will
/// look into it.
pub(super) fn read_error(why: Error, suspicion: &Suspicion) -> DatabaseError {
    suspicion.raise();
    unreadable(&why)
}
