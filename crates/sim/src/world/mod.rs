//! The world: virtual time, an event queue, nodes, clients, and everything that is between them.
//!
//! One thread, one queue, one stream of chance. An event happens at its time, in the order in which it was scheduled
//! among those of one time; what it leads to is scheduled. Nothing else moves.

mod back;
mod changes;
mod clients;
mod committer;
mod desk;
mod directories;
mod ending;
mod environment;
mod epochs;
mod event_loop;
mod expiring;
mod greetings;
mod healing;
mod lanes;
mod lookups;
mod message;
mod nemesis;
mod network;
mod node;
mod notes;
mod opening;
mod queue;
mod repair;
mod running;
mod sweeping;
mod talks;
mod view;

pub(crate) use back::{Back, To};
pub(crate) use clients::Asked;
pub use network::Held;
pub(crate) use node::{Job, Node, Process};

use crate::checks::chosen::Chosen;
use crate::checks::configurations::Configurations;
use crate::checks::expiry::Expiries;
use crate::checks::monotone::Monotone;
use crate::checks::once::Once;
use crate::checks::unique::Unique;
use crate::checks::{Conviction, Verdict, alive, calm, converged, linearizable};
use crate::history::OperationRecord;
use crate::mutant::Lies;
use crate::plan::Plan;
use crate::rng::{Ratio, Rng};
use crate::time::{MS, S};
use crate::trace::{Trace, What};
use ::node::configuration::Configuration;
use ::node::hello::LaneKind;
use ::node::lanes::lane::LaneKey;
use abd::{NodeId, TimestampMode};
use bytes::Bytes;
use changes::{Machine, PLACES};
use clients::Client;
use lanes::Connection;
use lookups::Lookup;
use network::{Envelope, Wires};
use queue::Queue;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// After the chaos: links find each other again, at the latest when silence has been noticed.
const SETTLING: u64 = 12 * S;
/// Then every replica must get everything within this time. Longer than the longest pause between two rounds of repair, and than
/// what is late by the most.
const CONVERGING: u64 = 60 * S;
/// The same where nodes heal: one after the other, each waits for those who are silent, and for a while after a change was given up.
const HEALING: u64 = 240 * S;
/// Then every key is read and written through every node, and that must work within this time.
const FINAL: u64 = 10 * S;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message reaches a node.
    Arrive(Envelope),
    /// A coordinator's timer is due.
    Wake { node: u32, incarnation: u64, at: u64 },
    /// Repair's timer is due.
    RepairDue { node: u32, incarnation: u64, at: u64 },
    /// The rounds of a node's committer are due.
    RoundsDue { node: u32, incarnation: u64, at: u64 },
    /// The disk is done with what it was given.
    DiskDone { node: u32, incarnation: u64 },
    /// A look-up that waited for the disk is over.
    LookedUp { node: u32, incarnation: u64, lookup: Box<Lookup> },
    /// A node looks whether it has to dial a lane.
    Dial { node: u32, peer: u32, kind: LaneKind, incarnation: u64 },
    /// A node learns that a connection is gone.
    LaneLost { node: u32, connection: u64 },
    /// What waits to go over a lane has waited long enough.
    Flush { node: u32, incarnation: u64, key: LaneKey },
    /// A node that stops has waited long enough.
    Drained { node: u32, incarnation: u64 },
    /// A node looks after its lanes.
    Tick { node: u32, incarnation: u64 },
    /// A machine asks which node it is.
    Join { address: String },
    /// A client may go on.
    Begin { client: usize },
    /// An operation reaches its node.
    Submit { operation: usize, node: u32, incarnation: u64 },
    /// A client does not want to wait any longer.
    GiveUp { operation: usize },
    /// A fault begins.
    Fault(usize),
    /// A fault ends.
    Repair(usize),
    /// The chaos ends.
    Heal,
    /// The last operations begin.
    Last,
    /// The run ends.
    Judge,
}

impl Event {
    /// The node whose process has to be awake for it.
    fn needs(&self) -> Option<u32> {
        match self {
            Self::Arrive(envelope) => Some(envelope.to),
            Self::Wake { node, .. }
            | Self::RepairDue { node, .. }
            | Self::RoundsDue { node, .. }
            | Self::DiskDone { node, .. }
            | Self::LookedUp { node, .. }
            | Self::Dial { node, .. }
            | Self::LaneLost { node, .. }
            | Self::Flush { node, .. }
            | Self::Drained { node, .. }
            | Self::Tick { node, .. }
            | Self::Submit { node, .. } => Some(*node),
            _ => None,
        }
    }
}

