//! What goes wrong at a moment of its own. What goes wrong all the time (loss, delay, drift) is in the
//! [`Network`](super::Network) and the [`Clocks`](super::Clocks) of the plan.

use crate::directory::{PartState, Parts};
use crate::disk::Loss;
use crate::time;
use std::fmt;

/// Something that goes wrong, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From when.
    pub at: u64,
    /// For how long, in nanoseconds. After a crash: until the restart.
    pub lasts: u64,
    /// What.
    pub what: What,
}

/// The kinds. Nodes count from zero here and from one where people read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// No message passes from the first to the second of any pair.
    Cut {
        /// For the reader.
        shape: Shape,
        /// Who does not reach whom.
        pairs: Vec<(u32, u32)>,
    },
    /// The processes end at once, as by SIGKILL: the kernel keeps what was written.
    Kill(Vec<u32>),
    /// The process stops in order, as by SIGTERM: operations in flight may end, no other begins.
    Stop(u32),
    /// The process ends when it next comes to this point.
    KillAt(u32, Point),
    /// The power goes: what was not synced is lost from some byte on.
    PowerCut(Vec<u32>),
    /// The process stands still, as by SIGSTOP, and then finishes what it was at.
    Pause(u32),
    /// Everything at this node takes this much longer.
    Slow(u32, u64),
    /// The wall clock jumps by this much.
    WallJump(u32, i64),
    /// The wall clock stands still.
    WallFreeze(u32),
    /// Nobody vouches for the clock: no interval.
    ClockUnknown(u32),
    /// No room on the disk.
    DiskFull(u32),
    /// A sync takes this long.
    DiskSlow(u32, u64),
    /// The next sync fails. The process ends and comes back after `lasts`.
    SyncFails(u32),
    /// A byte of what was synced changes; the node must notice or still have the truth elsewhere.
    BitFlip(u32),
    /// A stretch of what was synced reads as zeros; the same.
    Zeroed(u32),
    /// What the node has stored of a key cannot be read any more: node, key.
    Damage(u32, u32),
    /// Something of what the node has stored is lost. It finds that at once if it runs, and else when it starts.
    Lose(u32, Loss),
    /// The node comes back with an empty disk.
    EmptyDisk(u32),
    /// The node comes back with its disk as it was before its last start.
    OldDisk(u32),
    /// The node comes back with parts of its directory missing or from another time.
    Parts(u32, Parts),
    /// Nothing can be written to the node's identity.
    ReadOnly(u32),
    /// Somebody sends this node a version of the far future.
    Poison(u32, u64),
    /// Somebody who is no member greets this node as that one, and says that it must not go on.
    Stranger(u32, u32),
    /// Both directions of all connections of this node are reset.
    Reset(u32),
    /// The connection of the first to the second breaks, and what is under way on it is lost.
    Break(u32, u32),
    /// The second does not read what the first sends, though they are connected.
    Backlog(u32, u32),
    /// Nothing comes through any more of what the first sends the second over the connections that there are.
    Mute(u32, u32),
    /// An operator asks this node to change the members. Machines that are to be new nodes start when the fault ends.
    Members(u32, Wish),
}

/// How the members are to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A new node takes the place of this one.
    Replace(u32),
    /// Two new nodes come.
    Grow,
    /// This member goes, and the next one.
    Shrink(u32),
    /// This one gets another address.
    Move(u32),
    /// The change that is under way is given up.
    Abort,
}

/// Where a process ends, if it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A coordinator has chosen a timestamp, and nobody knows it.
    BeforeWrites,
    /// One replica was sent the write, the others were not.
    BetweenWrites,
    /// A batch is being written.
    InSync,
    /// A batch is durable, and nobody was told.
    AfterSync,
    /// Garbage is being collected.
    InCollection,
    /// The process has just started.
    InRecovery,
}

/// How a partition looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A minority and the rest.
    Minority,
    /// All hear one, and not each other.
    Star,
    /// One is heard by nobody, or hears nobody.
    OneWay,
    /// Two halves that overlap in one node.
    Bridge,
    /// One pair.
    Link,
    /// Nobody reaches anybody.
    Total,
}

impl What {
    /// Leaves out nodes from `nodes` on; whether anything is left.
    pub(crate) fn limit_to(&mut self, nodes: u32) -> bool {
        match self {
            Self::Cut { pairs, .. } => {
                pairs.retain(|(from, to)| *from < nodes && *to < nodes);
                !pairs.is_empty()
            }
            Self::Kill(who) | Self::PowerCut(who) => {
                who.retain(|node| *node < nodes);
                !who.is_empty()
            }
            Self::Stranger(node, claimed) => *node < nodes && *claimed < nodes,
            Self::KillAt(node, _)
            | Self::Stop(node)
            | Self::Pause(node)
            | Self::Slow(node, _)
            | Self::WallJump(node, _)
            | Self::WallFreeze(node)
            | Self::ClockUnknown(node)
            | Self::DiskFull(node)
            | Self::DiskSlow(node, _)
            | Self::SyncFails(node)
            | Self::ReadOnly(node)
            | Self::BitFlip(node)
            | Self::Zeroed(node)
            | Self::Damage(node, _)
            | Self::Lose(node, _)
            | Self::EmptyDisk(node)
            | Self::OldDisk(node)
            | Self::Parts(node, _)
            | Self::Poison(node, _)
            | Self::Reset(node)
            | Self::Members(node, _) => *node < nodes,
            Self::Break(from, to) | Self::Backlog(from, to) | Self::Mute(from, to) => {
                *from < nodes && *to < nodes
            }
        }
    }

