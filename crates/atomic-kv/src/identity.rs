//! The data directory: which files hold who this node is (rules V1 and M1).
//!
//! `identity` says who it is and whom it has met, `watermark` how many batches it has acknowledged, `db/mark` to which of
//! both the database belongs. What they must say to each other is decided in [`node::directory`]; here are the files,
//! the order in which they are written, and the lock that keeps a second process away.

use crate::fatal::Fatal;
use crate::private;
use ::node::acquaintances::PeerRefusal;
use ::node::directory::{Identity, Mark, Part, PartFound, Unfit};
use ::node::introduction::Introduction;
use ::node::nonce::{Challenges, Nonce};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Watermark;
use store::files::{System, if_there};
use store::private::create_directory;
use store::slots::{Opened, Slots};

/// Bytes of a slot of the identity.
const SLOT: usize = 16 << 10;
/// Bytes of a slot of the mark in the database.
const MARK_SLOT: usize = 512;
const FORMAT: u32 = 3;

/// The identity as it is written.
#[derive(Serialize, Deserialize)]
struct WrittenIdentity {
    format: u32,
    identity: Identity,
}

/// An open, locked data directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Never held while the disk is waited for: event loops look at it.
    identity: Mutex<Identity>,
    /// Held by whoever changes what is on the disk.
    files: Mutex<Files>,
    watermark: Arc<Watermark>,
    /// Whether something was heard that is not written down.
    news: AtomicBool,
    /// Dropped last: whoever opens the directory next must find nobody at work in it.
    _lock: File,
}

#[derive(Debug)]
struct Files {
    identity: Slots,
    /// In the database; it comes with that.
    mark: Option<Slots>,
}

impl DataDir {
    /// Opens a directory, or makes a new one, and counts this start durably. The database is to be opened next, see
    /// [`DataDir::database_opened`].
    ///
    /// # Errors
    /// Exit code 2 for a wrong directory (of another node, other members, in use, unreadable), 1 for one that is damaged or
    /// not whole.
    pub fn open(path: &Path, node: u32, members: &[u32]) -> Result<Self, Fatal> {
        let shown = path.display();
        create_durably(path).map_err(|why| unusable(path, &why))?;
        let lock = lock(path)?;
        private::tighten(path).map_err(|why| unusable(path, &why))?;
        let (identity_path, watermark_path) =
            (path.join(Part::Identity.name()), path.join(Part::Watermark.name()));
        let failed = |why: io::Error| Fatal::runtime(format!("cannot read {shown}: {why}"));
        let draw = || random().map_err(|why| Fatal::runtime(format!("no randomness: {why}")));
        let unfit = |why: Unfit| Fatal::runtime(format!("{shown}: {why}. {}", Unfit::REMEDY));
        let opened = if_there(Slots::open(&System, &identity_path, SLOT)).map_err(failed)?;
        let watermark = if_there(Watermark::open(&System, &watermark_path)).map_err(failed)?;
        let found_watermark = match &watermark {
            None => PartFound::Nothing,
            Some((_, found)) => found_mark(found.as_ref().map(|(_, mark)| mark.as_slice())),
        };
        let (mark, found_database) = find_mark(&path.join(Part::Database.name())).map_err(failed)?;
        let (mut identity, lost, slots) = match opened {
            Some(Opened { slots, newest, lost }) => {
                (read(newest.as_deref(), &identity_path)?, lost, Some(slots))
            }
            None => {
                Identity::check_without(found_watermark, found_database).map_err(unfit)?;
                (Identity::new(node, members.to_vec(), draw()?, draw()?), false, None)
            }
        };
        if identity.node != node {
            return Err(Fatal::usage(format!(
                "the data directory {shown} belongs to node {}, not to node {node}; check --node-id and --data-dir",
                identity.node
            )));
        }
        if identity.members != members {
            return Err(Fatal::usage(format!(
                "the data directory {shown} belongs to a cluster of nodes {:?}, but --cluster lists {members:?}; \
                 changing the members is not supported yet",
                identity.members
            )));
        }
        identity.check(lost, found_watermark, found_database).map_err(unfit)?;
        let nonce = Nonce(draw()?);
        identity.start(nonce, lost).map_err(|why| Fatal::runtime(format!("{shown}: {why}")))?;
        identity.admitted |= members.len() == 1;
        identity.next_generation();
        // The boot count first, and durable, before anything is sent (rule V1).
        let text = text_of(&identity).map_err(failed)?;
        let written = match slots {
            Some(mut slots) => slots.write(&text).and_then(|()| slots.sync()).map(|()| slots),
            // A new file gets its name when it is complete and durable: a crash before that leaves no half identity.
            None => Slots::create(&System, &identity_path, SLOT, &text),
        };
        let cannot_write =
            |path: &Path, why| Fatal::runtime(format!("cannot write {}: {why}", path.display()));
        let slots = written.map_err(|why| cannot_write(&identity_path, why))?;
        let watermark = match watermark {
            Some((watermark, Some(_))) => watermark,
            // Nothing has been acknowledged yet: see the check.
            _ => Watermark::create(&System, &watermark_path, 0, &identity.mark().to_bytes())
                .map_err(|why| cannot_write(&watermark_path, why))?,
        };
        File::open(path).and_then(|directory| directory.sync_all()).map_err(|why| cannot_write(path, why))?;
        Ok(Self {
            path: path.to_path_buf(),
            _lock: lock,
            identity: Mutex::new(identity),
            files: Mutex::new(Files { identity: slots, mark }),
            watermark: Arc::new(watermark),
            news: AtomicBool::new(false),
        })
    }

