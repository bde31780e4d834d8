//! Load in the background, judged at the end: the clients are those of `atomic-kv verify`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tools::verify::{Load, Recording, Workload, drive, two_holders};

/// Clients that do one of the workloads of `verify` until they are told to stop.
pub(crate) struct Background {
    workload: Workload,
    stop: Arc<AtomicBool>,
    driving: Option<JoinHandle<Recording>>,
}

impl Background {
    /// Starts eight clients on four keys, spread over these nodes. They write values nobody else writes, read and delete.
    pub(crate) fn start(addresses: Vec<String>) -> Self {
        Self::start_with(Workload::Register, addresses)
    }

    /// The same with another workload.
    pub(crate) fn start_with(workload: Workload, addresses: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let load = Load {
            workload,
            addresses,
            clients: 8,
            keys: (0..4).map(|key| format!("{}-{key}", workload.name())).collect(),
            patience: Duration::from_secs(1),
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
        assert!(recording.completed() >= 20, "next to nothing was answered: {:?}", recording.errors);
        recording
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
