//! `EXEC`: queued commands as updates of their keys, and the answers to those as the replies of the commands.
//!
//! All that the commands do to one key is one [`Operation::Update`], so nobody comes between. The version that a watched key had goes in
//! front as a guard. Several keys are several updates, if the node's settings allow that: each is atomic, the whole is not. Then the
//! watched keys are looked at before any update begins, and the guards notice only what has changed since.

use super::alone::Part;
use super::command::{Answer, Call, Plan, Planned, Run, Stage, Step, position};
use super::commands::COMMANDS;
use super::outcomes::{Outcomes, answer_to, reply};
use super::policy::MultiKeys;
use super::response::Response;
use super::session::{Host, Session};
use super::transaction::{Executed, Queued};
use crate::clock::Clock;
use crate::functions::{Function, FunctionAnswer, FunctionError, Script};
use abd::{Operation, Outcome, Version};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Keys longer than this are cut in errors, in bytes.
const SHOWN_BYTES: usize = 64;

/// A command that is carried out.
enum Item {
    /// It needs no key.
    Ready(Response),
    /// It has operations, which are parts of updates.
    Parts { parts: Vec<Placed>, answer: Answer },
}

/// An operation of a command.
struct Placed {
    part: Part,
    /// Its update, and the place of its first function there.
    update: usize,
    first: usize,
}

/// What is done to one key.
struct KeyUpdate {
    key: Bytes,
    /// The version that it must have.
    guard: Option<Version>,
    functions: Vec<abd::Function>,
    /// Whether a command tells the version that the key has after it.
    tells_version: bool,
}

/// What is done to all keys, in the order in which they are named.
#[derive(Default)]
struct Updates {
    /// The first key that is named, and whether it must be the only one.
    home: Option<Bytes>,
    refuses: bool,
    all: Vec<KeyUpdate>,
    places: BTreeMap<Bytes, usize>,
}

/// How an update has ended.
enum Ended {
    /// With these answers of its functions.
    Answered { answers: Vec<Bytes>, version: Version },
    /// Without effect, and the reply of its commands is this.
    Nothing(Response),
    /// As a watched key had changed.
    Aborted,
    /// Not well.
    Failed(Outcome),
}

/// Plans what `EXEC` does. Commands that are about no key are carried out now.
pub(super) fn plan(executed: Executed, session: &mut Session, host: &dyn Host) -> Planned {
    let Executed { commands, watched } = executed;
    let place = position(&COMMANDS, b"exec").expect("it is being carried out");
    let refuses = host.policy().multi_keys == MultiKeys::Refuse;
    if refuses {
        let named = commands.iter().flat_map(|queued| queued.command().keys_of(&queued.args));
        check_one_key(named.chain(watched.iter().map(|(key, _)| key)))?;
    }
    let named = commands.iter().flat_map(|queued| queued.command().keys_of(&queued.args));
    let home = named.chain(watched.iter().map(|(key, _)| key)).next().cloned();
    let mut updates = Updates { home, refuses, ..Updates::default() };
    let items = commands.into_iter().map(|queued| updates.add(queued, session, host));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    // Whatever is told of the request is told of EXEC.
    session.listed().note(place, None);
    let touched = updates.all.len();
    for (key, version) in &watched {
        updates.of(key).guard = Some(*version);
    }
    let mut updates = updates.all;
    if refuses {
        // Commands may be about keys that their arguments do not name by place.
        check_one_key(updates.iter().map(|update| &update.key))?;
    }
    let is_atomic = updates.len() <= 1;
    let looked = if is_atomic { Vec::new() } else { watched };
    if !is_atomic {
        updates.truncate(touched);
    }
    let begun: Vec<_> = updates.iter().map(KeyUpdate::operation).collect();
    let execution = Execution { hears_all: !is_atomic, items, updates };
    if looked.is_empty() {
        return Ok(execution.begin(begun, host));
    }
    // What the commands hold is a part of what is begun then, or smaller.
    let held = begun.iter().map(Operation::size).sum();
    let look = |(key, version)| Operation::Update { key, functions: vec![Function::Guard(version).encode()] };
    let looks = looked.into_iter().map(look).collect();
    let after = move |looks: Outcomes, host: &dyn Host| {
        if looks.iter().all(is_unchanged) {
            return Ok(execution.begin(begun, host));
        }
        let failed = looks.into_iter().filter(|look| !matches!(look, Outcome::Updated { .. })).take(1);
        Ok(Plan::Reply(reply(failed.collect(), Box::new(|_, _| Response::NullArray), host)))
    };
    Ok(Plan::First(Stage { step: Step::Run(looks, Box::new(after)), held }))
}

