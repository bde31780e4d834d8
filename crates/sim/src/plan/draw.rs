//! How a plan is drawn: swarm testing (Groce et al., 2012). Each kind of fault is in or out of a run as a whole, and
//! those that are in have weights of their own, because a run with only reordering finds what one with everything
//! hides. Faults and operations meet in *storms*: what happens far apart in time rarely matters together.

use super::{Clocks, Features, LITTLE, Network, OperationKind, Plan, Planned, SHORT_QUEUE, What};
use crate::rng::{Ratio, Rng};
use crate::time::{MS, S, US};
use ::node::commit::QUEUE_BYTES_MAX;
use abd::TimestampMode;
use std::num::NonZeroU64;

/// How long the chaos lasts.
pub(super) const CHAOS: u64 = 31 * S;
/// How many clients there are: from, to.
const CLIENTS: (u32, u32) = (3, 12);
/// What a value counts for that a Get has to look for on the disk.
const SOUGHT: u64 = 1 << 20;
/// Values that are large: for some nodes' clients, and for the small lane.
const LARGE: [usize; 3] = [300, 2_000, 20_000];
/// Where nodes forget what they have begun, it is found by a comparison within this time, though it may come late.
const COMPARE_EVERY: u64 = 5 * S;
/// Nothing goes wrong before this: the first start of a cluster needs all nodes once (rule M1).
const CALM: u64 = 500 * MS;

/// Where the chance for a run without any trouble comes from.
const CALM_STREAM: u64 = 0xde;

/// Where deadlines come from.
const EXPIRY_STREAM: u64 = 0xe1;

/// Gives values deadlines: short ones, so that they come within the run.
fn with_deadlines(operations: &mut [Planned], rng: &mut Rng) {
    let longest = rng.magnitude(20, 5_000);
    let often = rng.between(2, 4);
    for operation in operations {
        if !rng.one_in(often) {
            continue;
        }
        operation.lives = rng.between(1, longest);
        operation.kind = match operation.kind {
            OperationKind::Set => OperationKind::SetEx,
            OperationKind::SetIfAbsent => OperationKind::Lock,
            OperationKind::Get => *rng.pick(&[
                OperationKind::Get,
                OperationKind::Get,
                OperationKind::Lock,
                OperationKind::Expire,
                OperationKind::Persist,
                OperationKind::GetEx,
            ]),
            kind => kind,
        };
    }
}

/// The same without anything that could go wrong.
fn calm(plan: Plan) -> Plan {
    let latency = (plan.network.latency.0, plan.network.latency.1.min(super::CALM_LATENCY));
    let network = Network {
        latency,
        loss: Ratio::ZERO,
        duplicate: Ratio::ZERO,
        stray: Ratio::ZERO,
        corrupt: Ratio::ZERO,
        ..plan.network
    };
    let op_timeout = plan.op_timeout.max(super::CALM_PATIENCE);
    let mut operations = plan.operations;
    for operation in &mut operations {
        operation.patience = 0;
        // A Set that comes in between may close an instance that nobody can tell the end of any more (P3').
        operation.kind = match operation.kind {
            OperationKind::Set => OperationKind::GetSet,
            OperationKind::SetEx => OperationKind::Lock,
            kind => kind,
        };
    }
    let sync = (plan.sync.0.min(MS), plan.sync.1.min(super::CALM_SYNC));
    Plan {
        network,
        op_timeout,
        sync,
        lost_answers: Ratio::ZERO,
        faults: Vec::new(),
        drives: false,
        heals: false,
        compare_every: None,
        few_instances: false,
        // Nor is a disk so slow that what many want at a time takes longer than they wait.
        lookups: plan.lookups.map(|_| (20 * US, MS)),
        operations,
        ..plan
    }
}

pub(super) struct Draw {
    pub(super) rng: Rng,
    pub(super) nodes: u32,
    pub(super) storms: Vec<u64>,
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64, features: Features) -> Self {
        let mut rng = Rng::new(seed, 0);
        let nodes = features.nodes.unwrap_or(*rng.pick(&[3, 3, 3, 3, 5, 5, 7]));
        let storms = (0..rng.between(10, 25)).map(|_| rng.between(CALM + S, CHAOS - S)).collect();
        let mut draw = Draw { rng, nodes, storms };
        draw.storms.sort_unstable();
        draw.plan(seed, features)
    }
}

impl Draw {
    /// In or out, as the mutant says or the seed.
    pub(super) fn switch(&mut self, wanted: Option<bool>) -> bool {
        let drawn = self.rng.one_in(2);
        wanted.unwrap_or(drawn)
    }

