//! The closed loop.

use super::plan::Plan;
use super::recorder::{Failure, Recorder};
use super::report::Report;
use super::workload::{LoadRequest, Requests, Verb};
use std::cell::{Cell, RefCell};
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(250);
/// Keys that a client fills at once.
const PREFILL_BATCH: usize = 64;
/// Filling goes on as long as at least one key was filled in this time.
const PREFILL_PATIENCE: Duration = Duration::from_secs(30);
/// How long answers that are on their way are waited for at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// A client rests this long after an error, so that a cluster that refuses everything is not asked as fast as it can
/// refuse.
const AFTER_ERROR: Duration = Duration::from_millis(1);

/// What became of a request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadAnswer {
    /// Done.
    Done,
    /// Done, and there was nothing: no value to read, or a condition that did not hold.
    Nothing,
    /// An error.
    Failed(Failure),
}

/// A client's way to the system that is measured.
pub trait Link {
    /// Sends the batch and waits for all answers, in order; each is told to `answered` when it arrives, at the
    /// latest when all have.
    fn exchange(
        &mut self,
        batch: &[LoadRequest],
        answered: &mut dyn FnMut(LoadAnswer),
    ) -> impl Future<Output = io::Result<()>>;
}

/// The system that is measured.
pub trait Target {
    /// How a client talks to it.
    type Link: Link;

    /// Connects a client to a node: its own at attempt 0, and the next one at each further attempt.
    fn connect(&self, client: usize, attempt: usize) -> impl Future<Output = io::Result<Self::Link>>;
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every key gets a value.
    Prefill,
    /// The load runs, uncounted.
    WarmUp,
    /// The load is measured.
    Measured,
}

/// How far the measurement is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// Time in this phase.
    pub elapsed: Duration,
    /// Keys filled, or operations completed and measured.
    pub done: u64,
    /// Failed operations in the measurement.
    pub errors: u64,
}

/// What the clients' tasks share.
struct Shared {
    plan: Plan,
    /// What gives a key its first value, if keys are to have one.
    fill: Option<Verb>,
    /// The next key to be filled, then those that could not be filled at the first attempt.
    unfilled: Cell<u64>,
    again: RefCell<Vec<u64>>,
    filled: Cell<u64>,
    stopped: Cell<bool>,
    recorder: RefCell<Option<Recorder>>,
    /// Told when all keys are filled, and when the wanted number of operations is reached.
    reached: Notify,
}

/// Runs a plan and reports. `progress` is told how far it is several times a second, and may end it.
///
/// When it returns, no request is on its way any more, unless a node did not answer for a while.
///
/// # Errors
/// When the keys cannot be filled: no node answers, or they refuse. [`io::ErrorKind::Interrupted`] when `progress` has ended
/// it before anything was measured.
pub fn run<T: Target + 'static>(
    target: T,
    plan: Plan,
    mut progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let keys = if plan.workload.hot { 1 } else { plan.workload.keys };
    let (warm_up, measured) = (plan.warm_up, plan.measured);
    let fill = plan.workload.mix.fill().filter(|_| plan.prefill);
    let filled = if fill.is_some() { 0 } else { keys };
    let shared = Rc::new(Shared {
        fill,
        unfilled: Cell::new(filled),
        again: RefCell::default(),
        filled: Cell::new(filled),
        stopped: Cell::new(false),
        recorder: RefCell::new(None),
        reached: Notify::new(),
        plan,
    });
    let target = Rc::new(target);
    let tasks = LocalSet::new();
    let clients: Vec<_> = (0..shared.plan.clients)
        .map(|client| tasks.spawn_local(serve(client, Rc::clone(&target), Rc::clone(&shared), keys)))
        .collect();
    runtime.block_on(tasks.run_until(async {
        let report = shared.measure(keys, warm_up, measured, &mut progress).await;
        shared.stopped.set(true);
        let _ = timeout(LAST_ANSWERS, async {
            for client in clients {
                // One that panicked has said so.
                let _ = client.await;
            }
        })
        .await;
        report
    }))
}

/// The processor time that this process has taken so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

fn interrupted() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "interrupted before anything was measured")
}

impl Shared {
    /// Fills, warms up, measures.
    async fn measure(
        &self,
        keys: u64,
        warm_up: Duration,
        measured: Duration,
        progress: &mut impl FnMut(Progress) -> ControlFlow<()>,
    ) -> io::Result<Report> {
        self.fill(keys, progress).await?;
        let began = Instant::now();
        while began.elapsed() < warm_up {
            sleep(PROGRESS.min(warm_up - began.elapsed())).await;
            let now = Progress { phase: Phase::WarmUp, elapsed: began.elapsed(), done: 0, errors: 0 };
            if progress(now).is_break() {
                return Err(interrupted());
            }
        }
        let (began, cpu) = (Instant::now(), processor_time());
        self.recorder.replace(Some(Recorder::begin(&self.plan, began)));
        // At once, and not after an interval: whoever measures the nodes begins when this does.
        let mut ended = progress(self.progress(began)).is_break();
        while !ended {
            let left = measured.saturating_sub(began.elapsed());
            let reached = timeout(left.min(PROGRESS), self.reached.notified()).await.is_ok();
            ended = reached || began.elapsed() >= measured || progress(self.progress(began)).is_break();
        }
        // The recorder goes first: what is answered from here on is not counted.
        let recorder = self.recorder.take();
        let (now, cpu) = (Instant::now(), processor_time().saturating_sub(cpu));
        let recorder = recorder.ok_or_else(|| io::Error::other("nothing was measured"))?;
        Ok(recorder.end(&self.plan, now, cpu))
    }

