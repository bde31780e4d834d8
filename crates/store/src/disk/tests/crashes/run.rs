//! A run of the engine on a disk that crashes, and what is found on such a disk afterwards.

use crate::database::{Change, Database, DatabaseIterator, Snapshot, WriteBatch};
use crate::disk::rounds::policy::Effort;
use crate::disk::{DiskDatabase, DiskOptions};
use crate::encoding::dominated::DominatedFilter;
use crate::files::tests::crashing::{CrashState, CrashingDisk, Disk, Moment};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// What a database holds.
pub(super) type Model = BTreeMap<Bytes, Bytes>;

/// The tables, which are not on the disk that crashes: a copy for each list that was in force.
struct Copies {
    tables: PathBuf,
    copies: PathBuf,
    lists: Vec<Option<Vec<u8>>>,
}

impl Copies {
    /// The number of the copy that is like the tables now.
    fn now(&mut self) -> usize {
        let list = std::fs::read(self.tables.join("current")).ok();
        if self.lists.last() != Some(&list) {
            if list.is_some() {
                copy(&self.tables, &self.copies.join(self.lists.len().to_string()));
            }
            self.lists.push(list);
        }
        self.lists.len() - 1
    }
}

fn copy(from: &Path, to: &Path) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    std::fs::create_dir_all(to).unwrap();
    for entry in entries.map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What a database has of this, whatever it has left out (rule G1).
