//! Who this node is, and whom it has met (rule M1).
//!
//! A replica that comes back with an empty or an older disk has forgotten writes that it acknowledged; counted as
//! itself, it makes majorities that do not meet (PROTOCOL run BL5, nine steps). So a data directory has a random id
//! and a boot counter, and the members remember each other's. A directory that is new votes only after every other
//! member has said that it never knew this node with another one.
//!
//! All of it is one file of two slots, written in turn, in place and synced: a torn write leaves the other slot, and a
//! full disk is no obstacle.

use crate::fatal::Fatal;
use ::node::hello::{ANCESTRY_MAX, Introduction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SLOT: usize = 16 << 10;
const FORMAT: u32 = 2;

/// Why a member is not who this node remembers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// Another directory under a known id.
    #[error(
        "node {0} came with another data directory than the one it was known by; what it had acknowledged may be \
         gone. Put the old directory back, or replace the node under a new id"
    )]
    OtherDisk(u32),
    /// An older copy of its directory.
    #[error(
        "node {node} came with an older copy of its data directory ({what} {now}, known is {known}); what it \
         acknowledged since is gone. Replace the node under a new id"
    )]
    RolledBack {
        /// Who.
        node: u32,
        /// What went back.
        what: &'static str,
        /// As presented.
        now: u64,
        /// As remembered.
        known: u64,
    },
    /// Two processes on copies of one directory.
    #[error("node {0} runs on a copy of its data directory: boot {1} was seen before, in another run")]
    Copy(u32, u32),
    /// This node could not write down whom it met.
    #[error("this node cannot write to its own disk now: {0}")]
    CannotRemember(String),
}

impl PeerRefusal {
    /// Whether the peer itself is the problem, for good: then it must not serve. `false` when this node failed, which
    /// says nothing about the peer: it may come again.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::CannotRemember(_))
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    generation: u64,
    node: u32,
    disk: [u8; 16],
    boot: u32,
    /// Of all starts but the present one, newest last. Text, because TOML integers are signed.
    #[serde(default)]
    ancestry: Vec<String>,
    /// Of the present start.
    #[serde(default)]
    nonce: String,
    admitted: bool,
    members: Vec<u32>,
    timestamps: String,
    peers: BTreeMap<String, Acquaintance>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Acquaintance {
    disk: [u8; 16],
    boot: u32,
    nonce: String,
    sequence: i64,
}

/// An open, locked data directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
    file: File,
    /// Never held while the disk is waited for: event loops look at it.
    record: Mutex<Record>,
    /// Held by whoever changes what is on the disk.
    saving: Mutex<()>,
    previous_timestamps: Option<String>,
}