    /// Waits until every key has a value.
    async fn fill(
        &self,
        keys: u64,
        progress: &mut impl FnMut(Progress) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let (began, mut last) = (Instant::now(), (Instant::now(), 0));
        while self.filled.get() < keys {
            let _ = timeout(PROGRESS, self.reached.notified()).await;
            let done = self.filled.get();
            let now = Progress { phase: Phase::Prefill, elapsed: began.elapsed(), done, errors: 0 };
            if progress(now).is_break() {
                return Err(interrupted());
            }
            if done > last.1 {
                last = (Instant::now(), done);
            } else if last.0.elapsed() > PREFILL_PATIENCE {
                return Err(io::Error::other(format!(
                    "only {done} of {keys} keys could be written before the measurement; is a majority of the nodes up?"
                )));
            }
        }
        Ok(())
    }

    fn progress(&self, began: Instant) -> Progress {
        let recorder = self.recorder.borrow();
        let (done, errors) =
            recorder.as_ref().map_or((0, 0), |recorder| (recorder.operations(), recorder.errors.total()));
        Progress { phase: Phase::Measured, elapsed: began.elapsed(), done, errors }
    }

    /// Chooses a client's next batch; true when it is one that fills keys.
    fn next(&self, batch: &mut Vec<LoadRequest>, requests: &mut Requests, keys: u64) -> bool {
        batch.clear();
        if let Some(verb) = self.fill {
            let mut again = self.again.borrow_mut();
            while batch.len() < PREFILL_BATCH && (self.unfilled.get() < keys || !again.is_empty()) {
                let key = again.pop().unwrap_or_else(|| self.unfilled.replace(self.unfilled.get() + 1));
                batch.push(LoadRequest { verb, key });
            }
        }
        if !batch.is_empty() {
            return true;
        }
        batch.extend((0..self.plan.pipeline).map(|_| requests.draw(&self.plan.workload)));
        false
    }

    fn filled(&self, request: LoadRequest, answer: LoadAnswer, keys: u64) {
        if matches!(answer, LoadAnswer::Failed(_)) {
            self.again.borrow_mut().push(request.key);
            return;
        }
        self.filled.set(self.filled.get() + 1);
        if self.filled.get() == keys {
            self.reached.notify_one();
        }
    }

    fn count(&self, client: usize, request: LoadRequest, answer: LoadAnswer, sent: Instant) {
        let mut recorder = self.recorder.borrow_mut();
        let Some(recorder) = recorder.as_mut() else { return };
        let now = Instant::now();
        recorder.count(client, request.verb, answer, now - sent, now);
        if self.plan.operations == Some(recorder.operations()) {
            self.reached.notify_one();
        }
    }

    fn fail(&self, failure: Failure) {
        if let Some(recorder) = self.recorder.borrow_mut().as_mut() {
            recorder.fail(failure);
        }
    }
}

/// One client: sends a batch, waits for its answers, and goes to the next node when its own is gone.
async fn serve<T: Target>(client: usize, target: Rc<T>, shared: Rc<Shared>, keys: u64) {
    let (patience, mix) = (shared.plan.patience, shared.plan.workload.mix);
    let mut requests = Requests::of(client);
    let mut batch = Vec::with_capacity(PREFILL_BATCH.max(shared.plan.pipeline));
    let mut attempt = 0;
    while !shared.stopped.get() {
        let mut link = match timeout(patience, target.connect(client, attempt)).await {
            Ok(Ok(link)) => link,
            Ok(Err(_)) | Err(_) => {
                shared.fail(Failure::Connection);
                attempt += 1;
                sleep(AFTER_ERROR).await;
                continue;
            }
        };
        while !shared.stopped.get() {
            let filling = shared.next(&mut batch, &mut requests, keys);
            let sent = Instant::now();
            let (mut answers, mut failed) = (0, false);
            let mut answered = |answer: LoadAnswer| {
                let request = batch[answers];
                answers += 1;
                failed |= matches!(answer, LoadAnswer::Failed(_));
                match filling {
                    true => shared.filled(request, answer, keys),
                    false => {
                        requests.learn(mix, request, answer);
                        shared.count(client, request, answer, sent);
                    }
                }
            };
            let exchanged = timeout(patience, link.exchange(&batch, &mut answered)).await;
            let broken = match exchanged {
                Ok(Ok(())) => None,
                Ok(Err(_)) => Some(Failure::Connection),
                Err(_) => Some(Failure::Timeout),
            };
            if let Some(failure) = broken {
                shared.fail(failure);
                for request in &batch[answers..] {
                    match filling {
                        true => shared.again.borrow_mut().push(request.key),
                        false => requests.learn(mix, *request, LoadAnswer::Failed(failure)),
                    }
                }
                attempt += 1;
                break;
            }
            if failed {
                sleep(AFTER_ERROR).await;
            }
        }
    }
}
