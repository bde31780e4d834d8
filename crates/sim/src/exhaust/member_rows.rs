//! The rows of PROTOCOL section 10 that concern changes of the members (rules C1 to C3).

use super::rows::{Row, broken, holds};
use super::scenario::OperationKind::{Append, Get, Set};
use super::scenario::{Break, LAST, Scenario};
use super::search::Violation::TwoValues;

/// A Set and a Get.
fn set_get() -> Scenario {
    Scenario::change().run(&[Set]).run(&[Get])
}

/// An Update, and another one that begins in the last configuration.
fn append_then_append() -> Scenario {
    Scenario::change().run(&[Append]).run(&[Append]).from(LAST)
}

pub(super) fn rows_that_hold() -> Vec<Row> {
    let change = Scenario::change;
    vec![
        holds("M1", "change; Set, Get", set_get()).visits(266_281, 18),
        holds("M3", "change; Append, Get", change().run(&[Append]).run(&[Get])).visits(20_319_251, 27).long(),
        holds("M4", "change; 2 Append", change().run(&[Append]).run(&[Append]))
            .visits_to(10, 5_808_877)
            .long(),
        holds("M12", "change; Append; Append in the last epoch", append_then_append())
            .visits_to(17, 6_612_998)
            .long(),
    ]
}

pub(super) fn broken_rows() -> Vec<Row> {
    let three_appends = Scenario::change()
        .run(&[Append])
        .from(LAST)
        .run(&[Append])
        .run(&[Append])
        .from(LAST)
        .never_late()
        .ballots(1);
    vec![
        broken(
            "BM1",
            "as M12",
            "a sync brings versions alone",
            append_then_append().without(Break::VersionsAlone),
        )
        .caught_as(TwoValues, 12),
        broken("BM2", "as M1", "acknowledgements of two epochs", set_get().without(Break::AddedUp))
            .caught_in(7),
        broken("BM3", "as M1", "the joint epoch asks C' alone", set_get().without(Break::NextAlone))
            .caught_in(7),
        broken("BM4", "as M1", "C' serves before the sync", set_get().without(Break::Unsynced)).caught_in(8),
        broken(
            "BM5",
            "Append; 2 Append in the last epoch",
            "ballots without epoch",
            three_appends.without(Break::RoundsAlone),
        )
        .caught_as(TwoValues, 15)
        .long(),
        broken("BM7", "as M1", "older epochs are served", set_get().without(Break::Unfenced)).caught_in(10),
        broken("BM10", "as M1", "two successors", set_get().without(Break::TwoSuccessors)).caught_in(10),
    ]
}