    /// Whether it may make a node forget what did not reach whom: its process ends, or it cannot read its own copy any more.
    pub(super) fn forgets(&self) -> bool {
        let ends = matches!(self, Self::Kill(_) | Self::KillAt(..) | Self::PowerCut(_) | Self::SyncFails(_));
        ends || matches!(self, Self::Stop(_))
            || matches!(self, Self::Damage(..) | Self::Lose(..) | Self::Members(..))
            || self.loses_data().is_some()
    }

    /// Whether the node's data is lost for good, so that it must not come back as itself.
    pub fn loses_data(&self) -> Option<u32> {
        match self {
            Self::BitFlip(node)
            | Self::Zeroed(node)
            | Self::EmptyDisk(node)
            | Self::OldDisk(node)
            | Self::Parts(node, _) => Some(*node),
            _ => None,
        }
    }

    /// What becomes of the parts of whose directory.
    pub fn parts(&self) -> Option<(u32, Parts)> {
        match self {
            Self::EmptyDisk(node) => Some((*node, [PartState::Gone; 3])),
            Self::OldDisk(node) => Some((*node, [PartState::Older; 3])),
            Self::Parts(node, parts) => Some((*node, *parts)),
            _ => None,
        }
    }
}

fn names(nodes: &[u32]) -> String {
    nodes.iter().map(|node| format!("n{}", node + 1)).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |node: &u32| node + 1;
        match self {
            Self::Cut { shape, pairs } => {
                let shape = match shape {
                    Shape::Minority => "a minority is cut off",
                    Shape::Star => "all reach only one",
                    Shape::OneWay => "one way is cut",
                    Shape::Bridge => "two halves share one node",
                    Shape::Link => "one link is cut",
                    Shape::Total => "nobody reaches anybody",
                };
                write!(f, "{shape}:")?;
                pairs.iter().try_for_each(|(from, to)| write!(f, " n{}->n{}", n(from), n(to)))
            }
            Self::Kill(who) => write!(f, "kill {}", names(who)),
            Self::KillAt(node, point) => {
                let point = match point {
                    Point::BeforeWrites => "before it sends a write",
                    Point::BetweenWrites => "between two writes",
                    Point::InSync => "while it syncs",
                    Point::AfterSync => "after it has synced",
                    Point::InCollection => "while it collects garbage",
                    Point::InRecovery => "while it starts",
                };
                write!(f, "kill n{} {point}", n(node))
            }
            Self::Stop(node) => write!(f, "n{} stops", n(node)),
            Self::PowerCut(who) => write!(f, "power cut at {}", names(who)),
            Self::Pause(node) => write!(f, "n{} stands still", n(node)),
            Self::Slow(node, by) => write!(f, "n{} is slow by {}", n(node), time::text(*by)),
            Self::WallJump(node, by) => {
                let sign = if *by < 0 { '-' } else { '+' };
                write!(f, "the wall clock of n{} jumps by {sign}{}", n(node), time::text(by.unsigned_abs()))
            }
            Self::WallFreeze(node) => write!(f, "the wall clock of n{} stands still", n(node)),
            Self::ClockUnknown(node) => write!(f, "n{} has no clock bound", n(node)),
            Self::DiskFull(node) => write!(f, "the disk of n{} is full", n(node)),
            Self::DiskSlow(node, by) => write!(f, "a sync at n{} takes {}", n(node), time::text(*by)),
            Self::SyncFails(node) => write!(f, "the next sync at n{} fails", n(node)),
            Self::ReadOnly(node) => write!(f, "n{} cannot write its identity", n(node)),
            Self::BitFlip(node) => write!(f, "a bit flips on the disk of n{}", n(node)),
            Self::Zeroed(node) => write!(f, "a block of the disk of n{} reads as zeros", n(node)),
            Self::Damage(node, key) => {
                let key = super::Plan::key(*key);
                write!(f, "what n{} has stored of {:?} is damaged", n(node), key.escape_ascii().to_string())
            }
            Self::Lose(node, loss) => write!(f, "n{} has lost {loss}", n(node)),
            Self::EmptyDisk(node) => write!(f, "n{} comes back with an empty disk", n(node)),
            Self::OldDisk(node) => write!(f, "n{} comes back with an old copy of its disk", n(node)),
            Self::Parts(node, parts) => {
                write!(f, "n{} comes back with {}", n(node), crate::directory::text(*parts))
            }
            Self::Poison(node, time) => write!(f, "n{} is sent a version of time {time}", n(node)),
            Self::Stranger(node, claimed) => write!(f, "a stranger greets n{} as n{}", n(node), n(claimed)),
            Self::Reset(node) => write!(f, "all connections of n{} are reset", n(node)),
            Self::Break(from, to) => {
                write!(f, "the connection n{}->n{} breaks with messages in it", n(from), n(to))
            }
            Self::Backlog(from, to) => write!(f, "n{} does not read what n{} sends", n(to), n(from)),
            Self::Mute(from, to) => write!(f, "the connections n{}->n{} are dead", n(from), n(to)),
            Self::Members(node, wish) => write!(f, "n{} is asked to {wish}", n(node)),
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replace(node) => write!(f, "replace n{}", node + 1),
            Self::Grow => f.write_str("add two nodes"),
            Self::Shrink(node) => write!(f, "remove n{} and the next one", node + 1),
            Self::Move(node) => write!(f, "move n{}", node + 1),
            Self::Abort => f.write_str("give up the change"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12}  {}", time::text(self.at), self.what)?;
        if self.lasts > 0 { write!(f, ", for {}", time::text(self.lasts)) } else { Ok(()) }
    }
}
