//! Atomic KV: the node, and the command line. The protocol itself is in the crate `abd`, the data in `store`, the other
//! subcommands in `tools`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests wait, on threads of their own"))]

mod buffers;
pub mod cli;
pub mod config;
pub mod fatal;
pub mod fault;
pub mod identity;
pub mod logging;
pub mod memory;
pub mod node;
pub mod private;
