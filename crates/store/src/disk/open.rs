//! Opening: tables, the journal's batches after them, and the watermark, which says how many there have to be.

use super::{DiskDatabase, DiskOptions, Writer, format};
use crate::database::{DatabaseError, WriteBatch};
use crate::disk::ground::failure::{damaged, io_error, space};
use crate::disk::ground::log;
use crate::disk::ground::strays::{leave_alone, strays};
use crate::disk::ground::tables::Full;
use crate::disk::ground::tables::lsm::Tree;
use crate::disk::ground::watermark::Watermark;
use crate::disk::rounds::collect::Collector;
use crate::disk::rounds::scrub::Scrubber;
use crate::disk::rounds::upkeep::Upkeep;
use crate::disk::rounds::workers::Work;
use crate::files::{FileSystem, System, if_there};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

/// Memtables in which the same keys are written again and again do not grow. They go to a table after so many bytes in the
/// journal, or after this part of the disk: the next start reads them. Of large values twice as many.
const JOURNAL_BYTES: u64 = 32 << 20;
const JOURNAL_PART: u64 = 64;

impl DiskDatabase {
    /// Opens the database in `path`, or creates one if there is none.
    ///
    /// # Errors
    /// [`DatabaseError::Damaged`] when acknowledged data is missing or unreadable, [`DatabaseError::Format`] when another release
    /// wrote it, [`DatabaseError::Full`] when there is no room to open it, [`DatabaseError::Fatal`] for other failures of the disk.
    pub fn open(path: impl AsRef<Path>, options: DiskOptions) -> Result<Self, DatabaseError> {
        Self::open_in(Arc::new(System), path.as_ref(), options, None)
    }

