//! A small file that is written often: two slots, in turn, in place, so that a torn write leaves the other one and a full
//! disk is no obstacle.

use super::{FileSystem, OpenFile, replace};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// `length u32 | crc u32 | turn u64`, and then the content; the checksum is of the turn and the content.
const HEADER: usize = 16;

/// The open file.
#[derive(Debug)]
pub struct Slots {
    file: Arc<dyn OpenFile>,
    size: usize,
    /// Of the slot that was written last.
    turn: u64,
}

/// What a file held when it was opened.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub slots: Slots,
    /// The newest content that is whole.
    pub newest: Option<Vec<u8>>,
    /// Whether one slot is damaged, or both.
    pub lost: bool,
}

impl Slots {
    /// Creates a file with `content` in both slots of `size` bytes, durably; it appears whole or not at all. The caller syncs the
    /// directory. A slot should have sectors of its own: a torn write stays in it.
    pub fn create(files: &dyn FileSystem, path: &Path, size: usize, content: &[u8]) -> io::Result<Self> {
        let mut both = vec![0; size];
        let (first, second) = (encoded(1, size, content)?, encoded(2, size, content)?);
        both[..second.len()].copy_from_slice(&second);
        both.extend_from_slice(&first);
        Ok(Self { file: replace(files, path, &both)?, size, turn: 2 })
    }

    /// Opens a file with slots of `size` bytes.
    pub fn open(files: &dyn FileSystem, path: &Path, size: usize) -> io::Result<Opened> {
        Self::over(files.open(path)?, size)
    }

    pub(crate) fn over(file: Arc<dyn OpenFile>, size: usize) -> io::Result<Opened> {
        let mut slots = Self { file, size, turn: 0 };
        let (mut newest, mut whole) = (None, 0);
        for index in 0..2 {
            if let Some((turn, content)) = slots.read(index)? {
                whole += 1;
                if turn >= slots.turn {
                    (slots.turn, newest) = (turn, Some(content));
                }
            }
        }
        Ok(Opened { slots, newest, lost: whole < 2 })
    }

    fn read(&self, index: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
        let mut slot = vec![0; self.size];
        self.file.read_at(&mut slot, index * self.size as u64)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        let length = usize::try_from(number(&slot[..4])).unwrap_or(usize::MAX);
        let checksum = number(&slot[4..8]);
        let Some(checked) = slot.get(8..HEADER.saturating_add(length)) else { return Ok(None) };
        let turn = number(&slot[8..HEADER]);
        // The turn says which slot it is: a slot in the other's place is damage, too.
        let whole = turn > 0 && turn % 2 == index && u64::from(crc32fast::hash(checked)) == checksum;
        Ok(whole.then(|| (turn, slot[HEADER..HEADER + length].to_vec())))
    }

    /// Whether so much content goes into a slot.
    pub fn fits(&self, content: &[u8]) -> bool {
        content.len() <= self.size - HEADER
    }

    /// Writes into the older slot. It survives the death of the process at once, and a power cut after the next sync.
    ///
    /// # Errors
    /// When it cannot be written, or does not fit. The newer slot is untouched.
    pub fn write(&mut self, content: &[u8]) -> io::Result<()> {
        let turn = self.turn + 1;
        let slot = encoded(turn, self.size, content)?;
        self.file.write_at(&slot, (turn % 2) * self.size as u64)?;
        self.turn = turn;
        Ok(())
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// When the disk fails; nobody knows then what is durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// The file, for a thread that syncs it.
    pub fn file(&self) -> &Arc<dyn OpenFile> {
        &self.file
    }
}

/// A slot of this turn.
fn encoded(turn: u64, size: usize, content: &[u8]) -> io::Result<Vec<u8>> {
    if content.len() > size - HEADER {
        return Err(io::Error::other(format!("{} bytes have outgrown their slot", content.len())));
    }
    let mut slot = vec![0; HEADER + content.len()];
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    slot[..4].copy_from_slice(&length.to_be_bytes());
    slot[8..HEADER].copy_from_slice(&turn.to_be_bytes());
    slot[HEADER..].copy_from_slice(content);
    let checksum = crc32fast::hash(&slot[8..]);
    slot[4..8].copy_from_slice(&checksum.to_be_bytes());
    Ok(slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::System;

    const SIZE: usize = 512;

    fn opened(path: &Path) -> (Option<Vec<u8>>, bool) {
        let opened = Slots::open(&System, path, SIZE).unwrap();
        (opened.newest, opened.lost)
    }

    #[test]
    fn a_torn_slot_leaves_the_other_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut slots = Slots::create(&System, &path, SIZE, b"first").unwrap();
        assert_eq!(opened(&path), (Some(b"first".to_vec()), false));
        slots.write(b"second").unwrap();
        slots.write(b"third").unwrap();
        assert_eq!(opened(&path), (Some(b"third".to_vec()), false));
        let whole = std::fs::read(&path).unwrap();
        for at in [0, 4, 8, HEADER] {
            // "third" is in the first slot.
            let mut torn = whole.clone();
            torn[at] ^= 1;
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(opened(&path), (Some(b"second".to_vec()), true), "byte {at}");
            torn[SIZE + at] ^= 1;
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(opened(&path), (None, true), "byte {at}");
        }
        // Slots that have changed places, and files that are too short.
        let swapped = [&whole[SIZE..], &[0; SIZE][..HEADER + 6 + SIZE - whole.len().min(SIZE)]].concat();
        std::fs::write(&path, swapped).unwrap();
        assert_eq!(opened(&path), (None, true));
        std::fs::write(&path, b"").unwrap();
        assert_eq!(opened(&path), (None, true));
        assert!(slots.fits(&[0; SIZE - HEADER]) && !slots.fits(&[0; SIZE - HEADER + 1]));
        slots.write(&[0; SIZE - HEADER]).unwrap();
        slots.write(&[0; SIZE - HEADER + 1]).unwrap_err();
    }

    #[test]
    fn no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, target) = (directory.path().join("file"), directory.path().join("target"));
        std::fs::write(&target, b"precious").unwrap();
        std::os::unix::fs::symlink(&target, path.with_extension("new")).unwrap();
        Slots::create(&System, &path, SIZE, b"content").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
        assert!(!path.symlink_metadata().unwrap().is_symlink());
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        Slots::open(&System, &path, SIZE).unwrap_err();
    }

    #[test]
    fn only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/file");
        super::super::private::create_directory(path.parent().unwrap()).unwrap();
        Slots::create(&System, &path, SIZE, b"content").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }
}
