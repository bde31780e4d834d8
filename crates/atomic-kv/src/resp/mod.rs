//! The client port: RESP2 and RESP3, as pure code.
//!
//! Bytes become [`ClientRequest`]s in [`RequestParser`], a [`Session`] turns each into an [`Action`], and a
//! [`Response`] becomes bytes again. Nothing here reads a socket, a clock or the store: the node does that,
//! and executes those actions that touch keys.

mod client_command;
mod command;
mod counts;
mod glob;
mod inline;
mod kill;
mod listed;
mod request;
mod response;
mod session;
mod table;

#[cfg(test)]
mod tests;

pub use counts::{Counts, by_command, by_error};
pub use listed::Listed;
pub use request::{Args, ClientRequest, Limits, Oversized, ProtocolError, RequestParser};
pub use response::{Protocol, Response};
pub use session::{Action, Section, ServerInfo, Session};
