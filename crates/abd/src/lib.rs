//! Multi-writer ABD (Attiya, Bar-Noy, Dolev 1995; Lynch, Shvartsman 1997) as pure state machines.
//!
//! There is no I/O in this crate, no clock, no entropy, no async: what a method needs to know about the world is an
//! argument, what it wants done is a return value. The same code runs in the node, in tests and in simulations.
//!
//! Read in this order: [`version`] (the total order), [`coordinator`] (the two phases), [`replica`] (what must be
//! durable before it is told), [`quorum`], [`message`], [`wire`].
//!
//! ```
//! use abd::{Operation, Outcome};
//! use abd::loopback::Loopback;
//!
//! // Three replicas in memory, every message delivered at once.
//! let mut cluster = Loopback::new(3);
//! cluster.run(1, Operation::Set { key: "k".into(), value: "v".into(), deadline: abd::Deadline::NONE });
//! let Outcome::Read(stamped) = cluster.run(2, Operation::Get { key: "k".into() }) else { panic!() };
//! assert_eq!(stamped.content.value().unwrap(), "v");
//! ```

#![no_std]

extern crate alloc;

pub mod ballot;
pub mod commit;
pub mod coordinator;
pub mod counted;
pub mod issuer;
pub mod loopback;
pub mod message;
pub mod operation;
pub mod quorum;
pub mod replica;
pub mod reserved;
pub mod time;
pub mod update;
pub mod value;
pub mod version;
pub mod wire;

pub use ballot::{Ballot, Scope, UpdateId};
pub use commit::{Fit, ListedWrites, Unit, WriteGroup};
pub use coordinator::{Config, Coordinator, PAUSE, TimestampMode, Transmit, ValueFound};
pub use issuer::{CeilingReached, TimestampIssuer};
pub use message::{CallId, Closed, Promise, Refusal, Reply, Request};
pub use operation::{Operation, OperationId, Outcome, Reason};
pub use quorum::{Members, NodeSet, QuorumSystem, Tally};
pub use replica::{
    Acceptor, AcceptorLimits, AfterCommit, Before, Reaction, Replica, Standing, Unanswered, VersionStore,
};
pub use reserved::{RESERVED, is_reserved, needs_room};
pub use time::{ClockError, Instant, Interval, IntervalClock, Moment, NANOS_PER_MILLI, Now};
pub use update::{
    Acceptance, AcceptedRecord, AcceptedThere, Base, Evaluated, EvaluatedOperation, Evaluation, EvaluationId,
    Function, FunctionAnswer, Proposal, Told,
};
pub use value::{Content, Deadline, Glimpse, Newest, StampedValue};
pub use version::{NodeId, TIME_CEILING, Timestamp, Version, VersionError};
