//! What a disk holds, and all that a power cut may leave of it.

use rapidhash::v3::rapidhash_v3;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const SECTOR: usize = 512;
/// A script with more states at one moment asks too much.
const STATES_MAX: usize = 1 << 16;

pub(super) type Sector = [u8; SECTOR];

/// Something that a power cut may bring back to what it was.
#[derive(Clone, Debug, Default)]
pub(super) struct Fact<T> {
    durable: T,
    pending: Vec<T>,
}

impl<T: Clone + PartialEq> Fact<T> {
    pub(super) fn now(&self) -> &T {
        self.pending.last().unwrap_or(&self.durable)
    }

    pub(super) fn set(&mut self, value: T) {
        if *self.now() != value {
            self.pending.push(value);
        }
    }

    pub(super) fn sync(&mut self) {
        self.durable = self.now().clone();
        self.pending.clear();
    }

    /// All that it may be after a power cut.
    fn survivors(&self) -> Vec<T> {
        let mut all = vec![self.durable.clone()];
        for value in &self.pending {
            if !all.contains(value) {
                all.push(value.clone());
            }
        }
        all
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    /// Its number.
    File(usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) length: Fact<u64>,
    /// `None`: zeros, as where there is nothing here.
    pub(super) sectors: BTreeMap<u64, Fact<Option<Arc<Sector>>>>,
}

/// All that is on the disk, or may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(super) names: BTreeMap<PathBuf, Fact<Option<Node>>>,
    pub(super) files: Vec<Contents>,
}

/// Something that may have survived or not, with all that it may be.
enum Choice {
    Name(PathBuf, Vec<Option<Node>>),
    Length(usize, Vec<u64>),
    Sector(usize, u64, Vec<Option<Arc<Sector>>>),
}

impl Choice {
    fn count(&self) -> usize {
        match self {
            Self::Name(_, all) => all.len(),
            Self::Length(_, all) => all.len(),
            Self::Sector(_, _, all) => all.len(),
        }
    }
}

impl Disk {
    pub(super) fn node(&self, path: &Path) -> io::Result<Node> {
        if path.as_os_str().is_empty() {
            return Ok(Node::Directory);
        }
        self.names.get(path).and_then(|name| name.now().clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// All that a power cut may leave, as disks on which everything is durable.
    pub(super) fn each_survivor(&self, each: &mut dyn FnMut(Self)) {
        let mut names = Vec::new();
        let mut files = Vec::new();
        for (path, name) in &self.names {
            let survivors = name.survivors();
            files.extend(survivors.iter().flatten().filter_map(|node| match node {
                Node::File(file) => Some(*file),
                Node::Directory => None,
            }));
            names.push(Choice::Name(path.clone(), survivors));
        }
        files.sort_unstable();
        files.dedup();
        let mut choices: Vec<Choice> = names.into_iter().filter(|name| name.count() > 1).collect();
        for file in files {
            let Contents { length, sectors } = &self.files[file];
            choices.push(Choice::Length(file, length.survivors()));
            let sectors = sectors.iter();
            choices.extend(sectors.map(|(at, fact)| Choice::Sector(file, *at, fact.survivors())));
        }
        choices.retain(|choice| choice.count() > 1);
        let states = choices.iter().try_fold(1_usize, |states, choice| states.checked_mul(choice.count()));
        assert!(states.is_some_and(|states| states <= STATES_MAX), "a script with too much at stake at once");
        let mut durable = self.clone();
        durable.names.values_mut().for_each(|name| name.pending.clear());
        for Contents { length, sectors } in &mut durable.files {
            length.pending.clear();
            sectors.values_mut().for_each(|sector| sector.pending.clear());
        }
        for mut number in 0..states.unwrap_or_default() {
            let mut disk = durable.clone();
            for choice in &choices {
                let chosen = number % choice.count();
                number /= choice.count();
                match choice {
                    Choice::Name(path, all) => {
                        disk.names.entry(path.clone()).or_default().durable = all[chosen].clone();
                    }
                    Choice::Length(file, all) => disk.files[*file].length.durable = all[chosen],
                    Choice::Sector(file, at, all) => {
                        let sectors = &mut disk.files[*file].sectors;
                        sectors.entry(*at).or_default().durable = all[chosen].clone();
                    }
                }
            }
            disk.forget_what_nobody_finds();
            each(disk);
        }
    }

    /// What has no name, or lies behind the end of its file, is gone.
    fn forget_what_nobody_finds(&mut self) {
        let mut found: BTreeMap<PathBuf, Fact<Option<Node>>> = BTreeMap::new();
        for (path, name) in std::mem::take(&mut self.names) {
            let parent = path.parent().unwrap_or(Path::new(""));
            if name.durable.is_some() && (parent.as_os_str().is_empty() || found.contains_key(parent)) {
                found.insert(path, name);
            }
        }
        self.names = found;
        for Contents { length, sectors } in &mut self.files {
            sectors.retain(|at, sector| sector.durable.is_some() && at * (SECTOR as u64) < length.durable);
        }
    }

    /// The same for all disks on which the same would be found.
    pub(super) fn hash(&self) -> u64 {
        let mut all = Vec::new();
        for (path, name) in &self.names {
            all.extend_from_slice(path.as_os_str().as_encoded_bytes());
            let Some(Node::File(file)) = name.durable else { continue };
            let Contents { length, sectors } = &self.files[file];
            all.extend_from_slice(&length.durable.to_le_bytes());
            for (at, sector) in sectors {
                all.extend_from_slice(&at.to_le_bytes());
                let bytes = sector.durable.as_ref().map_or(&[][..], |sector| &sector[..]);
                all.extend_from_slice(&rapidhash_v3(bytes).to_le_bytes());
            }
        }
        rapidhash_v3(&all)
    }
}
