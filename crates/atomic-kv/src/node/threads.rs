//! The threads of a node, from their start to their end.

use super::disk::Disk;
use super::event_loop::{self, Accepted, Given, Listeners};
use super::healing::Healing;
use super::membership::Membership;
use super::scripts::{Around, Scripts};
use crate::fatal::Fatal;
use crate::logging::limit::limited;
use ::node::lookups::READERS;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// What was heard of a member is durable after this time.
const REMEMBER_EVERY: Duration = Duration::from_secs(1);

/// All of them, of which none ends before the node stops.
pub(super) struct Threads {
    event_loops: Vec<JoinHandle<()>>,
    committer: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    interpreters: Vec<JoinHandle<()>>,
    /// Writes down what is heard of the members.
    remembering: JoinHandle<()>,
}

impl Threads {
    /// Starts them. `ends` are those of the ways to the event loops, the first of which listens.
    ///
    /// # Errors
    /// Exit code 1 when the system has none left.
    pub(super) fn start(
        given: &Given,
        ends: Vec<mpsc::UnboundedReceiver<Accepted>>,
        listeners: Listeners,
    ) -> Result<Self, Fatal> {
        let Given { disk, membership, supervisor, scripts, .. } = given;
        let commits = disk.clone();
        let committer = supervisor.thread("committer", move |supervisor| {
            if let Err(why) = commits.committer.run(&commits.store) {
                supervisor.fail(why.to_string());
            }
        })?;
        let reader = |_| {
            let (disk, membership) = (disk.clone(), membership.clone());
            supervisor.thread("reader", move |_| disk.readers.run(&disk, &membership.admission))
        };
        let readers = (0..READERS).map(reader).collect::<Result<_, Fatal>>()?;
        let around = Around {
            clock: given.clock.clone(),
            membership: membership.clone(),
            report: given.report.clone(),
            notes: given.notes.clone(),
            counts: Arc::default(),
        };
        let interpreter = |_| {
            let (scripts, around) = (scripts.clone(), around.clone());
            let builder = std::thread::Builder::new().stack_size(script::STACK_BYTES);
            supervisor.thread_of("script", builder, move |supervisor| {
                if let Err(why) = scripts.run(&around) {
                    supervisor.fail(format!("cannot run scripts: {why}"));
                }
            })
        };
        let interpreters = (0..given.settings.threads).map(interpreter).collect::<Result<_, Fatal>>()?;
        let mut listeners = Some(listeners);
        let mut event_loops = Vec::new();
        for (index, end) in ends.into_iter().enumerate() {
            let (given, listeners) = (given.clone(), listeners.take());
            let work = move |_: &_| event_loop::run(given, index, end, listeners);
            event_loops.push(supervisor.thread("shard", work)?);
        }
        let (remembers, healing) = (membership.clone(), given.healing.clone());
        let remembering = supervisor.thread("identity", move |_| keep_remembering(&remembers, &healing))?;
        Ok(Self { event_loops, committer, readers, interpreters, remembering })
    }

    /// Waits for their ends, which the node has begun: whoever is given work ends behind those who give it.
    pub(super) fn end(self, disk: &Disk, scripts: &Scripts) {
        let wait = |threads: Vec<JoinHandle<()>>| {
            for thread in threads {
                let _ = thread.join();
            }
        };
        wait(self.event_loops);
        scripts.close();
        wait(self.interpreters);
        disk.readers.close();
        wait(self.readers);
        disk.committer.close();
        wait(vec![self.committer]);
        self.remembering.thread().unpark();
        wait(vec![self.remembering]);
    }
}

/// Writes down what was heard of the members and how much is durable here, for as long as there is news (rule M1); and what there is to
/// write down to heal.
fn keep_remembering(membership: &Membership, healing: &Healing) {
    loop {
        std::thread::park_timeout(REMEMBER_EVERY);
        // Before the last time: what is durable after that is nobody's business any more.
        let last = membership.admission.is_stopping();
        if let Err(why) = membership.directory.remember() {
            limited!(warn, "cannot write down what was heard of the members", %why);
        }
        if last {
            return;
        }
        healing.look();
    }
}
