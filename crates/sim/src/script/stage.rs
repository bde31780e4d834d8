//! Performing a script on the world.

use super::{Direction, Expected, Fate, Script};
use crate::checks::Verdict;
use crate::directory::PartState;
use crate::disk::Mood;
use crate::history::ClientAnswer;
use crate::mutant::Lies;
use crate::plan::{Clocks, LITTLE, Network, Plan, Planned, SHORT_QUEUE};
use crate::rng::Ratio;
use crate::run::guarded;
use crate::time::{EPOCH, S, US};
use crate::trace::What;
use crate::world::{Asked, Event, Held, RunReport, World};
use ::node::commit::QUEUE_BYTES_MAX;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::num::NonZeroU64;

/// Rounds of a `settle` before it is cut off: two mutants may feed each other for ever.
const ROUNDS: usize = 10_000;

/// A line takes this long, so that what is written later happens later.
const LINE: u64 = US;

/// How a performance went.
#[derive(Clone, Debug)]
pub struct Performance {
    /// The run, with its trace.
    pub report: RunReport,
    /// The first line that did not go as written: its number and what was wrong.
    pub failed: Option<(usize, String)>,
}

impl Performance {
    /// Whether everything went as written, and the checks are content.
    pub fn passed(&self) -> bool {
        self.failed.is_none() && self.report.verdict == Verdict::Fine
    }
}

struct Stage {
    world: World,
    names: BTreeMap<String, usize>,
    /// A direction that finds nothing to do is a mistake in the script; under a mutant it may be part of the lie.
    strict: bool,
}

/// Performs a script.
pub fn perform(script: &Script, lies: Lies, strict: bool) -> Performance {
    let mut failed = None;
    let report = guarded(|| {
        let mut stage = Stage::new(script, lies, strict);
        for (line, direction) in &script.directions {
            stage.world.trace.record(stage.world.now, || What::Direction { text: direction.to_string() });
            if let Err(why) = stage.follow(direction) {
                failed = Some((*line, format!("`{direction}`: {why}")));
                break;
            }
            if stage.world.conviction.is_some() {
                break;
            }
        }
        stage.world.finish()
    });
    Performance { report, failed }
}

fn quiet_plan(script: &Script) -> Plan {
    Plan {
        seed: 0,
        nodes: script.nodes,
        mode: script.mode,
        op_timeout: 3600 * S,
        cache_bytes: if script.remembers { 1 << 20 } else { 0 },
        rotate_after: NonZeroU64::MAX,
        queue_bytes: if script.short_queues { SHORT_QUEUE } else { QUEUE_BYTES_MAX },
        early_reads: script.shows_unsynced,
        network: Network {
            latency: (0, 0),
            loss: Ratio::ZERO,
            duplicate: Ratio::ZERO,
            stray: Ratio::ZERO,
            stray_max: 1,
            corrupt: Ratio::ZERO,
        },
        clocks: Clocks { wall_skew: 0, drift_ppm: 0, behind: 0, ahead: 0, hold: 1, tick: script.tick },
        sync: (0, 0),
        lookups: None,
        few_instances: false,
        lost_answers: Ratio::ZERO,
        repairs: script.repairs,
        sweeps: false,
        drives: script.heals
            || script.directions.iter().any(|(_, direction)| matches!(direction, Direction::Members(..))),
        heals: script.heals,
        short_lists: false,
        short_backlogs: script.short_backlogs,
        value_limits: vec![u64::MAX; script.nodes as usize],
        clients_bytes: if script.little_for_clients { LITTLE } else { 1 << 30 },
        pipelines: Vec::new(),
        drain: S,
        compare_every: None,
        operations: Vec::new(),
        faults: Vec::new(),
        chaos_end: u64::MAX,
        liveness: false,
    }
}

impl Stage {
    fn new(script: &Script, lies: Lies, strict: bool) -> Self {
        let mut world = World::new(quiet_plan(script), lies, true);
        world.held = Some(Vec::new());
        for node in 0..script.nodes {
            world.start(node);
        }
        let mut stage = Self { world, names: BTreeMap::new(), strict };
        stage.run_due(0);
        stage
    }

    /// Lets happen what is due by `until`.
    fn run_due(&mut self, until: u64) {
        while self.world.conviction.is_none()
            && let Some((at, event)) = self.world.queue.pop_due(until)
        {
            self.world.now = self.world.now.max(at);
            self.happens(event);
        }
        self.world.now = self.world.now.max(until);
    }

