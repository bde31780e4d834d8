//! Three nodes in memory: their event loops, joined by lanes that carry real bytes.

mod configurations;
mod inquiries;
mod surroundings;
mod sweeping;
mod syncing;
mod updates;

use super::*;
use crate::change::{self, Driver};
use crate::clock::Moments;
use crate::configuration::{Configuration, DirectoryId};
use crate::functions::{Function, FunctionAnswer};
use crate::hello::{LaneId, LaneKind, WITH_CONFIGURATIONS as VERSION};
use crate::in_memory::Store;
use crate::inquiry::Finding;
use crate::inquiry::notes::Notes;
use crate::lanes::Bounds;
use crate::lanes::lane::{LaneError, PING, SILENCE_LIMIT};
use crate::limits::FRAME_BYTES_MAX;
use crate::lookups::look_up;
use crate::news::News;
use crate::repair::ranges::Range;
use crate::repair::{Config as RepairConfig, Repair};
use crate::sweep::Progress;
use crate::sync::source::{Records, records_of};
use abd::wire::put_frame;
use abd::{
    Acceptor, AcceptorLimits, AfterCommit, Ballot, Base, Content, Deadline, Evaluation, Moment, Proposal,
    Refusal, Request, Scope, Standing, TimestampIssuer, TimestampMode, Unit,
};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec;
use bytes::BytesMut;
use core::cell::{Cell, RefCell};
use core::ops::Deref;

use surroundings::Surroundings;

const NODES: usize = 3;
const OP_TIMEOUT: Duration = Duration::from_secs(5);
const LANE: LaneId = LaneId { kind: LaneKind::Small, pair: 0 };

/// The id of the node at a place.
fn id(place: usize) -> NodeId {
    NodeId(u32::try_from(place).unwrap() + 1)
}

type Outcomes = Rc<RefCell<Vec<Outcome>>>;