/// What a run has done, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Operations that clients asked for.
    pub operations: u64,
    /// Of them, with a certain answer.
    pub answered: u64,
    /// Updates that clients asked for.
    pub updates: u64,
    /// Of them, those of which their node could not say what has become of them.
    pub indeterminate: u64,
    /// Runs whose history was too entangled for the judge, so that it has judged its beginning alone.
    pub partly: u64,
    /// Messages sent.
    pub messages: u64,
    /// Look-ups that have waited for a disk.
    pub lookups: u64,
    /// Events.
    pub events: u64,
    /// Simulated time in nanoseconds.
    pub simulated: u64,
}

/// The world of one run.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) lies: Lies,
    pub(crate) configurations: Configurations,
    /// Machines that are to become nodes.
    pub(crate) machines: Vec<Machine>,
    /// Whether somebody was asked to remove members.
    pub(crate) shrinks: bool,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    /// Number of the event that is happening.
    pub(crate) moment: u64,
    pub(crate) queue: Queue,
    pub(crate) nodes: Vec<Node>,
    pub(crate) wires: Wires,
    /// Ways on which a sender's backlog is full.
    pub(crate) backlogs: Wires,
    /// Those that are up at one side at least.
    pub(crate) connections: BTreeMap<u64, Connection>,
    /// Connections that broke with messages under way.
    pub(crate) broken: BTreeSet<u64>,
    /// Connections on which nothing comes through from a node.
    pub(crate) muted: BTreeSet<(u64, u32)>,
    pub(crate) clients: Vec<Client>,
    pub(crate) records: Vec<OperationRecord>,
    /// Messages that wait for a script to deliver them; `None`: messages find their way by themselves.
    pub(crate) held: Option<Vec<Held>>,
    pub(crate) unique: Unique,
    pub(crate) chosen: Chosen,
    pub(crate) once: Once,
    pub(crate) expiries: Expiries,
    pub(crate) monotone: Rc<RefCell<Monotone>>,
    pub(crate) conviction: Option<Conviction>,
    pub(crate) trace: Trace,
    pub(crate) stats: Stats,
    next_incarnation: u64,
    next_message: u64,
    next_connection: u64,
    /// Clients from this one on asked a healed cluster.
    last_clients: u32,
    /// When the chaos ended.
    healed_at: u64,
    /// What never came about on a healed cluster.
    stuck: Option<String>,
    over: bool,
}

/// What a run leaves behind.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// How it ended.
    pub verdict: Verdict,
    /// In numbers.
    pub stats: Stats,
    /// How many nodes there were in the end.
    pub nodes: u32,
    /// What happened, if it was recorded.
    pub trace: Trace,
    /// What the clients saw.
    pub records: Vec<OperationRecord>,
}

impl World {
    /// A world in which nothing has happened yet and all nodes are about to start.
    pub fn new(plan: Plan, lies: Lies, trace: bool) -> Self {
        let mut rng = Rng::new(plan.seed, 1);
        let addresses = (1..=plan.nodes).map(|id| (NodeId(id), node::address(id)));
        let first = Configuration::first(addresses, plan.mode);
        let nodes = (1..=plan.nodes).map(|id| Node::new(&mut rng, id, &plan)).collect();
        let clients = clients::of_plan(&plan);
        Self {
            configurations: Configurations::new(first),
            machines: Vec::new(),
            shrinks: false,
            nodes,
            wires: Wires::new(PLACES),
            backlogs: Wires::new(PLACES),
            connections: BTreeMap::new(),
            broken: BTreeSet::new(),
            muted: BTreeSet::new(),
            clients,
            records: Vec::new(),
            held: None,
            unique: Unique::default(),
            chosen: Chosen::default(),
            once: Once::default(),
            expiries: Expiries::default(),
            monotone: Rc::new(RefCell::new(Monotone::new(PLACES))),
            conviction: None,
            trace: Trace::new(trace),
            stats: Stats::default(),
            now: 0,
            moment: 0,
            queue: Queue::default(),
            next_incarnation: 1,
            next_message: 1,
            next_connection: 1,
            last_clients: u32::MAX,
            healed_at: u64::MAX,
            stuck: None,
            over: false,
            plan,
            lies,
            rng,
        }
    }

