//! The clients: what they ask, and what may be concluded from the answers.

use super::ask::{Ask, fence};
use super::expiries::{LEASE, add_expiries};
use super::fences::Held;
use super::script::{Fate, Script, Workload};
use super::unread::forget_lengths;
use crate::picture::Event;
use crate::resp::{Client, Response};
use lincheck::{Action, History, Operation};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Pause before the next attempt after a failure, so that a cluster that is down is not flooded.
const PAUSE: Duration = Duration::from_millis(10);

/// Errors of one client that are kept one by one; all are counted.
const MOST_EVENTS: usize = 1000;

/// A lock may expire so much later than its time is over: clocks differ.
const LATE: Duration = Duration::from_secs(1);

/// Keys that are looked at once more at the end.
const LAST_LOOKS: usize = 1024;

/// What to ask of whom.
#[derive(Clone, Debug)]
pub struct Load {
    /// What the clients ask.
    pub workload: Workload,
    /// Client addresses of the nodes. Client `i` begins at the `i`-th and goes on to the next when one fails.
    pub addresses: Vec<String>,
    /// How many clients, each with one operation at a time.
    pub clients: usize,
    /// The keys, all absent before.
    pub keys: Vec<String>,
    /// How long an answer may take; after that its outcome is unknown.
    pub patience: Duration,
}

/// What the clients saw.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Completed operations, and writes and updates whose outcome is unknown. Times are nanoseconds since the beginning. What
    /// certainly had no effect is not in it, so if it had one all the same, the value is one that nobody wrote. The
    /// length that an append was answered with is there if some read shows the append.
    pub history: History,
    /// From the beginning to the end; the last looks come after it.
    pub span: Duration,
    /// Who got a lock, and with which fencing token.
    pub held: Vec<Held>,
    /// The client in whose name locks expire in the history, where they may: none of the others.
    pub nobody: Option<u64>,
    /// What went wrong, by kind.
    pub errors: BTreeMap<String, u64>,
    /// The same in the order of time, for a picture; not all where there are many.
    pub events: Vec<Event>,
}

impl Recording {
    /// Operations that were answered.
    #[must_use]
    pub fn completed(&self) -> usize {
        self.by_clients().filter(|operation| operation.ret.is_some()).count()
    }

    /// Operations that clients asked for and that were not answered: writes and updates of unknown outcome.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.by_clients().filter(|operation| operation.ret.is_none()).count()
    }

    /// What clients have asked for.
    pub(super) fn by_clients(&self) -> impl Iterator<Item = &Operation> + Clone {
        self.history.operations.iter().filter(|operation| Some(operation.client) != self.nobody)
    }

    /// The locks that were still there when all must have expired.
    #[must_use]
    pub fn left(&self) -> Vec<&[u8]> {
        let end = u64::try_from(self.span.as_nanos()).unwrap_or(u64::MAX);
        let last = self.by_clients().filter(|operation| self.nobody.is_some() && operation.invoke > end);
        let there = last.filter(|look| matches!(&look.action, Action::Read(Some(_))));
        there.map(|look| &look.key[..]).collect()
    }

    fn absorb(&mut self, other: Self) {
        self.held.extend(other.held);
        self.history.operations.extend(other.history.operations);
        self.events.extend(other.events);
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }
}

/// Lets all clients ask one thing after the other, while `go_on` says so. When all have ended the first one looks at every key
/// once more: so what was acknowledged last counts, too.
pub fn drive(load: &Load, go_on: impl Fn() -> bool + Sync) -> Recording {
    let epoch = Instant::now();
    let mut recording = Recording::default();
    std::thread::scope(|scope| {
        let go_on = &go_on;
        let clients: Vec<_> = (0..load.clients)
            .map(|number| scope.spawn(move || Driver::new(load, number, epoch).run(go_on)))
            .collect();
        for client in clients {
            // A client that panicked is a fault of this program, not of the cluster.
            recording.absorb(client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    recording.span = epoch.elapsed();
    if load.workload == Workload::Lock {
        // Then every lock has expired, if clocks are not far apart.
        pause(LEASE + LATE);
        recording.nobody = Some(load.clients as u64);
    }
    recording.absorb(Driver::new(load, 0, epoch).look_at_all());
    recording.history.operations.sort_by_key(|operation| operation.invoke);
    recording.events.sort_by_key(|event| event.at);
    match (load.workload, recording.nobody) {
        (Workload::Append, _) => forget_lengths(&mut recording.history),
        (_, Some(nobody)) => add_expiries(&mut recording.history, nobody),
        _ => {}
    }
    recording
}

fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "a client has a thread of its own")]
    std::thread::sleep(time);
}

/// One client.
struct Driver<'a> {
    load: &'a Load,
    number: usize,
    epoch: Instant,
    script: Script,
    /// Which address is next, or in use.
    turn: usize,
    connection: Option<Client>,
    recording: Recording,
}

