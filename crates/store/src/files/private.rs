//! Files of a data directory: nobody but their owner may read them, and none of them is a symbolic link. Whoever can put a
//! link into the directory must not choose what is read or overwritten.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Mode of a directory.
pub const DIRECTORY_MODE: u32 = 0o700;
/// Mode of a file.
pub const FILE_MODE: u32 = 0o600;

/// Opens a file for reading, follows no link, and creates it so that only its owner may read it.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
    options
}

/// Creates a directory, and those above it that are missing.
///
/// # Errors
/// As [`std::fs::create_dir_all`], and when there is a symbolic link in its place.
pub fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
    if path.symlink_metadata()?.is_symlink() {
        return Err(io::Error::other(format!("{} is a symbolic link", path.display())));
    }
    Ok(())
}
