//! A scripted world: real coordinators and replicas, and a pool of messages over which the test has full control.
//!
//! Nothing moves unless the test says so. A message stays in the pool until it is delivered or dropped; time passes
//! only through [`World::advance`]. That makes a trace on paper and a test the same list of steps.

use crate::functions::evaluate;
pub(crate) use crate::made::{delete, fresh_acceptor, get, read_reply, set, stamped, version};
pub(crate) use crate::messages::{Message, Payload};
use abd::loopback::MapStore;
use abd::{
    Acceptor, AcceptorLimits, AfterCommit, Ballot, Config, Content, Coordinator, Instant, Interval, Members,
    Moment, Newest, NodeId, Now, Operation, OperationId, Outcome, PAUSE, QuorumSystem, Reaction, Replica,
    Reply, Scope, StampedValue, Standing, TimestampIssuer, TimestampMode, Unit, Version, VersionStore,
};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

/// The one key that most tests use.
pub(crate) const KEY: &str = "k";

/// How long an operation may take unless the test says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// When a query phase asks everybody.
pub(crate) const HEDGE: Duration = Duration::from_millis(10);

/// So many operations prefer the same majority.
pub(crate) const ROTATE_AFTER: NonZeroU64 = NonZeroU64::new(4).unwrap();

/// First pause before a repetition.
pub(crate) const RESEND: Duration = Duration::from_millis(100);

/// A store with a page cache: what is in `synced` survives a power cut, what is in `cache` does not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// Survives.
    pub(crate) synced: MapStore,
    /// Does not.
    pub(crate) cache: MapStore,
    /// Whether writes stay in the cache, and their replies sealed, until [`World::fsync`].
    pub(crate) lazy: bool,
    /// Whether what was stored at some moment cannot be read any more.
    pub(crate) damaged: bool,
}

/// The disk is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

impl VersionStore for Disk {
    type Error = Damaged;

    fn newest(&self, key: &[u8]) -> Result<Newest, Damaged> {
        if self.damaged {
            return Err(Damaged);
        }
        let Ok(synced) = self.synced.newest(key);
        let Ok(cached) = self.cache.newest(key);
        if cached.stamped.version > synced.stamped.version {
            return Ok(Newest { durable: false, ..cached });
        }
        Ok(synced)
    }

    fn mark(&self) -> Ballot {
        self.synced.mark()
    }

    fn is_damage(_: &Damaged) -> bool {
        true
    }
}

/// One node: a coordinator, a replica and a disk.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The state machine under test.
    pub(crate) coordinator: Coordinator,
    /// Its issuer.
    pub(crate) issuer: TimestampIssuer,
    /// Its incarnation.
    pub(crate) boot: u32,
    /// Its data.
    pub(crate) disk: Disk,
    /// What it has promised and accepted in this life.
    pub(crate) acceptor: Acceptor,
    /// Which configuration its replica serves.
    pub(crate) scope: Scope,
    /// What its replica may do.
    pub(crate) standing: Standing,
    /// What its interval clock says.
    pub(crate) interval: Option<Interval>,
    /// By what it judges that values have expired.
    pub(crate) moment: Moment,
    /// Writes whose fsync has not returned.
    sealed: Vec<(Unit, Message, AfterCommit)>,
}

/// An operation that a test started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    /// Where.
    pub(crate) node: u32,
    /// In which of the node's lives.
    pub(crate) boot: u32,
    /// Its id there.
    pub(crate) id: OperationId,
}

/// All nodes and all messages under way.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Nodes by id, from 1.
    pub(crate) nodes: BTreeMap<u32, Node>,
    /// Messages under way, in the order of sending.
    pub(crate) pool: Vec<Message>,
    /// The monotonic clock that all share.
    pub(crate) instant: Instant,
    /// The horizon of the replicas, with `latest` for their clock.
    pub(crate) replica: Replica,
    /// What the replicas take for the time now.
    pub(crate) latest: u64,
    outcomes: BTreeMap<Ticket, Outcome>,
    config: Config,
}