    fn plan(mut self, seed: u64, features: Features) -> Plan {
        let drawn = *self.rng.pick(&[TimestampMode::Logical, TimestampMode::TrueTime]);
        let mode = features.mode.unwrap_or(drawn);
        let slow_sync = features.slow_sync.unwrap_or(self.rng.one_in(4));
        let sync =
            if slow_sync { (5 * MS, 400 * MS) } else { (50 * US, self.rng.magnitude(100 * US, 5 * MS)) };
        let early_reads = self.switch(features.early_reads);
        let no_cache = features.no_cache.unwrap_or(self.rng.one_in(4));
        let patience = *self.rng.pick(&[300 * MS, S, 2 * S, 5 * S]);
        let network = self.network(features.noise);
        let clocks = self.clocks(features.wide_clocks);
        // As in a node, whose clocks must be good enough for its deadlines.
        let op_timeout = patience.max(2 * (clocks.behind + clocks.ahead) + 200 * MS);
        let large = features.large.unwrap_or(self.rng.one_in(6));
        let drawn = self.rng.one_in(4);
        let little = features.little_for_clients.unwrap_or(drawn);
        let mut operations = self.operations(features, large);
        let mut expiry = Rng::new(seed, EXPIRY_STREAM);
        let drawn = features.updates && features.deletes != Some(false) && expiry.one_in(2);
        if features.expiry.unwrap_or(drawn) {
            with_deadlines(&mut operations, &mut expiry);
        }
        let mut faults = self.faults(seed, features, mode);
        let heals = self.losses(&mut faults, seed, features.heals);
        let forget = faults.iter().any(|fault| fault.what.forgets());
        let drawn = self.rng.one_in(3);
        let short_queue = features.short_queues.unwrap_or(drawn);
        let short_backlogs = self.switch(features.short_backlogs);
        let short_lists = features.short_lists.unwrap_or(self.rng.one_in(4));
        let plan = Plan {
            seed,
            nodes: self.nodes,
            mode,
            op_timeout,
            // A small cache still holds a few entries in each of its parts, so some keys come and go.
            cache_bytes: if no_cache { 0 } else { *self.rng.pick(&[64 * 300, 1 << 20]) },
            rotate_after: *self.rng.pick(&[NonZeroU64::MIN, NonZeroU64::MAX]),
            queue_bytes: if short_queue { SHORT_QUEUE } else { QUEUE_BYTES_MAX },
            early_reads,
            network,
            clocks,
            sync,
            lost_answers: *self.rng.pick(&[Ratio::ZERO, Ratio::per_mille(20), Ratio::per_mille(100)]),
            few_instances: self.rng.one_in(2),
            repairs: true,
            sweeps: true,
            drives: heals || faults.iter().any(|fault| matches!(fault.what, What::Members(..))),
            heals,
            short_lists,
            short_backlogs,
            value_limits: self.value_limits(large),
            clients_bytes: if little { LITTLE + SOUGHT } else { 1 << 30 },
            pipelines: (0..CLIENTS.1).map(|_| *self.rng.pick(&[1, 1, 1, 3])).collect(),
            drain: *self.rng.pick(&[20 * MS, 5 * S]),
            compare_every: forget.then_some(COMPARE_EVERY),
            lookups: self.lookups(),
            operations,
            faults,
            chaos_end: CHAOS,
            liveness: true,
        };
        let is_calm = Rng::new(seed, CALM_STREAM).one_in(16);
        if features.calm.unwrap_or(is_calm) { calm(plan) } else { plan }
    }

    /// In half of the runs something has to be read from a disk, in some of them from one that is slow.
    fn lookups(&mut self) -> Option<(u64, u64)> {
        let most = *self.rng.pick(&[MS, 20 * MS, 200 * MS]);
        self.rng.one_in(2).then_some((20 * US, most))
    }

    fn network(&mut self, noise: Option<bool>) -> Network {
        let mut ratio = |most| {
            let on = self.rng.one_in(2);
            let on = noise.unwrap_or(on);
            if on {
                Ratio::per_mille(u32::try_from(self.rng.magnitude(1, most)).unwrap_or(1))
            } else {
                Ratio::ZERO
            }
        };
        let (loss, duplicate, stray) = (ratio(300), ratio(300), ratio(200));
        // A damaged frame costs a connection.
        let corrupt = ratio(8);
        let slowest = self.rng.magnitude(200 * US, 30 * MS);
        Network {
            latency: (*self.rng.pick(&[20 * US, 100 * US]), slowest),
            loss,
            duplicate,
            stray,
            stray_max: self.rng.magnitude(20 * MS, 20 * S),
            corrupt,
        }
    }

