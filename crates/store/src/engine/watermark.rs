//! The durable watermark: how many batches this directory has acknowledged, kept apart from the database.
//!
//! The engine drops a damaged part of its journal, and everything after it, without a word. So every batch carries a
//! number, and this file remembers the last number that was acknowledged: a database that opens below it has lost
//! something that somebody was promised.
//!
//! Two slots are written in turn, in place, so that a torn write leaves the other one and a full disk is no obstacle.
//! The file is written *after* the batch is durable, so it is never ahead of the truth. It is synced by the caller
//! now and then: kill -9 cannot make it stale, a power cut by a moment at most.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SLOT: u64 = 512;

/// The open file.
#[derive(Debug)]
pub(super) struct Watermark {
    file: File,
    turn: u64,
}

impl Watermark {
    /// Creates the file with a first number, durably.
    pub(super) fn create(path: &Path, sequence: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.write_all_at(&[0; 1024], 0)?;
        let mut watermark = Self { file, turn: 0 };
        watermark.set(sequence)?;
        watermark.file.sync_all()?;
        Ok(watermark)
    }

    /// Opens the file; the number is the larger of the two whole slots, `None` when neither is whole.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<u64>)> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut numbers = Vec::new();
        for slot in 0..2 {
            let mut bytes = [0; 12];
            if file.read_exact_at(&mut bytes, slot * SLOT).is_ok() {
                let number = bytes[..8].iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
                let checksum = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
                if checksum == crc32fast::hash(&bytes[..8]) && number > 0 {
                    numbers.push(number);
                }
            }
        }
        Ok((Self { file, turn: 0 }, numbers.into_iter().max()))
    }

    /// Records a number. Survives the death of the process at once.
    pub(super) fn set(&mut self, sequence: u64) -> io::Result<()> {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&sequence.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[..8]);
        bytes[8..].copy_from_slice(&checksum.to_be_bytes());
        self.turn ^= 1;
        self.file.write_all_at(&bytes, self.turn * SLOT)
    }

    /// A second handle to sync through, so that nobody waits for it.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}
