//! Scripts, on threads of their own: an event loop hands over what is to be evaluated with scripts, and goes on. What it comes to goes
//! back to it. In front of the threads there is one queue; an event loop has one evaluation in flight for each key at most, so that the
//! operations which its clients may have in flight bound it.

use super::clock::NodeClock;
use super::membership::Membership;
use super::report::Report;
use crate::config::Settings;
use crate::logging::limit::limited;
use ::node::clock::{Clock, Moments};
use ::node::functions::{self, Circumstances, FunctionAnswer, Held, evaluate};
use ::node::inquiry::notes::Notes;
use ::node::resp::{
    CommandCounts, Counts, Ending, Host, Limits, Listed, Names, Policy, Protocol, Response, ScriptedKey,
    Section, Session, SlowRequests,
};
use ::node::topology::Topology;
use abd::{Evaluated, Evaluation, EvaluationId};
use bytes::{Bytes, BytesMut};
use script::{Header, Interpreter, Keyspace, LogLevel, Script, Stop, sha1hex};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A fold takes no more scripts after this; others are in the next one. Each waits for all before it.
const FOLD_MAX: Duration = Duration::from_millis(5);

/// Sources that a thread keeps ready to run.
const CHUNKS: usize = 1000;

/// What has been evaluated for one event loop.
#[derive(Default)]
pub(crate) struct Done {
    evaluated: Mutex<Vec<(EvaluationId, Evaluated)>>,
    pub(crate) wake: Notify,
}

