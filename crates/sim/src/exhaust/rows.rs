//! The rows of PROTOCOL section 10, and what each must come to; here those that concern Get, Set and Delete.

use super::expiry_rows;
use super::member_rows;
use super::scenario::OperationKind::{Delete, Get, Set};
use super::scenario::{Break, Scenario};
use super::search::{Finding, Violation, search};
use super::table::grouped;
use super::update_rows;
use abd::TimestampMode;

/// What a row must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No violation in any state.
    Holds {
        /// Distinct states.
        states: usize,
        /// Steps to the farthest of them.
        depth: usize,
    },
    /// No violation in any state that takes no more steps than these; there are more.
    HoldsTo {
        /// Distinct states.
        states: usize,
        /// Steps.
        depth: usize,
    },
    /// A violation.
    Caught {
        /// Of what.
        violation: Violation,
        /// Steps of the shortest way there.
        steps: usize,
        /// Steps to two values under one version, where that breaks on the way.
        two_values: Option<usize>,
    },
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// As in PROTOCOL section 10.
    pub name: &'static str,
    /// Who does what.
    pub scenario: &'static str,
    /// Which rule an adapter around the production machines breaks; nothing for a row that must hold.
    pub broken: Option<&'static str>,
    /// Whether it is so large that only `--all` visits it.
    pub long: bool,
    /// What it must come to.
    pub expected: Expected,
    world: Scenario,
}

impl Row {
    /// Searches the row's world.
    pub fn search(&self) -> Finding {
        let for_histories =
            matches!(self.expected, Expected::Caught { violation: Violation::NotLinearizable, .. });
        let depth = match self.expected {
            Expected::HoldsTo { depth, .. } => Some(depth),
            _ => None,
        };
        search(&self.world, for_histories, depth)
    }

    /// Compares what was found with what must be found.
    ///
    /// # Errors
    /// The difference, in words.
    pub fn judge(&self, finding: &Finding) -> Result<(), String> {
        let two_values = finding.two_values.as_ref().map(|example| example.steps.len());
        if let Some(surprise) = &finding.surprise {
            return Err(surprise.clone());
        }
        let Finding { states, depth, .. } = *finding;
        let found = match &finding.violation {
            // A search that is cut off may not come so far.
            None if finding.exhaustive && !finding.completes => {
                return Err("no run answers every operation".into());
            }
            None if finding.exhaustive => Expected::Holds { states, depth },
            None => Expected::HoldsTo { states, depth },
            Some((violation, example)) => {
                Expected::Caught { violation: *violation, steps: example.steps.len(), two_values }
            }
        };
        if found == self.expected { Ok(()) } else { Err(format!("{found:?}, not {:?}", self.expected)) }
    }

    /// The row as a line of the tables in the documentation.
    pub fn line(&self) -> String {
        let result = match self.expected {
            Expected::Holds { states, depth } => format!("{} | {depth}", grouped(states)),
            Expected::HoldsTo { states, depth } => format!("{} | the first {depth}", grouped(states)),
            Expected::Caught { violation: Violation::TwoValues, steps, .. } => {
                format!("{steps}, two values under one version")
            }
            Expected::Caught { violation: Violation::AppliedTwice, steps, .. } => {
                format!("{steps}, applied twice")
            }
            Expected::Caught { steps, two_values: None, .. } => steps.to_string(),
            Expected::Caught { steps, two_values: Some(earlier), .. } => {
                format!("{steps}, two values after {earlier}")
            }
        };
        let what = self.broken.map_or(String::new(), |rule| format!("{rule} | "));
        format!("| {} | {} | {what}{result} |", self.name, self.scenario)
    }

    pub(super) fn visits(mut self, states: usize, depth: usize) -> Self {
        self.expected = Expected::Holds { states, depth };
        self
    }

    /// So many states take no more than so many steps.
    pub(super) fn visits_to(mut self, depth: usize, states: usize) -> Self {
        self.expected = Expected::HoldsTo { states, depth };
        self
    }

    pub(super) fn caught_in(self, steps: usize) -> Self {
        self.caught_as(Violation::NotLinearizable, steps)
    }

    pub(super) fn caught_as(mut self, violation: Violation, steps: usize) -> Self {
        let two_values = (violation == Violation::TwoValues).then_some(steps);
        self.expected = Expected::Caught { violation, steps, two_values };
        self
    }

    /// Two values get one version after so many steps, and readers see it after so many more.
    fn caught_via_two_values(mut self, two_values: usize, steps: usize) -> Self {
        let violation = Violation::NotLinearizable;
        self.expected = Expected::Caught { violation, steps, two_values: Some(two_values) };
        self
    }

    pub(super) fn long(mut self) -> Self {
        self.long = true;
        self
    }
}

pub(super) fn holds(name: &'static str, scenario: &'static str, world: Scenario) -> Row {
    let expected = Expected::Holds { states: 0, depth: 0 };
    Row { name, scenario, broken: None, long: false, expected, world }
}

pub(super) fn broken(name: &'static str, scenario: &'static str, rule: &'static str, world: Scenario) -> Row {
    Row { broken: Some(rule), ..holds(name, scenario, world) }
}

/// Two Sets and two Gets, each at a coordinator of its own.
fn two_sets_two_gets(world: Scenario) -> Scenario {
    world.run(&[Set]).run(&[Set]).run(&[Get]).run(&[Get])
}

