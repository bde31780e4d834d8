//! Three nodes in memory: their event loops, joined by lanes that carry real bytes.

use super::surroundings::Surroundings;
use super::*;

pub(super) const NODES: usize = 3;
pub(super) const OP_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const LANE: LaneId = LaneId { kind: LaneKind::Small, pair: 0 };

/// The id of the node at a place.
pub(super) fn id(place: usize) -> NodeId {
    NodeId(u32::try_from(place).unwrap() + 1)
}

pub(super) type Outcomes = Rc<RefCell<Vec<Outcome>>>;

/// What an operation or an inquiry comes to.
#[derive(Clone, Default)]
pub(super) struct Back {
    pub(super) outcomes: Outcomes,
    pub(super) findings: Rc<RefCell<Vec<Finding>>>,
}

impl Return for Back {
    fn wake(&self) {}

    fn send(self, outcome: Outcome) {
        self.outcomes.borrow_mut().push(outcome);
    }

    fn tell(self, finding: Finding) {
        self.findings.borrow_mut().push(finding);
    }
}

pub(super) type Node = (Shard<Rc<Surroundings>, Back>, Rc<Surroundings>);

pub(super) struct Cluster {
    pub(super) now: Rc<RefCell<Instant>>,
    pub(super) nodes: Vec<Node>,
    pub(super) lanes: BTreeMap<(usize, usize), LaneKey>,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let now = Rc::new(RefCell::new(Instant(0)));
        let members = (1..=3).map(NodeId);
        let addresses = members.clone().map(|id| (id, alloc::format!("host{id}:1")));
        let configuration = Configuration::first(addresses, TimestampMode::Logical);
        let node = |own: usize| {
            let config = RepairConfig { compare_every: None, ..RepairConfig::default() };
            let repair = Repair::new(config, id(own), members.clone(), <[u8]>::cmp);
            let surroundings = Rc::new(Surroundings {
                issuer: TimestampIssuer::new(id(own), 1),
                store: RefCell::default(),
                acceptor: RefCell::new(Acceptor::new(
                    1,
                    Scope::FIRST.epoch,
                    Ballot::MIN,
                    AcceptorLimits::default(),
                )),
                done: RefCell::default(),
                repair: RefCell::new(repair),
                notes: RefCell::default(),
                own,
                now: now.clone(),
                writable: RefCell::new(true),
                refuses: Cell::default(),
                is_cold: Cell::default(),
                asked: RefCell::default(),
                driver: RefCell::new(Driver::new(
                    id(own),
                    DirectoryId::default(),
                    configuration.clone(),
                    change::Settings { heals: false, order: <[u8]>::cmp },
                    Instant(0),
                )),
                newest_epoch: Cell::new(configuration.epoch()),
                served_epoch: Cell::new(configuration.epoch()),
                expected: Cell::new(configuration.epoch()),
                directory_is_slow: Cell::default(),
                expired: Cell::default(),
                swept: Cell::default(),
            });
            let config = coordinator_config(id(own), &configuration);
            let replica = replica(&configuration);
            let shard = Shard::new(surroundings.clone(), config, configuration.clone(), replica, OP_TIMEOUT);
            (shard, surroundings)
        };
        let mut cluster = Self { nodes: (0..NODES).map(node).collect(), now, lanes: BTreeMap::new() };
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            cluster.join(a, b);
        }
        cluster
    }

    pub(super) fn now(&self) -> Now {
        self.nodes[0].1.now(*self.now.borrow())
    }

    pub(super) fn join(&mut self, a: usize, b: usize) {
        let now = self.now();
        for (from, to) in [(a, b), (b, a)] {
            let opened = self.nodes[from].0.open_lane(id(to), LANE, 1, VERSION, FRAME_BYTES_MAX as u64, now);
            self.lanes.insert((from, to), opened.expect("the other one is a member"));
        }
    }

    pub(super) fn part(&mut self, a: usize, b: usize) {
        let now = self.now();
        for way in [(a, b), (b, a)] {
            let key = self.lanes.remove(&way).expect("they are joined");
            self.nodes[way.0].0.close_lane(key, now);
        }
    }

    /// Lets everything happen that does not wait for time.
    pub(super) fn run(&mut self) {
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 10_000, "it never ends");
            let (now, mut moved) = (self.now(), false);
            for (shard, surroundings) in &mut self.nodes {
                let done = core::mem::take(&mut *surroundings.done.borrow_mut());
                moved |= !done.is_empty();
                shard.handle_completions(done, [], now);
                let asked = core::mem::take(&mut *surroundings.asked.borrow_mut());
                moved |= !asked.is_empty();
                for (to, request) in asked {
                    let standing = surroundings.standing();
                    let found = look_up(&REPLICA, &*surroundings.store.borrow(), request, standing);
                    shard.handle_completions([(to, found)], [], now);
                }
                let action = surroundings.repair.borrow_mut().poll(now.instant);
                if let Some(action) = action {
                    moved = true;
                    if let Some(look) = shard.carry_out_repair(action, now) {
                        let accepted = |range: &Range| surroundings.accepted(range);
                        let looked = look.carry_out(&*surroundings.store.borrow(), accepted);
                        shard.handle_looked(looked, now);
                    }
                }
                if let Some(look) = shard.poll_look() {
                    moved = true;
                    let found = look.carry_out(&*surroundings.store.borrow());
                    shard.handle_swept(found, now);
                }
                while let Some(question) = shard.poll_question() {
                    let accepted = |range: &Range| surroundings.accepted(range);
                    let answer = question.carry_out(&*surroundings.store.borrow(), true, accepted);
                    shard.handle_answered(question.to, answer, now);
                }
            }
            for (way, key) in self.lanes.clone() {
                let mut bytes = BytesMut::new();
                self.nodes[way.0].0.take_output(key, &mut bytes, || now.instant);
                if let Some(back) = self.lanes.get(&(way.1, way.0)) {
                    moved |= !bytes.is_empty();
                    self.nodes[way.1].0.handle_bytes(*back, &mut bytes, now).unwrap();
                }
            }
            if !moved {
                return;
            }
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let later = *self.now.borrow() + time;
        *self.now.borrow_mut() = later;
        let now = self.now();
        for (shard, _) in &mut self.nodes {
            shard.handle_timeout(now);
        }
    }

    pub(super) fn submit(&mut self, node: usize, operation: Operation) -> Outcomes {
        let (back, now) = (Back::default(), self.now().instant);
        let begun = self.nodes[node].0.submit(operation, now + OP_TIMEOUT, now, back.clone());
        assert!(begun.is_ok());
        back.outcomes
    }

    /// Adds one through a node: what it answers.
    pub(super) fn increment(&mut self, node: usize) -> i64 {
        let functions = vec![Function::Increment(1).encode()];
        let outcomes = self.submit(node, Operation::Update { key: "k".into(), functions });
        self.run();
        // Whoever was in somebody's way tries again.
        for _ in 0..4 {
            self.pass(Duration::from_secs(1));
            self.run();
        }
        match &outcomes.borrow()[..] {
            [Outcome::Updated { answers, .. }] => match FunctionAnswer::decode(&answers[0]) {
                Ok(FunctionAnswer::Integer(sum)) => sum,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn set(&mut self, node: usize, value: &'static str) -> Outcomes {
        self.submit(node, Operation::Set { key: "k".into(), value: value.into(), deadline: Deadline::NONE })
    }

    pub(super) fn stored(&self, node: usize) -> Option<Bytes> {
        let store = self.nodes[node].1.store.borrow();
        store.versions.get(&b"k"[..]).and_then(|stamped| stamped.content.value().cloned())
    }

    pub(super) fn read(&mut self, node: usize) -> Bytes {
        let outcomes = self.submit(node, Operation::Get { key: "k".into() });
        self.run();
        match &outcomes.borrow()[..] {
            [Outcome::Read(stamped)] => stamped.content.value().cloned().expect("it was written"),
            other => panic!("{other:?}"),
        }
    }
}
