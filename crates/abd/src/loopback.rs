//! The smallest cluster: replicas in memory, one thread, every message delivered at once. For examples and first
//! tests; what can go wrong is shown elsewhere.

use crate::coordinator::{Config, Coordinator, TimestampMode};
use crate::issuer::TimestampIssuer;
use crate::operation::{Operation, Outcome};
use crate::quorum::Members;
use crate::replica::{Reaction, Replica, Standing, VersionStore};
use crate::time::{Instant, Now};
use crate::value::{Newest, StampedValue};
use crate::version::NodeId;
use alloc::collections::BTreeMap;
use bytes::Bytes;
use core::convert::Infallible;
use core::num::NonZeroU64;
use core::time::Duration;

/// A map from key to newest version: a store for examples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MapStore(pub BTreeMap<Bytes, StampedValue>);

impl VersionStore for MapStore {
    type Error = Infallible;

    fn newest(&self, key: &[u8]) -> Result<Newest, Infallible> {
        let stamped = self.0.get(key).cloned().unwrap_or(StampedValue::NEVER);
        Ok(Newest { stamped, durable: true })
    }
}

impl MapStore {
    /// Stores a version unless a newer one is there.
    pub fn put(&mut self, key: Bytes, stamped: StampedValue) {
        let entry = self.0.entry(key).or_insert(StampedValue::NEVER);
        if stamped.version > entry.version {
            *entry = stamped;
        }
    }
}

/// A cluster in one value.
#[derive(Clone, Debug)]
pub struct Loopback {
    nodes: BTreeMap<NodeId, (Coordinator, TimestampIssuer, MapStore)>,
}

impl Loopback {
    /// `count` nodes with logical timestamps.
    pub fn new(count: u32) -> Self {
        let members = Members::new((1..=count).map(NodeId).collect());
        let node = |id: NodeId| {
            let config = Config {
                local: id,
                members: members.clone(),
                mode: TimestampMode::Logical,
                hedge_after: Duration::from_millis(10),
                rotate_after: NonZeroU64::MIN,
                probe_after: None,
                resend_after: Duration::from_millis(100),
            };
            (id, (Coordinator::new(config), TimestampIssuer::new(id, 1), MapStore::default()))
        };
        Self { nodes: members.ids().iter().copied().map(node).collect() }
    }

    /// Runs one operation through one node's coordinator to its end.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn run(&mut self, node: u32, operation: Operation) -> Outcome {
        let id = NodeId(node);
        let now = Now { instant: Instant(0), interval: None };
        let replica = Replica { max_future: None };
        let standing = Standing { admitted: true, writable: true };
        let (mut coordinator, issuer, _) = self.nodes[&id].clone();
        coordinator.submit(operation, Instant(1), now, &issuer);
        while let Some(transmit) = coordinator.poll_transmit() {
            let Some((_, _, store)) = self.nodes.get_mut(&transmit.to) else { continue };
            let reply = match replica.handle(store, transmit.request, standing, 0) {
                Reaction::Reply(reply) => reply,
                Reaction::Commit { key, stamped, reply } => {
                    store.put(key, stamped);
                    reply.committed()
                }
            };
            coordinator.handle_reply(transmit.to, transmit.call, reply, now, &issuer);
        }
        let Some((_, outcome)) = coordinator.poll_outcome() else {
            unreachable!("every message was delivered, yet the operation has not ended");
        };
        if let Some(entry) = self.nodes.get_mut(&id) {
            (entry.0, entry.1) = (coordinator, issuer);
        }
        outcome
    }
}