impl DataDir {
    /// Opens a directory, or makes a new one, and counts this start durably.
    ///
    /// # Errors
    /// Exit code 2 for a wrong directory (of another node, other members, in use, unreadable), 1 for a damaged one.
    pub fn open(path: &Path, node: u32, members: &[u32], timestamps: &str) -> Result<Self, Fatal> {
        let shown = path.display();
        create_directory(path).map_err(|why| {
            Fatal::usage(format!(
                "cannot use the data directory {shown}: {why}; choose another with --data-dir"
            ))
        })?;
        let lock = open_file(&path.join("LOCK"))
            .map_err(|why| Fatal::usage(format!("cannot write to the data directory {shown}: {why}")))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|why| {
            Fatal::usage(if why == rustix::io::Errno::WOULDBLOCK {
                format!(
                    "the data directory {shown} is in use by another process; stop it, or choose another with \
                     --data-dir"
                )
            } else {
                format!("cannot lock the data directory {shown}: {why}; choose a local disk with --data-dir")
            })
        })?;
        let identity = path.join("identity");
        // Only a certain "no" may lead to a new identity: an error here must not.
        let present = |path: &Path| {
            path.try_exists()
                .map_err(|why| Fatal::runtime(format!("cannot look for {}: {why}", path.display())))
        };
        let exists = present(&identity)?;
        if !exists && present(&path.join("db"))? {
            return Err(Fatal::runtime(format!(
                "{shown} holds a database but its identity file is gone; a node that does not know who it was must \
                 not vote. Restore the file, or replace the node under a new id with an empty directory"
            )));
        }
        // A new file gets its name when it is complete and durable: a crash before that leaves no half identity.
        let opened = if exists { identity.clone() } else { path.join("identity.new") };
        let file = open_file(&opened)
            .map_err(|why| Fatal::usage(format!("cannot open {}: {why}", opened.display())))?;
        let (mut record, one_slot_lost) = if exists {
            read_newest(&file, &identity)?
        } else {
            let new = Record {
                format: FORMAT,
                generation: 0,
                node,
                disk: random().map_err(|why| Fatal::runtime(format!("no randomness: {why}")))?,
                boot: 0,
                ancestry: Vec::new(),
                nonce: String::new(),
                admitted: false,
                members: members.to_vec(),
                timestamps: String::new(),
                peers: BTreeMap::new(),
            };
            (new, false)
        };
        if record.node != node {
            return Err(Fatal::usage(format!(
                "the data directory {shown} belongs to node {}, not to node {node}; check --node-id and --data-dir",
                record.node
            )));
        }
        if record.members != members {
            return Err(Fatal::usage(format!(
                "the data directory {shown} belongs to a cluster of nodes {:?}, but --cluster lists {members:?}; \
                 changing the members is not supported yet",
                record.members
            )));
        }
        // A lost slot may have held the newest boot count, one above the slot that is left: skip it.
        let starts = if one_slot_lost { 2 } else { 1 };
        record.boot = record
            .boot
            .checked_add(starts)
            .ok_or_else(|| Fatal::runtime("the boot counter is used up; replace the node under a new id"))?;
        let mut nonce = [0; 8];
        nonce.copy_from_slice(&random().map_err(|why| Fatal::runtime(format!("no randomness: {why}")))?[..8]);
        if record.boot > starts {
            let before = std::mem::take(&mut record.nonce);
            record.ancestry.push(before);
        }
        if one_slot_lost {
            record.ancestry.push(hex(0));
        }
        let forgotten = record.ancestry.len().saturating_sub(ANCESTRY_MAX);
        record.ancestry.drain(..forgotten);
        record.nonce = hex(u64::from_be_bytes(nonce));
        let previous = std::mem::replace(&mut record.timestamps, timestamps.to_owned());
        if members.len() == 1 {
            record.admitted = true;
        }
        let directory = Self {
            path: path.to_path_buf(),
            _lock: lock,
            file,
            record: Mutex::new(record.clone()),
            saving: Mutex::default(),
            previous_timestamps: (!previous.is_empty()).then_some(previous),
        };
        // Boot counter first, and durable, before anything is sent (rule V1).
        directory
            .save(&mut record)
            .and_then(|()| if exists { Ok(()) } else { directory.publish(&mut record) })
            .and_then(|()| File::open(path)?.sync_all())
            .map_err(|why| Fatal::runtime(format!("cannot write {}: {why}", identity.display())))?;
        *directory.lock() = record;
        Ok(directory)
    }

    /// Where the database goes.
    pub fn database_path(&self) -> PathBuf {
        self.path.join("db")
    }

    /// How often this directory was started, this time included.
    pub fn boot(&self) -> u32 {
        self.lock().boot
    }

    /// Whether every other member has confirmed this directory.
    pub fn admitted(&self) -> bool {
        self.lock().admitted
    }

    /// How the last run chose timestamps; `None` at the first.
    pub fn previous_timestamps(&self) -> Option<&str> {
        self.previous_timestamps.as_deref()
    }

    /// How this node presents itself. `sequence` is its last durable batch.
    pub fn introduction(&self, sequence: u64) -> Introduction {
        let record = self.lock();
        Introduction {
            node: record.node,
            disk: record.disk,
            boot: record.boot,
            nonce: unhex(&record.nonce),
            ancestry: record.ancestry.iter().map(|nonce| unhex(nonce)).collect(),
            sequence,
        }
    }

    /// Every other member has confirmed: remembers it for ever.
    ///
    /// # Errors
    /// When it cannot be written; then the node does not vote.
    pub fn set_admitted(&self) -> std::io::Result<()> {
        let saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(&saving, |record| record.admitted = true)
    }

    /// Changes the record on the disk, then in memory.
    fn change(&self, _: &MutexGuard<'_, ()>, change: impl FnOnce(&mut Record)) -> std::io::Result<()> {
        let mut changed = self.lock().clone();
        change(&mut changed);
        self.save(&mut changed)?;
        let mut record = self.lock();
        // What was observed meanwhile.
        for (name, known) in &record.peers {
            if let Some(peer) = changed.peers.get_mut(name) {
                peer.sequence = peer.sequence.max(known.sequence);
            }
        }
        *record = changed;
        Ok(())
    }

    /// Meets a member: whoever is new or has news is remembered durably before this returns.
    ///
    /// # Errors
    /// [`PeerRefusal`] when it is not the member that this node remembers.
    pub fn meet(&self, peer: &Introduction) -> Result<(), PeerRefusal> {
        let saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = self.lock();
        let name = peer.node.to_string();
        let met = Acquaintance {
            disk: peer.disk,
            boot: peer.boot,
            nonce: hex(peer.nonce),
            sequence: i64::try_from(peer.sequence).unwrap_or(i64::MAX),
        };
        if let Some(known) = record.peers.get(&name) {
            if known.disk != met.disk {
                return Err(PeerRefusal::OtherDisk(peer.node));
            }
            if met.boot < known.boot {
                let (now, known) = (u64::from(met.boot), u64::from(known.boot));
                return Err(PeerRefusal::RolledBack { node: peer.node, what: "boot count", now, known });
            }
            // Its own memory of the start that this node met: another one is the start of a copy.
            if peer.nonce_of(known.boot).is_some_and(|nonce| hex(nonce) != known.nonce) {
                return Err(PeerRefusal::Copy(peer.node, known.boot));
            }
            if known.boot == met.boot {
                // The same run. Its greeting may be older than a reply on another connection that was read first, so
                // a lower sequence is no evidence here, while a refusal would end a healthy node.
                let sequence = met.sequence.max(known.sequence);
                if let Some(known) = record.peers.get_mut(&name) {
                    known.sequence = sequence;
                }
                return Ok(());
            }
            if met.sequence < known.sequence {
                let known = known.sequence.unsigned_abs();
                return Err(PeerRefusal::RolledBack {
                    node: peer.node,
                    what: "durable batches",
                    now: peer.sequence,
                    known,
                });
            }
        }
        drop(record);
        self.change(&saving, |record| {
            record.peers.insert(name, met);
        })
        .map_err(|why| PeerRefusal::CannotRemember(why.to_string()))
    }

    /// A member said how many batches it has made durable. Kept in memory, and written with the next change.
    pub fn observe_sequence(&self, node: u32, sequence: u64) {
        if let Some(known) = self.lock().peers.get_mut(&node.to_string()) {
            known.sequence = known.sequence.max(i64::try_from(sequence).unwrap_or(i64::MAX));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills the second slot of a new file too, makes all of it durable, and gives it its name.
    fn publish(&self, record: &mut Record) -> std::io::Result<()> {
        self.save(record)?;
        self.file.sync_all()?;
        std::fs::rename(self.path.join("identity.new"), self.path.join("identity"))
    }

    /// Writes the record into the older slot and syncs.
    fn save(&self, record: &mut Record) -> std::io::Result<()> {
        record.generation += 1;
        let text = toml::to_string(record).map_err(std::io::Error::other)?;
        if text.len() > SLOT - 12 {
            return Err(std::io::Error::other("the identity record has outgrown its slot"));
        }
        let mut slot = vec![0; SLOT];
        slot[..4].copy_from_slice(&u32::try_from(text.len()).unwrap_or_default().to_be_bytes());
        slot[4..8].copy_from_slice(&crc32fast::hash(text.as_bytes()).to_be_bytes());
        slot[12..12 + text.len()].copy_from_slice(text.as_bytes());
        let at = (record.generation % 2) * SLOT as u64;
        self.file.write_all_at(&slot, at)?;
        self.file.sync_data()
    }
}

fn open_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Creates a directory and makes the new names durable as far as the directories above can be opened.
fn create_directory(path: &Path) -> std::io::Result<()> {
    let new: Vec<&Path> =
        path.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists()).collect();
    std::fs::create_dir_all(path)?;
    for parent in new.iter().filter_map(|part| part.parent()) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        if let Ok(parent) = File::open(parent) {
            // A lost name is noticed: the others refuse the new directory that replaces it.
            let _ = parent.sync_all();
        }
    }
    Ok(())
}

