//! The file system, as the engine uses it: a trait with the operating system behind it, and in tests a disk that crashes.
//!
//! The trait has what the engine's own files need and no more, and it is as weak as what the engine believes: what is written is
//! durable after a sync of its file, or when the write returns where a handle says so; a name is durable after a sync of its
//! directory. Before that any part of it may survive a power cut, sector by sector and name by name.

pub mod private;
pub mod slots;
mod system;
#[cfg(test)]
pub(crate) mod tests;

pub use system::System;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open file.
pub trait OpenFile: Debug + Send + Sync {
    /// Reads from an offset until the buffer is full or the file ends; returns how much that is.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all bytes at an offset. The file grows if they do not end in it. After an error any part may have been written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes durable what was written, and the length. After an error nobody knows what is.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file off, or lets it grow by zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// How long the file is.
    fn length(&self) -> io::Result<u64>;
}

/// All of a file, from its beginning.
pub fn contents(file: &dyn OpenFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.length()?).map_err(io::Error::other)?];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// A handle whose writes go past the page cache: whole pages, from aligned memory.
#[derive(Debug)]
pub struct Direct {
    /// The file.
    pub file: Arc<dyn OpenFile>,
    /// Whether a write is durable when it returns, for certain.
    pub durable: bool,
}

/// What is in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What is left.
    pub free: u64,
    /// What it has.
    pub total: u64,
}

/// A file system.
pub trait FileSystem: Debug + Send + Sync {
    /// Opens a file, to read and to write; not a symbolic link.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>>;

    /// Creates an empty file where there is nothing, to read and to write. Its name is durable after [`FileSystem::sync_directory`].
    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>>;

    /// Opens a file for writes past the page cache, each durable when it returns if that is wanted; `None` where that is not
    /// offered. Whatever it does not do is an error of the kind [`io::ErrorKind::InvalidInput`] or
    /// [`io::ErrorKind::Unsupported`] at the first write.
    fn open_direct(&self, path: &Path, durably: bool) -> Option<Direct>;

    /// Gives a file another name, in the place of whatever has that one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file's name away.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory that only its owner can read, and those above it, unless they are there.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// What is in a directory, in no order.
    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// The room where a path is.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// Writes a whole file, durably but for its name, in the place of any other.
pub fn write_new(files: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<Arc<dyn OpenFile>> {
    // Never written through: it may be a link that somebody has put there.
    if_there(files.remove(path))?;
    let file = files.create(path)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    Ok(file)
}

/// Writes a whole file beside the one of this name, and puts it in its place: that is the old one or the new one whenever the
/// power goes. The caller syncs the directory.
pub fn replace(files: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<Arc<dyn OpenFile>> {
    let unfinished = path.with_extension("new");
    let file = write_new(files, &unfinished, bytes)?;
    files.rename(&unfinished, path)?;
    Ok(file)
}

/// `None` for what is not there. Only a certain "no" may lead to a new file: an error must not.
pub fn if_there<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}
