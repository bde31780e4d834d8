//! Mutants of the rules for changes of the members. Most of them are rows of the small worlds, too
//! (docs/testing-exhaust.md: BM1 to BM10).

use super::given::{CHANGES, HEALS, LIES};
use super::{Lies, Mutant};

/// All of them.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "serves-older-epochs",
        rule: "C1",
        what: "a replica serves whoever asks in an older epoch than its own",
        by_seeds: false,
        features: CHANGES,
        lies: Lies { serves_older: true, ..LIES },
    },
    Mutant {
        name: "decides-alone",
        rule: "C2",
        what: "whoever proposes a configuration takes it for decided",
        by_seeds: false,
        features: CHANGES,
        lies: Lies { decides_alone: true, ..LIES },
    },
    Mutant {
        name: "adds-epochs",
        rule: "C1",
        what: "acknowledgements of two epochs are added up",
        by_seeds: false,
        features: CHANGES,
        lies: Lies { adds_epochs: true, ..LIES },
    },
    Mutant {
        name: "rounds-without-epoch",
        rule: "C1",
        what: "of two acceptances the one of the higher round counts, whatever their epochs",
        by_seeds: false,
        features: CHANGES,
        lies: Lies { compares_rounds: true, ..LIES },
    },
    Mutant {
        name: "asks-next-alone",
        rule: "C2",
        what: "while members change, a majority of those to come suffices",
        by_seeds: false,
        features: CHANGES,
        lies: Lies { asks_next_alone: true, ..LIES },
    },
    Mutant {
        name: "syncs-values-only",
        rule: "C3",
        what: "a sync brings the newest versions, and not what was accepted",
        by_seeds: false,
        features: CHANGES,
        lies: Lies { syncs_values: true, ..LIES },
    },
    Mutant {
        name: "switches-unsynced",
        rule: "C3",
        what: "members say that they are synced, and have pulled nothing",
        by_seeds: false,
        features: CHANGES,
        lies: Lies { claims_synced: true, ..LIES },
    },
    Mutant {
        name: "heals-under-its-old-id",
        rule: "M1",
        what: "a node that has lost something takes from others what they have now, and votes on as the one that it was",
        by_seeds: true,
        features: HEALS,
        lies: Lies { heals_in_place: true, ..LIES },
    },
];