    fn happens(&mut self, event: Event) {
        self.world.moment += 1;
        self.world.dispatch(event);
    }

    fn follow(&mut self, direction: &Direction) -> Result<(), String> {
        let now = self.world.now;
        self.world.moment += 1;
        match direction {
            Direction::Clock(node, behind, ahead) => {
                self.world.nodes[*node as usize].clocks.fixed = Some((*behind, *ahead));
            }
            Direction::Wall(node, offset) => {
                let clocks = &mut self.world.nodes[*node as usize].clocks;
                let present = i128::from(clocks.wall(now)) - i128::from(EPOCH + now);
                let step = i128::from(*offset) - present;
                clocks.jump(i64::try_from(step).unwrap_or_default());
            }
            Direction::SyncsWhenTold(node) => self.world.nodes[*node as usize].lazy_disk = true,
            Direction::Ask { client, node, kind, key, value, expected, lives, name } => {
                let up = self.world.nodes[*node as usize].process.is_some();
                let planned = Planned {
                    at: now,
                    client: *client,
                    node: *node,
                    key: 0,
                    kind: *kind,
                    size: 0,
                    lives: *lives,
                    patience: 0,
                };
                let [key, value, expected] = [key, value, expected].map(|word| Bytes::from(word.clone()));
                let asked = Asked { key, value, expected };
                let operation = self.world.ask_for(&planned, up.then_some(*node), asked);
                self.names.insert(name.clone(), operation);
            }
            Direction::Message { from, to, kind, name, fate } => {
                let operation = self.names.get(name).copied();
                self.message(
                    |held| {
                        let label = &held.label;
                        (held.from(), held.to()) == (*from, *to)
                            && label.kind == *kind
                            && label.operation == operation
                    },
                    *fate,
                )?;
            }
            Direction::Settle(nodes) => self.settle(nodes)?,
            Direction::Sync(node) => self.sync(*node)?,
            Direction::Room(node, room) => {
                self.world.set_mood(*node, if *room { Mood::Good } else { Mood::Full });
            }
            Direction::Writable(node, true) => self.world.make_writable(*node),
            Direction::Writable(node, false) => self.world.nodes[*node as usize].read_only = true,
            Direction::Crash(node) => self.world.crash(*node, false, "killed"),
            Direction::PowerCut(node) => self.world.crash(*node, true, "no power"),
            Direction::Start(node) => {
                self.world.reset_lanes_to(*node);
                self.world.start(*node);
            }
            Direction::Empty(node) => {
                self.world.replace(*node, [PartState::Gone; 3]);
                self.world.start(*node);
            }
            Direction::Old(node) => {
                self.world.replace(*node, [PartState::Older; 3]);
                self.world.start(*node);
            }
            Direction::Damage(node, key) => self.world.damage(*node, key.as_bytes()),
            Direction::Lose(node, loss) => self.world.lose_part(*node, loss),
            Direction::Stranger(node, claimed) => self.world.greet_as_stranger(*node, *claimed),
            Direction::Copy(node) => self.world.copy_directory(*node),
            Direction::Parts(node, parts) => {
                self.world.replace(*node, *parts);
                self.world.start(*node);
            }
            Direction::Pause(node) => self.world.pause(*node),
            Direction::Resume(node) => self.world.resume(*node),
            Direction::Stop(node) => self.world.stop(*node),
            Direction::Limit(node, bytes) => {
                self.world.nodes[*node as usize].own.limits.value = *bytes;
                // It is told when they greet.
                for peer in (0..self.world.plan.nodes).filter(|peer| peer != node) {
                    self.world.break_lanes(*node, peer);
                }
            }
            Direction::Mute(from, to) => self.world.mute(*from, *to),
            Direction::Break(from, to) => self.world.break_lanes(*from, *to),
            Direction::Backlog(from, to, true) => self.world.backlogs.cut(&[(*from, *to)]),
            Direction::Backlog(from, to, false) => self.world.reads_again(*from, *to),
            Direction::ExpectHeld(node, key, value) => {
                let process = self.world.nodes[*node as usize].process.as_ref();
                let newest = process.and_then(|process| process.store().newest(key.as_bytes()).ok());
                let held = newest.and_then(|newest| newest.stamped.content.value().cloned());
                if held.as_deref() != Some(value.as_bytes()) {
                    let held = held.map_or_else(|| "nothing".into(), |held| held.escape_ascii().to_string());
                    return Err(format!("it holds {held}"));
                }
            }
            Direction::Members(node, wish) => {
                self.world.ask_for_change(self.world.machines.len(), *node, *wish);
                self.world.start_machines(None);
            }
            Direction::ExpectEpoch(node, expected) => {
                let process = self.world.nodes.get(*node as usize).and_then(|state| state.process.as_ref());
                let epoch = process.map(|process| process.desk.shard.borrow().configuration().epoch());
                if epoch != Some(*expected) {
                    return Err(epoch.map_or("it is down".into(), |epoch| format!("it is in epoch {epoch}")));
                }
            }
            Direction::Pass(nanos) => self.run_due(now + nanos),
            Direction::Expect(name, expected) => self.expect(name, expected)?,
            Direction::ExpectRefusal(node) => {
                if !self.world.nodes[*node as usize].lost {
                    return Err("it serves".into());
                }
            }
        }
        let now = self.world.now;
        self.run_due(now + LINE);
        Ok(())
    }

