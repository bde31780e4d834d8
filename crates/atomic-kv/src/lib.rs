//! Atomic KV: the node and its tools. The protocol itself is in the crate `abd`, the data in `store`.

mod buffers;
pub mod cli;
pub mod config;
pub mod fatal;
pub mod identity;
pub mod load;
pub mod node;
pub mod picture;
pub mod resp;