/// The newest record, and whether the other slot is damaged.
fn read_newest(file: &File, path: &Path) -> Result<(Record, bool), Fatal> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let shown = path.display();
    let texts: Vec<String> = [0, 1].into_iter().filter_map(|index| read_slot(file, index)).collect();
    let mut records = Vec::new();
    for text in &texts {
        if let Ok(Version { format }) = toml::from_str(text)
            && format != FORMAT
        {
            return Err(Fatal::runtime(format!(
                "{shown} has format {format}, this release reads format {FORMAT}; run the release that wrote it"
            )));
        }
        records.extend(toml::from_str::<Record>(text).ok());
    }
    let one_slot_lost = records.len() < 2;
    let newest = records.into_iter().max_by_key(|record| record.generation);
    newest.map(|record| (record, one_slot_lost)).ok_or_else(|| {
        Fatal::runtime(format!(
            "{shown} is damaged: neither copy matches its checksum. The node must not vote: restore the disk, or \
             replace the node under a new id"
        ))
    })
}

/// What a slot holds, if it is whole.
fn read_slot(file: &File, index: u64) -> Option<String> {
    let mut header = [0; 12];
    file.read_exact_at(&mut header, index * SLOT as u64).ok()?;
    let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if length == 0 || length > SLOT - 12 {
        return None;
    }
    let mut text = vec![0; length];
    file.read_exact_at(&mut text, index * SLOT as u64 + 12).ok()?;
    let checksum = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    String::from_utf8(text).ok().filter(|text| crc32fast::hash(text.as_bytes()) == checksum)
}