    /// Does something to the oldest message that fits.
    fn message(&mut self, fits: impl Fn(&Held) -> bool, fate: Fate) -> Result<(), String> {
        let Some(held) = &mut self.world.held else { return Ok(()) };
        let Some(index) = held.iter().position(fits) else {
            return if self.strict { Err("no such message is under way".into()) } else { Ok(()) };
        };
        match fate {
            Fate::IsLost => {
                let message = held.remove(index).envelope.message;
                self.world.trace.record(self.world.now, || What::Lost { message, why: "says the script" });
            }
            Fate::IsCopied => {
                let copy = held[index].clone();
                held.insert(index + 1, copy);
            }
            Fate::Arrives => {
                let envelope = held.remove(index).envelope;
                self.happens(Event::Arrive(envelope));
            }
        }
        Ok(())
    }

    fn sync(&mut self, node: u32) -> Result<(), String> {
        let process = self.world.nodes[node as usize].process.as_ref();
        match process.filter(|process| process.job.is_some()).map(|process| process.incarnation) {
            Some(incarnation) => {
                self.happens(Event::DiskDone { node, incarnation });
                Ok(())
            }
            None if self.strict => Err("its disk has nothing to do".into()),
            None => Ok(()),
        }
    }

    fn settle(&mut self, nodes: &[u32]) -> Result<(), String> {
        for _ in 0..ROUNDS {
            if self.world.conviction.is_some() {
                return Ok(());
            }
            let now = self.world.now;
            self.run_due(now);
            let inside = |held: &Held| nodes.contains(&held.from()) && nodes.contains(&held.to());
            if self.world.held.as_ref().is_some_and(|held| held.iter().any(inside)) {
                self.message(inside, Fate::Arrives)?;
                continue;
            }
            let busy = nodes.iter().copied().find(|node| {
                let process = self.world.nodes.get(*node as usize).and_then(|state| state.process.as_ref());
                process.is_some_and(|process| process.job.is_some())
            });
            match busy {
                Some(node) => self.sync(node)?,
                None => return Ok(()),
            }
        }
        Err("it never comes to rest".into())
    }

    fn expect(&self, name: &str, expected: &Expected) -> Result<(), String> {
        let Some(record) = self.names.get(name).map(|index| &self.world.records[*index]) else {
            return Err(format!("there is no operation {name}"));
        };
        let met = match (expected, &record.answer) {
            (Expected::Pending, ClientAnswer::Pending)
            | (Expected::Ok, ClientAnswer::Written | ClientAnswer::Number(_))
            | (Expected::Refused, ClientAnswer::Refused(_) | ClientAnswer::NotAsked)
            | (Expected::Unknown, ClientAnswer::Unknown(_))
            | (Expected::Absent, ClientAnswer::Read(None)) => true,
            (Expected::Value(value), ClientAnswer::Read(Some(found))) => found == value.as_bytes(),
            (Expected::Value(value), ClientAnswer::Number(number)) => number.to_string() == *value,
            _ => false,
        };
        if met { Ok(()) } else { Err(format!("it is {}", record.answer.text())) }
    }
}

impl Held {
    fn from(&self) -> u32 {
        self.envelope.from
    }

    fn to(&self) -> u32 {
        self.envelope.to
    }
}
