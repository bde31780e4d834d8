//! What a replica has accepted in consensus on updates: for each key at most one record (rules P2' and P7).

use super::MultiVersionStore;
use crate::database::{Database, DatabaseError, WriteBatch};
use crate::encoding::{accepted, key};
use abd::{AcceptedRecord, Version};
use bytes::Bytes;

impl<D: Database> MultiVersionStore<D> {
    /// All records that are alive: their base is the newest version of their key. For the start of a replica, before it answers
    /// anybody.
    ///
    /// Those whose base is below that are taken away: they became durable together with a newer version, or the batch that was to
    /// end them did not become durable. Keys are left out of which a record or a version may have been lost: from here on
    /// [`MultiVersionStore::newest_above`] says so (rule S3).
    ///
    /// # Errors
    /// [`DatabaseError::Damaged`] when the base of a record is missing: it became durable with it or before it (rule P7). Others as
    /// those of reads and of [`Database::write`].
    pub fn records(&self) -> Result<Vec<(Bytes, AcceptedRecord)>, DatabaseError> {
        let (mut alive, mut dead) = (Vec::new(), WriteBatch { makes_room: true, ..WriteBatch::default() });
        for (record_key, bytes) in self.doubts.look(&self.database)? {
            let (recorded_key, record) = accepted::decode(&bytes)?;
            let user_key = key::user_key(&record_key).or(recorded_key);
            let user_key =
                user_key.filter(|user_key| key::of_record(user_key) == record_key).ok_or_else(|| {
                    DatabaseError::Damaged("an accepted record does not say of which key it is".into())
                })?;
            let newest = match self.newest_above(&user_key, Version::MAX) {
                Ok(newest) => newest.version,
                Err(DatabaseError::Unreadable { .. }) => {
                    // When the damage was looked into, the version may be there after all.
                    self.doubts.add_one(&record_key);
                    continue;
                }
                Err(why) => return Err(why),
            };
            if record.base < newest {
                dead.delete(record_key);
            } else if record.base == newest {
                alive.push((user_key, record));
            } else {
                return Err(DatabaseError::Damaged(format!(
                    "version {} of a key is gone, for which this replica has accepted an update: the newest one is {newest}",
                    record.base
                )));
            }
        }
        if dead.is_empty() {
            return Ok(alive);
        }
        // Some may be left on a full disk: they are as dead at the next start.
        match self.database.write(dead) {
            Ok(()) | Err(DatabaseError::Full(_)) => Ok(alive),
            Err(why) => Err(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDatabase;
    use crate::versions::Puts;
    use abd::{Ballot, Content, StampedValue, Timestamp, Unit, WriteGroup};
    use std::sync::Arc;

    fn commit(store: &MultiVersionStore<Arc<MemoryDatabase>>, unit: &Unit) {
        let mut puts = Puts::default();
        puts.push(unit);
        store.commit_puts(&puts).unwrap();
    }

    /// P5, S3: a mark that was lost is not replaced by one that says nothing about what was promised before.
    #[test]
    fn p5_a_lost_mark_stays_in_doubt_behind_a_new_one() {
        let database = Arc::new(MemoryDatabase::default());
        let open = || MultiVersionStore::new(Arc::clone(&database), 1 << 20).unwrap();
        let abstains = |store: &MultiVersionStore<_>, key: &str| {
            matches!(store.newest(key.as_bytes()), Err(DatabaseError::Unreadable { .. }))
        };
        let mark = |round| Unit::Mark(Ballot { epoch: 1, round, node: 1, boot: 1 });
        let version = |time| Version::of_write(Timestamp { time, node: 1, boot: 1 });
        let store = open();
        commit(&store, &mark(5));
        assert!(!abstains(&open(), "k"));
        store.doubts.add_all();
        commit(&store, &mark(7));
        let store = open();
        assert_eq!(store.mark().round, 7);
        assert!(abstains(&store, "k"));
        let stamped = StampedValue::plain(version(3), Content::Value("v".into()));
        commit(&store, &Unit::Version { key: "k".into(), stamped });
        assert!(!abstains(&store, "k") && abstains(&store, "other"));
        assert!(abstains(&open(), "k"), "which keys were written since is in memory only");
    }
}
