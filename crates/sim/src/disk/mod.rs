//! The disk of a simulated node, and the database engine on it.
//!
//! **What it may do.** Of bytes that were written and not synced, a power cut keeps a beginning of any length, torn in
//! the middle of a batch or not; a kill keeps all of them. A sync may be slow, and may fail for good. There may be no
//! room. Synced bytes may rot: a bit flips, a block reads as zeros. Of what tables hold a part may become unreadable, which
//! is noticed when it is read (rule S3).
//!
//! **What it never does**: lose synced bytes in a crash, change the order of batches, or tell a torn batch apart as
//! whole. The proof needs exactly that (rule S1); the mutant `ack-before-fsync` takes it away.
//!
//! The engine is a journal of checksummed batches with a durable watermark beside it, as of the production engine's
//! guards: what is damaged beyond the watermark is a torn tail, before it acknowledged data is gone (rule M1).

mod journal;
mod losses;

pub use losses::Loss;

use crate::mutant::DiskLie;
use crate::rng::Rng;
use bytes::Bytes;
use losses::Losses;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::damage::{DamagedParts, Guarded, Part};
use store::database::DirectoryId;
use store::dominated::DominatedFilter;
use store::memory::{MemoryIterator, MemorySnapshot};
use store::space::Space;
use store::{
    Change, Database, DatabaseError, DatabaseIterator, MemoryDatabase, Snapshot, WriteBatch, key::prefix_of,
};

/// Batches that make room and fit on a disk that is full for all others. Few, so that there are disks without any room, too.
const KEPT_FREE: u32 = 4;

/// How the disk behaves at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Good,
    /// No room, but a little for what makes room.
    Full,
    /// The next sync fails.
    FailsSync,
    /// The node is going down in the middle of a batch: it is written, nobody will know whether it was synced.
    GoingDown,
}

/// What survives the process: bytes.
#[derive(Clone, Debug, Default)]
pub struct Platter {
    journal: Vec<u8>,
    /// Bytes of the journal that are synced, and the number of the last batch in them.
    synced: (usize, u64),
    /// The number of the batch before the first in the journal: of a database that was lost there may have been so many.
    before: u64,
    lost: Box<Losses>,
}

impl Platter {
    /// Batches that are durable.
    pub fn sequence(&self) -> u64 {
        self.synced.1
    }

    /// Something of what no process has open is lost, which the next start finds.
    #[must_use]
    pub fn without(self, loss: &Loss) -> Self {
        match SimDatabase::open(self, DiskLie::None) {
            Ok(database) => {
                // It is memory that is written to.
                let _ = database.lose(loss);
                database.after_kill()
            }
            // All of it is.
            Err((platter, _)) => platter,
        }
    }

    /// A power cut: a beginning of the unsynced bytes stays. A kill keeps them all.
    fn cut(&mut self, rng: &mut Rng) {
        let tail = self.journal.len() - self.synced.0;
        if tail > 0 {
            // Everything, nothing, or somewhere in between.
            let kept = match rng.below(4) {
                0 => tail,
                1 => 0,
                _ => rng.index(tail + 1),
            };
            self.journal.truncate(self.synced.0 + kept);
        }
    }

    /// Flips a bit of what is synced; whether there was one.
    fn flip(&mut self, rng: &mut Rng) -> bool {
        if self.synced.0 == 0 {
            return false;
        }
        let at = rng.index(self.synced.0);
        self.journal[at] ^= 1 << rng.below(8);
        true
    }

    /// Zeroes a block of what is synced; whether that changed anything.
    fn zero(&mut self, rng: &mut Rng) -> bool {
        if self.synced.0 == 0 {
            return false;
        }
        let at = rng.index(self.synced.0);
        let end = (at + 64).min(self.synced.0);
        let changed = self.journal[at..end].iter().any(|byte| *byte != 0);
        self.journal[at..end].fill(0);
        changed
    }
}

#[derive(Debug)]
struct Inner {
    platter: Platter,
    mood: Mood,
    /// Batches that make room and still fit on a full disk.
    kept_free: u32,
    /// What the engine did that it must never do (rule G1).
    complaint: Option<String>,
}

/// The engine: what the production store of one process works on.
#[derive(Debug)]
pub struct SimDatabase {
    inner: Mutex<Inner>,
    memory: MemoryDatabase,
    lie: DiskLie,
}

impl SimDatabase {
    /// Opens what is on a platter.
    ///
    /// # Errors
    /// [`DatabaseError::Damaged`] when acknowledged batches are not what they were.
    pub fn open(mut platter: Platter, lie: DiskLie) -> Result<Arc<Self>, (Platter, DatabaseError)> {
        let memory = MemoryDatabase::new();
        let (mut at, mut batches) = (0, platter.before);
        while let Some((batch, next)) = journal::decode(&platter.journal, at) {
            memory.apply(batch);
            (at, batches) = (next, batches + 1);
        }
        for key in &platter.lost.gone {
            memory.apply(WriteBatch { changes: vec![Change::Delete(key.clone())], ..WriteBatch::default() });
        }
        let honest = lie != DiskLie::SyncsNothing;
        if honest && (at < platter.synced.0 || batches < platter.synced.1) {
            let why = format!("batch {} of {} does not match its checksum", batches + 1, platter.synced.1);
            return Err((platter, DatabaseError::Damaged(why)));
        }
        // What is whole is kept and synced, the torn rest is cut off.
        platter.journal.truncate(at);
        platter.synced = (at, batches);
        Ok(Arc::new(Self {
            inner: Mutex::new(Inner { platter, mood: Mood::Good, kept_free: 0, complaint: None }),
            memory,
            lie,
        }))
    }

