//! The smallest cluster: replicas in memory, one thread, every message delivered at once. For examples and first
//! tests; what can go wrong is shown elsewhere.

use crate::ballot::{Ballot, Scope};
use crate::commit::Unit;
use crate::coordinator::{Config, Coordinator, PAUSE, TimestampMode};
use crate::issuer::TimestampIssuer;
use crate::operation::{Operation, Outcome};
use crate::quorum::{Members, QuorumSystem};
use crate::replica::{Acceptor, AcceptorLimits, Reaction, Replica, Standing, VersionStore};
use crate::time::{Instant, Moment, Now};
use crate::update::{AcceptedRecord, Evaluated, Evaluation};
use crate::value::{Newest, StampedValue};
use crate::version::{NodeId, Version};
use alloc::collections::BTreeMap;
use bytes::Bytes;
use core::convert::Infallible;
use core::num::NonZeroU64;
use core::time::Duration;

/// A store in memory: what it is given is durable at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapStore {
    versions: BTreeMap<Bytes, StampedValue>,
    records: BTreeMap<Bytes, AcceptedRecord>,
    mark: Option<Ballot>,
    configuration: Option<Bytes>,
}

impl VersionStore for MapStore {
    type Error = Infallible;

    fn newest(&self, key: &[u8]) -> Result<Newest, Infallible> {
        let stamped = self.versions.get(key).cloned().unwrap_or(StampedValue::NEVER);
        Ok(Newest { stamped, durable: true })
    }

    fn mark(&self) -> Ballot {
        self.mark.unwrap_or(Ballot::MIN)
    }
}

impl MapStore {
    /// Stores a unit. A version that is not above the newest of its key is that of nobody.
    pub fn commit(&mut self, unit: Unit) {
        if let Some((key, stamped)) = unit.version() {
            let newest = self.versions.entry(key.clone()).or_insert(StampedValue::NEVER);
            if stamped.version > newest.version {
                *newest = stamped.clone();
            }
        }
        match unit {
            Unit::Version { .. } => {}
            Unit::Closing { key, .. } => {
                self.records.remove(&key);
            }
            Unit::Acceptance { key, record, .. } => {
                self.records.insert(key, *record);
            }
            Unit::Mark(mark) => self.mark = self.mark.max(Some(mark)),
            Unit::Configuration(configuration) => self.configuration = Some(configuration),
        }
    }

    /// The last configuration.
    pub fn configuration(&self) -> Option<&Bytes> {
        self.configuration.as_ref()
    }

    /// The newest version of each key.
    pub fn versions(&self) -> impl Iterator<Item = (&Bytes, &StampedValue)> {
        self.versions.iter()
    }

    /// The acceptor that a replica begins its run `boot` with.
    pub fn acceptor(&self, boot: u32, limits: AcceptorLimits) -> Acceptor {
        let mut acceptor = Acceptor::new(boot, Scope::FIRST.epoch, self.mark(), limits);
        for (key, record) in &self.records {
            if self.versions.get(key).map_or(Version::MIN, |newest| newest.version) == record.base {
                acceptor.restore(key.clone(), record.clone());
            }
        }
        acceptor
    }
}

/// A node.
#[derive(Clone, Debug)]
struct Node {
    coordinator: Coordinator,
    issuer: TimestampIssuer,
    store: MapStore,
    acceptor: Acceptor,
}

/// A cluster in one value.
#[derive(Clone, Debug)]
pub struct Loopback {
    nodes: BTreeMap<NodeId, Node>,
}

impl Loopback {
    /// `count` nodes with logical timestamps.
    pub fn new(count: u32) -> Self {
        let members = Members::new((1..=count).map(NodeId).collect());
        let quorums = QuorumSystem::of(members, Scope::FIRST);
        let node = |id: NodeId| {
            let config = Config {
                local: id,
                quorums: quorums.clone(),
                mode: TimestampMode::Logical,
                hedge_after: Duration::from_millis(10),
                rotate_after: NonZeroU64::MIN,
                probe_after: None,
                resend_after: Duration::from_millis(100),
                pause: PAUSE,
            };
            let node = Node {
                coordinator: Coordinator::new(config),
                issuer: TimestampIssuer::new(id, 1),
                store: MapStore::default(),
                acceptor: MapStore::default().acceptor(1, AcceptorLimits::default()),
            };
            (id, node)
        };
        Self { nodes: quorums.voters().iter().map(node).collect() }
    }

    /// Runs one operation without functions through one node's coordinator to its end.
    ///
    /// # Panics
    /// When there is no such node, or when it is an Update.
    pub fn run(&mut self, node: u32, operation: Operation) -> Outcome {
        self.run_with(node, operation, |_| unreachable!("there are no functions"))
    }

    /// Runs one operation; `evaluate` says what its functions come to.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn run_with(
        &mut self,
        node: u32,
        operation: Operation,
        evaluate: impl Fn(&Evaluation) -> Evaluated,
    ) -> Outcome {
        let id = NodeId(node);
        let now = Now { instant: Instant(0), interval: None, moment: Moment::UNKNOWN };
        let replica = Replica { scope: Scope::FIRST, configuration: Bytes::new(), max_future: None };
        let standing = Standing { admitted: true, writable: true };
        let Node { mut coordinator, issuer, .. } = self.nodes[&id].clone();
        coordinator.submit(operation, Instant(1), now, &issuer);
        loop {
            if let Some(evaluation) = coordinator.poll_evaluation() {
                coordinator.handle_evaluated(evaluation.id, evaluate(&evaluation), now, &issuer);
                continue;
            }
            let Some(transmit) = coordinator.poll_transmit() else { break };
            let Some(Node { store, acceptor, .. }) = self.nodes.get_mut(&transmit.to) else { continue };
            let reply = match replica.handle(store, acceptor, transmit.request, standing, 0) {
                Reaction::Reply(reply) => reply,
                Reaction::Commit { unit, reply } => {
                    store.commit(unit);
                    reply.committed()
                }
            };
            coordinator.handle_reply(transmit.to, transmit.call, reply, now, &issuer);
        }
        let Some((_, outcome)) = coordinator.poll_outcome() else {
            unreachable!("every message was delivered, yet the operation has not ended");
        };
        if let Some(entry) = self.nodes.get_mut(&id) {
            (entry.coordinator, entry.issuer) = (coordinator, issuer);
        }
        outcome
    }
}
