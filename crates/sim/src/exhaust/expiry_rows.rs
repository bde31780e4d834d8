//! The rows that concern values with a deadline (rules E1 to E4).

use super::rows::{Row, broken, holds};
use super::scenario::OperationKind::{Get, Lock, Persist, Set, SetEx};
use super::scenario::{Break, Scenario};

/// A value with a deadline, a Get by any clock, and two Gets by whose clocks it is never due.
fn set_and_three_gets() -> Scenario {
    Scenario::logical().run(&[SetEx]).run(&[Get]).run(&[Get]).slow_clock().run(&[Get]).slow_clock()
}

/// A value with a deadline, a Get by any clock, a value without, and a Get by whose clock nothing is due.
fn overwritten() -> Scenario {
    Scenario::logical().run(&[SetEx]).run(&[Get]).run(&[Set]).run(&[Get]).slow_clock()
}

/// A lock, a Get that may find it expired, and who wants the lock next.
fn locks() -> Scenario {
    Scenario::logical().run(&[Lock]).run(&[Get]).run(&[Lock])
}

/// A value with a deadline; when it is answered a Persist and a Get, and a Get after that.
fn persisted() -> Scenario {
    Scenario::truetime(1).run(&[SetEx]).run(&[Persist]).after(0).run(&[Get]).after(0).run(&[Get]).after(2)
}

pub(super) fn rows_that_hold() -> Vec<Row> {
    vec![
        holds("E1", "SetEx, Get; 2 Get by slow clocks", set_and_three_gets()).visits(143_104, 21),
        holds("E3", "SetEx, Get, Set; Get by a slow clock", overwritten()).visits(424_149, 24),
        holds("E4", "Lock, Get, Lock", locks()).visits_to(18, 2_564_856).long(),
        holds("E5", "SetEx; Persist; Get, then Get; epsilon 1", persisted()).visits(20_116_525, 37).long(),
    ]
}

pub(super) fn broken_rows() -> Vec<Row> {
    let dropped = set_and_three_gets().without(Break::Dropped);
    vec![
        broken("BE1", "as E1", "each Get's own clock answers", set_and_three_gets().without(Break::OwnClock))
            .caught_in(8),
        broken("BE2", "as E5", "true time answers", persisted().without(Break::OwnClock)).caught_in(14),
        broken("BE3", "as E5", "absent after promises", persisted().without(Break::PromiseOnly))
            .caught_in(18),
        broken(
            "BE4",
            "as E5",
            "the same, Updates judge by latest",
            persisted().without(Break::PromiseAndLatest),
        )
        .caught_in(20),
        broken("BE5", "as E3", "a Get deletes what is due", overwritten().without(Break::FreshTimestamp))
            .caught_in(16),
        broken("BE6", "as E1", "a replica drops what is due", dropped).caught_in(10),
    ]
}
