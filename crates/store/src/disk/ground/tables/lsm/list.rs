//! The list of tables, read and verified before the crate reads it, and written without a table that was damaged.
//!
//! ```text
//! current   number of the list u64 | xxh3 of the list's file u128 | 0
//! vNUMBER   an archive; its section "tables" has
//!           levels u8 | for each: runs u8 | for each, the newest first: tables u32 | for each, by key:
//!           number u64 | 0 | xxh3 of its file u128 | number that is added to those of its entries u64
//! ```
//! All integers are little-endian. A list says which tables there are, so without it nothing is known: it is refused when a
//! bit of it is wrong.

use super::CURRENT;
use super::archive::{build, checksum, contents_of};
use crate::database::DatabaseError;
use crate::disk::ground::failure::{damaged, io_error};
use crate::files::{FileSystem, System, write_new};
use bytes::Buf;
use std::path::{Path, PathBuf};

const TABLES: &[u8] = b"tables";
/// Bytes of `current`.
const CURRENT_BYTES: usize = 8 + 16 + 1;

/// A list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    number: u64,
    /// All sections as they are, in order.
    sections: Vec<(Vec<u8>, Vec<u8>)>,
    /// By level and run.
    pub(super) levels: Vec<Vec<Vec<Listed>>>,
}

/// A table as the list has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) number: u64,
    pub(super) checksum: u128,
    pub(super) added: u64,
}

impl List {
    /// Reads the list in force in the directory of a tree.
    /// Fails with [`DatabaseError::Damaged`] when it is not what was written.
    pub(super) fn read(path: &Path) -> Result<Self, DatabaseError> {
        let current = path.join(CURRENT);
        let bytes = read_file(&current)?;
        let wrong = |file: &Path| {
            damaged(format!("the list of tables is damaged: {} is not what was written", file.display()))
        };
        let mut fields = &bytes[..];
        if fields.len() != CURRENT_BYTES || fields[CURRENT_BYTES - 1] != 0 {
            return Err(wrong(&current));
        }
        let (number, expected) = (fields.get_u64_le(), fields.get_u128_le());
        let file = path.join(format!("v{number}"));
        if !file.exists() {
            return Err(damaged(format!(
                "the list of tables is damaged or gone: {} names {}, which is not there",
                current.display(),
                file.display()
            )));
        }
        let bytes = read_file(&file)?;
        if checksum(&bytes) != expected {
            return Err(wrong(&file));
        }
        Self::parse(number, &bytes).ok_or_else(|| wrong(&file))
    }

    fn parse(number: u64, bytes: &[u8]) -> Option<Self> {
        let mut sections = Vec::new();
        for section in contents_of(bytes)? {
            let from = usize::try_from(section.from).ok()?;
            let end = from.checked_add(usize::try_from(section.length).ok()?)?;
            sections.push((section.name, bytes.get(from..end)?.to_vec()));
        }
        let (_, tables) = sections.iter().find(|(name, _)| name == TABLES)?;
        let levels = levels(tables)?;
        Some(Self { number, sections, levels })
    }

    /// All tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Listed> {
        self.levels.iter().flatten().flatten()
    }

    /// Puts a table in the place of another one, or nothing.
    pub(super) fn replace(&mut self, number: u64, by: Option<Listed>) {
        for level in &mut self.levels {
            for run in level.iter_mut() {
                if let Some(at) = run.iter().position(|listed| listed.number == number) {
                    run.splice(at..=at, by);
                    break;
                }
            }
            level.retain(|run| !run.is_empty());
        }
    }

    /// Makes it the list in force, durably.
    /// Fails with [`DatabaseError::Full`] before it has taken effect; [`DatabaseError::Fatal`].
    pub(super) fn write(mut self, path: &Path) -> Result<(), DatabaseError> {
        self.number += 1;
        let tables = self.encoded_tables();
        for (_, bytes) in self.sections.iter_mut().filter(|(name, _)| name == TABLES) {
            bytes.clone_from(&tables);
        }
        let list = build(&self.sections);
        let failed = |why: std::io::Error| io_error("write a list of tables", &why);
        let written = write_new(&System, &path.join(format!("v{}", self.number)), &list);
        written.and_then(|_| System.sync_directory(path)).map_err(failed)?;
        let mut current = self.number.to_le_bytes().to_vec();
        current.extend_from_slice(&checksum(&list).to_le_bytes());
        current.push(0);
        let (unfinished, in_force) = (path.join("current.new"), path.join(CURRENT));
        write_new(&System, &unfinished, &current).map_err(failed)?;
        // From here on nobody knows which list the disk has, until the directory is synced.
        let in_doubt = |why: std::io::Error| {
            DatabaseError::Fatal(format!("cannot put a list of tables into force: {why}"))
        };
        System.rename(&unfinished, &in_force).map_err(in_doubt)?;
        System.sync_directory(path).map_err(in_doubt)
    }

    fn encoded_tables(&self) -> Vec<u8> {
        let count = |count: usize| u8::try_from(count).unwrap_or_else(|_| unreachable!("lists are short"));
        let mut out = vec![count(self.levels.len())];
        for level in &self.levels {
            out.push(count(level.len()));
            for run in level {
                let tables = u32::try_from(run.len()).unwrap_or_else(|_| unreachable!("lists are short"));
                out.extend_from_slice(&tables.to_le_bytes());
                for table in run {
                    out.extend_from_slice(&table.number.to_le_bytes());
                    out.push(0);
                    out.extend_from_slice(&table.checksum.to_le_bytes());
                    out.extend_from_slice(&table.added.to_le_bytes());
                }
            }
        }
        out
    }
}

fn levels(mut bytes: &[u8]) -> Option<Vec<Vec<Vec<Listed>>>> {
    let mut levels = Vec::new();
    for _ in 0..bytes.try_get_u8().ok()? {
        let mut level = Vec::new();
        for _ in 0..bytes.try_get_u8().ok()? {
            let mut run = Vec::new();
            for _ in 0..bytes.try_get_u32_le().ok()? {
                let number = bytes.try_get_u64_le().ok()?;
                if bytes.try_get_u8().ok()? != 0 {
                    return None;
                }
                let (checksum, added) = (bytes.try_get_u128_le().ok()?, bytes.try_get_u64_le().ok()?);
                run.push(Listed { number, checksum, added });
            }
            level.push(run);
        }
        levels.push(level);
    }
    bytes.is_empty().then_some(levels)
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>, DatabaseError> {
    std::fs::read(path).map_err(|why| io_error(&format!("read {}", path.display()), &why))
}
