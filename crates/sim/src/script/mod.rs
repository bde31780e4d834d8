//! Scripts: a schedule written down as stage directions, so that a run needs no chance at all.
//!
//! ```text
//! cluster 3 truetime                      or logical; behind it perhaps "repairs", "shows unsynced", "remembers", "short queues",
//!                                         "short backlogs", "little for clients", "heals", "ticks 10ms"
//! n1 clock -2ms +3ms                      the interval: true time is that far from its bounds
//! n1 wall +5s                             the wall clock, compared with true time
//! n2 syncs when told                      its disk waits for a line "n2 syncs"
//! c1 asks n1: set k=x as A                get k, set k=x, delete k, setnx k=x, setifeq k=x if y, getset k=x, append k=x,
//!                                         incrby k=5, delifeq k if x, getdel k, setpx k=x for 10ms, lock k=x for 10ms,
//!                                         pexpire k for 10ms, persist k, getex k for 10ms; A is the name of the operation
//! n1 -> n2 write A arrives                read, query (timestamps), write, prepare, accept or reply; the oldest that is under
//!                                         way. What is sent for several updates of a key at once is named after the oldest
//! n1 -> n3 write A is lost
//! n1 -> n3 write A is copied              then both can arrive
//! n1 n2 settle                            everything between them arrives and is synced, until nothing moves
//! n2 syncs
//! n1 has no room                          on its disk; later perhaps "n1 has room"
//! n1 crashes     n1 loses power     n1 starts     n1 stands still     n1 goes on
//! n1 comes back empty                     or old: on a copy of its disk as it was before the last start
//! a stranger greets n2 as n1              with a boot count far ahead and without any proof, and says that n2 must not go on
//! n1 cannot write its identity            later perhaps "n1 can write its identity", which starts it if it is down
//! n1 is copied                            somebody copies its directory
//! n1 comes back db gone watermark copied  parts of its directory (identity, watermark, db) are gone, copied, or older: as
//!                                         they were before the last start
//! n1 cannot read k                        what it has stored of k is damaged
//! n1 has lost k                           or "what it has accepted of k", "anything from k on", "what it has promised": it finds that
//!                                         at once if it is up, else when it starts
//! n1 stops                                in order: what is in flight ends within a second
//! n1 lets clients write 8 bytes           in a value, and no more
//! n1 -> n2 is dead                        nothing that n1 sends comes through over the connections that there are
//! n1 -> n2 breaks                         the connection, with what is under way on it; there is a new one
//! n1 -> n2 is full                        or has room: the backlog
//! n1 is asked to replace n3                or to add two nodes, remove n2 and the next one, move n3, give up the change; machines that
//!                                         are to be new nodes are there at once
//! time passes 10ms
//! expect A ok                             or pending, refused, unknown, absent, a value, a number
//! expect n3 refuses                       it does not serve any more
//! expect n3 holds k=x                     durably, as its newest version
//! expect n3 is in epoch 4
//! ```
//!
//! Everything that is not said does not happen: a message stays under way until a line delivers it, for ever if none
//! does. Only timers fire by themselves, while time passes; a line takes a microsecond. At the end all checks look at
//! the run.

mod parse;
mod stage;
mod transcript;

pub use parse::ParseError;
pub use stage::{Performance, perform};
pub use transcript::from_trace;

use crate::directory::{self, Parts};
use crate::disk::Loss;
use crate::plan::{OperationKind, Wish};
use crate::time;
use crate::trace;
use abd::TimestampMode;
use std::fmt;

/// A script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Members.
    pub nodes: u32,
    /// How timestamps are chosen.
    pub mode: TimestampMode,
    /// Whether nodes repair what others lack.
    pub repairs: bool,
    /// Whether replicas show writes that are not synced, marked so.
    pub shows_unsynced: bool,
    /// Whether replicas remember what they have read: then they acknowledge at once what they hold.
    pub remembers: bool,
    /// Whether only a few writes may wait for a disk.
    pub short_queues: bool,
    /// Whether only a few messages may wait for a peer that does not read.
    pub short_backlogs: bool,
    /// Whether clients may hold little of a node.
    pub little_for_clients: bool,
    /// Whether nodes that have lost something heal.
    pub heals: bool,
    /// Interval clocks are read in steps of this, in nanoseconds.
    pub tick: u64,
    /// The directions with their line numbers.
    pub directions: Vec<(usize, Direction)>,
    /// Comment lines at the top, without the sign.
    pub preface: Vec<String>,
}

