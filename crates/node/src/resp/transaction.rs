//! What a connection has queued since `MULTI`, and what it watches.
//!
//! A watched key is read when `WATCH` is carried out, and `EXEC` must know what was found. So until that has ended nothing more is looked
//! at on the connection, even if it has come already ([`Transaction::waits`]).

use super::command::Command;
use super::commands::COMMANDS;
use super::request::{Args, COPIED_MAX_BYTES, Limits};
use super::response::Response;
use abd::{Version, counted};
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;

/// Commands that may be queued.
const COMMANDS_MAX: usize = 1 << 16;
/// Keys that may be watched.
const WATCHED_MAX: usize = 1024;
/// What a command that is queued takes, and each of its arguments, beside their bytes; about.
const COMMAND_OVERHEAD: usize = 128;
const ARGUMENT_OVERHEAD: usize = 64;

/// Commands that are carried out at once, whatever is queued.
const AT_ONCE: [&str; 6] = ["discard", "exec", "multi", "quit", "reset", "watch"];

/// Why `EXEC` carries out nothing after a command was refused.
const BROKEN: &str = "EXECABORT Transaction discarded because of previous errors.";

/// The transactional state of a connection.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// What is queued since `MULTI`.
    queue: Option<Queue>,
    watched: Rc<Watched>,
}

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Queued>,
    bytes: usize,
    /// Whether a command was refused.
    is_broken: bool,
}

/// A command that is carried out when `EXEC` comes. Its arguments have been checked.
#[derive(Debug)]
pub(super) struct Queued {
    /// Its place in the table, and that of its subcommand.
    pub(super) place: usize,
    pub(super) subcommand: Option<usize>,
    pub(super) args: Args,
}

impl Queued {
    /// The command, or the subcommand that is meant.
    pub(super) fn command(&self) -> &'static Command {
        let command = &COMMANDS[self.place];
        self.subcommand.map_or(command, |place| &command.subcommands[place])
    }
}

/// A key and the version that it had when it was first watched; `None` until that is known.
type Watch = (Bytes, Option<Version>);

/// The keys that are watched. Whoever still finds out about some of them shares this.
#[derive(Debug, Default)]
pub(super) struct Watched(RefCell<Vec<Watch>>);

impl Watched {
    /// What was found, for the last so many of the keys.
    pub(super) fn found(&self, versions: impl ExactSizeIterator<Item = Version>) {
        let mut watches = self.0.borrow_mut();
        let first = watches.len() - versions.len();
        for ((_, version), found) in watches[first..].iter_mut().zip(versions) {
            *version = Some(found);
        }
    }
}

/// What `EXEC` is to carry out.
pub(super) struct Executed {
    /// The commands, in order.
    pub(super) commands: Vec<Queued>,
    /// The keys that must not have changed, with their versions.
    pub(super) watched: Vec<(Bytes, Version)>,
}

impl Transaction {
    /// Whether commands are queued.
    pub(super) fn is_open(&self) -> bool {
        self.queue.is_some()
    }

    /// Whether nothing more may be looked at before what was asked for has ended.
    pub(super) fn waits(&self) -> bool {
        Rc::strong_count(&self.watched) > 1
    }

    /// `MULTI`.
    pub(super) fn open(&mut self) -> Result<(), Response> {
        if self.is_open() {
            return Err(Response::error("ERR MULTI calls can not be nested"));
        }
        self.queue = Some(Queue::default());
        Ok(())
    }

    /// `DISCARD`.
    pub(super) fn discard(&mut self) -> Result<(), Response> {
        self.queue.take().ok_or_else(|| Response::error("ERR DISCARD without MULTI"))?;
        self.unwatch();
        Ok(())
    }

    /// `UNWATCH`.
    pub(super) fn unwatch(&mut self) {
        self.watched = Rc::default();
    }

