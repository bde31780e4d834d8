//! What a node decides, as pure parts: no socket, no thread, no clock, no file. The process (`atomic-kv`) and the simulator
//! (`sim`) run the same parts.

pub mod acquaintances;
pub mod directory;
pub mod fields;
pub mod hello;
mod nonce;
pub mod room;
