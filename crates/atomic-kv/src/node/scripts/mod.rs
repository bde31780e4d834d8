//! Scripts, on threads of their own: an event loop hands over what is to be evaluated with scripts, and goes on. What it comes to goes
//! back to it.
//!
//! In front of the threads each event loop has a queue of bounded size; they take turns. An evaluation for which nobody waits any more,
//! as its operation has lost to another one or its client has left, is not taken back. So each has its time: one that has waited too
//! long does not begin, and one that runs ends when its operation has. Its scripts then fail, without effect, and say why.

mod host;
mod queue;

use crate::config::Settings;
use crate::logging::limit::limited;
use crate::node::clock::NodeClock;
use crate::node::membership::Membership;
use crate::node::report::Report;
use ::node::clock::Clock as _;
use ::node::functions::{self, Circumstances, FunctionAnswer, Held, evaluate};
use ::node::inquiry::notes::Notes;
use ::node::resp::{Counts, Ending, Limits, Protocol, Response, ScriptedKey, Session};
use abd::{Evaluated, Evaluation, EvaluationId};
use bytes::{Bytes, BytesMut};
use host::ScriptHost;
use queue::{Job, Queue};
use script::{Header, Interpreter, Keyspace, LogLevel, Script, Stop, sha1hex};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A fold takes no more scripts after this; others are in the next one. Each waits for all before it.
const FOLD_MAX: Duration = Duration::from_millis(5);

/// The error of scripts that did not begin.
const BUSY: &str =
    "BUSY The node runs other scripts, and this one did not have its turn in time. It has changed nothing.";

/// The error of scripts that began, but had too little time left.
const BUSY_TOO_LATE: &str =
    "BUSY The node runs other scripts, and too little time was left to this one. It has changed nothing.";

/// The error of scripts that are too many.
const FULL: &str = "BUSY Too many scripts wait for their turn at this node. This one has changed nothing.";

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
    /// How long an operation may take.
    op_timeout: Duration,
    running: AtomicUsize,
    /// How often `SCRIPT KILL` was called.
    kills: Arc<AtomicU64>,
    /// Scripts that have run, and those of them that were ended against their will.
    pub(crate) ran: AtomicU64,
    pub(crate) ended: AtomicU64,
    /// Memory of all interpreters, in bytes.
    pub(crate) memory: AtomicUsize,
}

/// Has all scripts fail with a text, without running them.
struct Refusal(&'static str);

impl functions::Interpreter for Refusal {
    fn run(
        &mut self,
        _: &functions::Script,
        _: &Bytes,
        _: &mut Held,
        _: Circumstances,
    ) -> (FunctionAnswer, bool) {
        (FunctionAnswer::Failed(Bytes::from_static(self.0.as_bytes())), false)
    }

    fn has_time(&mut self) -> bool {
        true
    }
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
            queue: Mutex::new(Queue::new(settings.threads)),
            wake: Condvar::new(),
            done: (0..settings.threads).map(|_| Done::default()).collect(),
            limits: script::Limits { memory_bytes: settings.script_memory, random, chunks: CHUNKS },
            time_limit: settings.script_time_limit,
            op_timeout: settings.op_timeout,
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

    /// Has functions with scripts evaluated for an event loop; gives others back. Scripts that do not fit the queue fail.
    pub(crate) fn hand_over(
        &self,
        index: usize,
        evaluation: Evaluation,
        circumstances: impl FnOnce() -> Circumstances,
    ) -> Option<Evaluation> {
        if !functions::has_script(&evaluation) {
            return Some(evaluation);
        }
        let pushed = self.queue().push(index, evaluation, Instant::now());
        match pushed {
            Ok(()) => self.wake.notify_one(),
            Err(evaluation) => {
                let evaluated = evaluate(&evaluation, circumstances(), Some(&mut Refusal(FULL)));
                self.deliver(index, evaluation.id, evaluated);
            }
        }
        None
    }

    fn deliver(&self, index: usize, id: EvaluationId, evaluated: Evaluated) {
        let done = &self.done[index];
        done.evaluated.lock().unwrap_or_else(PoisonError::into_inner).push((id, evaluated));
        done.wake.notify_one();
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

    fn next(&self) -> Option<(usize, Job)> {
        let mut queue = self.queue();
        loop {
            if queue.is_closed {
                return None;
            }
            if let Some(next) = queue.pop() {
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
        let now = Instant::now();
        let mut runner = Runner { scripts: self, around, interpreter, began: now, until: now };
        while let Some((index, Job { evaluation, handed_over, .. })) = self.next() {
            runner.began = Instant::now();
            runner.until = handed_over + self.op_timeout;
            let membership = &around.membership;
            let value_bytes_max = membership.limits.value_bytes_max();
            let circumstances = Circumstances { moments: around.clock.moments(), value_bytes_max };
            // Half of the time is left for the script, and for telling the client in time that it did not run.
            let evaluated = if runner.began - handed_over > self.op_timeout / 2 {
                evaluate(&evaluation, circumstances, Some(&mut Refusal(BUSY)))
            } else {
                let memory = runner.interpreter.memory_bytes();
                let evaluated = evaluate(&evaluation, circumstances, Some(&mut runner));
                let grown = runner.interpreter.memory_bytes().wrapping_sub(memory);
                self.memory.fetch_add(grown, Ordering::Relaxed);
                evaluated
            };
            self.deliver(index, evaluation.id, evaluated);
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
    /// When nobody waits for it any more.
    until: Instant,
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
            waited_for_until: self.until,
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
    /// When nobody waits for it any more.
    waited_for_until: Instant,
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
        let now = Instant::now();
        if now >= self.waited_for_until {
            return Err(Stop(BUSY_TOO_LATE.to_owned()));
        }
        if now >= self.until {
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