fn hex(nonce: u64) -> String {
    format!("{nonce:016x}")
}

/// The inverse of [`hex`]; zero, which says "not known", for anything else.
fn unhex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap_or_default()
}

fn random() -> std::io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<DataDir, Fatal> {
        DataDir::open(path, 1, &[1, 2, 3], "logical")
    }

    #[test]
    fn v1_every_start_has_a_larger_boot_count() {
        let directory = tempfile::tempdir().unwrap();
        let disk = open(directory.path()).unwrap().introduction(0).disk;
        for boot in 2..5 {
            let opened = open(directory.path()).unwrap();
            assert_eq!((opened.boot(), opened.introduction(0).disk), (boot, disk));
        }
    }

    #[test]
    fn a_directory_has_one_process_one_node_and_one_member_list() {
        let directory = tempfile::tempdir().unwrap();
        let opened = open(directory.path()).unwrap();
        assert_eq!(open(directory.path()).unwrap_err().code, 2);
        drop(opened);
        assert_eq!(DataDir::open(directory.path(), 2, &[1, 2, 3], "logical").unwrap_err().code, 2);
        assert_eq!(DataDir::open(directory.path(), 1, &[1, 2], "logical").unwrap_err().code, 2);
    }

    #[test]
    fn a_torn_slot_falls_back_and_two_torn_slots_refuse() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        let path = directory.path().join("identity");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        drop(open(directory.path()).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        bytes[SLOT + 20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(open(directory.path()).unwrap_err().code, 1);
    }

    #[test]
    fn m1_another_or_an_older_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let met =
            Introduction { node: 2, disk: [7; 16], boot: 3, nonce: 9, ancestry: Vec::new(), sequence: 100 };
        {
            let opened = open(directory.path()).unwrap();
            opened.meet(&met).unwrap();
            opened.meet(&met).unwrap();
            opened.meet(&Introduction { boot: 4, nonce: 8, ..met.clone() }).unwrap();
        }
        let opened = open(directory.path()).unwrap();
        let refused = |peer| opened.meet(&peer).unwrap_err();
        assert_eq!(refused(Introduction { disk: [8; 16], ..met.clone() }), PeerRefusal::OtherDisk(2));
        assert!(matches!(refused(met.clone()), PeerRefusal::RolledBack { .. }));
        assert_eq!(refused(Introduction { boot: 4, nonce: 1, ..met.clone() }), PeerRefusal::Copy(2, 4));
        let older = Introduction { boot: 5, nonce: 1, sequence: 99, ..met };
        assert!(matches!(refused(older), PeerRefusal::RolledBack { what: "durable batches", .. }));
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        std::fs::copy(from.join("identity"), to.join("identity")).unwrap();
    }

    #[test]
    fn v1_a_damaged_slot_never_brings_a_boot_count_back() {
        for slot in [0, SLOT] {
            let directory = tempfile::tempdir().unwrap();
            drop(open(directory.path()).unwrap());
            let used = open(directory.path()).unwrap().boot();
            let path = directory.path().join("identity");
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[slot + 20] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert!(open(directory.path()).unwrap().boot() > used);
            assert!(open(directory.path()).unwrap().boot() > used + 1);
        }
    }

    #[test]
    fn m1_a_restored_backup_and_a_clone_are_refused() {
        let peer = tempfile::tempdir().unwrap();
        let (home, backup, twin) =
            (peer.path().join("home"), peer.path().join("backup"), peer.path().join("twin"));
        let here = tempfile::tempdir().unwrap();
        let here = open(here.path()).unwrap();
        let start = |path: &Path, sequence| {
            DataDir::open(path, 2, &[1, 2, 3], "logical").unwrap().introduction(sequence)
        };
        here.meet(&start(&home, 0)).unwrap();
        copy(&home, &backup);
        copy(&home, &twin);
        here.meet(&start(&home, 10)).unwrap();
        // Both copies count to the boot that was just seen, in a run of their own.
        assert_eq!(here.meet(&start(&twin, 10)), Err(PeerRefusal::Copy(2, 2)));
        assert_eq!(here.meet(&start(&backup, 0)), Err(PeerRefusal::Copy(2, 2)));
        // However often they are started, and even if nothing was written since the copy was made: they remember
        // another second start than this node does.
        for path in [&twin, &backup, &backup] {
            let refused = here.meet(&start(path, 10)).unwrap_err();
            assert!(refused == PeerRefusal::Copy(2, 2) && refused.is_final(), "{refused}");
        }
        // The node itself comes back as before.
        here.meet(&start(&home, 10)).unwrap();
    }

    /// A directory that has met node 2, and how.
    fn acquainted(path: &Path) -> (DataDir, Introduction) {
        let opened = open(path).unwrap();
        let met =
            Introduction { node: 2, disk: [7; 16], boot: 3, nonce: 9, ancestry: Vec::new(), sequence: 100 };
        opened.meet(&met).unwrap();
        (opened, met)
    }

    #[test]
    fn an_older_greeting_of_the_same_run_is_no_rollback() {
        let directory = tempfile::tempdir().unwrap();
        let (opened, met) = acquainted(directory.path());
        opened.observe_sequence(2, 200);
        opened.meet(&met).unwrap();
        // It did not lower what is remembered.
        let restarted = Introduction { boot: 4, nonce: 1, sequence: 150, ..met };
        assert!(matches!(opened.meet(&restarted), Err(PeerRefusal::RolledBack { now: 150, known: 200, .. })));
    }

    #[test]
    fn a_database_without_an_identity_and_a_later_format_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("db")).unwrap();
        let refused = open(directory.path()).unwrap_err();
        assert!(refused.code == 1 && refused.message.contains("identity file is gone"), "{refused}");

        let directory = tempfile::tempdir().unwrap();
        let opened = open(directory.path()).unwrap();
        let mut record = opened.lock().clone();
        record.format = FORMAT + 1;
        opened.save(&mut record).unwrap();
        drop(opened);
        let refused = open(directory.path()).unwrap_err();
        assert!(
            refused.code == 1 && refused.message.contains(&format!("has format {}", FORMAT + 1)),
            "{refused}"
        );
    }

    #[test]
    fn what_is_observed_while_the_disk_is_waited_for_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (opened, met) = acquainted(directory.path());
        let observed = |sequence| {
            opened.observe_sequence(2, sequence);
            opened.introduction(0);
            opened.lock().peers["2"].sequence
        };
        {
            let saving = opened.saving.lock().unwrap();
            opened.change(&saving, |_| assert_eq!(observed(200), 200)).unwrap();
        }
        assert_eq!(observed(150), 200);
        opened.set_admitted().unwrap();
        assert!(opened.admitted());
        drop(opened);
        // It was not written then, but with the next change.
        let older = Introduction { boot: 4, sequence: 199, ..met };
        assert!(matches!(open(directory.path()).unwrap().meet(&older), Err(PeerRefusal::RolledBack { .. })));
    }

    #[test]
    fn a_crash_before_the_first_identity_is_complete_is_harmless() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("identity.new"), b"half").unwrap();
        assert_eq!(open(directory.path()).unwrap().boot(), 1);
        assert!(!directory.path().join("identity.new").exists());
        assert_eq!(open(directory.path()).unwrap().boot(), 2);
    }

    #[test]
    fn a_used_up_boot_counter_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let opened = open(directory.path()).unwrap();
        let mut record = opened.lock().clone();
        record.boot = u32::MAX;
        opened.save(&mut record).unwrap();
        drop(opened);
        assert_eq!(open(directory.path()).unwrap_err().code, 1);
    }
}
