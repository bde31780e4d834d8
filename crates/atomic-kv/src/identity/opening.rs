//! A data directory before its node starts: whose it is, if anybody's.

use super::{
    DataDir, FORMAT, FORMAT_CHANGED, Files, MARK, MARK_SLOT, SLOT, WrittenIdentity, random, slot_bytes,
    text_of, write_identity,
};
use crate::fatal::{self, Fatal};
use crate::private;
use ::node::configuration::Configuration;
use ::node::directory::{Identity, Mark, Part, PartFound, Unfit};
use ::node::nonce::Nonce;
use abd::NodeId;
use serde::Deserialize;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use store::Watermark;
use store::files::{System, if_there};
use store::private::create_directory;
use store::slots::{Opened, Slots};

/// Databases that may be set aside in one directory.
const ASIDE_MAX: u32 = 1_000;

/// A directory that is locked. No start has been counted yet.
#[derive(Debug)]
pub struct Found {
    path: PathBuf,
    /// With it, whether one of its two copies is damaged.
    identity: Option<(Identity, bool, Slots)>,
    watermark: Option<(Watermark, PartFound)>,
    mark: Option<Slots>,
    database: PartFound,
    _lock: File,
}

impl Found {
    /// Opens a directory, or makes a new one. Nobody else does so as long as this lives, or what comes of it.
    ///
    /// # Errors
    /// Exit code 2 for a directory that cannot be used, 1 for one that is damaged or not whole, 4 for that of a node that is no
    /// member any more.
    pub fn open(path: &Path) -> Result<Self, Fatal> {
        let shown = path.display();
        create_durably(path).map_err(|why| unusable(path, &why))?;
        let lock = lock(path)?;
        private::tighten(path).map_err(|why| unusable(path, &why))?;
        let identity_path = path.join(Part::Identity.name());
        let failed = |why: io::Error| Fatal::runtime(format!("cannot read {shown}: {why}"));
        let opened = slot_bytes(&identity_path).and_then(|bytes| Slots::open(&System, &identity_path, bytes));
        let opened = if_there(opened).map_err(failed)?;
        let watermark = if_there(Watermark::open(&System, &path.join(Part::Watermark.name())));
        let watermark = watermark.map_err(failed)?.map(|(watermark, found)| {
            let found = found_mark(found.as_ref().map(|(_, mark)| mark.as_slice()));
            (watermark, found)
        });
        let (mark, database) = find_mark(&path.join(Part::Database.name())).map_err(failed)?;
        let identity = match opened {
            Some(Opened { slots, newest, lost }) => {
                Some((read(newest.as_deref(), &identity_path)?, lost, slots))
            }
            None => {
                let watermark = watermark.as_ref().map_or(PartFound::Nothing, |(_, found)| *found);
                Identity::check_without(watermark, database).map_err(|why| unfit(path, &why))?;
                None
            }
        };
        if let Some((identity, ..)) = &identity
            && let Some(epoch) = identity.retired()
        {
            return Err(fatal::retired(identity.node, epoch, path));
        }
        Ok(Self { path: path.to_path_buf(), identity, watermark, mark, database, _lock: lock })
    }

