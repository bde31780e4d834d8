//! Breadth first through all states of a world.
//!
//! States are kept whole and compared whole: no fingerprint can make two of them one.

use super::change::Step;
use super::hash::Mix;
use super::history::linearizable;
use super::narrate;
use super::scenario::Scenario;
use super::world::{Rules, World};
use std::hash::{Hash, Hasher};

/// A property that every state must have, broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// No order explains the answers.
    NotLinearizable,
    /// Rule V1: two values carry one version.
    TwoValues,
    /// An Update has become two versions.
    AppliedTwice,
    /// Nothing can happen any more, yet an operation is open.
    Stuck,
}

/// A shortest way to a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterExample {
    /// Its steps in words.
    pub steps: Vec<String>,
    /// The last line: who got to know what.
    pub history: String,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Distinct states, up to the names of the replicas.
    pub states: usize,
    /// Steps to the farthest of them.
    pub depth: usize,
    /// Whether these are all that there are, and not those up to a depth.
    pub exhaustive: bool,
    /// Distinct production machines among them, distinct inputs to these, and distinct acceptors.
    pub machines: (usize, usize, usize),
    /// The first state in which two values carry one version: steps to it.
    pub two_values: Option<CounterExample>,
    /// What ended the search, if anything did.
    pub violation: Option<(Violation, CounterExample)>,
    /// Whether there is a run in which every operation is answered.
    pub completes: bool,
    /// Where the machines differ from what the search takes for granted about them (points 1 and 6 of the module
    /// documentation). Looked for only where there was no violation.
    pub surprise: Option<String>,
}

/// Visits every state, or those that take no more steps than `depth`. `for_histories` are worlds whose rules are broken on purpose:
/// they are searched to their first history that is not linearizable; any other to its first violation of anything.
pub(super) fn search(scenario: &Scenario, for_histories: bool, depth: Option<usize>) -> Finding {
    let mut rules = Rules::new(scenario.clone());
    let mut seen = Seen::default();
    let beginning = rules.beginning();
    let beginning = rules.canonical(&beginning);
    seen.insert(beginning, 0);
    let mut finding = Finding {
        states: 0,
        depth: 0,
        exhaustive: true,
        machines: (0, 0, 0),
        two_values: None,
        violation: None,
        completes: false,
        surprise: None,
    };
    let mut steps = Vec::new();
    let (mut index, mut level_end) = (0, 1);
    while index < seen.worlds.len() && finding.violation.is_none() {
        if index == level_end {
            if depth == Some(finding.depth) {
                finding.exhaustive = false;
                break;
            }
            finding.depth += 1;
            level_end = seen.worlds.len();
        }
        let world = seen.worlds[index];
        let mut stuck = true;
        rules.steps(&world, &mut steps);
        for &step in &steps {
            let Some(after) = rules.apply(&world, step) else { continue };
            stuck = false;
            let after = rules.canonical(&after);
            let Some(reached) = seen.insert(after, index) else { continue };
            let tell = |rules: &mut Rules| counter_example(rules, &seen.path(reached));
            if after.sent != world.sent || after.replicas != world.replicas {
                let present = rules.present(&after);
                if finding.two_values.is_none() && rules.machines.values().has_twins(present) {
                    let example = tell(&mut rules);
                    finding.two_values = Some(example.clone());
                    if !for_histories {
                        finding.violation = Some((Violation::TwoValues, example));
                        break;
                    }
                }
                if !for_histories && rules.machines.values().has_repeats(present) {
                    finding.violation = Some((Violation::AppliedTwice, tell(&mut rules)));
                    break;
                }
            }
            if after.records != world.records && !linearizable(&scenario.operations, &after.records) {
                finding.violation = Some((Violation::NotLinearizable, tell(&mut rules)));
                break;
            }
        }
        finding.completes |= rules.all_answered(&world);
        if stuck && !rules.finished(&world) {
            finding.violation = Some((Violation::Stuck, counter_example(&mut rules, &seen.path(index))));
        }
        index += 1;
    }
    finding.states = seen.worlds.len();
    finding.machines = rules.machines.size();
    if finding.violation.is_none() {
        finding.surprise = rules.machines.verify().err();
    }
    finding
}

/// Tells the way to a state with the replicas keeping their names: canonical states may rename them at every step.
fn counter_example(rules: &mut Rules, path: &[World]) -> CounterExample {
    let mut world = rules.beginning();
    let mut steps = Vec::new();
    let mut possible: Vec<Step> = Vec::new();
    for goal in &path[1..] {
        rules.steps(&world, &mut possible);
        let step = possible.iter().find_map(|&step| {
            let after = rules.apply(&world, step)?;
            (rules.canonical(&after) == *goal).then_some((step, after))
        });
        let Some((step, after)) = step else {
            // Only where renaming the replicas changes more than names.
            panic!("a step that was taken is not there: {:?}", rules.machines.verify())
        };
        steps.push(narrate::step(rules, &world, step, &after));
        world = after;
    }
    CounterExample { steps, history: narrate::history(rules, &world) }
}

/// The states seen, in the order in which they were reached, each with the one it was reached from.
#[derive(Default)]
struct Seen {
    worlds: Vec<World>,
    parents: Vec<u32>,
    /// Open addressing over `worlds`: an index plus one, or zero. A power of two long, at most half full.
    table: Vec<u32>,
}

