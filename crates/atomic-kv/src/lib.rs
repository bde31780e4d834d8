//! Atomic KV: the node and its tools.
pub mod resp;
