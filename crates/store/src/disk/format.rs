//! Which format a database's directory has: the file `format`, one line.
//!
//! ```text
//! Atomic KV database, format 1, checksum 0f1e2d3c          the checksum is that of what precedes it, with the comma
//! ```
//! It is durable before anything else is in the directory, and covers all that is: the log, tables, and the bytes of keys and
//! records. Development versions before the first stable format have not written it.
//!
//! A release that brings another format reads this one and brings it up to date when the directory is opened, so that whatever power
//! cut is survived, and writes the new number when that is done. A small directory of each format is kept for a test
//! (`tests/formats.rs`).

use super::ground::failure::{damaged, io_error};
use crate::database::DatabaseError;
use crate::files::{FileSystem, contents, if_there, replace};
use std::path::Path;

/// The format that this release writes.
const FORMAT: u32 = 1;
/// The name of the file.
pub(super) const NAME: &str = "format";

const BEGINNING: &str = "Atomic KV database, format ";

/// What the file says of a format.
fn line(format: u32) -> String {
    let checked = format!("{BEGINNING}{format},");
    format!("{checked} checksum {:08x}\n", crc32fast::hash(checked.as_bytes()))
}

/// The format that a file says; `None` if it is not as it was written.
fn told(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (format, _) = text.strip_prefix(BEGINNING)?.split_once(',')?;
    format.parse().ok().filter(|format| line(*format) == text)
}

/// Makes sure that a directory is of this release's format, and notes that in a new one, durably but for the name of the file;
/// whether it has. `has_data`: whether there is anything in it that was written before.
/// Fails with [`DatabaseError::Format`] when it is of another one, with [`DatabaseError::Damaged`] when that cannot be told.
pub(super) fn ensure(
    files: &dyn FileSystem,
    directory: &Path,
    has_data: bool,
) -> Result<bool, DatabaseError> {
    let path = directory.join(NAME);
    let read = if_there(files.open(&path).and_then(|file| contents(&*file)));
    let Some(bytes) = read.map_err(|why| io_error("read the format of the database", &why))? else {
        if has_data {
            return Err(DatabaseError::Format(format!(
                "{} is missing: a development version wrote this directory, before the first stable format, and no other release \
                 reads it; begin with an empty directory",
                path.display()
            )));
        }
        let noted = replace(files, &path, line(FORMAT).as_bytes());
        return noted.map(|_| true).map_err(|why| io_error("note the format of the database", &why));
    };
    match told(&bytes) {
        Some(FORMAT) => Ok(false),
        Some(format) => Err(DatabaseError::Format(format!(
            "{} says that it is format {format}, and this release reads format {FORMAT}: a newer release wrote it",
            path.display()
        ))),
        None => Err(damaged(format!("{}, which says how to read the database, is damaged", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::System;

    #[test]
    fn a_new_directory_gets_its_format_and_others_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let ensure = |has_data| ensure(&System, directory.path(), has_data);
        let Err(DatabaseError::Format(why)) = ensure(true) else { panic!("without a format") };
        assert!(why.contains("development version"), "{why}");
        assert_eq!([ensure(false), ensure(true), ensure(false)], [Ok(true), Ok(false), Ok(false)]);
        let path = directory.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole, b"Atomic KV database, format 1, checksum 7ca5d1b3\n");
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, flipped).unwrap();
            assert!(matches!(ensure(true), Err(DatabaseError::Damaged(_))), "bit {bit}");
        }
        std::fs::write(&path, line(7)).unwrap();
        let Err(DatabaseError::Format(why)) = ensure(true) else { panic!("of a newer release") };
        assert!(why.contains("format 7") && why.contains("newer"), "{why}");
    }
}
