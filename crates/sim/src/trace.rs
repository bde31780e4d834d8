//! What happened, in order: for people, for scripts, for pictures, and for the test that a seed is a run.

use crate::directory::Parts;
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
    Started {
        /// Which.
        node: u32,
        /// Its boot count.
        boot: u32,
    },
    /// A process ended.
    Stopped {
        /// Which.
        node: u32,
        /// How.
        how: String,
    },
    /// Parts of a directory are exchanged, whether a process ran on it or not.
    Replaced {
        /// Whose.
        node: u32,
        /// By what.
        parts: Parts,
    },
    /// Somebody who is no member greets a node.
    Stranger {
        /// Which.
        node: u32,
        /// As which.
        claimed: u32,
    },
    /// Somebody has copied a directory.
    Copied {
        /// Whose.
        node: u32,
    },
    /// The members change.
    Members {
        /// Where.
        node: u32,
        /// How.
        text: String,
    },
    /// A node refuses to serve for good.
    Refused {
        /// Which.
        node: u32,
        /// Why.
        why: String,
    },
    /// A node stands still.
    Paused {
        /// Which.
        node: u32,
    },
    /// And goes on.
    Resumed {
        /// Which.
        node: u32,
    },
    /// A client asked.
    Invoked {
        /// Index of the operation.
        operation: usize,
        /// Whose.
        client: u32,
        /// Which.
        node: u32,
        /// In words.
        text: String,
    },
    /// A client was answered, or gave up.
    Answered {
        /// Index of the operation.
        operation: usize,
        /// In words.
        text: String,
    },
    /// An operation entered a phase.
    Phase {
        /// Which.
        node: u32,
        /// Index of the operation.
        operation: usize,
        /// What it does now.
        name: &'static str,
    },
    /// A message left.
    Sent {
        /// Its number.
        message: u64,
        /// Who sent it.
        from: u32,
        /// To whom.
        to: u32,
        /// What it is.
        label: Label,
    },
    /// A message was lost, or arrived where nobody wanted it.
    Lost {
        /// Its number.
        message: u64,
        /// Why.
        why: &'static str,
    },
    /// A message arrived and was handled.
    Arrived {
        /// Its number.
        message: u64,
    },
    /// A batch is durable.
    Synced {
        /// Which.
        node: u32,
        /// How many writes are in it.
        writes: usize,
    },
    /// A node's distance from true time, as it was last read.
    Clock {
        /// Which.
        node: u32,
        /// True time is at most this far after `earliest`, in nanoseconds.
        behind: u64,
        /// True time is at most this far before `latest`, in nanoseconds.
        ahead: u64,
    },
    /// A node's wall clock, as it was last read: ahead of true time, or behind.
    Wall {
        /// Which.
        node: u32,
        /// Wall clock minus true time, in nanoseconds.
        offset: i64,
    },
    /// A link came up or went down.
    Link {
        /// Which.
        node: u32,
        /// To whom.
        peer: u32,
        /// Which of the two.
        up: bool,
    },
    /// A fault of the plan began or ended.
    Fault {
        /// In words.
        text: String,
        /// Whether it begins.
        begins: bool,
    },
    /// A script said something.
    Direction {
        /// In words.
        text: String,
    },
    /// A check failed.
    Convicted {
        /// In words.
        text: String,
    },
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// `LocalRead`.
    Read,
    /// `LocalReadTimestamp`.
    Query,
    /// `LocalWrite`.
    Write,
    /// `Prepare`.
    Prepare,
    /// `Accept`.
    Accept,
    /// A question of repair's, or anything of a sync's.
    Compare,
    /// Which configuration a node serves.
    Configuration,
    /// How a node stands in a change of members.
    News,
    /// The reply to any of them.
    Reply,
}

/// A message, as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its kind.
    pub kind: MessageKind,
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

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Query => "query",
            Self::Write => "write",
            Self::Prepare => "prepare",
            Self::Accept => "accept",
            Self::Configuration => "configuration",
            Self::News => "news",
            Self::Compare => "compare",
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
            Self::Replaced { node, parts } => {
                write!(f, "n{}'s directory is exchanged: {}", n(node), crate::directory::text(*parts))
            }
            Self::Stranger { node, claimed } => {
                write!(f, "a stranger greets n{} as n{}", n(node), n(claimed))
            }
            Self::Members { node, text } => write!(f, "n{} {text}", n(node)),
            Self::Copied { node } => write!(f, "n{}'s directory is copied", n(node)),
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