/// What an operation or an inquiry comes to.
#[derive(Clone, Default)]
struct Back {
    outcomes: Outcomes,
    findings: Rc<RefCell<Vec<Finding>>>,
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

type Node = (Shard<Rc<Surroundings>, Back>, Rc<Surroundings>);

struct Cluster {
    now: Rc<RefCell<Instant>>,
    nodes: Vec<Node>,
    lanes: BTreeMap<(usize, usize), LaneKey>,
}

impl Cluster {
    fn new() -> Self {
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
                expected: Cell::new(configuration.epoch()),
                directory_is_slow: Cell::default(),
                served_epoch: Cell::new(configuration.epoch()),
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

    fn now(&self) -> Now {
        self.nodes[0].1.now(*self.now.borrow())
    }

    fn join(&mut self, a: usize, b: usize) {
        let now = self.now();
        for (from, to) in [(a, b), (b, a)] {
            let opened = self.nodes[from].0.open_lane(id(to), LANE, 1, VERSION, FRAME_BYTES_MAX as u64, now);
            self.lanes.insert((from, to), opened.expect("the other one is a member"));
        }
    }

    fn part(&mut self, a: usize, b: usize) {
        let now = self.now();
        for way in [(a, b), (b, a)] {
            let key = self.lanes.remove(&way).expect("they are joined");
            self.nodes[way.0].0.close_lane(key, now);
        }
    }

    /// Lets everything happen that does not wait for time.
    fn run(&mut self) {
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

    fn pass(&mut self, time: Duration) {
        let later = *self.now.borrow() + time;
        *self.now.borrow_mut() = later;
        let now = self.now();
        for (shard, _) in &mut self.nodes {
            shard.handle_timeout(now);
        }
    }

    fn submit(&mut self, node: usize, operation: Operation) -> Outcomes {
        let (back, now) = (Back::default(), self.now().instant);
        let begun = self.nodes[node].0.submit(operation, now + OP_TIMEOUT, now, back.clone());
        assert!(begun.is_ok());
        back.outcomes
    }

    /// Adds one through a node: what it answers.
    fn increment(&mut self, node: usize) -> i64 {
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

    fn set(&mut self, node: usize, value: &'static str) -> Outcomes {
        self.submit(node, Operation::Set { key: "k".into(), value: value.into(), deadline: Deadline::NONE })
    }

    fn stored(&self, node: usize) -> Option<Bytes> {
        let store = self.nodes[node].1.store.borrow();
        store.versions.get(&b"k"[..]).and_then(|stamped| stamped.content.value().cloned())
    }

    fn read(&mut self, node: usize) -> Bytes {
        let outcomes = self.submit(node, Operation::Get { key: "k".into() });
        self.run();
        match &outcomes.borrow()[..] {
            [Outcome::Read(stamped)] => stamped.content.value().cloned().expect("it was written"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_set_through_one_node_is_read_through_any() {
    let mut cluster = Cluster::new();
    let outcomes = cluster.set(0, "v");
    assert!(outcomes.borrow().is_empty(), "nobody answers before the others have");
    cluster.run();
    assert!(matches!(outcomes.borrow()[..], [Outcome::Written { existed: false, .. }]));
    for node in 0..NODES {
        assert_eq!(cluster.read(node), "v");
        assert_eq!(cluster.nodes[node].0.in_flight(), 0);
    }
}

/// R2: what was under way on a lane that breaks, and what was written while it was down, reaches the peer when it is back.
#[test]
fn r2_what_a_broken_lane_has_lost_is_sent_again() {
    let mut cluster = Cluster::new();
    cluster.run();
    cluster.part(0, 2);
    cluster.part(1, 2);
    let outcomes = cluster.set(0, "v");
    cluster.run();
    assert!(matches!(outcomes.borrow()[..], [Outcome::Written { .. }]));
    assert_eq!(cluster.stored(2), None);
    // MEMBERS LIST tells how much that is.
    let now = *cluster.now.borrow();
    cluster.nodes[0].0.begin_driving(now);
    let behind = |cluster: &mut Cluster| {
        cluster.pass(Duration::from_secs(2));
        cluster.run();
        let driver = cluster.nodes[0].1.driver.borrow();
        driver.view().seen(id(2)).unwrap().behind.unwrap()
    };
    let told = behind(&mut cluster);
    assert!(told.keys == 1 && told.time >= Duration::from_secs(1), "{told:?}");
    cluster.join(0, 2);
    for _ in 0..4 {
        cluster.pass(Duration::from_secs(2));
        cluster.run();
    }
    assert_eq!(cluster.stored(2).unwrap(), "v");
    assert_eq!(behind(&mut cluster), change::Behind::default());
}

/// D1, R2: what the own replica refuses is written elsewhere, and is remembered as missed here.
#[test]
fn r2_what_the_own_replica_refuses_is_missed_here() {
    let mut cluster = Cluster::new();
    cluster.run();
    *cluster.nodes[0].1.writable.borrow_mut() = false;
    let outcomes = cluster.set(0, "v");
    cluster.run();
    assert!(matches!(outcomes.borrow()[..], [Outcome::Written { .. }]));
    assert_eq!(cluster.stored(0), None);
    let surroundings = &cluster.nodes[0].1;
    assert_eq!(surroundings.own, 0);
    let repair = surroundings.repair.borrow();
    let behind: Vec<usize> = repair.statuses(*cluster.now.borrow()).map(|(_, status)| status.keys).collect();
    drop(repair);
    assert_eq!(behind, [1, 1], "whoever has it is asked for it");
    *surroundings.writable.borrow_mut() = true;
    for _ in 0..8 {
        cluster.pass(Duration::from_secs(2));
        cluster.run();
    }
    assert_eq!(cluster.stored(0).unwrap(), "v");
}

#[test]
fn a_lane_that_is_silent_or_brings_nonsense_is_to_be_closed() {
    let mut cluster = Cluster::new();
    cluster.run();
    let (key, now) = (cluster.lanes[&(0, 1)], cluster.now());
    let shard = &mut cluster.nodes[0].0;
    assert_eq!(shard.look_after(key, now.instant + SILENCE_LIMIT), Ok(()));
    let later = now.instant + SILENCE_LIMIT + Duration::from_nanos(1);
    assert_eq!(shard.look_after(key, later), Err(LaneError::Silence(SILENCE_LIMIT)));
    let mut nonsense = BytesMut::from(&[0, 0, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8][..]);
    assert!(shard.handle_bytes(key, &mut nonsense, now).is_err());
    shard.close_lane(key, now);
    assert!(!shard.is_up(id(1)) && shard.is_up(id(2)) && !shard.has_lane(id(1), LANE));
    assert_eq!(shard.handle_bytes(key, &mut BytesMut::from(&[7; 64][..]), now), Ok(()), "nobody listens");
}

#[test]
fn a_lane_to_another_run_of_a_peer_takes_the_place_of_all() {
    let mut cluster = Cluster::new();
    cluster.run();
    let (old, now) = (cluster.lanes[&(0, 1)], cluster.now());
    let bulk = LaneId { kind: LaneKind::Bulk, pair: 0 };
    let shard = &mut cluster.nodes[0].0;
    let same_run = shard.open_lane(id(1), bulk, 1, VERSION, FRAME_BYTES_MAX as u64, now).unwrap();
    assert_eq!(shard.poll_replaced(), None);
    assert!(shard.speaks(id(1), VERSION) && !shard.speaks(id(1), VERSION + 1) && !shard.speaks(id(9), 1));
    let next_run = shard.open_lane(id(1), LANE, 2, VERSION, FRAME_BYTES_MAX as u64, now).unwrap();
    assert_eq!([shard.poll_replaced(), shard.poll_replaced()].map(Option::unwrap), [old, same_run]);
    assert!(shard.has_lane(id(1), LANE) && !shard.has_lane(id(1), bulk));
    shard.close_lane(old, now);
    assert!(shard.has_lane(id(1), LANE), "it has ended before");
    shard.close_lane(next_run, now);
    assert!(!shard.is_up(id(1)));
}

#[test]
fn lanes_to_those_who_have_gone_are_closed_and_those_who_come_may_open_some() {
    let mut cluster = Cluster::new();
    cluster.run();
    let (gone, now) = (cluster.lanes[&(0, 1)], cluster.now());
    let bulk = LaneId { kind: LaneKind::Bulk, pair: 0 };
    let shard = &mut cluster.nodes[0].0;
    let second = shard.open_lane(id(1), bulk, 1, VERSION, FRAME_BYTES_MAX as u64, now).unwrap();
    assert_eq!(
        shard.open_lane(id(3), LANE, 1, VERSION, FRAME_BYTES_MAX as u64, now),
        None,
        "nobody knows it"
    );
    shard.keep_lanes([id(2), id(3)].into_iter(), now);
    assert_eq!([shard.poll_replaced(), shard.poll_replaced()].map(Option::unwrap), [gone, second]);
    assert!(!shard.is_up(id(1)) && shard.is_up(id(2)) && shard.poll_replaced().is_none());
    assert_eq!(
        shard.open_lane(id(1), LANE, 1, VERSION, FRAME_BYTES_MAX as u64, now),
        None,
        "it is known no more"
    );
    assert!(shard.open_lane(id(3), LANE, 1, VERSION, FRAME_BYTES_MAX as u64, now).is_some());
    // What comes late over what was closed has no effect.
    shard.close_lane(gone, now);
    assert_eq!(shard.handle_bytes(gone, &mut BytesMut::from(&[7; 64][..]), now), Ok(()));
}

/// M1 aside: whoever drains a node ends all its operations, and each caller is told what may have become of his.
#[test]
fn operations_that_are_given_up_say_what_may_have_become_of_them() {
    let mut cluster = Cluster::new();
    cluster.run();
    cluster.part(0, 1);
    cluster.part(0, 2);
    let (set, get) = (cluster.set(0, "v"), cluster.submit(0, Operation::Get { key: "k".into() }));
    cluster.run();
    let shard = &mut cluster.nodes[0].0;
    assert_eq!(shard.in_flight(), 2);
    shard.handle_timeout(Now { instant: Instant(u64::MAX), interval: None, moment: Moment::UNKNOWN });
    assert_eq!(shard.in_flight(), 0);
    // It had not picked a version yet.
    assert!(matches!(set.borrow()[..], [Outcome::Refused(_)]));
    assert!(matches!(get.borrow()[..], [Outcome::Refused(_)]));
}

/// B1: whoever only pings has to read the answers, too.
#[test]
fn b1_a_peer_that_pings_and_does_not_read_loses_its_lane() {
    let mut cluster = Cluster::new();
    let (key, now) = (cluster.lanes[&(0, 1)], cluster.now());
    let shard = &mut cluster.nodes[0].0;
    let mut pings = BytesMut::new();
    for _ in 0..1000 {
        put_frame(&mut pings, |body| body.extend_from_slice(&[PING]));
    }
    let unread = Bounds::of(LaneKind::Small).unread;
    for _ in 0..unread / 1000 {
        if let Err(why) = shard.handle_bytes(key, &mut pings.clone(), now) {
            assert!(matches!(why, LaneError::Unread(waiting) if waiting > unread), "{why}");
            assert!(shard.waiting(key).is_some_and(|waiting| waiting.encoded < unread + 1000));
            return;
        }
    }
    panic!("{:?} wait", shard.waiting(key));
}
