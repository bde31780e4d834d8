//! Load in the background, judged at the end: the clients are those of `atomic-kv verify`.

use super::PATIENCE;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tools::verify::{Load, Recording, Workload, drive, out_of_order, two_holders};

/// Clients that do one of the workloads of `verify` until they are told to stop.
pub(crate) struct Background {
    workload: Workload,
    stop: Arc<AtomicBool>,
    driving: Option<JoinHandle<Recording>>,
}

impl Background {
    /// How many clients there are.
    pub(crate) const CLIENTS: usize = 8;

    /// Starts eight clients on four keys, spread over these nodes. They write values nobody else writes, read and delete.
    pub(crate) fn start(addresses: Vec<String>) -> Self {
        Self::start_with(Workload::Register, addresses)
    }

    /// The same with another workload.
    pub(crate) fn start_with(workload: Workload, addresses: Vec<String>) -> Self {
        Self::drive(workload, addresses, Duration::from_secs(1))
    }

    /// Clients that wait however long it takes: client `i` stays at the `i`-th node, counted around, until that fails.
    pub(crate) fn patient(workload: Workload, addresses: Vec<String>) -> Self {
        Self::drive(workload, addresses, PATIENCE)
    }

    fn drive(workload: Workload, addresses: Vec<String>, patience: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let load = Load {
            workload,
            addresses,
            clients: Self::CLIENTS,
            keys: (0..4).map(|key| format!("{}-{key}", workload.name())).collect(),
            patience,
        };
        let driving = std::thread::spawn({
            let stop = stop.clone();
            move || drive(&load, || !stop.load(Ordering::Relaxed))
        });
        Self { workload, stop, driving: Some(driving) }
    }

    /// Lets the load run for a moment.
    pub(crate) fn for_a_moment() {
        std::thread::sleep(Duration::from_millis(300));
    }

    /// Stops, and fails the test unless what the clients saw is linearizable, and something was seen.
    #[track_caller]
    pub(crate) fn judge(mut self) -> Recording {
        self.stop.store(true, Ordering::Relaxed);
        let recording = self.driving.take().unwrap().join().unwrap();
        let verdict = self.workload.judge(&recording.history, lincheck::DEFAULT_LIMIT).verdict;
        assert!(verdict.is_linearizable(), "{verdict}\nerrors: {:?}", recording.errors);
        assert_eq!(two_holders(&recording.history), None);
        assert_eq!(out_of_order(&recording.held), None);
        assert!(recording.left().is_empty(), "locks that never expire: {:?}", recording.left());
        assert!(recording.completed() >= 20, "next to nothing was answered: {:?}", recording.errors);
        recording
    }

    /// As [`Background::judge`]; and nobody has refused anything. What became of an update may be beyond knowing (P3'), when somebody else
    /// writes the key: if a node dies to which it was sent, abstains, or serves another configuration in the middle of it.
    #[track_caller]
    pub(crate) fn judge_unrefused(self) {
        let recording = self.judge();
        let others: Vec<&String> = recording.errors.keys().filter(|kind| *kind != "INDETERMINATE").collect();
        assert!(others.is_empty(), "{:?}", recording.errors);
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(driving) = self.driving.take() {
            let _ = driving.join();
        }
    }
}