/// Whether a look at a watched key has found it as it was.
fn is_unchanged(look: &Outcome) -> bool {
    matches!(answer_to(look), Some(FunctionAnswer::Ok))
}

/// Without a setting that allows it, all keys must be one.
fn check_one_key<'a>(mut keys: impl Iterator<Item = &'a Bytes>) -> Result<(), Response> {
    let Some(first) = keys.next() else { return Ok(()) };
    let Some(other) = keys.find(|key| *key != first) else { return Ok(()) };
    Err(Response::error(format!(
        "EXECABORT Transaction discarded because it is about more than one key ('{}', '{}'): only what is done to one key is \
         atomic here. With --multi-keys per-key each key's part is",
        shown(first),
        shown(other)
    )))
}

impl Updates {
    /// What is done to a key.
    fn of(&mut self, key: &Bytes) -> &mut KeyUpdate {
        let place = self.place_of(key);
        &mut self.all[place]
    }

    fn place_of(&mut self, key: &Bytes) -> usize {
        let next = self.all.len();
        let place = *self.places.entry(key.clone()).or_insert(next);
        if place == next {
            let key = key.clone();
            self.all.push(KeyUpdate { key, guard: None, functions: Vec::new(), tells_version: false });
        }
        place
    }

    /// Plans a command. An error is that of the whole.
    fn add(&mut self, queued: Queued, session: &mut Session, host: &dyn Host) -> Result<Item, Response> {
        let command = queued.command();
        host.counts().call(queued.place);
        // Errors name the command that was handled last.
        session.listed().note(queued.place, queued.subcommand);
        let run = match (command.run)(Call { args: queued.args, session, host }) {
            Ok(Plan::Run(run)) => run,
            Ok(Plan::Reply(reply)) | Err(reply) => {
                host.counts().reply(&reply);
                return Ok(Item::Ready(reply));
            }
            Ok(_) => return Err(not_here(command.name)),
        };
        let Run { operations, tells_version, answer, .. } = run;
        let parts = operations.into_iter().map(|operation| self.place(operation, tells_version));
        Ok(Item::Parts { parts: parts.collect::<Result<_, _>>()?, answer })
    }

    /// A script that names no key is about that of its transaction, as far as anybody knows; so is every one if there is but one key.
    fn at_home(&mut self, operation: Operation) -> Operation {
        match operation {
            Operation::Update { key, functions } if functions.iter().any(Script::is_in) => {
                let home = self.home.get_or_insert_with(|| key.clone());
                let key = if key.is_empty() || self.refuses { home.clone() } else { key };
                Operation::Update { key, functions }
            }
            other => other,
        }
    }

    fn place(&mut self, operation: Operation, tells_version: bool) -> Result<Placed, Response> {
        let part = Part::of(self.at_home(operation), tells_version);
        let place = self.place_of(&part.key);
        let update = &mut self.all[place];
        if update.tells_version && part.functions.iter().any(may_change) {
            return Err(Response::error(
                "EXECABORT Transaction discarded because the key may change behind a command that tells its version",
            ));
        }
        update.tells_version |= tells_version;
        let first = update.functions.len();
        update.functions.extend(part.functions.iter().cloned());
        Ok(Placed { part, update: place, first })
    }
}

