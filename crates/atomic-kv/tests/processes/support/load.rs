//! Load in the background, judged at the end: the clients are those of `atomic-kv verify`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tools::verify::{Load, Recording, drive};

/// Clients that write values nobody else writes, read and delete, until they are told to stop.
pub(crate) struct Background {
    stop: Arc<AtomicBool>,
    driving: Option<JoinHandle<Recording>>,
}

impl Background {
    /// Starts eight clients on four keys, spread over these nodes.
    pub(crate) fn start(addresses: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let load = Load {
            addresses,
            clients: 8,
            keys: (0..4).map(|key| format!("shared-{key}")).collect(),
            patience: Duration::from_secs(1),
        };
        let driving = std::thread::spawn({
            let stop = stop.clone();
            move || drive(&load, || !stop.load(Ordering::Relaxed))
        });
        Self { stop, driving: Some(driving) }
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
        let verdict = lincheck::check_register(&recording.history);
        assert!(verdict.is_linearizable(), "{verdict}\nerrors: {:?}", recording.errors);
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