    /// Runs the plan to its end.
    pub fn run(mut self) -> RunReport {
        for node in 0..self.plan.nodes {
            self.start(node);
        }
        for client in 0..self.clients.len() {
            self.schedule_next(client);
        }
        for (index, fault) in self.plan.faults.iter().enumerate() {
            self.queue.push(fault.at, Event::Fault(index));
        }
        let end = if self.plan.liveness { Event::Heal } else { Event::Judge };
        self.queue.push(self.plan.chaos_end, end);
        while !self.over && self.conviction.is_none() {
            let Some((at, event)) = self.queue.pop() else { break };
            self.now = at;
            self.moment += 1;
            self.dispatch(event);
        }
        self.finish()
    }

    /// Judges what has happened.
    pub fn finish(mut self) -> RunReport {
        let refused = self.once.check_refused(&self.records);
        self.convict(refused);
        if self.plan.is_calm() && self.held.is_none() {
            let calm = calm::check(&self.records);
            self.convict(calm);
        }
        if self.plan.mode == TimestampMode::TrueTime && !self.plan.loses_clocks() {
            let late = self.expiries.check_late(&self.records, self.clocks_behind());
            self.convict(late);
        }
        let mut verdict = match self.conviction.take() {
            Some(conviction) => Verdict::Wrong(conviction),
            None => {
                let expiries = self.expiries.possible(&self.chosen, &self.records);
                let by_true_time = self.plan.mode == TimestampMode::TrueTime;
                let judged = linearizable::check(&self.records, &expiries, by_true_time, |record| {
                    self.once.may_have_set(record) && self.chosen.may_have_updated(record)
                });
                self.stats.partly = u64::from(!judged.is_whole);
                judged.verdict
            }
        };
        if verdict == Verdict::Fine
            && let Some(why) = self.stuck.take()
        {
            verdict = Verdict::Stuck(why);
        } else if verdict == Verdict::Fine && self.over && self.plan.liveness {
            verdict = match alive::check(&self.records, self.deadline()) {
                Ok(()) => Verdict::Fine,
                Err(why) => Verdict::Stuck(why),
            };
        }
        if let Verdict::Wrong(conviction) = &verdict {
            let text = conviction.to_string();
            self.trace.record(self.now, || What::Convicted { text });
        }
        self.stats.events = self.moment;
        self.stats.simulated = self.now;
        RunReport {
            verdict,
            nodes: self.count(),
            stats: self.stats,
            trace: self.trace,
            records: self.records,
        }
    }

    /// How far an interval clock may put `earliest` before true time.
    fn clocks_behind(&self) -> u64 {
        let fixed = self.nodes.iter().filter_map(|node| Some(node.clocks.fixed?.0)).max().unwrap_or(0);
        self.plan.clocks.behind.max(fixed) + self.plan.clocks.tick
    }

    /// Something happens, or waits because its node stands still.
    pub(crate) fn dispatch(&mut self, event: Event) {
        if let Some(node) = event.needs()
            && self.nodes[node as usize].paused
        {
            self.nodes[node as usize].deferred.push(event);
            return;
        }
        match event {
            Event::Arrive(envelope) => self.arrive(envelope),
            Event::Wake { node, incarnation, at } => self.wake(node, incarnation, at),
            Event::RepairDue { node, incarnation, at } => self.wake_repair(node, incarnation, at),
            Event::RoundsDue { node, incarnation, at } => self.rounds_due(node, incarnation, at),
            Event::DiskDone { node, incarnation } => self.disk_done(node, incarnation),
            Event::LookedUp { node, incarnation, lookup } => self.looked_up(node, incarnation, *lookup),
            Event::Dial { node, peer, kind, incarnation } => self.dial(node, peer, kind, incarnation),
            Event::LaneLost { node, connection } => self.lose_lane(node, connection),
            Event::Flush { node, incarnation, key } => {
                if self.process_of(node, incarnation).is_some() {
                    self.flush(node, key);
                }
            }
            Event::Drained { node, incarnation } => {
                if self.process_of(node, incarnation).is_some() {
                    self.end_operations(node);
                }
            }
            Event::Tick { node, incarnation } => self.tick(node, incarnation),
            Event::Join { address } => self.join(address),
            Event::Begin { client } => self.begin(client),
            Event::Submit { operation, node, incarnation } => self.submit(operation, node, incarnation),
            Event::GiveUp { operation } => self.give_up(operation),
            Event::Fault(index) => self.inflict(index),
            Event::Repair(index) => self.repair(index),
            Event::Heal => self.heal(),
            Event::Last => self.begin_last(),
            Event::Judge => self.over = true,
        }
    }

