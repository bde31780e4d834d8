//! Random schedules: thousands of small histories under loss, repetition, reordering and crashes, each checked for
//! linearizability by trying every order.
//!
//! A failure names its seed; `run(seed)` repeats it exactly.

use crate::functions::{append, apply, create, take};
use crate::support::{Message, Ticket, World, delete, get, set};
use abd::{Interval, Operation, Outcome, StampedValue, TimestampMode, Version};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most operations of one history.
const OPERATIONS: usize = 7;

/// How far a clock's bounds may lie from true time, in nanoseconds.
const UNCERTAINTY: u64 = 40;

/// Histories per test.
const SEEDS: u64 = match option_env!("ABD_SEEDS") {
    Some(_) => 60_000,
    None => 1000,
};

/// The generator *splitmix64*: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    /// The next word.
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.word() % bound
    }

    /// A place in a list of `len` elements.
    fn place(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("a place in memory")
    }

    /// True in `percent` of a hundred cases.
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What an operation did to the register, or saw in it; `None` is an absent key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Effect {
    /// It made this the value.
    Write(Option<String>),
    /// It saw this value.
    Read(Option<String>),
    /// It applied this function, and saw this value before, if it was answered.
    Update(Vec<u8>, Option<Option<String>>),
}

/// An operation of a history.
#[derive(Clone, Debug)]
struct Event {
    /// When it was invoked.
    invoked: usize,
    /// When it was answered; an operation with an unknown outcome never is.
    answered: Option<usize>,
    /// What it did.
    effect: Effect,
}

/// Whether some order of the events, in which nobody precedes what was answered before its own invocation, explains
/// all reads. Events that were not answered may be left out.
fn linearizable(events: &[Event]) -> bool {
    /// Tries every event that may come next.
    fn search(events: &[Event], done: u32, value: &Option<String>) -> bool {
        let open = || (0..events.len()).filter(|at| done & (1 << at) == 0);
        if open().all(|at| events[at].answered.is_none()) {
            return true;
        }
        let first_answer = open().filter_map(|at| events[at].answered).min();
        open().any(|at| {
            if first_answer.is_some_and(|answer| answer < events[at].invoked) {
                return false;
            }
            match &events[at].effect {
                Effect::Write(next) => search(events, done | 1 << at, next),
                Effect::Read(seen) => seen == value && search(events, done | 1 << at, value),
                Effect::Update(_, Some(seen)) if seen != value => false,
                Effect::Update(function, _) => {
                    let next = apply(function, value.as_deref()).unwrap_or_else(|| value.clone());
                    search(events, done | 1 << at, &next)
                }
            }
        })
    }
    search(events, 0, &None)
}

/// One random history in the making.
struct Run {
    world: World,
    dice: Dice,
    mode: TimestampMode,
    updates: bool,
    /// Every submitted operation, by ticket: when, what.
    submitted: Vec<(Ticket, usize, Operation)>,
    /// When an outcome was first seen.
    ended: BTreeMap<Ticket, usize>,
    step: usize,
}

impl Run {
    /// A fresh cluster whose size and mode the test chooses.
    fn new(seed: u64, count: u32, mode: TimestampMode, updates: bool) -> Self {
        let mut run = Self {
            world: World::new(count, mode),
            dice: Dice(seed),
            mode,
            updates,
            submitted: Vec::new(),
            ended: BTreeMap::new(),
            step: 0,
        };
        for id in run.world.ids() {
            // Some disks sync when told to, the others at once.
            run.world.node(id).disk.lazy = run.dice.chance(30);
        }
        run.set_clocks();
        run
    }

    /// Every clock is read anew: some interval around true time, wherever the last one was.
    fn set_clocks(&mut self) {
        if self.mode == TimestampMode::Logical {
            return;
        }
        let truth = 1000 + self.world.instant.0;
        for id in self.world.ids() {
            let interval = Interval {
                earliest: truth - self.dice.below(UNCERTAINTY),
                latest: truth + self.dice.below(UNCERTAINTY),
            };
            self.world.node(id).interval = Some(interval);
        }
    }

    /// Starts an operation. Every Set has a value of its own.
    fn submit(&mut self, operation: Operation) {
        let ids = self.world.ids();
        let node = ids[self.dice.place(ids.len())];
        let invoked = self.step;
        let ticket = self.world.submit(node, operation.clone());
        self.submitted.push((ticket, invoked, operation));
    }

    /// Notes what has ended by now.
    fn observe(&mut self) {
        for (ticket, _, _) in &self.submitted {
            if self.world.outcome(*ticket).is_some() {
                self.ended.entry(*ticket).or_insert(self.step);
            }
        }
        self.step += 1;
    }

