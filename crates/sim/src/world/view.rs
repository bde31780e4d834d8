//! A node's store, as its replica sees it.

use crate::disk::SimDatabase;
use abd::{Content, Glimpse, Newest, StampedValue, Version, VersionStore};
use bytes::Bytes;
use std::sync::Arc;
use store::{DatabaseError, MultiVersionStore};

/// The store as a replica sees it.
pub(crate) struct View<'a> {
    pub(crate) store: &'a MultiVersionStore<Arc<SimDatabase>>,
    /// What is on its way to the disk and shown already.
    pub(crate) early: &'a [(Bytes, StampedValue)],
    /// What is said about it.
    pub(crate) early_is_durable: bool,
}

impl VersionStore for View<'_> {
    type Error = DatabaseError;

    fn newest(&self, key: &[u8]) -> Result<Newest, DatabaseError> {
        let mut newest = self.store.newest(key)?;
        for (_, stamped) in self.early.iter().filter(|(early, _)| early == key) {
            if stamped.version > newest.stamped.version {
                newest = Newest { stamped: stamped.clone(), durable: self.early_is_durable };
            }
        }
        Ok(newest)
    }

    fn newest_above(&self, key: &[u8], have: Version) -> Result<Glimpse, DatabaseError> {
        if self.early.iter().any(|(early, _)| early == key) {
            return Ok(self.newest(key)?.glimpse(have));
        }
        self.store.newest_above(key, have)
    }

    fn remembered_above(&self, key: &[u8], have: Version) -> Option<Glimpse> {
        let known = self.store.remembered_above(key, have);
        let version = known.as_ref().map_or(Version::MIN, |known| known.version);
        let early = self.early.iter().filter(|(early, stamped)| early == key && stamped.version > version);
        let newest = early
            .max_by_key(|(_, stamped)| stamped.version)
            .map(|(_, stamped)| Newest { stamped: stamped.clone(), durable: self.early_is_durable });
        newest.map(|newest| newest.glimpse(have)).or(known)
    }

    fn is_damage(why: &DatabaseError) -> bool {
        matches!(why, DatabaseError::Unreadable { .. })
    }
}

/// What of it is in memory.
pub(crate) struct Memory<'a>(pub(crate) &'a View<'a>);

impl VersionStore for Memory<'_> {
    /// It is not.
    type Error = ();

    fn newest(&self, key: &[u8]) -> Result<Newest, ()> {
        let Glimpse { version, content, durable, .. } = self.newest_above(key, Version::MIN)?;
        let content = content.unwrap_or(Content::Tombstone);
        Ok(Newest { stamped: StampedValue { version, content }, durable })
    }

    fn newest_above(&self, key: &[u8], have: Version) -> Result<Glimpse, ()> {
        self.0.remembered_above(key, have).ok_or(())
    }
}