impl Seen {
    /// Adds a state; its index if it is new.
    fn insert(&mut self, world: World, parent: usize) -> Option<usize> {
        if self.worlds.len() * 2 >= self.table.len() {
            self.grow();
        }
        let mut slot = self.slot(&world);
        while self.table[slot] != 0 {
            if self.worlds[self.table[slot] as usize - 1] == world {
                return None;
            }
            slot = (slot + 1) & (self.table.len() - 1);
        }
        let (Ok(next), Ok(parent)) = (u32::try_from(self.worlds.len() + 1), u32::try_from(parent)) else {
            panic!("not a tiny world");
        };
        self.table[slot] = next;
        self.worlds.push(world);
        self.parents.push(parent);
        Some(self.worlds.len() - 1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "low bits of a hash are a hash")]
    fn slot(&self, world: &World) -> usize {
        let mut hasher = Mix::default();
        world.hash(&mut hasher);
        hasher.finish() as usize & (self.table.len() - 1)
    }

    fn grow(&mut self) {
        self.table = vec![0; (self.table.len() * 2).max(1 << 10)];
        for (index, world) in (1..).zip(&self.worlds) {
            let mut slot = self.slot(world);
            while self.table[slot] != 0 {
                slot = (slot + 1) & (self.table.len() - 1);
            }
            self.table[slot] = index;
        }
    }

    /// The states from the beginning to one of them.
    fn path(&self, mut index: usize) -> Vec<World> {
        let mut path = vec![self.worlds[index]];
        while index != 0 {
            index = self.parents[index] as usize;
            path.push(self.worlds[index]);
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "sets are compared and counted, in no order")]
mod tests {
    use super::super::history::HistoryEntry;
    use super::super::scenario::MAX_OPERATIONS;
    use super::super::scenario::OperationKind::{Append, Get, Set};
    use super::*;
    use std::collections::HashSet;

    /// Every state with the replicas under all their names.
    fn unreduced(rules: &mut Rules) -> HashSet<World> {
        let beginning = rules.beginning();
        let (mut seen, mut left) = (HashSet::from([beginning]), vec![beginning]);
        let mut steps = Vec::new();
        while let Some(world) = left.pop() {
            rules.steps(&world, &mut steps);
            for &step in &steps {
                if let Some(after) = rules.apply(&world, step)
                    && seen.insert(after)
                {
                    left.push(after);
                }
            }
        }
        seen
    }

    /// Without the reduction by symmetry there are several times more states, but none that it does not stand for.
    #[test]
    fn symmetry_hides_no_state() {
        let scenario = Scenario::logical().run(&[Set]).run(&[Set]).may_crash().run(&[Get]);
        let mut rules = Rules::new(scenario.clone());
        let all = unreduced(&mut rules);
        let standing_for_all: HashSet<World> = all.iter().map(|world| rules.canonical(world)).collect();
        assert_eq!(standing_for_all.len(), search(&scenario, false, None).states);
        assert!(all.len() > 4 * standing_for_all.len(), "{} of {}", standing_for_all.len(), all.len());
    }

    /// The same with Updates, whose acceptors and ballots must not know the names either.
    #[test]
    fn symmetry_hides_no_state_of_updates() {
        let scenario = Scenario::logical().run(&[Append]).run(&[Set]);
        let mut rules = Rules::new(scenario.clone());
        let all = unreduced(&mut rules);
        let standing_for_all: HashSet<World> = all.iter().map(|world| rules.canonical(world)).collect();
        assert_eq!(standing_for_all.len(), search(&scenario, false, None).states);
        assert!(all.len() > 3 * standing_for_all.len(), "{} of {}", standing_for_all.len(), all.len());
    }

    /// The same where the members change, for the two that stay.
    #[test]
    fn symmetry_hides_no_state_of_a_change() {
        let scenario = Scenario::change().run(&[Append]);
        let mut rules = Rules::new(scenario.clone());
        let all = unreduced(&mut rules);
        let standing_for_all: HashSet<World> = all.iter().map(|world| rules.canonical(world)).collect();
        assert_eq!(standing_for_all.len(), search(&scenario, false, None).states);
        assert!(all.len() * 2 > 3 * standing_for_all.len(), "{} of {}", standing_for_all.len(), all.len());
    }

    /// The histories of all runs that came to their end.
    fn endings(scenario: &Scenario) -> HashSet<[HistoryEntry; MAX_OPERATIONS]> {
        let mut rules = Rules::new(scenario.clone());
        let all = unreduced(&mut rules);
        all.iter().filter(|world| rules.all_answered(world)).map(|world| world.records).collect()
    }

    /// Whether `strong` has the answers of `weak` and at least its real-time order.
    fn dominates(strong: &[HistoryEntry], weak: &[HistoryEntry]) -> bool {
        let same =
            |(s, w): (&HistoryEntry, &HistoryEntry)| s.progress == w.progress && w.before & !s.before == 0;
        strong.iter().zip(weak).all(same)
    }

    /// Point 3 of the module documentation: where every Set has an issuer of its own, an answer to a query that
    /// travels for a while leads to no history that is not there, at least as strict, without it.
    #[test]
    fn slow_answers_add_no_history() {
        let scenario = Scenario::logical().run(&[Set]).run(&[Set]).run(&[Get]);
        let (fast, slow) = (endings(&scenario), endings(&scenario.slow_replies()));
        assert!(!slow.is_empty());
        for history in &slow {
            assert!(fast.iter().any(|strong| dominates(strong, history)), "{history:?}");
        }
    }
}