    /// One random thing happens.
    fn act(&mut self) {
        let ids = self.world.ids();
        let node = ids[self.dice.place(ids.len())];
        match self.dice.below(100) {
            0..=9 if self.submitted.len() + 1 < OPERATIONS => {
                let token = format!("u{}.", self.submitted.len());
                let operation = match self.dice.below(10) {
                    // Most of the histories with updates have little else.
                    0..=5 if self.updates => match self.dice.below(8) {
                        0..=1 => create(&token),
                        2 => take(),
                        _ => append(&token),
                    },
                    0 => delete(),
                    1..=5 => set(&format!("v{}", self.submitted.len())),
                    _ => get(),
                };
                self.submit(operation);
            }
            10..=79 if !self.world.pool.is_empty() => {
                let at = self.dice.place(self.world.pool.len());
                if self.dice.chance(10) {
                    let copy = self.world.pool[at].clone();
                    self.world.pool.push(copy);
                }
                if self.dice.chance(6) {
                    self.world.pool.remove(at);
                } else {
                    self.world.deliver_at(at);
                }
            }
            80..=87 => self.world.fsync(node),
            88..=89 => self.world.crash(node),
            90..=91 => {
                let late = self.dice.place(self.submitted.len().max(1));
                if let Some((ticket, _, _)) = self.submitted.get(late)
                    && self.world.nodes[&ticket.node].boot == ticket.boot
                    && self.dice.chance(20)
                {
                    self.world.cancel(*ticket);
                }
            }
            _ => {
                // Mostly less than the uncertainty, now and then enough for hedges and repetitions.
                let pause = if self.dice.chance(25) { 60_000_000 } else { 1 + self.dice.below(30) };
                self.world.instant = self.world.instant + Duration::from_nanos(pause);
                self.set_clocks();
                self.world.fire();
            }
        }
        self.observe();
    }

    /// Nothing is lost any more, disks sync, and time passes: until everything that can end has ended.
    fn settle(&mut self) {
        // Updates that are in each other's way need longer than anything else: up to their deadlines.
        for _ in 0..if self.updates { 14 } else { 4 } {
            for _ in 0..20 {
                self.world.deliver_all();
                for id in self.world.ids() {
                    self.world.fsync(id);
                }
                if self.world.pool.is_empty() {
                    break;
                }
            }
            self.observe();
            self.world.instant = self.world.instant + Duration::from_millis(900);
            self.set_clocks();
            self.world.fire();
            self.observe();
        }
        assert!(self.world.pool.iter().all(Message::is_write), "reads are still under way");
    }

    /// What the clients know in the end (PROTOCOL section 8): refused operations had no effect, and an operation
    /// whose coordinator has crashed, or that is indeterminate, stays open for ever.
    fn history(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (ticket, invoked, operation) in &self.submitted {
            let written = match operation {
                Operation::Get { .. } => None,
                Operation::Set { value, .. } => Some(Some(String::from_utf8_lossy(value).into_owned())),
                Operation::Delete { .. } => Some(None),
                Operation::Update { functions, .. } => {
                    let function = functions[0].encoded.to_vec();
                    let (answered, seen) = match self.world.outcome(*ticket) {
                        Some(Outcome::Refused(_)) => continue,
                        Some(Outcome::Updated { answers, .. }) => {
                            let seen = String::from_utf8_lossy(&answers[0]).into_owned();
                            let seen = seen.strip_prefix('=').map(str::to_owned);
                            (self.ended.get(ticket).copied(), Some(seen))
                        }
                        Some(Outcome::Indeterminate(_)) | None => (None, None),
                        outcome => panic!("{operation:?} ended with {outcome:?}"),
                    };
                    events.push(Event {
                        invoked: *invoked,
                        answered,
                        effect: Effect::Update(function, seen),
                    });
                    continue;
                }
            };
            let (answered, effect) = match (self.world.outcome(*ticket), written) {
                (Some(Outcome::Refused(_)), _) => continue,
                (Some(Outcome::Read(stamped)), None) => {
                    let seen =
                        stamped.content.value().map(|value| String::from_utf8_lossy(value).into_owned());
                    (self.ended.get(ticket).copied(), Effect::Read(seen))
                }
                (Some(Outcome::Written { .. }), Some(value)) => {
                    (self.ended.get(ticket).copied(), Effect::Write(value))
                }
                (Some(Outcome::Indeterminate(_)) | None, Some(value)) => (None, Effect::Write(value)),
                (None, None) => continue,
                (outcome, _) => panic!("{operation:?} ended with {outcome:?}"),
            };
            events.push(Event { invoked: *invoked, answered, effect });
        }
        events
    }

