//! A disk in memory whose power can go at any time. It promises what [`FileSystem`] promises, and nothing more.
//!
//! What is written is *pending* until its file is synced, and a name until its directory is. After a power cut each sector, each
//! length and each name is, whatever the others are, what was durable or anything that is pending: writes are torn at sectors
//! and reordered, a file has a name and no content, or a length and zeros, a rename has happened and an earlier one has not.
//! Real file systems do less than that. Only a rename shows the old file or the new one, and a write past the cache is durable
//! when it returns; before that any of its sectors may be.
//!
//! While it *records*, all states that a power cut could leave are gathered before and after each operation.

mod survivors;

use crate::files::{Direct, FileSystem, Listed, OpenFile, Space};
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
pub(crate) use survivors::Disk;
use survivors::{Contents, Fact, Node, SECTOR};

/// What belongs to a moment beside the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// How much was acknowledged by then.
    pub(crate) acknowledged: usize,
    /// In which state everything was that is not on this disk.
    pub(crate) outside: usize,
}

/// What a disk may have become, and when.
pub(crate) struct CrashState {
    pub(crate) disk: Disk,
    pub(crate) moment: Moment,
}

type Clock = Box<dyn FnMut() -> Moment + Send>;

struct Recorder {
    clock: Clock,
    seen: HashSet<(u64, Moment)>,
    states: Vec<CrashState>,
}

/// A promise of the file system about something at a path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Promise<'a> {
    /// The names in a directory are durable when it is synced.
    Names(&'a Path),
    /// A file is durable when it is synced.
    Synced(&'a Path),
    /// A write past the cache is durable when it returns.
    Written(&'a Path),
}

type Breaks = Arc<dyn Fn(Promise<'_>) -> bool + Send + Sync>;

struct Inner {
    disk: Disk,
    /// Whether it offers writes past the cache.
    direct: bool,
    recorder: Option<Recorder>,
    /// Operations until the process is killed.
    left: Option<usize>,
    breaks: Option<Breaks>,
}

/// The file system. Clones are the same one.
#[derive(Clone)]
pub(crate) struct CrashingDisk {
    inner: Arc<Mutex<Inner>>,
    /// Where it is mounted.
    root: PathBuf,
}

impl fmt::Debug for CrashingDisk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CrashingDisk")
    }
}

impl Inner {
    /// Gathers what a power cut could leave now.
    fn record(&mut self) {
        let Some(Recorder { clock, seen, states }) = &mut self.recorder else { return };
        let moment = clock();
        self.disk.each_survivor(&mut |disk| {
            if seen.insert((disk.hash(), moment)) {
                states.push(CrashState { disk, moment });
            }
        });
    }

    /// An operation that changes something.
    fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("the process was killed"))?;
        }
        self.record();
        let changed = change(self);
        self.record();
        changed
    }

    fn keeps(&self, promise: Promise<'_>) -> bool {
        !self.breaks.as_ref().is_some_and(|breaks| breaks(promise))
    }
}

impl CrashingDisk {
    /// One that has come to this, with or without writes past the cache.
    pub(crate) fn new(root: &Path, disk: &Disk, direct: bool) -> Self {
        let inner = Inner { disk: disk.clone(), direct, recorder: None, left: None, breaks: None };
        Self { inner: Arc::new(Mutex::new(inner)), root: root.to_path_buf() }
    }

    fn below<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Gathers what power cuts may leave from now on; whoever knows says what else belongs to a moment.
    pub(crate) fn record(&self, clock: impl FnMut() -> Moment + Send + 'static) {
        let recorder = Recorder { clock: Box::new(clock), seen: HashSet::new(), states: Vec::new() };
        self.inner().recorder = Some(recorder);
    }

    /// All that power cuts could have left until now, each once.
    pub(crate) fn recorded(&self) -> Vec<CrashState> {
        let mut inner = self.inner();
        inner.record();
        inner.recorder.take().map_or_else(Vec::new, |recorder| recorder.states)
    }

    /// How many files were ever created.
    pub(crate) fn files(&self) -> usize {
        self.inner().disk.files.len()
    }

    /// The process ends after so many further operations: nothing more is changed. `None`: it has been started again.
    pub(crate) fn kill_after(&self, operations: Option<usize>) {
        self.inner().left = operations;
    }