    /// Where the database goes.
    pub fn database_path(&self) -> PathBuf {
        self.path.join(Part::Database.name())
    }

    /// Where its batches are counted.
    pub fn watermark(&self) -> Arc<Watermark> {
        self.watermark.clone()
    }

    /// The database is open and holds so many batches: marks it, the watermark and the identity as belonging together.
    /// Nothing may be acknowledged before.
    ///
    /// # Errors
    /// Exit code 1 when batches are missing, or the disk fails.
    pub fn database_opened(&self, batches: u64) -> Result<(), Fatal> {
        let shown = self.path.display();
        let mut files = self.files();
        let mark = {
            let identity = self.lock();
            identity
                .check_batches(Some(self.watermark.number()), batches)
                .map_err(|why| Fatal::runtime(format!("{shown}: {why}. {}", Unfit::REMEDY)))?;
            identity.mark().to_bytes()
        };
        let marked = self.mark_durably(&mut files, &mark).and_then(|()| {
            self.watermark.mark_durably(&mark)?;
            self.change(&mut files, Identity::set_marked)
        });
        marked.map_err(|why| Fatal::runtime(format!("cannot write to {shown}: {why}")))
    }

    /// So that no older mark is left in the database.
    fn mark_durably(&self, files: &mut Files, mark: &[u8]) -> io::Result<()> {
        let database = self.database_path();
        if let Some(slots) = &mut files.mark {
            slots.write(mark)?;
            slots.write(mark)?;
            slots.sync()
        } else {
            files.mark = Some(Slots::create(&System, &database.join(MARK), MARK_SLOT, mark)?);
            File::open(database)?.sync_all()
        }
    }

    /// Who this is, and whom it has met.
    pub fn identity(&self) -> impl Deref<Target = Identity> + '_ {
        self.lock()
    }

    /// How timestamps are chosen from now on. To be called when what was issued before cannot do harm any more.
    ///
    /// # Errors
    /// When it cannot be written; then none may be issued.
    pub fn set_timestamps(&self, timestamps: &str) -> io::Result<()> {
        self.change(&mut self.files(), |identity| timestamps.clone_into(&mut identity.timestamps))
    }

    /// A member has met this node in this start: remembers that, so that it can be shown to that member however often this node
    /// is started until then.
    ///
    /// # Errors
    /// When it cannot be written. The last starts are remembered in any case.
    pub fn was_met_by(&self, peer: u32) -> io::Result<()> {
        let mut files = self.files();
        let news = self.lock().clone().was_met_by(peer);
        if news { self.change(&mut files, |identity| _ = identity.was_met_by(peer)) } else { Ok(()) }
    }

    /// Every other member has confirmed: remembers it for ever.
    ///
    /// # Errors
    /// When it cannot be written; then the node does not vote.
    pub fn set_admitted(&self) -> io::Result<()> {
        self.change(&mut self.files(), |identity| identity.admitted = true)
    }

    /// Changes the identity on the disk, then in memory.
    fn change(&self, files: &mut Files, change: impl FnOnce(&mut Identity)) -> io::Result<()> {
        // Before the copy is made: what is heard after that is news.
        self.news.store(false, Ordering::Release);
        let mut changed = self.lock().clone();
        change(&mut changed);
        changed.set_batches(self.watermark.number());
        changed.next_generation();
        let written = files.write(&changed);
        if written.is_err() {
            self.news.store(true, Ordering::Release);
            return written;
        }
        let mark = changed.mark().to_bytes();
        let mut identity = self.lock();
        // What was observed meanwhile.
        changed.peers.observe_all(&identity.peers);
        *identity = changed;
        drop(identity);
        // Only now: what is newer than the identity would say that the identity is older.
        self.watermark.mark(&mark)?;
        files.mark.as_mut().map_or(Ok(()), |slots| slots.write(&mark))
    }

    /// Meets a member: whoever is new or has news is remembered durably before this returns.
    ///
    /// # Errors
    /// [`PeerRefusal`] when it is not the member that this node remembers.
    pub fn meet(&self, peer: &Introduction, challenges: Challenges) -> Result<(), PeerRefusal> {
        let mut files = self.files();
        let mut met = self.lock().clone();
        if met.meet(peer, challenges)? {
            self.change(&mut files, |identity| {
                met.peers.observe_all(&identity.peers);
                identity.peers = met.peers;
            })
            .map_err(|why| PeerRefusal::CannotRemember(why.to_string()))
        } else {
            // No more than what is said at any time.
            self.observe_sequence(peer.node, peer.sequence);
            Ok(())
        }
    }

    /// A member said how many batches it has made durable. Kept in memory until [`DataDir::remember`].
    pub fn observe_sequence(&self, node: u32, sequence: u64) {
        if self.lock().peers.observe(node, sequence) {
            self.news.store(true, Ordering::Release);
        }
    }

    /// Writes down what was heard of the members, and how many batches this node holds, if there is news. To be called about
    /// once a second: what was heard a second ago is remembered after any restart.
    ///
    /// # Errors
    /// When it cannot be written. The next call tries again.
    pub fn remember(&self) -> io::Result<()> {
        let mut files = self.files();
        let grown = self.lock().clone().set_batches(self.watermark.number());
        if grown || self.news.load(Ordering::Acquire) { self.change(&mut files, |_| ()) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn write(&mut self, identity: &Identity) -> io::Result<()> {
        self.identity.write(&text_of(identity)?)?;
        self.identity.sync()
    }
}

/// In the database's directory.
const MARK: &str = "mark";

fn unusable(path: &Path, why: &io::Error) -> Fatal {
    let shown = path.display();
    Fatal::usage(format!("cannot use the data directory {shown}: {why}; choose another with --data-dir"))
}

fn lock(path: &Path) -> Result<File, Fatal> {
    let shown = path.display();
    let opened = store::private::options().write(true).create(true).truncate(false).open(path.join("LOCK"));
    let lock = opened.map_err(|why| unusable(path, &why))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|why| {
        Fatal::usage(if why == rustix::io::Errno::WOULDBLOCK {
            format!(
                "the data directory {shown} is in use by another process; stop it, or choose another with --data-dir"
            )
        } else {
            format!("cannot lock the data directory {shown}: {why}; choose a local disk with --data-dir")
        })
    })?;
    Ok(lock)
}