    /// Opens what is left on a platter: everything counts as lost, and batches are numbered from above `acknowledged`.
    ///
    /// # Errors
    /// As [`SimDatabase::open`], though nothing that is missing is an error.
    pub fn open_with_loss(
        mut platter: Platter,
        acknowledged: u64,
        lie: DiskLie,
    ) -> Result<Arc<Self>, (Platter, DatabaseError)> {
        let (mut at, mut batches) = (0, platter.before);
        while let Some((_, next)) = journal::decode(&platter.journal, at) {
            (at, batches) = (next, batches + 1);
        }
        platter.journal.truncate(at);
        platter.before += acknowledged.saturating_sub(batches);
        platter.synced = (at, batches.max(acknowledged));
        platter.lost.change(store::disk::Lost::add_everything);
        Self::open(platter, lie)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how it behaves from now on.
    pub fn set_mood(&self, mood: Mood) {
        let mut inner = self.lock();
        inner.mood = mood;
        if mood == Mood::Full {
            inner.kept_free = KEPT_FREE;
        }
    }

    /// Whether there is room.
    pub fn has_room(&self) -> bool {
        self.lock().mood != Mood::Full
    }

    /// Batches that are durable, as the node believes.
    pub fn sequence(&self) -> u64 {
        self.lock().platter.sequence()
    }

    /// A copy of the platter as it is now.
    pub fn image(&self) -> Platter {
        self.lock().platter.clone()
    }

    /// What it did against the rules, if anything.
    pub fn complaint(&self) -> Option<String> {
        self.lock().complaint.take()
    }

    /// What is left when the process ends.
    pub fn after_kill(&self) -> Platter {
        self.image()
    }

    /// What is left when the power goes: with chance, some of what was not synced; without, none of it.
    pub fn after_power_cut(&self, rng: Option<&mut Rng>) -> Platter {
        let mut platter = self.image();
        match rng {
            Some(rng) => platter.cut(rng),
            None => platter.journal.truncate(platter.synced.0),
        }
        platter
    }

    /// Lets the disk rot; whether anything changed. A running node may notice when it reads, a starting one must.
    pub fn rot(&self, rng: &mut Rng, zeros: bool) -> bool {
        let platter = &mut self.lock().platter;
        if zeros { platter.zero(rng) } else { platter.flip(rng) }
    }

    /// The same for what a running node reads: a bit of the first record at or after a random place flips.
    pub fn rot_record(&self, key: &[u8]) -> Result<bool, DatabaseError> {
        let mut iterator = self.memory.snapshot()?.iterator();
        iterator.seek(key)?;
        let (Some(key), Some(value)) = (iterator.key(), iterator.value()?) else { return Ok(false) };
        let mut value = value.to_vec();
        if let Some(last) = value.last_mut() {
            *last ^= 1;
        }
        self.memory.put(key.clone(), Bytes::from(value))?;
        Ok(true)
    }

    /// Something that is stored at this moment cannot be read any more, now and later.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub fn lose(&self, loss: &Loss) -> Result<(), DatabaseError> {
        let mut batch = WriteBatch::default();
        for part in loss.parts() {
            let mut iterator = self.memory.snapshot()?.iterator();
            iterator.seek(&part.from)?;
            while let Some(key) = iterator.key().filter(|key| **key < part.to) {
                batch.delete(key.clone());
                iterator.next()?;
            }
            self.lock().platter.lost.change(|known| known.add(part));
        }
        self.lock().platter.lost.gone.extend(batch.changes.iter().map(|change| change.key().clone()));
        self.memory.write(batch)
    }

