//! What mutants are given beside their lie: no other lies, and a run in which the lie matters.

use super::{ClockLie, DiskLie, ExpiryLie, Lies};
use crate::plan::Features;
use abd::TimestampMode;

/// The honest protocol.
pub(super) const LIES: Lies = Lies {
    clock: ClockLie::None,
    disk: DiskLie::None,
    expiry: ExpiryLie::None,
    no_write_back: false,
    boot_one: false,
    begins_alone: false,
    forgets_issued: false,
    counts_unsynced: false,
    counts_late: false,
    minority: false,
    drops_tombstones: false,
    keeps_identity: false,
    believes_strangers: false,
    believes_verdicts: false,
    believes_trouble: false,
    forgets_database: false,
    forgets_counts: false,
    cancels_batches: false,
    repicks: false,
    never_looks: false,
    repair_stops: false,
    forgets_undelivered: false,
    compares_nothing: false,
    opens_early: false,
    all_fits: false,
    refuses_silently: false,
    queues_all: false,
    keeps_all: false,
    keeps_clients: false,
    mixes_runs: false,
    trusts_silence: false,
    limits_peers: false,
    drain_refuses: false,
    refusal_is_evidence: false,
    hides_who_was_told: false,
    leaves_its_base: false,
    forgets_promises: false,
    joins_afresh: false,
    answers_unpublished: false,
    serves_closed: false,
    tears_base: false,
    forgets_queued: false,
    accepts_full: false,
    one_answer: false,
    drops_update: false,
    answers_conditions: false,
    serves_older: false,
    decides_alone: false,
    syncs_values: false,
    claims_synced: false,
    adds_epochs: false,
    asks_next_alone: false,
    compares_rounds: false,
    heals_in_place: false,
};

pub(super) const ANY: Features = Features {
    updates: false,
    expiry: Some(false),
    calm: Some(false),
    changes: Some(false),
    heals: Some(false),
    ..Features::ANY
};

// For those who break what updates are made of.
pub(super) const UPDATES: Features = Features { updates: true, ..ANY };
// For those who break what changes of the members are made of.
pub(super) const CHANGES: Features = Features { changes: Some(true), ..UPDATES };
// For those who break what heals are made of.
pub(super) const HEALS: Features = Features { heals: Some(true), ..UPDATES };
// For those who break what deadlines are made of.
pub(super) const DEADLINES: Features = Features { expiry: Some(true), ..UPDATES };
pub(super) const LOGICAL: Features = Features { mode: Some(TimestampMode::Logical), ..ANY };
// Without deletes, because a value that is read says which write it came from, and an absent one does not.
pub(super) const WIDE_TRUETIME: Features = Features {
    mode: Some(TimestampMode::TrueTime),
    wide_clocks: Some(true),
    clock_faults: Some(false),
    deletes: Some(false),
    ..ANY
};

// Comparisons of ranges would find in the end what the lists forget.
pub(super) const LISTS_ALONE: Features =
    Features { lanes: Some(true), lasting: true, short_lists: Some(false), ..ANY };
