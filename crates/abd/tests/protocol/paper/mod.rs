//! The claims of the papers and of PROTOCOL, one test each, under the rule that the test would break.

mod acceptors;
mod epochs;
mod expiry;
mod outcomes;
mod reads;
mod replicas;
mod truetime;
mod updates;
mod versions;

use crate::support::{Message, World, stamped};
use abd::{TimestampMode, Version};

/// A logical cluster.
fn logical(count: u32) -> World {
    World::new(count, TimestampMode::Logical)
}

/// A TrueTime cluster.
fn truetime(count: u32) -> World {
    World::new(count, TimestampMode::TrueTime)
}

/// Every node's disk already holds `value` as of `version`.
fn plant_everywhere(world: &mut World, at: Version, value: &str) {
    for id in world.ids() {
        world.plant(id, stamped(at, value));
    }
}

/// Not a write: reads, and answers of every kind.
fn no_write(message: &Message) -> bool {
    !message.is_write()
}
