//! Operations that a coordinator carries out, as this world knows them.

use abd::{Operation, Version};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What something that happens in a coordinator is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// A Get.
    Get,
    /// An Update, or the fold of a key.
    Update,
    /// Something else, or nothing in particular.
    Other,
}

impl About {
    pub(super) fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Get { .. } => Self::Get,
            Operation::Update { .. } => Self::Update,
            Operation::Set { .. } | Operation::Delete { .. } => Self::Other,
        }
    }
}

/// An operation in a coordinator; or the fold that it is a part of.
pub(crate) struct RunningOperation {
    pub(crate) operation: usize,
    pub(crate) about: About,
    pub(crate) key: Bytes,
    /// Its latest phase.
    pub(crate) phase: u32,
    /// In which epoch.
    pub(crate) epoch: u32,
    /// Members that were sent this phase's request.
    pub(crate) called: Vec<u32>,
    /// The version that it stores, once it does.
    pub(crate) stores: Option<Version>,
    /// Members that have acknowledged that, with the epoch in which they did.
    pub(crate) stored: Vec<(u32, u32)>,
}

/// Operations by the coordinator's number.
pub(crate) type Operations = BTreeMap<u64, RunningOperation>;

impl RunningOperation {
    /// That has not asked anybody yet.
    pub(super) fn new(operation: usize, about: About, key: Bytes) -> Self {
        let (phase, epoch, called) = (0, 0, Vec::new());
        Self { operation, about, key, phase, epoch, called, stores: None, stored: Vec::new() }
    }

    /// It stores a version. What was acknowledged of another one is forgotten.
    pub(super) fn store(&mut self, version: Version) {
        if self.stores.replace(version) != Some(version) {
            self.stored.clear();
        }
    }
}
