//! The client port: RESP2 and RESP3, as pure code.
//!
//! Bytes become [`Request`]s in [`RequestParser`], a [`Session`] turns each into an [`Action`], and a
//! [`Reply`] becomes bytes again. Nothing here reads a socket, a clock or the store: the node does that,
//! and executes those actions that touch keys.

mod client;
mod command;
mod counts;
mod glob;
mod inline;
mod kill;
mod listed;
mod reply;
mod request;
mod session;
mod table;

#[cfg(test)]
mod tests;

pub use counts::{Counts, by_command, by_error};
pub use listed::Listed;
pub use reply::{Protocol, Reply};
pub use request::{Args, Limits, Oversized, ProtocolError, Request, RequestParser};
pub use session::{Action, Section, ServerInfo, Session};
