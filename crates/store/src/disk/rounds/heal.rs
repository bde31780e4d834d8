//! What was lost is brought back by others, and forgotten (rule S3).

use super::repair::tell;
use super::upkeep::Upkeep;
use crate::damage::Part;
use crate::database::{DatabaseError, DirectoryId};
use crate::files::System;

impl Upkeep {
    /// Notes that what is lost by now is being healed for a directory that is to have this id.
    pub(crate) fn begin_healing(&self, directory: DirectoryId) -> Result<(), DatabaseError> {
        self.unless_in_doubt(|| {
            let mut lost = self.lost();
            let mut healing = lost.clone();
            healing.begin_healing(directory);
            healing.write(&System, self.tables.tree().path())?;
            *lost = healing;
            Ok(())
        })
    }

    /// What was being healed for a directory with this id.
    pub(crate) fn being_healed(&self, directory: DirectoryId) -> Option<Vec<Part>> {
        let lost = self.lost();
        lost.healed(directory).map(|_| lost.being_healed().to_vec())
    }

    /// Forgets what was being healed for a directory with this id.
    pub(crate) fn forget_healed(&self, directory: DirectoryId) -> Result<(), DatabaseError> {
        self.unless_in_doubt(|| {
            let _flushing = self.flushing();
            let mut lost = self.lost();
            let Some(left) = lost.healed(directory) else { return Ok(()) };
            let tree = self.tables.tree();
            // First what tables say of how many there are: with less in the file, it would be taken for an older copy.
            tell(&tree, &left, || self.tables.horizon()).or_else(|why| self.check_current().and(Err(why)))?;
            left.write(&System, tree.path())?;
            self.tables.replace(tree, left.parts());
            *lost = left;
            Ok(())
        })
    }
}
