//! The data directory: which files hold who this node is (rules V1 and M1).
//!
//! `identity` says who it is and whom it has met, `watermark` how many batches it has acknowledged, `db/mark` to which of
//! both the database belongs. What they must say to each other is decided in [`node::directory`]; here are the files,
//! the order in which they are written, and the lock that keeps a second process away.

mod opening;

pub use opening::Found;

use crate::fatal::Fatal;
use ::node::acquaintances::PeerRefusal;
use ::node::configuration::{Configuration, DirectoryId};
use ::node::directory::{Identity, Part, Unfit};
use ::node::introduction::Introduction;
use ::node::nonce::Challenges;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Watermark;
use store::files::System;
use store::slots::Slots;

/// Bytes of a slot of the identity.
const SLOT: usize = 16 << 10;
/// Bytes of one where that is too small: many members with long names, twice while a configuration is about to be installed. Earlier
/// releases do not know of it, nor of the configurations that take it.
const SLOT_LARGE: usize = 64 << 10;
/// Bytes of a slot of the mark in the database.
const MARK_SLOT: usize = 512;
/// As releases before configurations write it; they read what this one adds.
const FORMAT: u32 = 3;
/// Of a node whose members have been changed, or that is no member any more or does not vote until it is healed: earlier releases must not serve from it.
const FORMAT_CHANGED: u32 = 4;

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
    /// What was acknowledged may be missing in the database, and it is to be opened accordingly.
    has_lost: bool,
    /// Dropped last: whoever opens the directory next must find nobody at work in it.
    _lock: File,
}

#[derive(Debug)]
struct Files {
    identity: Slots,
    /// Of the identity.
    path: PathBuf,
    /// In the database; it comes with that.
    mark: Option<Slots>,
}

impl DataDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database goes.
    pub fn database_path(&self) -> PathBuf {
        self.path.join(Part::Database.name())
    }

    /// Where its batches are counted.
    pub fn watermark(&self) -> Arc<Watermark> {
        self.watermark.clone()
    }

    /// Whether the database is missing or older than the rest, so that it is to be opened with loss.
    pub fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// Whether the members can go without this node until it is healed.
    pub fn can_heal(&self) -> bool {
        self.lock().can_heal()
    }

    /// Whether a database with so many batches holds all that was acknowledged.
    pub fn has_all(&self, batches: u64) -> bool {
        self.lock().check_batches(Some(self.watermark.number()), batches).is_ok()
    }

    /// What was acknowledged may be missing: the node does not vote until it is healed. To be called before the database is opened with
    /// loss.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn lose(&self) -> io::Result<()> {
        let next = random()?;
        let mut files = self.files();
        // What is written there is for the database that is opened next.
        files.mark = None;
        self.change(&mut files, |identity| identity.lose(next))
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

    /// A newer configuration is about to be installed: the directory knows of it before anything is answered in it, so that it does
    /// whatever becomes of the database.
    ///
    /// # Errors
    /// When it cannot be written. Then it must not be installed.
    pub fn expect(&self, configuration: &Configuration) -> io::Result<()> {
        let mut files = self.files();
        let is_newer = self.lock().clone().expect(configuration.clone());
        if is_newer {
            self.change(&mut files, |identity| _ = identity.expect(configuration.clone()))?;
        }
        Ok(())
    }

    /// A newer configuration is installed. Whether it is newer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn install(&self, configuration: &Configuration) -> io::Result<bool> {
        let mut files = self.files();
        let mut identity = self.lock();
        if identity.expected() == Some(configuration) {
            // A start from what is written comes to the same.
            self.news.store(true, Ordering::Release);
            return Ok(identity.install(configuration.clone()));
        }
        let is_newer = identity.clone().install(configuration.clone());
        drop(identity);
        if is_newer {
            self.change(&mut files, |identity| _ = identity.install(configuration.clone()))?;
        }
        Ok(is_newer)
    }

    /// What was lost here is to be healed: draws the id that the directory is to have then, unless it has one for that.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn heal(&self) -> io::Result<()> {
        let mut files = self.files();
        if self.lock().next_directory().is_some() {
            return Ok(());
        }
        let next = random()?;
        self.change(&mut files, |identity| _ = identity.heal_as(next))
    }

    /// A newer configuration names this node by that one of its ids: it is what others are shown until that is installed, or the node ends.
    pub fn show(&self, directory: DirectoryId) {
        self.lock().show(directory);
    }

    /// The node is no member any more since this epoch: it is never started again from this directory.
    ///
    /// # Errors
    /// When it cannot be written. Whoever it meets next says so again.
    pub fn retire(&self, epoch: u32) -> io::Result<()> {
        self.change(&mut self.files(), |identity| identity.retire(epoch))
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
        let text = text_of(identity)?;
        write_identity(&mut self.identity, &self.path, &text)
    }
}

/// Writes the identity durably, into larger slots from the first time on that it needs them.
fn write_identity(slots: &mut Slots, path: &Path, text: &[u8]) -> io::Result<()> {
    if !slots.fits(text) {
        *slots = Slots::create(&System, path, SLOT_LARGE, text)?;
        return File::open(path.parent().unwrap_or(path))?.sync_all();
    }
    slots.write(text)?;
    slots.sync()
}

/// Of which size the slots of an identity are: the second of the large ones begins behind both small ones.
fn slot_bytes(path: &Path) -> io::Result<usize> {
    let length = path.symlink_metadata()?.len();
    Ok(if length > 2 * SLOT as u64 { SLOT_LARGE } else { SLOT })
}

/// In the database's directory.
const MARK: &str = "mark";

fn text_of(identity: &Identity) -> io::Result<Vec<u8>> {
    let is_changed = identity.changed().or(identity.expected()).is_some();
    let is_as_before = !is_changed && identity.retired().is_none() && !identity.is_gone();
    let format = if is_as_before { FORMAT } else { FORMAT_CHANGED };
    let record = WrittenIdentity { format, identity: identity.clone() };
    toml::to_string(&record).map(String::into_bytes).map_err(io::Error::other)
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
