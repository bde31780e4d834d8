//! What a node decides, as pure parts: no socket, no thread, no clock, no file. The process (`atomic-kv`) and the simulator
//! (`sim`) run the same parts.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acquaintances;
pub mod addresses;
pub mod admission;
mod body;
pub mod change;
pub mod client;
pub mod clock;
pub mod commit;
pub mod configuration;
pub mod directory;
pub mod endpoint;
pub mod fields;
pub mod frames;
pub mod functions;
mod glob;
pub mod hello;
mod hex;
#[cfg(test)]
mod in_memory;
pub mod inquiry;
pub mod introduction;
pub mod lanes;
pub mod limits;
pub mod lookups;
pub mod news;
pub mod nonce;
pub mod peer;
pub mod repair;
pub mod resp;
pub mod shard;
pub mod slots;
pub mod sweep;
pub mod sync;
pub mod topology;
