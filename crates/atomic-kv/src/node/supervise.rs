//! Every long-lived part of a node is started here, so that none dies alone: one that panics ends the process, and one that
//! returns before the node stops ends the node.

use super::founding;
use super::membership::Membership;
use crate::fatal::{self, Fatal};
use crate::fault::{self, Injected};
use ::node::configuration::Configuration;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::watch;

/// Ends the node when it must not go on.
pub(crate) struct Supervisor {
    failure: watch::Sender<Option<Fatal>>,
    membership: Arc<Membership>,
}

impl Supervisor {
    pub(super) fn new(membership: Arc<Membership>) -> Arc<Self> {
        Arc::new(Self { failure: watch::Sender::new(None), membership })
    }

    /// Starts a task of the event loop that this is called in.
    pub(super) fn task(self: &Arc<Self>, part: &'static str, work: impl Future<Output = ()> + 'static) {
        let supervisor = self.clone();
        self.errand(part, async move {
            work.await;
            supervisor.part_ended(part);
        });
    }

    /// The same for one that may be done some day.
    pub(super) fn errand(self: &Arc<Self>, part: &'static str, work: impl Future<Output = ()> + 'static) {
        tracing::debug!(part, "begins");
        let supervisor = self.clone();
        tokio::task::spawn_local(async move {
            let _guard = Guard(part);
            match fault::injected(part) {
                Some(Injected::Panic) => panic!("a test wants the part \"{part}\" to panic"),
                Some(Injected::Return) => supervisor.part_ended(part),
                None => work.await,
            }
        });
    }

    /// Starts a thread.
    ///
    /// # Errors
    /// Exit code 1 when the system has none left.
    pub(super) fn thread(
        self: &Arc<Self>,
        part: &'static str,
        work: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> Result<JoinHandle<()>, Fatal> {
        self.thread_of(part, std::thread::Builder::new(), work)
    }

    /// Starts a thread with settings of its own.
    ///
    /// # Errors
    /// As [`thread`](Self::thread).
    pub(super) fn thread_of(
        self: &Arc<Self>,
        part: &'static str,
        builder: std::thread::Builder,
        work: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> Result<JoinHandle<()>, Fatal> {
        tracing::debug!(part, "begins");
        let supervisor = self.clone();
        let supervised = move || {
            let _guard = Guard(part);
            match fault::injected(part) {
                Some(Injected::Panic) => panic!("a test wants the part \"{part}\" to panic"),
                Some(Injected::Return) => {}
                None => work(&supervisor),
            }
            supervisor.part_ended(part);
        };
        builder
            .name(part.to_owned())
            .spawn(supervised)
            .map_err(|why| Fatal::runtime(format!("cannot start a thread: {why}")))
    }

    /// A part that lives as long as the node has ended.
    fn part_ended(&self, part: &str) {
        if !self.membership.admission.is_stopping() {
            self.fail_as(fatal::fault(format!(
                "a fault in the program: its part \"{part}\" has ended by itself; start this node again, and report this line"
            )));
        }
    }

    /// This node must not go on: says why, once, and ends the program.
    pub(crate) fn fail(&self, why: String) {
        self.fail_as(Fatal::runtime(why));
    }

    /// This node is no member any more, as this configuration says: marks its directory, says why, and ends the program.
    pub(crate) fn retire(&self, configuration: &Configuration) {
        self.membership.retire(configuration.epoch());
        self.fail_as(founding::retired(&self.membership.directory, configuration));
    }

    fn fail_as(&self, fatal: Fatal) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                tracing::error!(why = fatal.message, "this node refuses to serve");
                *failure = Some(fatal);
            }
            first
        });
    }

    /// Waits until the node cannot go on, and says why.
    pub(super) fn failed(&self) -> impl Future<Output = Fatal> + use<> {
        let mut failure = self.failure.subscribe();
        async move {
            match failure.wait_for(Option::is_some).await {
                Ok(failure) => failure.clone().unwrap_or_else(|| Fatal::runtime("failed")),
                // It has stopped.
                Err(_) => std::future::pending().await,
            }
        }
    }
}

/// Carries out something that waits for the disk, on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let supervised = || {
        let _guard = Guard("blocking");
        work()
    };
    match tokio::task::spawn_blocking(supervised).await {
        Ok(done) => done,
        // The event loop ends, and with it whoever waits here.
        Err(_) => std::future::pending().await,
    }
}

/// Ends the process if it is dropped by a panic. In the program itself the hook comes first; elsewhere, in a test with nodes
/// in its own process say, there is none.
struct Guard(&'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            fault::end(&format!("the part \"{}\" panicked", self.0));
        }
    }
}
