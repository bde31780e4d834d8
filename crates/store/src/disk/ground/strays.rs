//! Files in a database's directories that it did not make, such as a README, or what NFS keeps of a file that was deleted while
//! it was open. They say nothing about the data: they are left alone, and named in the log.

use super::failure::io_error;
use crate::database::DatabaseError;
use crate::files::{FileSystem, Listed, if_there};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What is in a directory and is not `ours`, by name; whatever is no regular file is not, but for `directories`. Nothing, if there
/// is no directory.
pub(crate) fn strays(
    files: &dyn FileSystem,
    directory: &Path,
    directories: &[&str],
    ours: impl Fn(&str) -> bool,
) -> Result<Vec<PathBuf>, DatabaseError> {
    let listed = if_there(files.list(directory));
    let listed = listed.map_err(|why| io_error(&format!("list {}", directory.display()), &why))?;
    let is_stray = |listed: &Listed| {
        let name = listed.path.file_name().and_then(OsStr::to_str);
        !name.is_some_and(|name| match listed.is_file {
            true => ours(name),
            false => listed.is_directory && directories.contains(&name),
        })
    };
    let strays = listed.unwrap_or_default().into_iter().filter(is_stray);
    let mut strays: Vec<PathBuf> = strays.map(|stray| stray.path).collect();
    strays.sort();
    Ok(strays)
}

/// Says that there is something which is not used, nor changed.
pub(crate) fn leave_alone(stray: &Path) {
    log::warn!("{} is not a file of this database: it is left alone", stray.display());
}

/// Gives a file that is in the way a name that begins with `prefix`, in the same directory.
pub(crate) fn set_aside(stray: &Path, prefix: &str) -> Result<(), DatabaseError> {
    let mut name = OsStr::new(prefix).to_owned();
    name.push(stray.file_name().unwrap_or_default());
    let mut aside = stray.with_file_name(&name);
    while aside.symlink_metadata().is_ok() {
        name.push("~");
        aside = stray.with_file_name(&name);
    }
    let failed = |why: std::io::Error| {
        let what = format!(
            "rename {}, which is not a file of this database and in the way of its tables: move it elsewhere",
            stray.display()
        );
        io_error(&what, &why)
    };
    std::fs::rename(stray, &aside).map_err(failed)?;
    log::warn!(
        "{} is not a file of this database: it is called {} now, and is not touched otherwise",
        stray.display(),
        aside.display()
    );
    Ok(())
}

/// Whether a name is a number as it is written, without zeros before it.
pub(crate) fn is_number(name: &str) -> bool {
    name.parse::<u64>().is_ok_and(|number| number.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::System;

    #[test]
    fn what_is_set_aside_takes_nobodys_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["7", "07", "README", "._README"] {
            std::fs::write(path(name), name).unwrap();
        }
        std::fs::create_dir(path("8")).unwrap();
        std::fs::create_dir(path("notes")).unwrap();
        std::os::unix::fs::symlink(path("7"), path("9")).unwrap();
        let found = strays(&System, directory.path(), &["notes"], is_number).unwrap();
        assert_eq!(found, ["._README", "07", "8", "9", "README"].map(path));
        set_aside(&path("README"), "._").unwrap();
        assert_eq!(std::fs::read(path("._README")).unwrap(), b"._README");
        assert_eq!(std::fs::read(path("._README~")).unwrap(), b"README");
        assert_eq!(strays(&System, &path("nowhere"), &[], is_number), Ok(Vec::new()));
    }
}
