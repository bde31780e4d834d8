//! The file system of the operating system.

use super::{Direct, FileSystem, Listed, OpenFile, Space, private};
use rustix::fs::{FsWord, OFlags};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// File systems that are known to make a write past the cache durable before it returns (`O_DSYNC`): ext4 and XFS.
const WRITE_DURABLY: [FsWord; 2] = [0xef53, 0x5846_5342];

/// The operating system.
#[derive(Clone, Copy, Debug)]
pub struct System;

fn direct(path: &Path, also: OFlags) -> Option<File> {
    let flags = i32::try_from((OFlags::DIRECT | OFlags::NOFOLLOW | also).bits()).ok()?;
    OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
}

impl OpenFile for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl FileSystem for System {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        Ok(Arc::new(private::options().write(true).open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        Ok(Arc::new(private::options().write(true).create_new(true).open(path)?))
    }

    fn open_direct(&self, path: &Path, durably: bool) -> Option<Direct> {
        let file = direct(path, if durably { OFlags::DSYNC } else { OFlags::empty() })?;
        // Some that other programs or machines serve pass the wish on, or not (FUSE, 9p): there a sync is asked for, too.
        let offers = || rustix::fs::fstatfs(&file).is_ok_and(|system| WRITE_DURABLY.contains(&system.f_type));
        let durable = durably && offers();
        Some(Direct { file: Arc::new(file), durable })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        private::create_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let listed = |entry: io::Result<std::fs::DirEntry>| {
            let entry = entry?;
            let kind = entry.file_type()?;
            Ok(Listed { path: entry.path(), is_file: kind.is_file(), is_directory: kind.is_dir() })
        };
        std::fs::read_dir(directory)?.map(listed).collect()
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S1: a power cut of a mounted file system cannot show it, because what has gone past the page cache it does not lose.
    #[test]
    fn s1_what_goes_past_the_cache_is_durable_when_it_returns() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, [0; 4096]).unwrap();
        if let Some(file) = direct(&path, OFlags::DSYNC) {
            let flags = rustix::fs::fcntl_getfl(&file).unwrap();
            assert!(flags.contains(OFlags::DIRECT | OFlags::DSYNC), "{flags:?}");
        }
    }
}
