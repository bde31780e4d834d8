//! Damaged tables make way for new ones, of what can be read of them.

use super::list::{List, Listed};
use super::salvage::{self, Findings};
use super::{TABLES, Tree, is_datable};
use crate::damage::Part;
use crate::database::DatabaseError;
use crate::disk::ground::failure::{damaged, io_error};
use crate::disk::ground::tables::FIRST;
use crate::files::private;
use bytes::Bytes;
use std::path::Path;

/// Where tables go that were damaged, for whoever wants to look into them.
pub(super) const DAMAGED: &str = "damaged";

/// How much of the tables is read in search of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What it takes to open them.
    Opens,
    /// What finds their entries, too: a small part of them, without which none of a table's can be read.
    Finds,
    /// Everything.
    All,
}

/// What was found and done about damaged tables.
#[derive(Debug, Default)]
pub(crate) struct Salvaged {
    /// What was in them and cannot be read.
    pub(crate) lost: Vec<Part>,
    /// Whether keys of the engine's own may be among that.
    pub(crate) lost_own: bool,
}

impl Tree {
    /// Looks for damaged tables in the directory of a tree, makes new ones of what can be read of them, and puts these
    /// into their place, or of one of them alone: a list of tables that nobody has opened yet. `remember` is told before what is
    /// lost. Whether there were any. While nobody writes or merges tables.
    /// Fails with [`DatabaseError::Damaged`] when the list of tables cannot be read or a table is gone; [`DatabaseError::Full`] when there
    /// is no room for the new ones; [`DatabaseError::Fatal`] when the disk fails, or `remember`.
    pub(crate) fn salvage(
        path: &Path,
        depth: Depth,
        only: Option<u64>,
        mut next_number: impl FnMut() -> u64,
        remember: impl FnOnce(&Salvaged) -> Result<(), DatabaseError>,
    ) -> Result<bool, DatabaseError> {
        let list = List::read(path)?;
        let file = |number: u64| path.join(TABLES).join(number.to_string());
        let mut found = Vec::new();
        for listed in list.tables().filter(|listed| only.is_none_or(|only| listed.number == only)) {
            let file = file(listed.number);
            if !file.exists() {
                return Err(damaged(format!("the table {} is gone", file.display())));
            }
            let opens = salvage::opens(&file, *listed);
            let finds = depth == Depth::Opens || salvage::finds(&file);
            if opens && finds && depth != Depth::All {
                continue;
            }
            let findings = salvage::read(&file, |_| Ok(()))?;
            if findings.damaged || !opens {
                found.push((*listed, findings));
            }
        }
        if found.is_empty() {
            return Ok(false);
        }
        let mut made = Vec::new();
        let replaced = Self::replace_damaged(path, list, &found, &mut next_number, &mut made, remember);
        // After any other failure nobody knows which list is in force.
        if let Err(DatabaseError::Full(_)) = replaced {
            made.iter().for_each(|number| drop(std::fs::remove_file(file(*number))));
        }
        replaced.map(|()| true)
    }

    /// Reads a table from one end to the other, unless `each` does not go on, which gets its keys and values; whether it is whole, or
    /// gone, as a merge has replaced it.
    /// Fails with what keeps it from being read at all.
    pub(crate) fn scrub(
        &self,
        number: u64,
        mut each: impl FnMut(&[u8], &Bytes) -> bool,
    ) -> Result<bool, DatabaseError> {
        let file = self.folder().join(number.to_string());
        if !file.exists() {
            return Ok(true);
        }
        let mut stopped = false;
        let findings = salvage::read(&file, |entry| {
            stopped = !each(&entry.key.user_key, &entry.value.into());
            // No damage, whatever is behind it.
            if stopped { Err(DatabaseError::Full("it is not read to its end".into())) } else { Ok(()) }
        });
        match findings {
            _ if stopped => Ok(true),
            Ok(findings) => Ok(!findings.damaged),
            // A merge may have deleted it since.
            Err(_) if !file.exists() => Ok(true),
            Err(why) => Err(why),
        }
    }

    /// `made`: the numbers of files that are no tables before this has succeeded.
    fn replace_damaged(
        path: &Path,
        mut list: List,
        found: &[(Listed, Findings)],
        next_number: &mut impl FnMut() -> u64,
        made: &mut Vec<u64>,
        remember: impl FnOnce(&Salvaged) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        is_datable()?;
        let mut salvaged = Salvaged::default();
        for (listed, Findings { lost, .. }) in found {
            let (file, number) = (path.join(TABLES).join(listed.number.to_string()), next_number());
            made.push(number);
            list.replace(listed.number, salvage::rewrite(&file, *listed, number)?);
            let cost = match lost.len() {
                0 => "nothing is lost, as it was not hit where its entries are".to_owned(),
                parts => format!(
                    "{parts} parts of it cannot be read, and this replica abstains for keys that may have been in them"
                ),
            };
            log::error!(
                "the table {} is damaged: {cost}. What can be read is in the table {number} now, and the file is kept in {}",
                file.display(),
                path.join(DAMAGED).display()
            );
            for part in lost {
                salvaged.lost_own |= part.from[..] < *FIRST;
                let from = part.from.clone().max(Bytes::from_static(FIRST));
                salvaged.lost.push(Part { from, to: part.to.clone() });
            }
            keep(&file, path)?;
        }
        remember(&salvaged)?;
        list.write(path)
    }
}

/// Keeps a table that goes out of use because it is damaged. That somebody may look into it is not worth a failure.
fn keep(table: &Path, path: &Path) -> Result<(), DatabaseError> {
    let folder = path.join(DAMAGED);
    private::create_directory(&folder)
        .map_err(|why| io_error("create a directory for damaged tables", &why))?;
    let name = table.file_name().unwrap_or_default().to_string_lossy();
    let free = (0..).map(|time| match time {
        0 => folder.join(&*name),
        time => folder.join(format!("{name}-{time}")),
    });
    if let Some(kept) = free.into_iter().find(|kept| !kept.exists())
        && let Err(why) = std::fs::hard_link(table, &kept)
    {
        log::warn!("the damaged table {} cannot be kept: {why}", table.display());
    }
    Ok(())
}
