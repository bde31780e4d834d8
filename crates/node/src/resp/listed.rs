//! What others may see of a connection: its line in `CLIENT LIST`.
//!
//! The connection's own event loop writes it, any other reads it; so it is shared, and what changes with every request is
//! a number that costs no lock. Names change rarely: the [`Host`](super::Host) is told them.

use super::command::Command;
use super::commands::COMMANDS;
use super::response::Protocol;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

/// A connection as others see it.
#[derive(Debug)]
pub struct Listed {
    id: u64,
    pub(super) peer: String,
    pub(super) local: String,
    pub(super) opened: Duration,
    /// When the client sent something, in nanoseconds since the process started.
    active: AtomicU64,
    /// The [`CommandPlace`] of the command handled last.
    last_command: AtomicU32,
    /// 2 or 3.
    protocol: AtomicU8,
}

/// A command and its subcommand: each by its place in the table and one more, as two halves; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandPlace(u32);

impl CommandPlace {
    /// The place of the command.
    pub(super) fn index(self) -> Option<usize> {
        usize::try_from(self.0 >> 16).ok()?.checked_sub(1)
    }

    fn command(self) -> Option<&'static Command> {
        COMMANDS.get(self.index()?)
    }

    fn subcommand(self) -> Option<&'static Command> {
        self.command()?.subcommands.get(usize::try_from(self.0 & 0xffff).ok()?.checked_sub(1)?)
    }

    /// The one and the other, if there is one.
    pub(super) fn both(self) -> impl Iterator<Item = &'static Command> {
        self.command().into_iter().chain(self.subcommand())
    }
}

/// What a client says about itself.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Its own name.
    pub name: String,
    /// The library that it uses.
    pub library: String,
    /// And that one's version.
    pub library_version: String,
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Listed {
    pub(super) fn new(id: u64, peer: String, local: String, opened: Duration) -> Self {
        Self {
            id,
            peer,
            local,
            opened,
            active: AtomicU64::new(nanoseconds(opened)),
            last_command: AtomicU32::new(0),
            protocol: AtomicU8::new(2),
        }
    }

    /// The connection's number, unique within the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether the client is on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.peer.starts_with("127.") || self.peer.starts_with("[::1]:")
    }

    pub(super) fn heard(&self, now: Duration) {
        self.active.store(nanoseconds(now), Ordering::Relaxed);
    }

    pub(super) fn speaks(&self, protocol: Protocol) {
        self.protocol.store(u8::try_from(protocol.number()).unwrap_or(2), Ordering::Relaxed);
    }

    /// Notes a command and its subcommand, by their places in the table.
    pub(super) fn note(&self, command: usize, subcommand: Option<usize>) {
        let number = |place: usize| u32::try_from(place + 1).unwrap_or(0);
        let noted = number(command) << 16 | subcommand.map_or(0, number);
        self.last_command.store(noted, Ordering::Relaxed);
    }

    /// As `CLIENT LIST` and error messages name it.
    pub(super) fn last_command(&self) -> String {
        let names: Vec<&str> = self.noted().both().map(|command| command.name).collect();
        if names.is_empty() { "NULL".to_owned() } else { names.join("|") }
    }

    /// The command that was handled last.
    pub fn noted(&self) -> CommandPlace {
        CommandPlace(self.last_command.load(Ordering::Relaxed))
    }

    pub(super) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.opened)
    }

    /// The line, without its end. `now` is [`Host::uptime`](super::Host::uptime).
    ///
    /// Client libraries insist on fields that mean nothing here; those are zero.
    pub fn describe(&self, names: &Names, now: Duration) -> String {
        let Names { name, library, library_version } = names;
        let idle = nanoseconds(now).saturating_sub(self.active.load(Ordering::Relaxed)) / 1_000_000_000;
        format!(
            "id={} addr={} laddr={} fd=0 name={name} age={} idle={idle} flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 \
             watch=0 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 \
             events=r cmd={} user=default redir=-1 resp={} lib-name={library} lib-ver={library_version}",
            self.id,
            self.peer,
            self.local,
            self.age(now).as_secs(),
            self.last_command(),
            self.protocol.load(Ordering::Relaxed),
        )
    }
}