    /// The chaos ends: everything is repaired, what is down is started, and the network behaves.
    fn heal(&mut self) {
        self.trace.record(self.now, || What::Fault {
            text: "everything; a majority is healed".into(),
            begins: false,
        });
        self.plan.network.loss = Ratio::ZERO;
        self.plan.network.duplicate = Ratio::ZERO;
        self.plan.network.stray = Ratio::ZERO;
        self.plan.network.corrupt = Ratio::ZERO;
        self.plan.lost_answers = Ratio::ZERO;
        self.plan.sync = (100_000, MS);
        // Where they take time at all: a disk that is slow for good is no fault that could be over.
        self.plan.lookups = self.plan.lookups.map(|_| (20_000, MS));
        self.wires.heal();
        self.backlogs.heal();
        self.healed_at = self.now;
        self.start_machines(None);
        for node in 0..self.count() {
            self.heal_node(node);
            for key in self.lanes_of(node, None) {
                self.flush(node, key);
            }
        }
        self.queue.push(self.now + SETTLING, Event::Last);
    }

    fn begin_last(&mut self) {
        // Before anything is read or written again: that would hide what repair has left.
        let converged = if self.plan.repairs { self.converged() } else { Ok(()) };
        let settled = self.settled().and_then(|()| self.healed());
        if let Err(why) = settled.and(converged).and_then(|()| self.swept()) {
            let within = if self.plan.heals { HEALING } else { CONVERGING };
            if self.now > self.healed_at + within {
                self.stuck = Some(why);
                self.over = true;
                return;
            }
            return self.queue.push(self.now + S, Event::Last);
        }
        self.last_clients = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        // One after another, and with wide clocks each waits.
        let wait = self.plan.clocks.behind + self.plan.clocks.ahead + self.plan.clocks.tick;
        let now = self.now;
        let after = move |each| now + FINAL + each * wait;
        let each = self.add_last_operations(after);
        self.queue.push(after(each) + FINAL + each * wait, Event::Judge);
    }

    /// Whether every live replica has everything (rule R2).
    fn converged(&self) -> Result<(), String> {
        let live = (0u32..).zip(&self.nodes).filter(|(node, state)| self.votes(*node) && !state.lost);
        let replicas: Vec<(u32, converged::Held)> = live
            .filter_map(|(node, state)| {
                let store = state.process.as_ref()?.store();
                let newest = |key: &Bytes| store.newest(key).ok().map(|newest| newest.stamped.version);
                let keys = self.records.iter().map(|record| &record.key);
                Some((node, keys.map(|key| (key.clone(), newest(key))).collect()))
            })
            .collect();
        converged::check(&replicas)
    }

    fn deadline(&self) -> alive::Deadline {
        let limit = self.plan.op_timeout + S;
        alive::Deadline { now: self.now, limit, last_clients: self.last_clients }
    }

    /// Something that must never happen has happened; the first is kept.
    pub(crate) fn convict(&mut self, result: Result<(), Conviction>) {
        if let Err(conviction) = result
            && self.conviction.is_none()
        {
            self.conviction = Some(conviction);
        }
    }

    /// The process of a node, if it still is this one.
    pub(crate) fn process_of(&mut self, node: u32, incarnation: u64) -> Option<&mut Process> {
        self.nodes[node as usize].process.as_mut().filter(|process| process.incarnation == incarnation)
    }

    /// Notes what a clock says when it has changed: a script can set it so.
    fn record_clock(&mut self, node: u32) {
        if !self.trace.is_on() {
            return;
        }
        let state = &mut self.nodes[node as usize];
        let (behind, ahead) = state.clocks.distances(self.now, &self.plan.clocks);
        let truth = crate::time::EPOCH + self.now;
        let wall = state.clocks.wall(self.now);
        let offset = i64::try_from(wall.abs_diff(truth)).unwrap_or(i64::MAX);
        let offset = if wall < truth { -offset } else { offset };
        if state.shown_interval != Some((behind, ahead)) {
            state.shown_interval = Some((behind, ahead));
            self.trace.record(self.now, || What::Clock { node, behind, ahead });
        }
        // Drift alone is not worth a line.
        if state.shown_wall.is_none_or(|shown: i64| shown.abs_diff(offset) > MS) {
            state.shown_wall = Some(offset);
            self.trace.record(self.now, || What::Wall { node, offset });
        }
    }
}
