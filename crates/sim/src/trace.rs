//! What happened, in order: for people, for scripts, for pictures, and for the test that a seed is a run.

use crate::time;
use std::fmt;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: u64,
    /// What.
    pub what: What,
}

/// The kinds of things. Nodes and clients count from zero here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A process started.
    Started { node: u32, boot: u32 },
    /// A process ended.
    Stopped { node: u32, how: String },
    /// A node refuses to serve for good.
    Refused { node: u32, why: String },
    /// A node stands still.
    Paused { node: u32 },
    /// And goes on.
    Resumed { node: u32 },
    /// A client asked.
    Invoked { operation: usize, client: u32, node: u32, text: String },
    /// A client was answered, or gave up.
    Answered { operation: usize, text: String },
    /// An operation entered a phase.
    Phase { node: u32, operation: usize, name: &'static str },
    /// A message left.
    Sent { message: u64, from: u32, to: u32, label: Label },
    /// A message was lost, or arrived where nobody wanted it.
    Lost { message: u64, why: &'static str },
    /// A message arrived and was handled.
    Arrived { message: u64 },
    /// A batch is durable.
    Synced { node: u32, writes: usize },
    /// A node's distance from true time, as it was last read.
    Clock { node: u32, behind: u64, ahead: u64 },
    /// A node's wall clock, as it was last read: ahead of true time, or behind.
    Wall { node: u32, offset: i64 },
    /// A link came up or went down.
    Link { node: u32, peer: u32, up: bool },
    /// A fault of the plan began or ended.
    Fault { text: String, begins: bool },
    /// A script said something.
    Direction { text: String },
    /// A check failed.
    Convicted { text: String },
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `LocalRead`.
    Read,
    /// `LocalReadTimestamp`.
    Query,
    /// `LocalWrite`.
    Write,
    /// The reply to any of them.
    Reply,
}

/// A message, as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its kind.
    pub kind: Kind,
    /// The operation that it belongs to, if it is one of the run's.
    pub operation: Option<usize>,
    /// Its content.
    pub text: String,
}

/// The record of a run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    on: bool,
    /// In order.
    pub entries: Vec<Entry>,
}

impl Trace {
    /// One that records, or one that costs nothing.
    pub fn new(on: bool) -> Self {
        Self { on, entries: Vec::new() }
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Records, if somebody wants it.
    pub fn record(&mut self, at: u64, what: impl FnOnce() -> What) {
        if self.on {
            self.entries.push(Entry { at, what: what() });
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Query => "query",
            Self::Write => "write",
            Self::Reply => "reply",
        })
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |node: &u32| node + 1;
        match self {
            Self::Started { node, boot } => write!(f, "n{} starts, boot {boot}", n(node)),
            Self::Stopped { node, how } => write!(f, "n{} ends: {how}", n(node)),
            Self::Refused { node, why } => write!(f, "n{} refuses to serve: {why}", n(node)),
            Self::Paused { node } => write!(f, "n{} stands still", n(node)),
            Self::Resumed { node } => write!(f, "n{} goes on", n(node)),
            Self::Invoked { operation, client, node, text } => {
                write!(f, "c{} asks n{}: {text} (operation {operation})", n(client), n(node))
            }
            Self::Answered { operation, text } => write!(f, "operation {operation} ends: {text}"),
            Self::Phase { node, operation, name } => {
                write!(f, "n{} {name} for operation {operation}", n(node))
            }
            Self::Sent { message, from, to, label } => {
                write!(f, "n{} -> n{} {} {} (message {message})", n(from), n(to), label.kind, label.text)
            }
            Self::Lost { message, why } => write!(f, "message {message} is lost: {why}"),
            Self::Arrived { message } => write!(f, "message {message} arrives"),
            Self::Synced { node, writes } => write!(f, "n{} has synced {writes} writes", n(node)),
            Self::Clock { node, behind, ahead } => {
                let (behind, ahead) = (time::text(*behind), time::text(*ahead));
                write!(f, "n{} reads its interval: -{behind} +{ahead}", n(node))
            }
            Self::Wall { node, offset } => {
                let sign = if *offset < 0 { '-' } else { '+' };
                write!(f, "n{} reads its wall clock: {sign}{}", n(node), time::text(offset.unsigned_abs()))
            }
            Self::Link { node, peer, up } => {
                write!(f, "n{} {} n{}", n(node), if *up { "is connected to" } else { "has lost" }, n(peer))
            }
            Self::Fault { text, begins } => write!(f, "{} {text}", if *begins { "fault:" } else { "over:" }),
            Self::Direction { text } => write!(f, "[{text}]"),
            Self::Convicted { text } => write!(f, "CONVICTED: {text}"),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            writeln!(f, "{:>16}  {}", micros(entry.at), entry.what)?;
        }
        Ok(())
    }
}

fn micros(at: u64) -> String {
    format!("{}.{:09}", at / time::S, at % time::S)
}
