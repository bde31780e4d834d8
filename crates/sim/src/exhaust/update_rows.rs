//! The rows of PROTOCOL section 10 that concern Updates.

use super::rows::{Row, broken, holds};
use super::scenario::OperationKind::{Append, Create, Delete, Get, Set};
use super::scenario::{Break, Scenario};
use super::search::Violation::{AppliedTwice, TwoValues};

/// Two Updates, each at a coordinator of its own.
fn two_appends() -> Scenario {
    Scenario::logical().run(&[Append]).run(&[Append])
}

/// The same and a Get.
fn two_appends_and_get() -> Scenario {
    two_appends().run(&[Get])
}

/// The same and a Set.
fn two_appends_and_set() -> Scenario {
    two_appends().run(&[Set])
}

/// A Set; an Update; a Set after the Update; a Get after that.
fn set_append_set_get() -> Scenario {
    Scenario::truetime(2).run(&[Set]).run(&[Append]).run(&[Set]).after(1).run(&[Get]).after(2)
}

pub(super) fn rows_that_hold() -> Vec<Row> {
    let (logical, truetime) = (Scenario::logical, Scenario::truetime);
    let crash = logical().run(&[Append]).may_crash().run(&[Append]).run(&[Get]);
    let set_delete = logical().run(&[Set, Delete]).run(&[Create]).run(&[Create]);
    let two_creates = logical().run(&[Create]).run(&[Create]).run(&[Get]);
    let sets_and_append = truetime(1).run(&[Set]).run(&[Set]).run(&[Append]);
    let restart = two_appends_and_get().replica_restarts(1);
    let restarts = two_appends().replica_restarts(2).ballots(3);
    let append_set_get = || logical().run(&[Append]).run(&[Set]).run(&[Get]);
    vec![
        holds("N1", "Append, Set, Get", append_set_get()).visits(16_627, 20),
        holds("N2", "2 Append, Get", two_appends_and_get()).visits(6_459_724, 28).long(),
        holds("N3", "2 Append, Set", two_appends_and_set()).visits(17_115_987, 31).long(),
        holds("N4", "Append, crash; Append; Get", crash).visits(8_087_715, 28).long(),
        holds("N8", "Set, Delete; 2 Create", set_delete).visits_to(18, 3_265_003).long(),
        holds("N9", "2 Create, Get", two_creates).visits(3_076_233, 28),
        holds("N10", "2 Set, Append, epsilon 1", sets_and_append).visits(623_682, 24),
        holds("N11", "Set; Append, then Set, then Get; epsilon 2", set_append_set_get()).visits(195_894, 28),
        holds("V1", "2 Append, Get; 1 restart of a replica", restart).visits_to(14, 7_815_886).long(),
        holds("V2", "2 Append; 2 restarts of replicas, 3 ballots", restarts).visits_to(14, 6_019_192).long(),
        holds("A1", "as N1, answers are lost", append_set_get().lost_replies()).visits(57_135, 21),
        holds("A2", "2 Append, answers are lost", two_appends().lost_replies()).visits(9_103_386, 31).long(),
        holds("A3", "as N3, answers are lost", two_appends_and_set().lost_replies())
            .visits_to(16, 20_591_689)
            .long(),
    ]
}

pub(super) fn broken_rows() -> Vec<Row> {
    let logical = Scenario::logical;
    let append_get = logical().run(&[Append]).run(&[Get]);
    let set_append_get = logical().run(&[Set]).run(&[Append]).run(&[Get]);
    let restart = two_appends_and_get().replica_restarts(1);
    vec![
        broken("BN1", "as N3", "a refusal is evidence", two_appends_and_set().without(Break::Evidence))
            .caught_as(AppliedTwice, 17),
        broken("BP2", "as N3", "a closed base is served", two_appends_and_set().without(Break::Closed))
            .caught_as(AppliedTwice, 17)
            .long(),
        broken("BV1", "as V1", "no mark", restart.without(Break::Floor)).caught_as(TwoValues, 9),
        broken("BR1", "Append, Get", "answer before publication", append_get.without(Break::Publication))
            .caught_in(6),
        broken(
            "BR2",
            "as N3",
            "new base, old fate unknown",
            two_appends_and_set().without(Break::Resolution),
        )
        .caught_as(AppliedTwice, 14),
        broken("BR3", "as N2", "forgotten instance joined", two_appends_and_get().without(Break::Forgotten))
            .caught_as(TwoValues, 9),
        broken("BR4", "Set, Append, Get", "no carstamp", set_append_get.without(Break::Carstamp))
            .caught_in(12),
        broken("BT6", "as N11", "Update does not wait", set_append_set_get().without(Break::UpdateWait))
            .caught_in(16),
    ]
}