/// One line. Nodes and clients count from zero here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The interval clock: behind, ahead.
    Clock(u32, u64, u64),
    /// The wall clock's offset.
    Wall(u32, i64),
    /// Syncs wait for directions.
    SyncsWhenTold(u32),
    /// A client asks.
    Ask {
        /// Whose.
        client: u32,
        /// Which.
        node: u32,
        /// What.
        kind: OperationKind,
        /// On which key.
        key: String,
        /// What it writes, appends or adds.
        value: String,
        /// What the key must hold.
        expected: String,
        /// For how long what it leaves lives, in milliseconds.
        lives: u64,
        /// The name of the operation.
        name: String,
    },
    /// Something happens to a message.
    Message {
        /// Who sent it.
        from: u32,
        /// To whom.
        to: u32,
        /// What.
        kind: trace::MessageKind,
        /// The name of the operation.
        name: String,
        /// What happens to it.
        fate: Fate,
    },
    /// Everything between these nodes.
    Settle(Vec<u32>),
    /// The disk is done.
    Sync(u32),
    /// The disk is full, or not any more.
    Room(u32, bool),
    /// Its identity can be written, or not.
    Writable(u32, bool),
    /// The process ends; the kernel keeps what was written.
    Crash(u32),
    /// The machine ends; what was not synced is gone.
    PowerCut(u32),
    /// The process starts.
    Start(u32),
    /// The disk is replaced by an empty one, and the process starts.
    Empty(u32),
    /// The disk is replaced by a copy that was made before the last start, and the process starts.
    Old(u32),
    /// What it has stored of a key cannot be read any more.
    Damage(u32, String),
    /// Something that it has stored is lost.
    Lose(u32, Loss),
    /// Somebody who is no member greets the first as the second.
    Stranger(u32, u32),
    /// Somebody copies the directory.
    Copy(u32),
    /// Parts of the directory are exchanged, and the process starts.
    Parts(u32, Parts),
    /// The process stands still.
    Pause(u32),
    /// And goes on.
    Resume(u32),
    /// The process stops in order.
    Stop(u32),
    /// The largest value that a client may write there.
    Limit(u32, u64),
    /// Nothing comes through that the first sends the second over the present connections.
    Mute(u32, u32),
    /// A connection breaks.
    Break(u32, u32),
    /// A backlog is full, or has room again.
    Backlog(u32, u32, bool),
    /// An operator asks for a change of the members.
    Members(u32, Wish),
    /// The epoch of the configuration that a node serves.
    ExpectEpoch(u32, u32),
    /// Time.
    Pass(u64),
    /// What an operation has come to.
    Expect(String, Expected),
    /// The node does not serve any more.
    ExpectRefusal(u32),
    /// The newest version that a replica durably has of a key is this value.
    ExpectHeld(u32, String, String),
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is delivered.
    Arrives,
    /// It is never delivered.
    IsLost,
    /// There are two of it.
    IsCopied,
}