    /// Merges some of what is stored, as an engine merges some of its tables: of every key, what it sees and is
    /// dominated by what it sees goes, in one durable step. Without chance it sees all.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub fn merge(&self, mut rng: Option<&mut Rng>) -> Result<(), DatabaseError> {
        let mut batch = WriteBatch::default();
        let mut filter = DominatedFilter::new();
        let mut iterator = self.memory.snapshot()?.iterator();
        iterator.seek_to_first()?;
        while let Some(key) = iterator.key() {
            let seen = rng.as_mut().is_none_or(|rng| !rng.one_in(3));
            if seen && filter.is_dominated(key) {
                batch.delete(key.clone());
            }
            iterator.next()?;
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// Takes all versions of a key away: what the mutant `drop-tombstone` does to deleted keys.
    pub fn forget(&self, user_key: &[u8]) -> Result<(), DatabaseError> {
        let batch = self.deletes(&store::key::prefix(user_key))?;
        self.write(batch)
    }

    fn deletes(&self, prefix: &[u8]) -> Result<WriteBatch, DatabaseError> {
        let mut batch = WriteBatch::default();
        let mut iterator = self.memory.snapshot()?.iterator();
        iterator.seek(prefix)?;
        while let Some(key) = iterator.key().filter(|key| prefix_of(key) == prefix) {
            batch.delete(key.clone());
            iterator.next()?;
        }
        Ok(batch)
    }

    /// Rule G1, looked at where nobody can get around it: whatever was deleted, a newer version of its key is there.
    fn audit(&self, deleted: &[Bytes]) -> Option<String> {
        let mut iterator = self.memory.snapshot().ok()?.iterator();
        for key in deleted.iter().filter(|key| Space::of(key) == Space::Versions) {
            iterator.seek(prefix_of(key)).ok()?;
            let survived =
                iterator.key().is_some_and(|first| prefix_of(first) == prefix_of(key) && first < key);
            if !survived {
                let version =
                    store::key::version_of(key).map_or_else(|| "?".into(), |version| version.to_string());
                return Some(format!("version {version} of a key was deleted, and no newer one is there"));
            }
        }
        None
    }
}

impl Database for SimDatabase {
    type Snapshot = SimSnapshot;

    fn write(&self, mut batch: WriteBatch) -> Result<(), DatabaseError> {
        if self.lie == DiskLie::CollectsNewest && batch.changes.iter().all(|c| matches!(c, Change::Delete(_)))
        {
            let collected = batch.clone();
            for change in collected.changes {
                if let Change::Delete(key) = change {
                    batch.changes.extend(self.deletes(prefix_of(&key))?.changes);
                }
            }
        }
        {
            let mut inner = self.lock();
            if inner.mood == Mood::Full {
                if !batch.makes_room || inner.kept_free == 0 {
                    return Err(DatabaseError::Full("the simulated disk is full".into()));
                }
                inner.kept_free -= 1;
            }
            journal::append(&mut inner.platter.journal, &batch);
            match inner.mood {
                Mood::FailsSync => return Err(DatabaseError::Fatal("fsync: input/output error".into())),
                Mood::GoingDown => return Err(DatabaseError::Fatal("the node is going down".into())),
                Mood::Good | Mood::Full => {}
            }
            if self.lie == DiskLie::SyncsNothing {
                inner.platter.synced.1 += 1;
            } else {
                inner.platter.synced = (inner.platter.journal.len(), inner.platter.synced.1 + 1);
            }
            // What is written is there again.
            for change in batch.changes.iter().filter(|change| matches!(change, Change::Put(..))) {
                inner.platter.lost.gone.remove(change.key());
            }
        }
        let deleted: Vec<Bytes> = batch
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::Delete(key) => Some(key.clone()),
                Change::Put(..) => None,
            })
            .collect();
        self.memory.write(batch)?;
        if !deleted.is_empty()
            && let Some(complaint) = self.audit(&deleted)
        {
            self.lock().complaint = Some(complaint);
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<SimSnapshot, DatabaseError> {
        Ok(SimSnapshot { memory: self.memory.snapshot()?, damaged: self.lost() })
    }

    fn lost(&self) -> Arc<DamagedParts> {
        match self.lie {
            DiskLie::HidesDamage => Arc::default(),
            _ => self.lock().platter.lost.parts.clone(),
        }
    }

    fn begin_healing(&self, directory: DirectoryId) -> Result<(), DatabaseError> {
        self.lock().platter.lost.change(|known| known.begin_healing(directory));
        Ok(())
    }

    fn being_healed(&self, directory: DirectoryId) -> Option<Vec<Part>> {
        let inner = self.lock();
        let known = inner.platter.lost.known();
        known.healed(directory).map(|_| known.being_healed().to_vec())
    }

    fn forget_healed(&self, directory: DirectoryId) -> Result<(), DatabaseError> {
        self.lock()
            .platter
            .lost
            .change(|known| *known = known.healed(directory).unwrap_or_else(|| known.clone()));
        Ok(())
    }

    fn keys_estimate(&self) -> u64 {
        self.memory.keys_estimate()
    }
}

/// A frozen view, with what cannot be read of it.
pub struct SimSnapshot {
    memory: MemorySnapshot,
    damaged: Arc<DamagedParts>,
}

impl Snapshot for SimSnapshot {
    type Iterator = Guarded<MemoryIterator>;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        self.damaged.check(key)?;
        self.memory.get(key)
    }

    fn iterator(&self) -> Guarded<MemoryIterator> {
        Guarded::new(self.memory.iterator(), self.damaged.clone())
    }

    fn lost(&self) -> Arc<DamagedParts> {
        self.damaged.clone()
    }

    fn stored(&self) -> Guarded<MemoryIterator> {
        Guarded::new(self.memory.iterator(), Arc::default())
    }
}

#[cfg(test)]
mod tests;