impl World {
    /// `count` nodes with empty disks and, in TrueTime mode, clocks that say exactly 1000.
    pub(crate) fn new(count: u32, mode: TimestampMode) -> Self {
        let config = Config {
            local: NodeId(1),
            quorums: QuorumSystem::of(Members::new((1..=count).map(NodeId).collect()), Scope::FIRST),
            pause: PAUSE,
            mode,
            hedge_after: HEDGE,
            rotate_after: ROTATE_AFTER,
            probe_after: None,
            resend_after: RESEND,
        };
        let interval = match mode {
            TimestampMode::Logical => None,
            TimestampMode::TrueTime => Some(Interval { earliest: 1000, latest: 1000 }),
        };
        let node = |id: u32| Node {
            coordinator: Coordinator::new(Config { local: NodeId(id), ..config.clone() }),
            issuer: TimestampIssuer::new(NodeId(id), 1),
            boot: 1,
            disk: Disk::default(),
            acceptor: fresh_acceptor(),
            scope: Scope::FIRST,
            standing: Standing { admitted: true, writable: true },
            interval,
            moment: Moment::UNKNOWN,
            sealed: Vec::new(),
        };
        Self {
            nodes: (1..=count).map(|id| (id, node(id))).collect(),
            pool: Vec::new(),
            instant: Instant(0),
            replica: Replica { scope: Scope::FIRST, configuration: bytes::Bytes::new(), max_future: None },
            latest: 0,
            outcomes: BTreeMap::new(),
            config,
        }
    }

    /// A node, to look at or to tamper with.
    pub(crate) fn node(&mut self, id: u32) -> &mut Node {
        self.nodes.get_mut(&id).expect("no such node")
    }

    /// Sets what a node's clock says.
    pub(crate) fn clock(&mut self, id: u32, earliest: u64, latest: u64) {
        self.node(id).interval = Some(Interval { earliest, latest });
    }

    /// A node's coordinator begins with these.
    pub(crate) fn restrict(&mut self, id: u32, quorums: &QuorumSystem) {
        let config = Config { local: NodeId(id), quorums: quorums.clone(), ..self.config.clone() };
        self.node(id).coordinator = Coordinator::new(config);
    }

    /// A node installs a configuration: its replica serves that and no older one, and what its coordinator has in flight goes on in it.
    pub(crate) fn install(&mut self, id: u32, quorums: &QuorumSystem) {
        let instant = self.instant;
        let node = self.node(id);
        let now = Now { instant, interval: node.interval, moment: node.moment };
        node.scope = quorums.scope();
        node.acceptor.install(node.scope.epoch);
        node.coordinator.install(quorums.clone(), now, &node.issuer);
        self.collect(id);
    }

    /// Starts an operation with the usual patience.
    pub(crate) fn submit(&mut self, id: u32, operation: Operation) -> Ticket {
        self.submit_within(id, operation, PATIENCE)
    }

    /// Starts an operation with a deadline of its own.
    pub(crate) fn submit_within(&mut self, id: u32, operation: Operation, patience: Duration) -> Ticket {
        let instant = self.instant;
        let node = self.node(id);
        let now = Now { instant, interval: node.interval, moment: node.moment };
        let operation = node.coordinator.submit(operation, instant + patience, now, &node.issuer);
        let ticket = Ticket { node: id, boot: node.boot, id: operation };
        self.collect(id);
        ticket
    }