fn found_mark(bytes: Option<&[u8]>) -> PartFound {
    bytes.and_then(Mark::from_bytes).map_or(PartFound::Unmarked, PartFound::Marked)
}

/// The file with the mark in a database, and what it says.
fn find_mark(database: &Path) -> io::Result<(Option<Slots>, PartFound)> {
    if !database.try_exists()? {
        return Ok((None, PartFound::Nothing));
    }
    Ok(match if_there(Slots::open(&System, &database.join(MARK), MARK_SLOT))? {
        None => (None, PartFound::Unmarked),
        Some(Opened { slots, newest, .. }) => (Some(slots), found_mark(newest.as_deref())),
    })
}

fn text_of(identity: &Identity) -> io::Result<Vec<u8>> {
    let record = WrittenIdentity { format: FORMAT, identity: identity.clone() };
    toml::to_string(&record).map(String::into_bytes).map_err(io::Error::other)
}

/// The identity in the newest slot.
fn read(newest: Option<&[u8]>, path: &Path) -> Result<Identity, Fatal> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let shown = path.display();
    let other = |format: u32| {
        Fatal::runtime(format!(
            "{shown} has format {format}, this release reads format {FORMAT}; run the release that wrote it, or give \
             the node an empty directory under a new id"
        ))
    };
    let Some(text) = newest.and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
        // Of the formats before this one the slots were laid out otherwise.
        let before = std::fs::read(path).is_ok_and(|bytes| bytes.get(12..22) == Some(b"format = 2"));
        return Err(if before {
            other(2)
        } else {
            Fatal::runtime(format!(
                "{shown} is damaged: neither copy matches its checksum. The node must not vote: restore the disk, or \
                 replace the node under a new id"
            ))
        });
    };
    if let Ok(Version { format }) = toml::from_str(text)
        && format != FORMAT
    {
        return Err(other(format));
    }
    toml::from_str::<WrittenIdentity>(text)
        .map(|record| record.identity)
        .map_err(|why| Fatal::runtime(format!("{shown} cannot be understood: {why}")))
}

/// Creates a directory and makes the new names durable as far as the directories above can be opened.
fn create_durably(path: &Path) -> io::Result<()> {
    let new: Vec<&Path> =
        path.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists()).collect();
    if !new.is_empty() {
        create_directory(path)?;
    }
    for parent in new.iter().filter_map(|part| part.parent()) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        if let Ok(parent) = File::open(parent) {
            // A lost name is noticed: the others refuse the new directory that replaces it.
            let _ = parent.sync_all();
        }
    }
    Ok(())
}

/// Random bytes that nobody else can guess.
///
/// # Errors
/// When the system has none.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