    /// The same with the engine's own files on any file system. The tables are in the operating system's. `lost`: everything counts as
    /// lost, and so many batches were acknowledged at least.
    pub(super) fn open_in(
        files: Arc<dyn FileSystem>,
        path: &Path,
        options: DiskOptions,
        lost: Option<u64>,
    ) -> Result<Self, DatabaseError> {
        let created = |why: std::io::Error| io_error("create the directories of the database", &why);
        files.create_directory(path).map_err(created)?;
        let disk = space(&*files, path)?.total;
        let min_free = options.min_free_bytes.unwrap_or((disk / 50).clamp(4 << 20, 256 << 20));
        let journal_limit = JOURNAL_BYTES.min(disk / JOURNAL_PART);
        let look = |why: std::io::Error| io_error("look for the database", &why);
        let (tables_path, journal_path) = (path.join("tables"), path.join("journal"));
        let outside = options.watermark.clone();
        let watermark_path = path.join("watermark");
        let journal = if_there(files.list(&journal_path)).map_err(look)?.unwrap_or_default();
        let has_tables = Tree::missing_part(&tables_path).map_err(look)?.is_none();
        // Before anything else is there.
        if format::ensure(&*files, path, has_tables || !journal.is_empty())? {
            sync_with_parent(&*files, path)?;
        }
        // Whether all parts were there once.
        let marked = match &outside {
            Some(watermark) => watermark.number() > 0,
            None => if_there(files.open(&watermark_path)).map_err(look)?.is_some(),
        };
        if marked
            && lost.is_none()
            && let Some(part) = Tree::missing_part(&tables_path).map_err(look)?
        {
            return Err(damaged(format!("{} is gone", part.display())));
        }
        for stray in strays(&*files, path, &["tables", "journal"], is_ours)? {
            leave_alone(&stray);
        }
        let upkeep = Arc::new(Upkeep::open(&tables_path, options.cache_bytes, options.remembered_bytes)?);
        let tables = upkeep.tables.clone();
        files.create_directory(&journal_path).map_err(created)?;
        files.sync_directory(&journal_path).map_err(created)?;
        let (flushed, flushed_is_lost) = (tables.flushed()?, upkeep.flushed_is_lost());
        let memtable_limit = options.memtable_limit(tables.disk_bytes(), min_free);
        let mut unflushed = false;
        // No table can be written for now: the journal, which is synced again, goes on to hold these.
        let mut waiting = Vec::new();
        let mut recovered = log::recover(&files, &journal_path, flushed, flushed_is_lost, |batch| {
            tables.apply(batch.changes, &batch.large);
            unflushed = true;
            if options.is_full(memtable_limit, tables.memtable_size())
                && let Some(full) = tables.seal(batch.number)
            {
                unflushed = false;
                if waiting.is_empty() && flush_if_it_fits(&upkeep, &full)? {
                    tables.settle();
                } else {
                    waiting.push(full);
                }
            }
            Ok(())
        })?;
        let mut sequence = recovered.last;
        // What is not in the journal is in the tables, which then cannot say how much they hold.
        let at_least = |sequence: u64, acknowledged: Option<u64>| match acknowledged.max(lost) {
            Some(acknowledged) if flushed_is_lost => sequence.max(acknowledged),
            _ => sequence,
        };
        let watermark = match outside {
            Some(watermark) => {
                sequence = at_least(sequence, Some(watermark.number()));
                check_watermark(sequence, Some(watermark.number()))?;
                if sequence == 0 {
                    sync_with_parent(&*files, path)?;
                }
                watermark
            }
            None if marked => {
                let (watermark, found) = Watermark::open(&*files, &watermark_path)
                    .map_err(|why| io_error("open the watermark", &why))?;
                let acknowledged = found.map(|(acknowledged, _)| acknowledged);
                sequence = at_least(sequence, acknowledged);
                check_watermark(sequence, acknowledged.or(lost))?;
                Arc::new(watermark)
            }
            None if sequence > 0 && lost.is_none() => {
                return Err(damaged(format!("{} is gone", watermark_path.display())));
            }
            None => {
                // The tables first: a watermark without them means that they were lost.
                files.sync_directory(path).map_err(synced)?;
                let watermark = Watermark::create(&*files, &watermark_path, 1, &[])
                    .map_err(|why| io_error("create the watermark", &why))?;
                sync_with_parent(&*files, path)?;
                Arc::new(watermark)
            }
        };
        if flushed_is_lost && sequence > 0 && waiting.is_empty() {
            unflushed = false;
            let full = tables.seal_any(sequence);
            if flush_if_it_fits(&upkeep, &full)? {
                tables.settle();
                upkeep.flushed_is_known()?;
            } else {
                waiting.push(full);
            }
        }
        recovered.journal.begin_after(sequence);
        recovered.clean_up()?;
        for (segment, file) in recovered.journal.with_large_values() {
            tables.add_file(segment, file);
        }
        let kept = recovered.journal.take_kept(0);
        let work = Work::new(tables.flushed()?, Collector::new(kept), Scrubber::new(options.scrub));
        let database = Self {
            threads: work
                .start(&upkeep)
                .map_err(|why| DatabaseError::Fatal(format!("cannot start a thread: {why}")))?,
            files,
            path: path.to_path_buf(),
            options,
            min_free,
            journal_limit,
            tables,
            upkeep,
            work,
            writer: Mutex::new(Writer {
                journal: recovered.journal,
                watermark,
                memtable_limit,
                journal_before: 0,
                settled: 0,
                written_since_tidy: 0,
                tidy_bytes: 0,
                looked: None,
                written_since_look: 0,
                made_room: false,
                gave_back: None,
            }),
            sequence: AtomicU64::new(sequence.max(1)),
            had_room: AtomicBool::new(true),
            journal_bytes: AtomicU64::new(0),
        };
        let mut writer = database.writer();
        let waits = !waiting.is_empty();
        waiting.into_iter().for_each(|full| database.work.push(full));
        if sequence == 0 {
            // The first batch gives the directory its number one, so that "nothing" is never a legal state later.
            database.commit(&mut writer, WriteBatch::default(), 1)?;
        } else if unflushed && !waits && database.free()? >= min_free + 2 * memtable_limit {
            // On a full disk the journal goes on to hold it.
            database.seal(&mut writer);
            match database.work.wait(true) {
                Ok(()) => {
                    let flushed = database.catch_up(&mut writer)?;
                    writer.journal.shrink(sequence, flushed);
                    database.hand_over_kept(&mut writer, database.free().ok());
                }
                Err(DatabaseError::Full(_)) => {}
                Err(why) => return Err(why),
            }
        }
        database.count_journal_bytes(&writer);
        drop(writer);
        Ok(database)
    }
}

/// Writes a memtable to a table, unless the disk is full.
fn flush_if_it_fits(upkeep: &Upkeep, full: &Full) -> Result<bool, DatabaseError> {
    match upkeep.flush(full) {
        Err(DatabaseError::Full(_)) => Ok(false),
        flushed => flushed.map(|()| true),
    }
}

/// Whether this is the name of a file in the database's directory: the format, the watermark, or the mark by which its owner knows
/// it.
fn is_ours(name: &str) -> bool {
    [format::NAME, "watermark", "mark"].iter().any(|ours| name.starts_with(ours))
}

/// Makes the names in a directory durable, and its own.
fn sync_with_parent(files: &dyn FileSystem, path: &Path) -> Result<(), DatabaseError> {
    files.sync_directory(path).map_err(synced)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), |parent| files.sync_directory(parent).map_err(synced))
}

fn synced(why: std::io::Error) -> DatabaseError {
    io_error("sync the database directory", &why)
}

fn check_watermark(recovered: u64, acknowledged: Option<u64>) -> Result<(), DatabaseError> {
    match acknowledged {
        None => Err(damaged("both slots of the watermark are unreadable")),
        Some(acknowledged) if recovered < acknowledged && (recovered, acknowledged) != (0, 1) => {
            Err(damaged(format!(
                "the database ends at batch {recovered}, but batch {acknowledged} was acknowledged"
            )))
        }
        Some(_) => Ok(()),
    }
}
