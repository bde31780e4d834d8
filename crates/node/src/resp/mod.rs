//! The client port: RESP2 and RESP3, as pure code.
//!
//! Bytes become [`ClientRequest`]s in [`RequestParser`]. A [`Session`] finds the command of each and lets its function make a
//! [`Plan`]: a reply, or operations and how their outcomes become one. A [`Response`] becomes bytes again. What all this must
//! know of the node around it, it asks its [`Host`].

mod alone;
/// The version of Redis whose commands have the same options and error texts here, where they exist. Client libraries choose by it what
/// they send, so it is raised only together with the commands that they send then.
pub const REDIS_VERSION: &str = "7.0.0";

mod command;
mod commands;
mod counts;
mod execution;
mod inline;
mod listed;
mod outcomes;
mod policy;
mod request;
mod response;
mod scripted;
mod session;
mod slow;
mod transaction;

/// Whether there is a command of this name.
pub fn is_command(name: &[u8]) -> bool {
    command::position(&commands::COMMANDS, name).is_some()
}

#[cfg(test)]
mod tests;

pub use command::{AfterInquiry, AfterRun, Answer, Operations, Plan, Planned, Run, Stage, Step, Then};
pub use counts::{CommandCounts, Counts, by_command, by_error};
pub use listed::{CommandPlace, Listed, Names};
pub use outcomes::{Outcomes, drop_answers, drop_value, length, reply};
pub use policy::{DebugCommand, MultiKeys, Policy};
pub use request::{Args, ClientRequest, Limits, Oversized, ProtocolError, RequestParser};
pub use response::{Protocol, Response};
pub use scripted::{Ending, ScriptedKey};
pub use session::{Host, Section, Session};
pub use slow::{SlowRequest, SlowRequests};
