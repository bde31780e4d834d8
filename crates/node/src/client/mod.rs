//! Clients: what is said on a connection, what they may hold of a node, whose turn it is, how long they are waited for.
//!
//! A [`conversation`] is a connection without its socket. It turns bytes into requests ([`front`]), requests into operations
//! (the pipeline), and outcomes into replies, in order. What it needs of its event loop is the trait
//! [`Operations`](operations::Operations).

pub mod answers;
pub mod budget;
pub mod conversation;
pub mod descriptors;
pub mod front;
pub mod operations;
mod output;
mod owed;
pub mod parked;
pub mod patience;
mod pipeline;
pub mod service;
mod took;
pub mod turns;

#[cfg(test)]
mod tests;