    /// Rule V1 on all disks: a version names one content.
    fn assert_one_content_per_version(&self, seen: &mut BTreeMap<Version, StampedValue>) {
        for node in self.world.nodes.values() {
            for (_, stamped) in node.disk.synced.versions().chain(node.disk.cache.versions()) {
                let before = seen.entry(stamped.version).or_insert_with(|| stamped.clone());
                assert_eq!(before, stamped, "{:?} names two contents", stamped.version);
            }
        }
    }
}

/// One seed from beginning to end; tells how many operations were answered well.
fn run(seed: u64, count: u32, mode: TimestampMode, updates: bool) -> usize {
    let mut run = Run::new(seed, count, mode, updates);
    let mut contents = BTreeMap::new();
    for _ in 0..150 {
        run.act();
        run.assert_one_content_per_version(&mut contents);
    }
    run.settle();
    run.submit(get());
    run.observe();
    run.settle();
    let last = run.submitted[run.submitted.len() - 1].0;
    assert!(
        matches!(run.world.outcome(last), Some(Outcome::Read(_))),
        "seed {seed}, {count} nodes, {mode:?}: everybody is up, yet the Get ended with {:?}",
        run.world.outcome(last)
    );
    let events = run.history();
    assert!(linearizable(&events), "seed {seed}, {count} nodes, {mode:?}: {events:#?}");
    events.iter().filter(|event| event.answered.is_some()).count()
}

/// Many seeds; the histories must be worth checking.
fn run_all(count: u32, mode: TimestampMode, updates: bool) {
    let answered: usize = (0..SEEDS).map(|seed| run(seed, count, mode, updates)).sum();
    let per_history = answered as f64 / SEEDS as f64;
    assert!(per_history > 2.5, "only {per_history:.2} operations of a history were answered");
}

/// PROTOCOL runs L1 to L4 and L8, by chance instead of exhaustively.
#[test]
fn three_nodes_in_logical_mode_are_linearizable() {
    run_all(3, TimestampMode::Logical, false);
}

/// PROTOCOL run L5.
#[test]
fn five_nodes_in_logical_mode_are_linearizable() {
    run_all(5, TimestampMode::Logical, false);
}

/// PROTOCOL runs T1, T2 and T4.
#[test]
fn three_nodes_in_truetime_mode_are_linearizable() {
    run_all(3, TimestampMode::TrueTime, false);
}

/// The same with five.
#[test]
fn five_nodes_in_truetime_mode_are_linearizable() {
    run_all(5, TimestampMode::TrueTime, false);
}

/// PROTOCOL runs N1 to N9, V1 and V2, by chance.
#[test]
fn updates_on_three_nodes_in_logical_mode_are_linearizable() {
    run_all(3, TimestampMode::Logical, true);
}

/// The same with five.
#[test]
fn updates_on_five_nodes_in_logical_mode_are_linearizable() {
    run_all(5, TimestampMode::Logical, true);
}

/// PROTOCOL runs N10 and N11, by chance.
#[test]
fn updates_on_three_nodes_in_truetime_mode_are_linearizable() {
    run_all(3, TimestampMode::TrueTime, true);
}

/// The checker itself: histories whose verdict is known.
#[test]
fn the_checker_knows_right_from_wrong() {
    let event = |invoked, answered, effect| Event { invoked, answered, effect };
    let write = |value: &str| Effect::Write(Some(value.to_owned()));
    let read = |value: &str| Effect::Read(Some(value.to_owned()));
    // A Set, then a read of nothing.
    assert!(!linearizable(&[event(0, Some(1), write("x")), event(2, Some(3), Effect::Read(None))]));
    // The same, overlapping.
    assert!(linearizable(&[event(0, Some(3), write("x")), event(1, Some(2), Effect::Read(None))]));
    // New, then old: the anomaly that write-back prevents.
    let mut events =
        vec![event(0, None, write("x")), event(1, Some(2), read("x")), event(3, Some(4), Effect::Read(None))];
    assert!(!linearizable(&events));
    // Old, then new is fine, and an open Set may also never happen.
    events.swap(1, 2);
    (events[1].invoked, events[1].answered) = (1, Some(2));
    (events[2].invoked, events[2].answered) = (3, Some(4));
    assert!(linearizable(&events));
    assert!(linearizable(&events[..2]));
    // A value that nobody wrote.
    assert!(!linearizable(&[event(0, Some(1), read("x"))]));
    // PROTOCOL 3.6: Get1 returns Set1 before Set2 begins, and Get2 returns Set1 after Set2.
    assert!(!linearizable(&[
        event(0, None, write("one")),
        event(1, Some(2), read("one")),
        event(3, Some(4), write("two")),
        event(5, Some(6), read("one")),
    ]));
}