    /// `WATCH`: the keys that are not watched yet. What they hold is to be told to [`Watched::found`].
    pub(super) fn watch(&mut self, keys: Args) -> Result<(Vec<Bytes>, Rc<Watched>), Response> {
        if self.is_open() {
            return Err(Response::error("ERR WATCH inside MULTI is not allowed"));
        }
        let mut watches = self.watched.0.borrow_mut();
        let before = watches.len();
        for key in keys.into_iter().skip(1) {
            if watches.iter().all(|(watched, _)| *watched != key) {
                if watches.len() == WATCHED_MAX {
                    watches.truncate(before);
                    return Err(Response::error(format!(
                        "ERR a connection watches {WATCHED_MAX} keys at the most"
                    )));
                }
                watches.push((kept(key), None));
            }
        }
        let new = watches[before..].iter().map(|(key, _)| key.clone()).collect();
        Ok((new, self.watched.clone()))
    }

    /// A command was refused: `EXEC` will carry out nothing.
    pub(super) fn refuse(&mut self) {
        if let Some(queue) = &mut self.queue {
            *queue = Queue { is_broken: true, ..Queue::default() };
        }
    }

    /// Whether a command is to be queued.
    pub(super) fn takes(&self, command: &Queued) -> bool {
        self.is_open() && !AT_ONCE.contains(&COMMANDS[command.place].name)
    }

    /// Queues a command.
    pub(super) fn queue(&mut self, queued: Queued, limits: &Limits) -> Result<Response, Response> {
        let Some(queue) = &mut self.queue else { unreachable!("it takes commands") };
        let bytes = queued.args.iter().map(|argument| argument.len() + ARGUMENT_OVERHEAD).sum::<usize>();
        let bytes = queue.bytes + bytes + COMMAND_OVERHEAD;
        let refused = if queued.command().flags.contains(&"no_multi") {
            Some("ERR Command not allowed inside a transaction".into())
        } else if queue.commands.len() == COMMANDS_MAX {
            Some(format!("ERR a transaction has {COMMANDS_MAX} commands at the most"))
        } else if bytes as u64 > limits.request_bytes() {
            let limit = limits.request_bytes();
            Some(format!("ERR the commands of a transaction have {limit} bytes together at the most"))
        } else {
            None
        };
        if let Some(refused) = refused {
            self.refuse();
            return Err(Response::error(refused));
        }
        if !queue.is_broken {
            let args = queued.args.into_iter().map(kept).collect();
            queue.commands.push(Queued { args, ..queued });
            queue.bytes = bytes;
        }
        Ok(Response::Simple("QUEUED".into()))
    }

    /// `EXEC` was refused itself: all is over.
    pub(super) fn abort(&mut self, why: &str) -> Response {
        *self = Self::default();
        let why = why.strip_prefix("ERR ").unwrap_or(why);
        Response::error(format!("EXECABORT Transaction discarded because of: {why}"))
    }

    /// `EXEC`: what it is to carry out. Nothing is queued or watched then.
    pub(super) fn execute(&mut self) -> Result<Executed, Response> {
        let queue = self.queue.take().ok_or_else(|| Response::error("ERR EXEC without MULTI"))?;
        let watches = self.watched.0.take();
        let watched: Option<Vec<_>> =
            watches.into_iter().map(|(key, version)| version.map(|version| (key, version))).collect();
        match watched {
            Some(watched) if !queue.is_broken => Ok(Executed { commands: queue.commands, watched }),
            // A command was refused, or nobody could tell what a watched key holds.
            _ => Err(Response::error(BROKEN)),
        }
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn held_bytes(&self) -> usize {
        let queued = self.queue.as_ref().map_or(0, |queue| queue.bytes);
        let watched = self.watched.0.borrow();
        queued + watched.iter().map(|(key, _)| key.len() + ARGUMENT_OVERHEAD).sum::<usize>()
    }
}

/// What is kept for long has memory of its own.
fn kept(argument: Bytes) -> Bytes {
    if argument.len() > COPIED_MAX_BYTES { counted::copied(&argument) } else { argument }
}