fn may_change(function: &abd::Function) -> bool {
    !matches!(Function::decode(&function.encoded), Ok(Function::Read { .. }))
}

/// It was queued, and is nothing that is done to keys.
fn not_here(name: &str) -> Response {
    Response::error(format!("EXECABORT Transaction discarded because '{name}' is not allowed inside one"))
}

impl KeyUpdate {
    fn operation(&self) -> Operation {
        let guard = self.guard.map(|version| Function::Guard(version).encode());
        let functions = guard.into_iter().chain(self.functions.iter().cloned()).collect();
        Operation::Update { key: self.key.clone(), functions }
    }

    /// What its outcome says.
    fn ended(&self, outcome: Outcome) -> Ended {
        let Outcome::Updated { mut answers, version } = outcome else { return Ended::Failed(outcome) };
        let Some(first) = answers.first() else {
            return Ended::Nothing(Response::error(format!(
                "ERR the answers of the transaction are too large together: what it does to '{}' was done",
                shown(&self.key)
            )));
        };
        match FunctionAnswer::decode(first).expect("this node has encoded it") {
            FunctionAnswer::Aborted => return Ended::Aborted,
            FunctionAnswer::Error(error @ FunctionError::AnswersTooLarge) => {
                return Ended::Nothing(Response::error(error.to_string()));
            }
            _ => {}
        }
        if self.guard.is_some() {
            answers.remove(0);
        }
        Ended::Answered { answers, version }
    }
}

/// What is carried out.
struct Execution {
    /// Whether what fails of several updates fails for itself.
    hears_all: bool,
    items: Vec<Item>,
    updates: Vec<KeyUpdate>,
}

impl Execution {
    /// The updates, if there are any, and the reply to `EXEC` from their outcomes.
    fn begin(self, updates: Vec<Operation>, host: &dyn Host) -> Plan {
        if updates.is_empty() {
            return Plan::Reply(self.answer(Outcomes::new(), host));
        }
        Plan::Run(Run {
            operations: updates.into_iter().collect(),
            needs_values: false,
            tells_version: false,
            hears_all: self.hears_all,
            is_alone: false,
            answer: Box::new(move |outcomes, clock| self.answer(outcomes, clock)),
            then: None,
        })
    }

    /// The reply to `EXEC`.
    fn answer(self, outcomes: Outcomes, clock: &dyn Clock) -> Response {
        let mut ended: Vec<_> =
            self.updates.iter().zip(outcomes).map(|(update, outcome)| update.ended(outcome)).collect();
        if !ended.is_empty() && ended.iter().all(|ended| matches!(ended, Ended::Aborted)) {
            return Response::NullArray;
        }
        if let [Ended::Nothing(reply)] = &mut *ended {
            return core::mem::replace(reply, Response::Null);
        }
        Response::Array(self.items.into_iter().map(|item| item.reply(&ended, clock)).collect())
    }
}

impl Item {
    fn reply(self, ended: &[Ended], clock: &dyn Clock) -> Response {
        let (parts, answer) = match self {
            Self::Ready(reply) => return reply,
            Self::Parts { parts, answer } => (parts, answer),
        };
        let mut outcomes = Outcomes::new();
        for Placed { part, update, first } in parts {
            outcomes.push(match &ended[update] {
                Ended::Answered { answers, version } => {
                    let answers = &answers[first..first + part.functions.len()];
                    part.outcome(answers.to_vec(), *version)
                }
                Ended::Nothing(reply) => return reply.clone(),
                Ended::Aborted => {
                    return Response::error(format!(
                        "ERR the watched key '{}' has changed: this part of the transaction had no effect",
                        shown(&part.key)
                    ));
                }
                Ended::Failed(outcome) => outcome.clone(),
            });
        }
        reply(outcomes, answer, clock)
    }
}

fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(&key[..key.len().min(SHOWN_BYTES)]).into_owned()
}