/// What an operation should have come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It has not ended.
    Pending,
    /// The write took effect.
    Ok,
    /// Certainly no effect.
    Refused,
    /// Nobody knows.
    Unknown,
    /// The key was not there.
    Absent,
    /// The key had this value.
    Value(String),
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |node: &u32| format!("n{}", node + 1);
        match self {
            Self::Clock(node, behind, ahead) => {
                write!(f, "{} clock -{} +{}", n(node), time::text(*behind), time::text(*ahead))
            }
            Self::Wall(node, offset) => {
                let sign = if *offset < 0 { '-' } else { '+' };
                write!(f, "{} wall {sign}{}", n(node), time::text(offset.unsigned_abs()))
            }
            Self::SyncsWhenTold(node) => write!(f, "{} syncs when told", n(node)),
            Self::Ask { client, node, kind, key, value, expected, lives, name } => {
                write!(f, "c{} asks {}: {} {key}", client + 1, n(node), kind.name())?;
                if kind.has_value() {
                    write!(f, "={value}")?;
                }
                if kind.has_expected() {
                    write!(f, " if {expected}")?;
                }
                if kind.has_deadline() {
                    write!(f, " for {}", time::text(lives * time::MS))?;
                }
                write!(f, " as {name}")
            }
            Self::Message { from, to, kind, name, fate } => {
                let fate = match fate {
                    Fate::Arrives => "arrives",
                    Fate::IsLost => "is lost",
                    Fate::IsCopied => "is copied",
                };
                write!(f, "{} -> {} {kind} {name} {fate}", n(from), n(to))
            }
            Self::Settle(nodes) => {
                nodes.iter().try_for_each(|node| write!(f, "{} ", n(node)))?;
                f.write_str("settle")
            }
            Self::Sync(node) => write!(f, "{} syncs", n(node)),
            Self::Room(node, room) => {
                write!(f, "{} has {}", n(node), if *room { "room" } else { "no room" })
            }
            Self::Writable(node, can) => {
                write!(f, "{} {} write its identity", n(node), if *can { "can" } else { "cannot" })
            }
            Self::Crash(node) => write!(f, "{} crashes", n(node)),
            Self::PowerCut(node) => write!(f, "{} loses power", n(node)),
            Self::Start(node) => write!(f, "{} starts", n(node)),
            Self::Empty(node) => write!(f, "{} comes back empty", n(node)),
            Self::Old(node) => write!(f, "{} comes back old", n(node)),
            Self::Damage(node, key) => write!(f, "{} cannot read {key}", n(node)),
            Self::Lose(node, loss) => write!(f, "{} has lost {loss}", n(node)),
            Self::Stranger(node, claimed) => write!(f, "a stranger greets {} as {}", n(node), n(claimed)),
            Self::Copy(node) => write!(f, "{} is copied", n(node)),
            Self::Parts(node, parts) => {
                write!(f, "{} comes back {}", n(node), directory::text(*parts).replace(',', ""))
            }
            Self::Pause(node) => write!(f, "{} stands still", n(node)),
            Self::Resume(node) => write!(f, "{} goes on", n(node)),
            Self::Stop(node) => write!(f, "{} stops", n(node)),
            Self::Limit(node, bytes) => write!(f, "{} lets clients write {bytes} bytes", n(node)),
            Self::Mute(from, to) => write!(f, "{} -> {} is dead", n(from), n(to)),
            Self::Break(from, to) => write!(f, "{} -> {} breaks", n(from), n(to)),
            Self::Backlog(from, to, true) => write!(f, "{} -> {} is full", n(from), n(to)),
            Self::Backlog(from, to, false) => write!(f, "{} -> {} has room", n(from), n(to)),
            Self::ExpectHeld(node, key, value) => write!(f, "expect {} holds {key}={value}", n(node)),
            Self::Members(node, wish) => write!(f, "{} is asked to {wish}", n(node)),
            Self::ExpectEpoch(node, epoch) => write!(f, "expect {} is in epoch {epoch}", n(node)),
            Self::Pass(nanos) => write!(f, "time passes {}", time::text(*nanos)),
            Self::Expect(name, expected) => {
                write!(f, "expect {name} ")?;
                match expected {
                    Expected::Pending => f.write_str("pending"),
                    Expected::Ok => f.write_str("ok"),
                    Expected::Refused => f.write_str("refused"),
                    Expected::Unknown => f.write_str("unknown"),
                    Expected::Absent => f.write_str("absent"),
                    Expected::Value(value) => f.write_str(value),
                }
            }
            Self::ExpectRefusal(node) => write!(f, "expect {} refuses", n(node)),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.preface {
            writeln!(f, "{}", format!("# {line}").trim_end())?;
        }
        let mode = match self.mode {
            TimestampMode::Logical => "logical",
            TimestampMode::TrueTime => "truetime",
        };
        let repairs = if self.repairs { " repairs" } else { "" };
        let unsynced = if self.shows_unsynced { " shows unsynced" } else { "" };
        let remembers = if self.remembers { " remembers" } else { "" };
        let queues = if self.short_queues { " short queues" } else { "" };
        let backlogs = if self.short_backlogs { " short backlogs" } else { "" };
        let clients = if self.little_for_clients { " little for clients" } else { "" };
        let heals = if self.heals { " heals" } else { "" };
        let ticks = if self.tick > 1 { format!(" ticks {}", time::text(self.tick)) } else { String::new() };
        writeln!(
            f,
            "cluster {} {mode}{repairs}{unsynced}{remembers}{queues}{backlogs}{clients}{heals}{ticks}",
            self.nodes
        )?;
        self.directions.iter().try_for_each(|(_, direction)| writeln!(f, "{direction}"))
    }
}
