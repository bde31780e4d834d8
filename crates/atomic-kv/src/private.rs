//! A data directory is nobody else's: its owner alone may read it, and nothing in it is a symbolic link.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use store::private::{DIRECTORY_MODE, FILE_MODE};

/// What files and directories that this process makes may not be used for by others, also those that libraries make.
pub fn set_umask() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Takes the rights of others away in a data directory from before, and refuses links in it. What the node does not know of
/// is left alone.
///
/// # Errors
/// When there is a symbolic link, or the directory cannot be read.
pub(crate) fn tighten(path: &Path) -> io::Result<()> {
    if mode(path)? & !DIRECTORY_MODE != 0 {
        tracing::warn!(path = %path.display(), "others could use the data directory; from now on only its owner can");
        restrict(path, DIRECTORY_MODE);
    }
    for name in ["LOCK", "identity", "identity.new", "watermark", "watermark.new", "db"] {
        tighten_all(&path.join(name))?;
    }
    Ok(())
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(path.metadata()?.permissions().mode() & 0o7777)
}

fn tighten_all(path: &Path) -> io::Result<()> {
    let found = match path.symlink_metadata() {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.is_symlink() {
        let shown = path.display();
        return Err(io::Error::other(format!(
            "{shown} is a symbolic link, which is not followed in a data directory; remove it, or mount or move what it \
             leads to"
        )));
    }
    let allowed = if found.is_dir() { DIRECTORY_MODE } else { FILE_MODE };
    if found.permissions().mode() & 0o077 != 0 {
        restrict(path, allowed);
    }
    if found.is_dir() {
        for entry in path.read_dir()? {
            tighten_all(&entry?.path())?;
        }
    }
    Ok(())
}

/// Where that is not allowed, somebody else owns it and has to.
fn restrict(path: &Path, mode: u32) {
    if let Err(why) = std::fs::set_permissions(path, Permissions::from_mode(mode)) {
        tracing::warn!(path = %path.display(), %why, "cannot take the rights of others away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_lose_their_rights_and_links_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::create_dir_all(path.join("db/tables")).unwrap();
        for name in ["identity", "db/tables/1", "README"] {
            std::fs::write(path.join(name), b"x").unwrap();
            std::fs::set_permissions(path.join(name), Permissions::from_mode(0o644)).unwrap();
        }
        for name in ["", "db", "db/tables"] {
            std::fs::set_permissions(path.join(name), Permissions::from_mode(0o755)).unwrap();
        }
        tighten(path).unwrap();
        for (name, expected) in [
            ("", 0o700),
            ("db/tables", 0o700),
            ("identity", 0o600),
            ("db/tables/1", 0o600),
            ("README", 0o644),
        ] {
            assert_eq!(mode(&path.join(name)).unwrap(), expected, "{name}");
        }
        std::os::unix::fs::symlink(path.join("README"), path.join("db/tables/2")).unwrap();
        let refused = tighten(path).unwrap_err().to_string();
        assert!(refused.contains("db/tables/2 is a symbolic link"), "{refused}");
    }
}