    /// Who has started here before.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref().map(|(identity, ..)| identity)
    }

    /// Counts a start durably. `node` and `configuration` are what a new directory becomes; one that says no configuration gets it,
    /// too. The database is to be opened next, see [`DataDir::database_opened`].
    ///
    /// # Errors
    /// Exit code 2 for the directory of another node or of other members, 1 for one that is not whole, or when the disk fails. If it
    /// `heals`, it may be without its database.
    pub fn start(
        mut self,
        node: NodeId,
        configuration: Configuration,
        heals: bool,
    ) -> Result<DataDir, Fatal> {
        let path = &self.path;
        let shown = path.display();
        let failed = |why: io::Error| Fatal::runtime(format!("cannot read {shown}: {why}"));
        let draw = || random().map_err(|why| Fatal::runtime(format!("no randomness: {why}")));
        let (identity_path, watermark_path) =
            (path.join(Part::Identity.name()), path.join(Part::Watermark.name()));
        let members: Vec<u32> = configuration.members.iter().map(|member| member.id.0).collect();
        let (mut identity, lost, slots) = match self.identity {
            Some((identity, lost, slots)) => (identity, lost, Some(slots)),
            None => (Identity::new(node.0, members.clone(), draw()?, draw()?), false, None),
        };
        if identity.node != node.0 {
            return Err(Fatal::usage(format!(
                "the data directory {shown} belongs to node {}, not to node {node}; check --node-id and --data-dir",
                identity.node
            )));
        }
        if identity.configuration().is_none() {
            if identity.members != members {
                return Err(Fatal::usage(format!(
                    "the data directory {shown} belongs to a cluster of nodes {:?}, but --cluster lists {members:?}; \
                     it is of an earlier release, which has not written down their addresses: give --cluster as it was",
                    identity.members
                )));
            }
            identity.install(configuration);
        }
        let found = self.watermark.as_ref().map_or(PartFound::Nothing, |(_, found)| *found);
        let judged = identity.judge(lost, found, self.database, heals);
        let loses = judged.map_err(|why| unfit(path, &why))?;
        if let Some(why) = &loses {
            tracing::error!(%why, "{shown}: what was acknowledged may be missing: this node does not vote until it is healed");
            identity.lose(draw()?);
            if let Unfit::Unmarked(_) = why {
                set_aside(path).map_err(failed)?;
            }
            self.mark = None;
        }
        let nonce = Nonce(draw()?);
        identity.start(nonce, lost).map_err(|why| Fatal::runtime(format!("{shown}: {why}")))?;
        identity.admitted |= identity.changed().is_none() && identity.members.len() == 1;
        identity.next_generation();
        // The boot count first, and durable, before anything is sent (rule V1).
        let text = text_of(&identity).map_err(failed)?;
        let written = match slots {
            Some(mut slots) => write_identity(&mut slots, &identity_path, &text).map(|()| slots),
            // A new file gets its name when it is complete and durable: a crash before that leaves no half identity.
            None => Slots::create(&System, &identity_path, SLOT, &text),
        };
        let cannot_write =
            |path: &Path, why| Fatal::runtime(format!("cannot write {}: {why}", path.display()));
        let slots = written.map_err(|why| cannot_write(&identity_path, why))?;
        let watermark = match self.watermark {
            Some((watermark, PartFound::Marked(_))) => watermark,
            // Nothing has been acknowledged yet: see the check.
            _ => Watermark::create(&System, &watermark_path, 0, &identity.mark().to_bytes())
                .map_err(|why| cannot_write(&watermark_path, why))?,
        };
        File::open(path).and_then(|directory| directory.sync_all()).map_err(|why| cannot_write(path, why))?;
        Ok(DataDir {
            path: self.path,
            _lock: self._lock,
            identity: Mutex::new(identity),
            files: Mutex::new(Files { identity: slots, path: identity_path, mark: self.mark }),
            watermark: Arc::new(watermark),
            news: AtomicBool::new(false),
            has_lost: loses.is_some(),
        })
    }
}

/// Gives a database that says nothing of itself another name, where nobody looks for it: it may be anybody's.
fn set_aside(path: &Path) -> io::Result<()> {
    let name = Part::Database.name();
    let aside = |number: u32| path.join(format!("{name}.unmarked-{number}"));
    let free = (1..=ASIDE_MAX).map(aside).find(|aside| !aside.exists());
    let free = free.ok_or(io::ErrorKind::AlreadyExists)?;
    std::fs::rename(path.join(name), &free)?;
    tracing::warn!("{name} is called {} now: nothing uses it any more", free.display());
    File::open(path)?.sync_all()
}

fn unfit(path: &Path, why: &Unfit) -> Fatal {
    Fatal::runtime(format!("{}: {why}. {}", path.display(), Unfit::REMEDY))
}

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

/// The identity in the newest slot. What it expected to be installed is.
fn read(newest: Option<&[u8]>, path: &Path) -> Result<Identity, Fatal> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let shown = path.display();
    let other = |format: u32| {
        Fatal::runtime(format!(
            "{shown} has format {format}, this release reads formats {FORMAT} to {FORMAT_CHANGED}; run the release that \
             wrote it, or replace the node under a new id: atomic-kv replace ID --with HOST:PORT"
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
                 replace the node under a new id: atomic-kv replace ID --with HOST:PORT"
            ))
        });
    };
    if let Ok(Version { format }) = toml::from_str(text)
        && !(FORMAT..=FORMAT_CHANGED).contains(&format)
    {
        return Err(other(format));
    }
    let read = toml::from_str::<WrittenIdentity>(text).map(|mut record| {
        record.identity.settle();
        record.identity
    });
    read.map_err(|why| Fatal::runtime(format!("{shown} cannot be understood: {why}")))
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