fn what_stays(model: &Model) -> Model {
    let mut filter = DominatedFilter::new();
    let stays = model.iter().filter(|(key, _)| !filter.is_dominated(key));
    stays.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A run of the engine.
pub(super) struct Run {
    pub(super) disk: CrashingDisk,
    root: TempDir,
    copies: Arc<Mutex<Copies>>,
    acknowledged: Arc<AtomicUsize>,
    /// What the database held after so many batches.
    models: Vec<Model>,
    /// How many batches go by between two syncs of the watermark.
    pub(super) watermark_every: usize,
    pub(super) database: Option<DiskDatabase>,
}

impl Run {
    /// On an empty disk.
    pub(super) fn new() -> Self {
        let run = Self::after(&Disk::default(), None, 0, vec![Model::new()]);
        run.record();
        run
    }

    /// From here on all states are gathered.
    fn record(&self) {
        let (told, outside) = (self.acknowledged.clone(), self.copies.clone());
        self.disk.record(move || Moment {
            acknowledged: told.load(Ordering::Relaxed),
            outside: outside.lock().unwrap().now(),
        });
    }

    fn after(disk: &Disk, tables: Option<&Path>, acknowledged: usize, models: Vec<Model>) -> Self {
        let root = directory();
        let here = root.path().join("db/tables");
        std::fs::create_dir(root.path().join("db")).unwrap();
        if let Some(tables) = tables {
            copy(tables, &here);
        }
        let disk = CrashingDisk::new(root.path(), disk, true);
        let copies = Copies { tables: here, copies: root.path().join("copies"), lists: Vec::new() };
        let (copies, acknowledged) = (Arc::new(Mutex::new(copies)), Arc::new(AtomicUsize::new(acknowledged)));
        Self { disk, root, copies, acknowledged, models, watermark_every: 1, database: None }
    }

    /// Opens the database.
    pub(super) fn open(&mut self) -> Result<(), String> {
        let options = DiskOptions { cache_bytes: 1 << 16, ..DiskOptions::default() };
        let path = self.root.path().join("db");
        let opened = DiskDatabase::open_in(Arc::new(self.disk.clone()), &path, options, None);
        self.database = Some(opened.map_err(|why| why.to_string())?);
        self.settle();
        Ok(())
    }

    pub(super) fn database(&self) -> &DiskDatabase {
        self.database.as_ref().unwrap()
    }

    /// Until no thread has anything to do, so that every run has the same operations in the same order.
    fn settle(&self) {
        self.database().work.wait(true).unwrap();
        self.database().work.collector.settle();
    }

    /// Writes a batch, and has the watermark synced now and then.
    pub(super) fn write(&mut self, changes: &[Change]) {
        let mut model = self.models.last().unwrap().clone();
        for change in changes {
            match change {
                Change::Put(key, value) => model.insert(key.clone(), value.clone()),
                Change::Delete(key) => model.remove(key),
            };
        }
        self.models.push(model);
        let changes = changes.to_vec();
        self.database().write(WriteBatch { changes, ..WriteBatch::default() }).unwrap();
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        if self.models.len().is_multiple_of(self.watermark_every) {
            self.database().writer().watermark.mark_durably(&[]).unwrap();
        }
        self.settle();
    }

    /// Puts a value of so many bytes.
    pub(super) fn put(&mut self, key: &'static str, size: usize) {
        let number = u8::try_from(self.models.len()).unwrap();
        self.write(&[Change::Put(key.into(), vec![number; size].into())]);
    }

    /// Has everything written to tables and the log shortened; the next segment of it has so many bytes.
    pub(super) fn tidy(&self, segment: u64) {
        self.database().tidy(self.database().writer()).unwrap();
        self.settle();
        self.next_segment(segment);
    }

    pub(super) fn next_segment(&self, bytes: u64) {
        self.database().writer().journal.make_next_segments_of(bytes);
    }

    /// A round of the collector.
    pub(super) fn collect(&self, effort: Effort) {
        let collector = self.database().work.collector.clone();
        let round = collector.begin_round(effort);
        while collector.wait_for_moves(&round) {
            let mut writer = self.database().writer();
            self.database().write_with_moves(&mut writer, WriteBatch::default(), 1 << 20).unwrap();
        }
        self.settle();
    }

    /// All states in which power cuts could have left it until now.
    pub(super) fn states(&self) -> Vec<CrashState> {
        self.disk.recorded()
    }

    /// The run that begins where a power cut ended this one.
    pub(super) fn cut(&self, CrashState { disk, moment }: &CrashState) -> Self {
        let copies = self.copies.lock().unwrap();
        let tables = copies.lists[moment.outside].is_some();
        let tables = tables.then(|| copies.copies.join(moment.outside.to_string()));
        drop(copies);
        let models = self.models.iter().take(moment.acknowledged + 2).cloned().collect();
        Self::after(disk, tables.as_deref(), moment.acknowledged, models)
    }

    /// What the database holds.
    pub(super) fn model(&self) -> Result<Model, String> {
        let told = |why: crate::DatabaseError| why.to_string();
        let mut iterator = self.database().snapshot().map_err(told)?.iterator();
        let mut model = Model::new();
        iterator.seek_to_first().map_err(told)?;
        while let Some(key) = iterator.key().cloned() {
            model.insert(key, iterator.value().map_err(told)?.ok_or("a value is gone")?);
            iterator.next().map_err(told)?;
        }
        Ok(model)
    }

    /// Opens what a power cut has left. How many batches are there that were not acknowledged, which is one or none, or what is
    /// wrong. From here on that is acknowledged, and what was not there will never be.
    pub(super) fn recover(&mut self) -> Result<usize, String> {
        self.open().map_err(|why| format!("refused: {why}"))?;
        let found = self.model()?;
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        let Some(more) =
            self.models[acknowledged..].iter().position(|model| what_stays(model) == what_stays(&found))
        else {
            let keys: Vec<_> = found.iter().map(|(key, value)| (key, value.first(), value.len())).collect();
            return Err(format!("lost or resurrected: {keys:?} after {acknowledged} batches"));
        };
        self.models.truncate(acknowledged + more + 1);
        self.acknowledged.fetch_add(more, Ordering::Relaxed);
        Ok(more)
    }

    /// What becomes of all these states of this run.
    pub(super) fn recover_all(&self, states: &[CrashState]) -> Outcomes {
        self.recover_each(states, |run| run.recover())
    }

    /// The same, and what becomes of all states in which another power cut could leave each recovery and one more batch.
    pub(super) fn recover_twice(&self, states: &[CrashState]) -> (Outcomes, Outcomes) {
        let again = Mutex::new(Outcomes::default());
        let outcomes = self.recover_each(states, |run| {
            run.record();
            let more = run.recover()?;
            run.put("z", 10);
            let outcomes = run.recover_all(&run.states());
            again.lock().unwrap().add(outcomes);
            Ok(more)
        });
        (outcomes, again.into_inner().unwrap())
    }

    /// On two threads.
    pub(super) fn recover_each(
        &self,
        states: &[CrashState],
        recover: impl Fn(&mut Self) -> Result<usize, String> + Sync,
    ) -> Outcomes {
        let outcomes = Mutex::new(Outcomes::default());
        let (found, recover) = (&outcomes, &recover);
        std::thread::scope(|scope| {
            for part in states.chunks(states.len().div_ceil(2).max(1)) {
                scope.spawn(move || {
                    for state in part {
                        let recovered = recover(&mut self.cut(state));
                        found.lock().unwrap().add(match recovered {
                            Ok(under_way) => Outcomes { states: 1, under_way, wrong: Vec::new() },
                            Err(why) => Outcomes { wrong: vec![why], ..Outcomes::default() },
                        });
                    }
                });
            }
        });
        outcomes.into_inner().unwrap()
    }
}

/// What became of crash states.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcomes {
    /// Those from which everything was there that had to be.
    pub(super) states: usize,
    /// Those of them in which the batch that was under way is there.
    pub(super) under_way: usize,
    /// What was wrong with others.
    pub(super) wrong: Vec<String>,
}

impl Outcomes {
    fn add(&mut self, more: Self) {
        self.states += more.states;
        self.under_way += more.under_way;
        self.wrong.extend(more.wrong);
    }

    /// Nothing was wrong; how many there are, and how many have the batch that was under way.
    pub(super) fn counts(&self) -> (usize, usize) {
        assert!(self.wrong.is_empty(), "{} of {}: {:#?}", self.wrong.len(), self.states, &self.wrong[..1]);
        (self.states, self.under_way)
    }
}
