//! The claims of the papers and of PROTOCOL, one test each, under the rule that the test would break.

mod acceptors;
mod epochs;
mod expiry;
mod fates;
mod full_disks;
mod outcomes;
mod reads;
mod replicas;
mod truetime;
mod updates;
mod versions;

use crate::support::{Message, Payload, Ticket, World, get, stamped};
use abd::{Operation, Outcome, Reply, Request, TimestampMode, Version};

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

/// What an Update that must have ended well has seen before its effect, and the version that the key has then.
#[track_caller]
fn updated(world: &World, ticket: Ticket) -> (String, Version) {
    match world.outcome(ticket) {
        Some(Outcome::Updated { answers, version }) => {
            (answers.iter().map(|answer| String::from_utf8_lossy(answer)).collect(), *version)
        }
        other => panic!("expected an update, found {other:?}"),
    }
}

/// An operation, and everything that it sends.
fn run(world: &mut World, node: u32, operation: Operation) -> Ticket {
    let ticket = world.submit(node, operation);
    world.deliver_all();
    ticket
}

/// What a Get through a node finds.
fn value(world: &mut World, node: u32) -> Option<String> {
    let ticket = run(world, node, get());
    world.read(ticket)
}

fn is_prepare(message: &Message) -> bool {
    matches!(message.payload, Payload::Request(Request::Prepare { .. }))
}

fn is_accept(message: &Message) -> bool {
    matches!(message.payload, Payload::Request(Request::Accept { .. }))
}

fn is_accepted(message: &Message) -> bool {
    matches!(message.payload, Payload::Reply(Reply::Accepted))
}