impl Done {
    pub(crate) fn take(&self) -> Vec<(EvaluationId, Evaluated)> {
        std::mem::take(&mut *self.evaluated.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The queue in front of the threads, and what others see of them.
pub(crate) struct Scripts {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// By event loop.
    pub(crate) done: Box<[Done]>,
    limits: script::Limits,
    time_limit: Duration,
    running: AtomicUsize,
    /// How often `SCRIPT KILL` was called.
    kills: Arc<AtomicU64>,
    /// Scripts that have run, and those of them that were ended against their will.
    pub(crate) ran: AtomicU64,
    pub(crate) ended: AtomicU64,
    /// Memory of all interpreters, in bytes.
    pub(crate) memory: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(usize, Evaluation)>,
    is_closed: bool,
}

/// What a thread is given.
#[derive(Clone)]
pub(crate) struct Around {
    pub(crate) clock: Arc<NodeClock>,
    pub(crate) membership: Arc<Membership>,
    pub(crate) report: Arc<Report>,
    pub(crate) notes: Arc<Mutex<Notes>>,
    /// Nobody calls a command of a script but the script.
    pub(crate) counts: Arc<Counts>,
}

impl Scripts {
    pub(crate) fn new(settings: &Settings, random: u64) -> Self {
        Self {
            queue: Mutex::default(),
            wake: Condvar::new(),
            done: (0..settings.threads).map(|_| Done::default()).collect(),
            limits: script::Limits { memory_bytes: settings.script_memory, random, chunks: CHUNKS },
            time_limit: settings.script_time_limit,
            running: AtomicUsize::new(0),
            kills: Arc::default(),
            ran: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            memory: AtomicUsize::new(0),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has functions with scripts evaluated for an event loop; gives others back.
    pub(crate) fn hand_over(&self, index: usize, evaluation: Evaluation) -> Option<Evaluation> {
        if !functions::has_script(&evaluation) {
            return Some(evaluation);
        }
        self.queue().waiting.push_back((index, evaluation));
        self.wake.notify_one();
        None
    }

    /// Ends the scripts that run. Answers whether there was one.
    pub(crate) fn end_running(&self) -> bool {
        self.kills.fetch_add(1, Ordering::Relaxed);
        self.running.load(Ordering::Relaxed) > 0
    }

    /// Lets the threads end; what still waits is forgotten.
    pub(crate) fn close(&self) {
        self.queue().is_closed = true;
        self.wake.notify_all();
    }

    fn next(&self) -> Option<(usize, Evaluation)> {
        let mut queue = self.queue();
        loop {
            if queue.is_closed {
                return None;
            }
            if let Some(next) = queue.waiting.pop_front() {
                return Some(next);
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What each thread does, until closed.
    ///
    /// # Errors
    /// There is not enough memory for an interpreter.
    pub(crate) fn run(&self, around: &Around) -> Result<(), String> {
        let interpreter = Interpreter::new(self.limits)?;
        self.memory.fetch_add(interpreter.memory_bytes(), Ordering::Relaxed);
        let mut runner = Runner { scripts: self, around, interpreter, began: Instant::now() };
        while let Some((index, evaluation)) = self.next() {
            runner.began = Instant::now();
            let membership = &around.membership;
            let value_bytes_max = membership.limits.value_bytes_max(&membership.own.members);
            let circumstances = Circumstances { moments: around.clock.moments(), value_bytes_max };
            let memory = runner.interpreter.memory_bytes();
            let evaluated = evaluate(&evaluation, circumstances, Some(&mut runner));
            self.memory.fetch_add(runner.interpreter.memory_bytes().wrapping_sub(memory), Ordering::Relaxed);
            let done = &self.done[index];
            done.evaluated.lock().unwrap_or_else(PoisonError::into_inner).push((evaluation.id, evaluated));
            done.wake.notify_one();
        }
        Ok(())
    }
}

/// One thread at work.
struct Runner<'a> {
    scripts: &'a Scripts,
    around: &'a Around,
    interpreter: Interpreter<OneKey>,
    /// When the evaluation began.
    began: Instant,
}

impl functions::Interpreter for Runner<'_> {
    fn run(
        &mut self,
        script: &functions::Script,
        key: &Bytes,
        held: &mut Held,
        circumstances: Circumstances,
    ) -> (FunctionAnswer, bool) {
        let failed = |text: String| (FunctionAnswer::Failed(text.into()), false);
        let no_writes = match Header::read(&script.source) {
            Ok(header) => header.flags.no_writes,
            Err(text) => return failed(text),
        };
        let limits = Limits {
            max_key_bytes: ::node::limits::KEY_BYTES_MAX,
            max_value_bytes: circumstances.value_bytes_max,
            max_args: usize::MAX,
        };
        let session = Session::new(0, String::new(), String::new(), Duration::ZERO, limits);
        let host = ScriptHost { around: self.around.clone(), moments: circumstances.moments };
        let read_only = script.read_only || no_writes;
        let keyspace = OneKey {
            key: ScriptedKey::new(key.clone(), held.clone(), circumstances, read_only, session, host),
            until: Instant::now() + self.scripts.time_limit,
            time_limit: self.scripts.time_limit,
            kills_before: self.scripts.kills.load(Ordering::Relaxed),
            kills: Arc::clone(&self.scripts.kills),
        };
        let program = Script { source: &script.source, sha: &sha1hex(&script.source) };
        self.scripts.running.fetch_add(1, Ordering::Relaxed);
        let (answer, keyspace) = self.interpreter.run(&program, &script.keys, &script.arguments, keyspace);
        self.scripts.running.fetch_sub(1, Ordering::Relaxed);
        self.scripts.ran.fetch_add(1, Ordering::Relaxed);
        let (after, changed) = match keyspace.key.end() {
            Ending::Ran(after, changed) => (after, changed),
            Ending::OtherKey(key) => return (FunctionAnswer::OtherKey(key), false),
            Ending::SecondKey(Response::Error(text)) => return failed(text),
            Ending::SecondKey(_) => return failed("ERR a script is carried out on one key".to_owned()),
        };
        let response = match answer {
            Ok(response) => response,
            Err(Stop(text)) => {
                self.scripts.ended.fetch_add(1, Ordering::Relaxed);
                return failed(text);
            }
        };
        *held = after;
        match response {
            Response::Error(text) => (FunctionAnswer::Failed(text.into()), changed),
            response => {
                let mut bytes = BytesMut::new();
                response.encode(if script.resp3 { Protocol::Resp3 } else { Protocol::Resp2 }, &mut bytes);
                (FunctionAnswer::Reply(bytes.freeze()), changed)
            }
        }
    }

    fn has_time(&mut self) -> bool {
        self.began.elapsed() < FOLD_MAX
    }
}

/// The keyspace of a script: what one key holds.
struct OneKey {
    key: ScriptedKey<ScriptHost>,
    /// When it is ended.
    until: Instant,
    time_limit: Duration,
    /// How often `SCRIPT KILL` had been called when it began.
    kills_before: u64,
    kills: Arc<AtomicU64>,
}

impl Keyspace for OneKey {
    fn call(&mut self, arguments: Vec<Bytes>, _: Protocol) -> Result<Response, Stop> {
        let response = self.key.call(arguments.into());
        match response {
            Response::Error(text) if self.key.is_over() => Err(Stop(text)),
            response => Ok(response),
        }
    }

    fn interrupt(&mut self) -> Result<(), Stop> {
        if self.kills.load(Ordering::Relaxed) != self.kills_before {
            return Err(Stop(
                "ERR Script killed by user with SCRIPT KILL. It has changed nothing.".to_owned(),
            ));
        }
        if Instant::now() >= self.until {
            return Err(Stop(format!(
                "ERR The script takes longer than --script-time-limit allows ({:?}). It has changed nothing.",
                self.time_limit
            )));
        }
        Ok(())
    }

    fn knows(&self, command: &[u8]) -> bool {
        ::node::resp::is_command(command)
    }

    fn log(&mut self, level: LogLevel, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        match level {
            LogLevel::Debug | LogLevel::Verbose => tracing::debug!(%line, "a script says"),
            LogLevel::Notice => limited!(info, "a script says", %line),
            LogLevel::Warning => limited!(warn, "a script says", %line),
        }
    }
}

/// The node around the commands of a script. It is always the same moment there.
struct ScriptHost {
    around: Around,
    moments: Moments,
}

impl Clock for ScriptHost {
    fn moments(&self) -> Moments {
        self.moments
    }
}

impl Host for ScriptHost {
    fn info(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<Section> {
        self.around.report.info(wanted)
    }

    fn config(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn policy(&self) -> Policy {
        self.around.report.settings.policy
    }

    fn slow(&self, look: &mut dyn FnMut(&mut SlowRequests)) {
        self.around.report.stats.slow.look(look);
    }

    fn slow_after(&self) -> Duration {
        self.around.report.stats.slow.threshold()
    }

    fn notes(&self, look: &mut dyn FnMut(&mut Notes)) {
        look(&mut self.around.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn check_script(&self, source: &[u8]) -> Result<(), Response> {
        script::check(source).map_err(Response::Error)
    }

    fn end_scripts(&self) -> bool {
        false
    }

    fn give_memory_back(&self) {}

    fn uptime(&self) -> Duration {
        super::info::uptime()
    }

    fn clients(&self) -> Vec<(Arc<Listed>, Names)> {
        Vec::new()
    }

    fn rename(&self, _: u64, _: &Names) {}

    fn kill(&self, _: u64) {}

    fn topology(&self) -> Topology {
        self.around.report.topology()
    }

    fn sentinel_master(&self) -> &str {
        &self.around.report.settings.sentinel_master
    }

    // What asks all nodes is not for scripts.
    fn key_near(&self, _: u64) -> Option<Bytes> {
        None
    }

    fn flush_in_background(&self) {}

    fn count_flushed(&self, _: usize) {}

    fn command_counts(&self) -> Vec<CommandCounts> {
        Vec::new()
    }

    fn counts(&self) -> &Counts {
        &self.around.counts
    }
}
