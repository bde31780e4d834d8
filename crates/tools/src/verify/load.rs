//! The clients: what they ask, and what may be concluded from the answers.

use crate::load::Random;
use crate::picture::Event;
use crate::resp::{Client, Response};
use lincheck::{Action, History, Operation};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Pause before the next attempt after a failure, so that a cluster that is down is not flooded.
const PAUSE: Duration = Duration::from_millis(10);

/// Errors of one client that are kept one by one; all are counted.
const MOST_EVENTS: usize = 1000;

/// What to ask of whom.
#[derive(Clone, Debug)]
pub struct Load {
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
    /// Completed operations, and writes whose outcome is unknown. Times are nanoseconds since the beginning. What
    /// certainly had no effect is not in it, so if it had one all the same, the value is one that nobody wrote.
    pub history: History,
    /// From the beginning to the end.
    pub span: Duration,
    /// What went wrong, by kind.
    pub errors: BTreeMap<String, u64>,
    /// The same in the order of time, for a picture; not all where there are many.
    pub events: Vec<Event>,
}

impl Recording {
    /// Operations that were answered.
    #[must_use]
    pub fn completed(&self) -> usize {
        self.history.operations.iter().filter(|operation| operation.ret.is_some()).count()
    }

    fn absorb(&mut self, other: Self) {
        self.history.operations.extend(other.history.operations);
        self.events.extend(other.events);
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }
}

/// Lets all clients ask one thing after the other, while `go_on` says so.
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
    recording.history.operations.sort_by_key(|operation| operation.invoke);
    recording.events.sort_by_key(|event| event.at);
    recording
}

/// One client.
struct Driver<'a> {
    load: &'a Load,
    number: usize,
    epoch: Instant,
    /// Counts writes: with the client's number it makes every value unique.
    writes: u64,
    /// Which address is next, or in use.
    turn: usize,
    connection: Option<Client>,
    random: Random,
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
            writes: 0,
            turn: number % load.addresses.len(),
            connection: None,
            random: Random::new(number as u64),
            recording: Recording::default(),
        }
    }

    fn run(mut self, go_on: &impl Fn() -> bool) -> Recording {
        while go_on() {
            let key = &self.load.keys
                [usize::try_from(self.random.below(self.load.keys.len() as u64)).unwrap_or_default()];
            let action = match self.random.below(100) {
                0..50 => Action::Read(None),
                50..95 => {
                    self.writes += 1;
                    Action::Write(format!("{}-{}", self.number, self.writes).into_bytes())
                }
                _ => Action::Delete,
            };
            self.ask(key.as_bytes(), action);
        }
        self.recording
    }

    fn ask(&mut self, key: &[u8], action: Action) {
        let invoke = self.now();
        let ended = match &action {
            Action::Write(value) => self.call(&[b"SET", key, value]),
            Action::Delete => self.call(&[b"DEL", key]),
            _ => self.call(&[b"GET", key]),
        };
        let ret = self.now();
        let mut record = |action, ret| {
            let client = self.number as u64;
            self.recording.history.operations.push(Operation {
                client,
                key: key.to_vec(),
                action,
                invoke,
                ret,
            });
        };
        let (kind, unknown) = match (ended, &action) {
            (Ended::Answered(Response::Bulk(value)), Action::Read(_)) => {
                return record(Action::Read(value), Some(ret));
            }
            (Ended::Answered(Response::Status(_)), Action::Write(_))
            | (Ended::Answered(Response::Integer(_)), Action::Delete) => return record(action, Some(ret)),
            (Ended::Answered(Response::Error(text)), _) => {
                let kind = text.split(' ').next().unwrap_or_default().to_owned();
                // What the node promises about its errors; of any other nobody knows.
                let unknown = !matches!(kind.as_str(), "NOQUORUM" | "ERR");
                (kind, unknown)
            }
            (Ended::Answered(other), _) => (format!("unexpected answer {other:?}"), true),
            (Ended::NotSent(why), _) => (why, false),
            (Ended::Lost(why), _) => (why, true),
        };
        // An unknown read tells nothing.
        if unknown && !action.is_observation() {
            record(action, None);
        }
        if self.recording.events.len() < MOST_EVENTS {
            self.recording.events.push(Event { at: ret, client: self.number as u64, text: kind.clone() });
        }
        *self.recording.errors.entry(kind).or_default() += 1;
        self.connection = None;
        self.turn = (self.turn + 1) % self.load.addresses.len();
        #[expect(clippy::disallowed_methods, reason = "a client has a thread of its own")]
        std::thread::sleep(PAUSE);
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