/// What an attempt came to.
enum Ended {
    /// With this answer.
    Answered(Response),
    /// Nothing was sent.
    NotSent(String),
    /// Sent, and then nothing.
    Lost(String),
}

impl<'a> Driver<'a> {
    fn new(load: &'a Load, number: usize, epoch: Instant) -> Self {
        Self {
            load,
            number,
            epoch,
            script: Script::new(load.workload, number),
            turn: number % load.addresses.len(),
            connection: None,
            recording: Recording::default(),
        }
    }

    fn run(mut self, go_on: &impl Fn() -> bool) -> Recording {
        while go_on() {
            let (key, ask) = self.script.next(self.load.keys.len());
            let fate = self.ask(key, &ask);
            self.script.learn(key, &ask, &fate);
        }
        self.recording
    }

    fn look_at_all(mut self) -> Recording {
        for key in 0..self.load.keys.len().min(LAST_LOOKS) {
            let mut attempts = self.load.addresses.iter();
            // Where no node answers the other keys would not be answered either.
            if !attempts.any(|_| matches!(self.ask(key, &Ask::Get), Fate::Answered(_))) {
                break;
            }
        }
        self.recording
    }

    /// Asks and records. After a failure the next node is asked, after a pause.
    fn ask(&mut self, key: usize, ask: &Ask) -> Fate {
        let key = self.load.keys[key].as_bytes();
        let invoke = self.now();
        let ended = self.call(&ask.command(key));
        let ret = self.now();
        let (kind, unknown) = match ended {
            Ended::Answered(Response::Error(text)) => {
                let kind = text.split(' ').next().unwrap_or_default().to_owned();
                // What the node promises about its errors; of any other nobody knows.
                let unknown = !matches!(kind.as_str(), "NOQUORUM" | "ERR");
                (kind, unknown)
            }
            Ended::Answered(response) => match ask.answered(&response) {
                Some(action) => {
                    if let Some(fence) = fence(&response) {
                        let (client, fence) = (self.number as u64, fence.to_vec());
                        let held = Held { key: key.to_vec(), client, fence, asked: invoke, from: ret };
                        self.recording.held.push(held);
                    }
                    self.record(key, action.clone(), invoke, Some(ret));
                    return Fate::Answered(action);
                }
                None => (format!("unexpected answer {response:?}"), true),
            },
            Ended::NotSent(why) => (why, false),
            Ended::Lost(why) => (why, true),
        };
        let action = ask.unanswered();
        // An unknown read tells nothing.
        if unknown && !action.is_observation() {
            self.record(key, action, invoke, None);
        }
        if self.recording.events.len() < MOST_EVENTS {
            self.recording.events.push(Event { at: ret, client: self.number as u64, text: kind.clone() });
        }
        *self.recording.errors.entry(kind).or_default() += 1;
        self.connection = None;
        self.turn = (self.turn + 1) % self.load.addresses.len();
        pause(PAUSE);
        if unknown { Fate::Unknown } else { Fate::Refused }
    }

    fn record(&mut self, key: &[u8], action: Action, invoke: u64, ret: Option<u64>) {
        let client = self.number as u64;
        let operation = Operation { client, key: key.to_vec(), action, invoke, ret };
        self.recording.history.operations.push(operation);
    }

    fn call(&mut self, command: &[&[u8]]) -> Ended {
        let client = match &mut self.connection {
            Some(client) => client,
            none => match Client::connect_with(&self.load.addresses[self.turn], self.load.patience) {
                Ok(client) => none.insert(client),
                Err(why) => return Ended::NotSent(format!("cannot connect ({})", why.kind())),
            },
        };
        match client.call(command) {
            Ok(answer) => Ended::Answered(answer),
            Err(why)
                if matches!(why.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                Ended::Lost(format!("no answer within {:?}", self.load.patience))
            }
            Err(why) => Ended::Lost(format!("connection lost ({})", why.kind())),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