/// Two Sets at once on one coordinator, and two Gets.
fn sets_at_once(world: Scenario) -> Scenario {
    world.run(&[Set, Set]).at_once().run(&[Get]).run(&[Get])
}

/// A node sets, may crash at any moment, and sets again; another node sets.
fn set_crash_set(world: Scenario) -> Scenario {
    world.run(&[Set, Set]).may_crash().run(&[Set])
}

/// A Set whose node may crash, a Delete, another Set, a Get.
fn set_and_delete() -> Scenario {
    Scenario::logical().run(&[Set]).may_crash().run(&[Delete]).run(&[Set]).run(&[Get])
}

/// All rows: those that hold, then those that must be caught. A broken row is the world of a row that holds, with one
/// rule taken away: what it shows is that the row could have failed.
pub fn rows() -> Vec<Row> {
    let mut rows = rows_that_hold();
    rows.extend(update_rows::rows_that_hold());
    rows.extend(expiry_rows::rows_that_hold());
    rows.extend(member_rows::rows_that_hold());
    rows.extend(broken_logical_rows());
    rows.extend(broken_truetime_rows());
    rows.extend(update_rows::broken_rows());
    rows.extend(expiry_rows::broken_rows());
    rows.extend(member_rows::broken_rows());
    rows
}

fn rows_that_hold() -> Vec<Row> {
    let (logical, truetime) = (Scenario::logical, Scenario::truetime);
    let crash_set = set_crash_set(logical()).run(&[Get]).run(&[Get]);
    let three_sets = logical().run(&[Set]).run(&[Set]).run(&[Set]).run(&[Get]).run(&[Get]);
    vec![
        holds("L1", "2 Set, 2 Get", two_sets_two_gets(logical())).visits(45_855, 14),
        holds("L2", "Set, crash, Set; Set; 2 Get", crash_set).visits(3_252_892, 19).long(),
        holds("L3", "2 Set at once on one node, 2 Get", sets_at_once(logical()).slow_replies())
            .visits(332_126, 14),
        holds("L4", "3 Set, 2 Get", three_sets).visits(5_851_515, 18).long(),
        holds("L7", "2 Set, 3 Get", two_sets_two_gets(logical()).run(&[Get])).visits(1_930_566, 16).long(),
        holds("L8", "page caches, 2 power cuts; 2 Set, 2 Get", two_sets_two_gets(logical()).power_cuts(2))
            .visits(2_858_104, 28)
            .long(),
        holds("D1", "Set, crash; Delete; Set; Get", set_and_delete()).visits(166_013, 17),
        holds("T1", "2 Set, 2 Get, epsilon 2", two_sets_two_gets(truetime(2))).visits(738_333, 18),
        holds("T2", "Set, crash, Set; Set; Get, epsilon 1", set_crash_set(truetime(1)).run(&[Get]))
            .visits(695_033, 20),
        holds("T4", "2 Set at once on one node, 2 Get, epsilon 2", sets_at_once(truetime(2)))
            .visits(676_736, 18),
    ]
}

fn broken_logical_rows() -> Vec<Row> {
    let logical = Scenario::logical;
    let page_caches = two_sets_two_gets(logical()).power_cuts(2);
    let set_crash_set = set_crash_set(logical()).run(&[Get]).run(&[Get]);
    let sets_at_once = sets_at_once(logical()).slow_replies();
    vec![
        broken(
            "BL1",
            "as L1",
            "Get does not write back",
            two_sets_two_gets(logical()).without(Break::WriteBack),
        )
        .caught_in(7),
        broken("BL2", "as L3", "no last_issued", sets_at_once.without(Break::LastIssued))
            .caught_via_two_values(4, 11),
        broken("BL3", "as L2", "no incarnation in timestamps", set_crash_set.without(Break::Boot))
            .caught_via_two_values(5, 12),
        broken("BL4", "as L8", "unsynced replies counted", page_caches.without(Break::DurableFlag))
            .caught_in(9),
        broken("BL5", "as L1", "empty disk, old id", two_sets_two_gets(logical()).wipes(1)).caught_in(7),
        broken("BD1", "as D1", "tombstone dropped by one", set_and_delete().without(Break::Tombstone))
            .caught_in(12),
        broken(
            "BD2",
            "as D1",
            "tombstone dropped by all",
            set_and_delete().without(Break::TombstoneEverywhere),
        )
        .caught_in(13),
    ]
}

fn broken_truetime_rows() -> Vec<Row> {
    let truetime = Scenario::truetime;
    let wall_clocks = two_sets_two_gets(truetime(1)).clocks_behind(1).without(Break::AllWaits);
    let mixed = truetime(2).run(&[Set]).run_in(TimestampMode::Logical, &[Set]).run(&[Set]).run(&[Get]);
    vec![
        broken("BT1", "as T1", "Set does not wait", two_sets_two_gets(truetime(2)).without(Break::SetWait))
            .caught_in(9),
        broken("BT2", "as T1", "Get does not wait", two_sets_two_gets(truetime(2)).without(Break::GetWait))
            .caught_in(11),
        broken("BT3", "2 Set, 2 Get, wall clocks", "nobody waits", wall_clocks).caught_in(8),
        broken("BT4", "Set, logical Set, Set; Get, epsilon 2", "logical Set does not wait", mixed)
            .caught_in(10),
        broken("BT5", "as T4", "no last_issued", sets_at_once(truetime(2)).without(Break::LastIssued))
            .caught_via_two_values(2, 10),
    ]
}