    /// Gives an operation up.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        self.node(ticket.node).coordinator.cancel(ticket.id);
        self.collect(ticket.node);
    }

    /// How an operation ended, if it has.
    pub(crate) fn outcome(&self, ticket: Ticket) -> Option<&Outcome> {
        self.outcomes.get(&ticket)
    }

    /// What a Get that must have ended well has read; `None` is an absent key.
    #[track_caller]
    pub(crate) fn read(&self, ticket: Ticket) -> Option<String> {
        match self.outcome(ticket) {
            Some(Outcome::Read(stamped)) => match &stamped.content {
                Content::Value(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
                Content::Tombstone => None,
            },
            other => panic!("expected a value read, found {other:?}"),
        }
    }

    /// The version of a Set or Delete that must have ended well.
    #[track_caller]
    pub(crate) fn written(&self, ticket: Ticket) -> Version {
        match self.outcome(ticket) {
            Some(Outcome::Written { version, .. }) => *version,
            other => panic!("expected a finished write, found {other:?}"),
        }
    }

    /// Puts a version on a node's disk behind everybody's back.
    pub(crate) fn plant(&mut self, id: u32, stamped: StampedValue) {
        self.node(id).disk.synced.commit(Unit::Version { key: KEY.into(), stamped });
    }

    /// Delivers every message for which `wanted` holds, and those sent in consequence, until none is left.
    pub(crate) fn deliver(&mut self, wanted: impl Fn(&Message) -> bool) {
        while let Some(at) = self.pool.iter().position(&wanted) {
            self.deliver_at(at);
        }
    }

    /// Delivers what is in the pool now and is `wanted`, but nothing that is sent in consequence; tells how many.
    pub(crate) fn deliver_present(&mut self, wanted: impl Fn(&Message) -> bool) -> usize {
        let (now, later) = std::mem::take(&mut self.pool).into_iter().partition::<Vec<_>, _>(wanted);
        self.pool = later;
        let count = now.len();
        for message in now {
            self.arrive(message);
        }
        count
    }

    /// Delivers one message by its place in the pool.
    pub(crate) fn deliver_at(&mut self, at: usize) {
        let message = self.pool.remove(at);
        self.arrive(message);
    }

    /// Delivers everything.
    pub(crate) fn deliver_all(&mut self) {
        self.deliver(|_| true);
    }

    /// Loses messages; tells how many.
    pub(crate) fn lose(&mut self, unwanted: impl Fn(&Message) -> bool) -> usize {
        let before = self.pool.len();
        self.pool.retain(|message| !unwanted(message));
        before - self.pool.len()
    }

    /// Doubles messages in the pool; tells how many.
    pub(crate) fn duplicate(&mut self, wanted: impl Fn(&Message) -> bool) -> usize {
        let copies: Vec<Message> = self.pool.iter().filter(|message| wanted(message)).cloned().collect();
        let count = copies.len();
        self.pool.extend(copies);
        count
    }

    /// Takes messages out of the pool without losing them: put them back with [`World::put_back`].
    pub(crate) fn hold(&mut self, wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
        let (held, rest) = std::mem::take(&mut self.pool).into_iter().partition(wanted);
        self.pool = rest;
        held
    }

    /// What was held is under way again.
    pub(crate) fn put_back(&mut self, held: Vec<Message>) {
        self.pool.extend(held);
    }

    /// One message reaches its receiver, which may send others.
    pub(crate) fn arrive(&mut self, message: Message) {
        let (instant, latest, mut replica) = (self.instant, self.latest, self.replica.clone());
        let node = self.node(message.to);
        replica.scope = node.scope;
        match message.payload.clone() {
            Payload::Reply(reply) => {
                if message.boot == node.boot {
                    let now = Now { instant, interval: node.interval, moment: node.moment };
                    node.coordinator.handle_reply(
                        NodeId(message.from),
                        message.call,
                        reply,
                        now,
                        &node.issuer,
                    );
                    self.collect(message.to);
                }
            }
            Payload::Request(_) if replica.judge_scope(message.scope).is_some() => {
                let Some(reply) = replica.judge_scope(message.scope) else { unreachable!("as above") };
                self.answer(&message, reply);
            }
            Payload::Request(request) => {
                match replica.handle(&node.disk, &mut node.acceptor, request, node.standing, latest) {
                    Reaction::Reply(reply) => self.answer(&message, reply),
                    Reaction::Commit { unit, reply } if node.disk.lazy => {
                        node.disk.cache.commit(unit.clone());
                        node.sealed.push((unit, message, reply));
                    }
                    Reaction::Commit { unit, reply } => {
                        node.disk.synced.commit(unit);
                        self.answer(&message, reply.committed());
                    }
                }
            }
        }
    }

    /// A node's group commit: what was cached is durable, and the sealed replies leave.
    pub(crate) fn fsync(&mut self, id: u32) {
        let node = self.node(id);
        let mut replies = Vec::new();
        for (unit, message, reply) in node.sealed.drain(..) {
            node.disk.synced.commit(unit);
            replies.push((message, reply.committed()));
        }
        for (message, reply) in replies {
            self.answer(&message, reply);
        }
    }

    /// Power cut and restart: the coordinator forgets everything, the cache is lost, `boot` rises.
    pub(crate) fn crash(&mut self, id: u32) {
        let config = Config { local: NodeId(id), ..self.config.clone() };
        let node = self.node(id);
        node.boot += 1;
        node.coordinator = Coordinator::new(config);
        node.issuer = TimestampIssuer::new(NodeId(id), node.boot);
        node.disk.cache = MapStore::default();
        node.acceptor = node.disk.synced.acceptor(node.boot, AcceptorLimits::default());
        node.acceptor.install(node.scope.epoch);
        node.sealed.clear();
    }

    /// Lets time pass and fires every timer that has become due.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.instant = self.instant + by;
        self.fire();
    }

    /// Fires every timer that is due now.
    pub(crate) fn fire(&mut self) {
        let instant = self.instant;
        for id in self.ids() {
            let node = self.node(id);
            let now = Now { instant, interval: node.interval, moment: node.moment };
            node.coordinator.handle_timeout(now, &node.issuer);
            self.collect(id);
        }
    }

    /// The ids of all nodes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.nodes.keys().copied().collect()
    }

    /// The writes under way: to whom, and what.
    pub(crate) fn writes(&self) -> Vec<(u32, StampedValue)> {
        self.pool.iter().filter_map(|message| Some((message.to, message.stamped()?.clone()))).collect()
    }

    /// What a node would tell about [`KEY`].
    pub(crate) fn newest(&self, id: u32) -> Newest {
        let Ok(newest) = self.nodes[&id].disk.newest(KEY.as_bytes()) else {
            panic!("the disk of {id} is damaged")
        };
        newest
    }

    /// Takes what a coordinator has to say.
    pub(crate) fn collect(&mut self, id: u32) {
        let instant = self.instant;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        while let Some(evaluation) = node.coordinator.poll_evaluation() {
            let now = Now { instant, interval: node.interval, moment: node.moment };
            node.coordinator.handle_evaluated(
                evaluation.id,
                evaluate(&evaluation, now.moment),
                now,
                &node.issuer,
            );
        }
        while let Some(transmit) = node.coordinator.poll_transmit() {
            self.pool.push(Message {
                from: id,
                to: transmit.to.0,
                call: transmit.call,
                boot: node.boot,
                scope: transmit.scope,
                payload: Payload::Request(transmit.request),
            });
        }
        while let Some((operation, outcome)) = node.coordinator.poll_outcome() {
            let ticket = Ticket { node: id, boot: node.boot, id: operation };
            let before = self.outcomes.insert(ticket, outcome);
            assert!(before.is_none(), "{ticket:?} has ended twice");
        }
    }

    /// A replica's answer enters the pool.
    fn answer(&mut self, request: &Message, reply: Reply) {
        self.pool.push(Message {
            from: request.to,
            to: request.from,
            call: request.call,
            boot: request.boot,
            scope: request.scope,
            payload: Payload::Reply(reply),
        });
    }
}