    fn clocks(&mut self, wide: Option<bool>) -> Clocks {
        let wide = self.switch(wide);
        let bound =
            |rng: &mut Rng| if wide { rng.magnitude(5 * MS, 500 * MS) } else { rng.magnitude(1, 4 * MS) };
        Clocks {
            wall_skew: if wide { self.rng.magnitude(10 * MS, 2 * S) } else { self.rng.magnitude(1, 10 * MS) },
            drift_ppm: *self.rng.pick(&[0, 50, 500]),
            behind: bound(&mut self.rng),
            ahead: bound(&mut self.rng),
            hold: self.rng.magnitude(MS, 2 * S),
            tick: *self.rng.pick(&[1, 1, MS, 10 * MS]),
        }
    }

    /// Some nodes let their clients write less than others.
    fn value_limits(&mut self, large: bool) -> Vec<u64> {
        let limits: &[u64] = if large { &[u64::MAX, u64::MAX, LARGE[1] as u64, 100] } else { &[u64::MAX] };
        (0..self.nodes).map(|_| *self.rng.pick(limits)).collect()
    }

    fn operations(&mut self, features: Features, large: bool) -> Vec<Planned> {
        let keys = *self.rng.pick(&[1, 2, 2, 3, 4, 5, 8]);
        // What all clients do to one key at a time has many orders.
        let clients = if keys == 1 { CLIENTS.1 / 2 } else { CLIENTS.1 };
        let count = self.rng.between(200, 260);
        let clients = self.rng.node(clients - CLIENTS.0 + 1) + CLIENTS.0;
        let kinds = self.kinds(features.deletes, features.updates);
        // Mostly one key that everybody wants, or all of them alike.
        let hot = *self.rng.pick(&[2, 2, 2, 8]);
        let impatient = self.rng.one_in(3);
        let sticky = self.rng.one_in(2);
        // A storm lasts about as long as what is in it, or much longer.
        let spread = self.rng.magnitude(2 * MS, 600 * MS);
        let hottest = self.rng.node(keys);
        let mut operations = Vec::new();
        for _ in 0..count {
            let at = self.storm() + self.rng.below(spread);
            let client = self.rng.node(clients);
            let key = if self.rng.one_in(hot) { hottest } else { self.rng.node(keys) };
            let kind = match *self.rng.pick(&kinds) {
                OperationKind::Append if Plan::is_counter(key) => OperationKind::Increment,
                OperationKind::Increment if !Plan::is_counter(key) => OperationKind::Append,
                kind => kind,
            };
            let node = if sticky { client % self.nodes } else { self.rng.node(self.nodes) };
            let patience = if impatient && self.rng.one_in(4) { self.rng.magnitude(MS, 500 * MS) } else { 0 };
            let size = if large && self.rng.one_in(16) { *self.rng.pick(&LARGE) } else { 0 };
            operations.push(Planned { at, client, node, key, kind, size, lives: 0, patience });
        }
        operations.sort_by_key(|operation| operation.at);
        operations
    }

    /// What clients do, as often as it is in here: Gets, Sets, and updates of some kinds.
    fn kinds(&mut self, deletes: Option<bool>, updates: bool) -> Vec<OperationKind> {
        let deletes = self.switch(deletes);
        let mut kinds = Vec::new();
        // Deadlines are given afterwards.
        for kind in OperationKind::ALL.into_iter().filter(|kind| !kind.is_about_deadlines()) {
            let weight = match kind {
                OperationKind::Get => self.rng.between(2, 10),
                OperationKind::Set => self.rng.between(u64::from(!updates), 8),
                kind if !updates && kind.is_update() && kind != OperationKind::Delete => 0,
                // It changes a key whatever that holds.
                OperationKind::Append => self.rng.between(1, 8),
                kind if kind.deletes() && !deletes => 0,
                _ if self.rng.one_in(2) => self.rng.between(1, 4),
                _ => 0,
            };
            kinds.extend((0..weight).map(|_| kind));
        }
        kinds
    }

    fn storm(&mut self) -> u64 {
        self.storms[self.rng.index(self.storms.len())]
    }

    /// A moment in or just before a storm.
    pub(super) fn moment(&mut self) -> u64 {
        let storm = self.storm();
        (storm + self.rng.below(150 * MS)).saturating_sub(50 * MS)
    }
}