    /// Has it break promises: a broken variant of whoever relies on them, told around its code.
    pub(crate) fn break_promises(&self, breaks: impl Fn(Promise<'_>) -> bool + Send + Sync + 'static) {
        self.inner().breaks = Some(Arc::new(breaks));
    }

    fn handle(&self, path: &Path, durably: bool) -> io::Result<Handle> {
        let path = self.below(path);
        match self.inner().disk.node(path)? {
            Node::File(file) => Ok(Handle { disk: self.clone(), path: path.to_path_buf(), file, durably }),
            Node::Directory => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn set_name(&self, path: &Path, node: Option<Node>) -> io::Result<()> {
        self.inner().change(|inner| {
            inner.disk.names.entry(path.to_path_buf()).or_default().set(node);
            Ok(())
        })
    }
}

impl FileSystem for CrashingDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        Ok(Arc::new(self.handle(path, false)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        let file = {
            let (mut inner, path) = (self.inner(), self.below(path));
            if inner.disk.node(path).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            inner.disk.node(path.parent().unwrap_or(Path::new("")))?;
            inner.disk.files.push(Contents::default());
            inner.disk.files.len() - 1
        };
        self.set_name(self.below(path), Some(Node::File(file)))?;
        self.open(path)
    }

    fn open_direct(&self, path: &Path, durably: bool) -> Option<Direct> {
        let direct = self.inner().direct;
        let file = self.handle(path, durably).ok().filter(|_| direct)?;
        Some(Direct { file: Arc::new(file), durable: durably })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.below(from), self.below(to));
        self.inner().change(|inner| {
            let node = inner.disk.node(from)?;
            inner.disk.names.entry(to.to_path_buf()).or_default().set(Some(node));
            inner.disk.names.entry(from.to_path_buf()).or_default().set(None);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = self.below(path);
        self.inner().disk.node(path)?;
        self.set_name(path, None)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let above =
            self.below(path).ancestors().filter(|path| !path.as_os_str().is_empty()).collect::<Vec<_>>();
        for path in above.into_iter().rev() {
            let there = self.inner().disk.node(path);
            match there {
                Ok(Node::Directory) => {}
                Ok(Node::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => self.set_name(path, Some(Node::Directory))?,
            }
        }
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let (inner, directory) = (self.inner(), self.below(directory));
        inner.disk.node(directory)?;
        let listed = |(path, name): (&PathBuf, &Fact<Option<Node>>)| {
            let node = name.now().as_ref().filter(|_| path.parent() == Some(directory))?;
            let is_directory = *node == Node::Directory;
            Some(Listed { path: self.root.join(path), is_file: !is_directory, is_directory })
        };
        Ok(inner.disk.names.iter().filter_map(listed).collect())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let path = self.below(path);
        self.inner().change(|inner| {
            inner.disk.node(path)?;
            if inner.keeps(Promise::Names(path)) {
                let names = inner.disk.names.iter_mut().filter(|(name, _)| name.parent() == Some(path));
                names.for_each(|(_, name)| name.sync());
            }
            Ok(())
        })
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space { free: 1 << 40, total: 1 << 40 })
    }
}

#[derive(Debug)]
struct Handle {
    disk: CrashingDisk,
    path: PathBuf,
    file: usize,
    /// Whether its writes are durable when they return.
    durably: bool,
}

impl OpenFile for Handle {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let inner = self.disk.inner();
        let Contents { length, sectors } = &inner.disk.files[self.file];
        let left = usize::try_from(length.now().saturating_sub(at)).unwrap();
        let read = left.min(buffer.len());
        let mut filled = 0;
        while filled < read {
            let at = at + filled as u64;
            let within = usize::try_from(at % SECTOR as u64).unwrap();
            let here = (SECTOR - within).min(read - filled);
            let sector = sectors.get(&(at / SECTOR as u64)).and_then(|sector| sector.now().clone());
            let sector = sector.as_ref().map_or(&[0; SECTOR], |sector| &**sector);
            buffer[filled..filled + here].copy_from_slice(&sector[within..within + here]);
            filled += here;
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.inner().change(|inner| {
            let end = at + bytes.len() as u64;
            let Contents { length, sectors } = &mut inner.disk.files[self.file];
            length.set(end.max(*length.now()));
            let touched = at / SECTOR as u64..end.div_ceil(SECTOR as u64);
            for number in touched.clone() {
                let fact = sectors.entry(number).or_default();
                let mut sector = fact.now().as_ref().map_or([0; SECTOR], |sector| **sector);
                let begins = number * SECTOR as u64;
                let from = usize::try_from(at.saturating_sub(begins)).unwrap();
                let to = SECTOR.min(usize::try_from(end - begins).unwrap());
                let source = usize::try_from((begins + from as u64) - at).unwrap();
                sector[from..to].copy_from_slice(&bytes[source..source + to - from]);
                fact.set((sector != [0; SECTOR]).then(|| Arc::new(sector)));
            }
            if self.durably && inner.keeps(Promise::Written(&self.path)) {
                // Under way.
                inner.record();
                let Contents { length, sectors } = &mut inner.disk.files[self.file];
                length.sync();
                touched.for_each(|number| sectors.entry(number).or_default().sync());
            }
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        // The watermark's thread syncs it at a time of its own. Whatever may be on a disk on which that has happened may be on one
        // on which it has not, so it never happens here, and the states are the same in every run.
        if std::thread::current().name() == Some("watermark") {
            return Ok(());
        }
        self.disk.inner().change(|inner| {
            if inner.keeps(Promise::Synced(&self.path)) {
                let Contents { length, sectors } = &mut inner.disk.files[self.file];
                length.sync();
                sectors.values_mut().for_each(Fact::sync);
            }
            Ok(())
        })
    }

    fn set_length(&self, to: u64) -> io::Result<()> {
        self.disk.inner().change(|inner| {
            inner.disk.files[self.file].length.set(to);
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        Ok(*self.disk.inner().disk.files[self.file].length.now())
    }
}
