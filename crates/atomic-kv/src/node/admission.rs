//! The admission of this node and the limits of its peers, shared by all threads. What is asked at every request stands beside the locks.

use ::node::admission::Admission;
use ::node::configuration::{Configuration, DirectoryId};
use ::node::hello::Limits;
use ::node::limits::{KnownLimits, Least};
use abd::{NodeId, Operation, Reason, Standing};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An [`Admission`] that all threads share.
pub(crate) struct SharedAdmission {
    machine: Mutex<Admission>,
    is_admitted: AtomicBool,
    may_begin: AtomicBool,
    is_stopping: AtomicBool,
}

impl SharedAdmission {
    pub(super) fn new(machine: Admission) -> Self {
        let [is_admitted, may_begin, is_stopping] =
            [machine.is_admitted(), machine.may_begin(), machine.is_stopping()].map(AtomicBool::new);
        Self { machine: Mutex::new(machine), is_admitted, may_begin, is_stopping }
    }

    fn machine(&self) -> MutexGuard<'_, Admission> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Admission) -> T) -> T {
        let mut machine = self.machine();
        let changed = change(&mut machine);
        self.is_admitted.store(machine.is_admitted(), Ordering::Release);
        self.may_begin.store(machine.may_begin(), Ordering::Release);
        self.is_stopping.store(machine.is_stopping(), Ordering::Release);
        changed
    }

    /// [`Admission::install`].
    pub(super) fn install(&self, configuration: &Configuration, directory: DirectoryId) -> bool {
        self.change(|machine| machine.install(configuration, directory))
    }

    /// [`Admission::confirmed_by`].
    pub(super) fn confirmed_by(&self, peer: NodeId) -> bool {
        self.change(|machine| machine.confirmed_by(peer))
    }

    /// [`Admission::admit`].
    pub(super) fn admit(&self) -> bool {
        self.change(Admission::admit)
    }

    /// [`Admission::stop`].
    pub(super) fn stop(&self) {
        self.change(Admission::stop);
    }

    /// [`Admission::retire`].
    pub(super) fn retire(&self, epoch: u32) {
        self.change(|machine| machine.retire(epoch));
    }

    /// [`Admission::is_admitted`].
    pub(crate) fn is_admitted(&self) -> bool {
        self.is_admitted.load(Ordering::Acquire)
    }

    /// [`Admission::standing`].
    pub(crate) fn standing(&self, writable: bool) -> Standing {
        Standing { admitted: self.is_admitted(), writable }
    }

    /// [`Admission::may_begin`].
    pub(crate) fn may_begin(&self) -> bool {
        self.may_begin.load(Ordering::Acquire)
    }

    /// [`Admission::is_stopping`].
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// [`Admission::not_begun`].
    pub(crate) fn not_begun(&self) -> Reason {
        self.machine().not_begun()
    }

    /// [`Admission::not_ready`].
    pub(crate) fn not_ready(&self, has_time: bool) -> Option<Reason> {
        self.machine().not_ready(has_time)
    }

    /// [`Admission::lanes_changed`].
    pub(crate) fn lanes_changed(&self, peer: NodeId, up: bool) -> bool {
        self.machine().lanes_changed(peer, up)
    }

    /// [`Admission::is_up`].
    pub(crate) fn is_up(&self, peer: NodeId) -> bool {
        self.machine().is_up(peer)
    }
}

/// [`KnownLimits`] that all threads share.
pub(crate) struct SharedLimits {
    machine: Mutex<KnownLimits>,
    /// What every voter takes: largest key, largest value. Both may be changed while an operation looks at them, which then counts as
    /// one that came before or after.
    least: [AtomicUsize; 2],
    value_bytes_max: AtomicUsize,
}

impl SharedLimits {
    pub(super) fn new(machine: KnownLimits) -> Self {
        let Least { key, value } = machine.least();
        let value_bytes_max = machine.value_bytes_max().into();
        Self { machine: Mutex::new(machine), least: [key, value].map(AtomicUsize::new), value_bytes_max }
    }

    fn change(&self, change: impl FnOnce(&mut KnownLimits)) {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut machine);
        let Least { key, value } = machine.least();
        self.least[0].store(key, Ordering::Relaxed);
        self.least[1].store(value, Ordering::Relaxed);
        self.value_bytes_max.store(machine.value_bytes_max(), Ordering::Relaxed);
    }

    /// [`KnownLimits::install`].
    pub(super) fn install(&self, configuration: &Configuration) {
        self.change(|machine| machine.install(configuration));
    }

    /// [`KnownLimits::learn`].
    pub(super) fn learn(&self, node: NodeId, limits: Limits) {
        self.change(|machine| machine.learn(node, limits));
    }

    /// [`KnownLimits::value_bytes_max`].
    pub(crate) fn value_bytes_max(&self) -> usize {
        self.value_bytes_max.load(Ordering::Relaxed)
    }

    /// [`KnownLimits::reason_to_refuse`].
    pub(crate) fn reason_to_refuse(&self, operation: &Operation) -> Option<Reason> {
        let [key, value] = &self.least;
        let least = Least { key: key.load(Ordering::Relaxed), value: value.load(Ordering::Relaxed) };
        if least.allows(operation) {
            return None;
        }
        self.machine.lock().unwrap_or_else(PoisonError::into_inner).reason_to_refuse(operation)
    }
}
