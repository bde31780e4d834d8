//! Known-wrong variants that the checks must convict. A simulator that finds nothing proves nothing; these show that
//! it would.
//!
//! None of them is a switch in the production code. Each is a lie told *around* the unmodified state machines, the
//! store and the disk: a clock that claims what it does not know, an issuer made anew, a reply rewritten on its way, a
//! disk that says "synced".

use crate::plan::Features;
use abd::TimestampMode;

/// A broken variant.
#[derive(Debug)]
pub struct Mutant {
    /// As on the command line.
    pub name: &'static str,
    /// The rule that it breaks (see the protocol document).
    pub rule: &'static str,
    /// How it is broken.
    pub what: &'static str,
    /// What a run needs for the fault to matter.
    pub features: Features,
    /// What is told to the production code.
    pub lies: Lies,
}

/// The lies. All off is the honest protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lies {
    /// What the coordinator is told about time.
    pub clock: ClockLie,
    /// What the disk does instead of its work.
    pub disk: DiskLie,
    /// Write-backs are not sent; the coordinator is told that they were acknowledged.
    pub no_write_back: bool,
    /// Every incarnation issues as the first one.
    pub boot_one: bool,
    /// A node begins operations before it has met anybody.
    pub begins_alone: bool,
    /// The issuer forgets what it has issued.
    pub forgets_issued: bool,
    /// Writes that are not synced yet are reported as durable.
    pub counts_unsynced: bool,
    /// A reply to an earlier phase is delivered as one to the present phase.
    pub counts_late: bool,
    /// Coordinators know less than half of the members, so that their majorities need not meet.
    pub minority: bool,
    /// A replica forgets a key when its tombstone is durable.
    pub drops_tombstones: bool,
    /// A node that lost its disk comes back under the old id.
    pub keeps_identity: bool,
    /// A member is taken at its word, whatever it can show.
    pub believes_strangers: bool,
    /// Whoever says that a node must not go on is believed, whatever he can show.
    pub believes_verdicts: bool,
    /// A member that does not go on for reasons of its own is believed to say that the node must not.
    pub believes_trouble: bool,
    /// A node takes whatever lies in its directory for what it left there.
    pub forgets_database: bool,
    /// What a node hears of others' batches is not written down by time.
    pub forgets_counts: bool,
    /// Ending a phase throws away the batch that holds its write, and what others wrote with it.
    pub cancels_batches: bool,
    /// A write that is sent again gets a new timestamp.
    pub repicks: bool,
    /// Only batches show whether a disk has room again.
    pub never_looks: bool,
    /// A round of repair that could not send anything waits for a new connection.
    pub repair_stops: bool,
    /// What was under way on a connection that broke is not remembered.
    pub forgets_undelivered: bool,
    /// Ranges are never compared.
    pub compares_nothing: bool,
    /// A node takes its own write for durable when its disk has begun with it.
    pub opens_early: bool,
    /// A batch that a full disk has taken in part is taken for a whole one.
    pub all_fits: bool,
    /// What the own replica has refused is not remembered for repair.
    pub refuses_silently: bool,
    /// The queue in front of the disk has no bound.
    pub queues_all: bool,
}

/// Lies about time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockLie {
    /// None.
    #[default]
    None,
    /// The wall clock is taken for the truth, with no uncertainty.
    Wall,
    /// Everything is said to be in the past, so nobody waits.
    NobodyWaits,
    /// The same, for Gets only.
    GetsDoNotWait,
    /// `latest` was read some time before the operation began.
    Stale,
}

/// Lies of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskLie {
    /// None.
    #[default]
    None,
    /// It says "synced" and has not synced anything.
    SyncsNothing,
    /// Collecting garbage takes the newest version too.
    CollectsNewest,
    /// What cannot be read is taken for something that was never there.
    HidesDamage,
}

impl Lies {
    /// Whether a directory is not looked at.
    pub(crate) fn trusts_directory(&self) -> bool {
        // A disk that syncs nothing goes back at a power cut, and must not be given away by that.
        self.keeps_identity || self.forgets_database || self.disk == DiskLie::SyncsNothing
    }
}

const LIES: Lies = Lies {
    clock: ClockLie::None,
    disk: DiskLie::None,
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
};

const ANY: Features = Features {
    nodes: None,
    mode: None,
    crashes: None,
    power_cuts: None,
    noise: None,
    partitions: None,
    slow_sync: None,
    early_reads: None,
    no_cache: None,
    wide_clocks: None,
    deletes: None,
    amnesia: None,
    parts: None,
    strangers: None,
    read_only: None,
    clock_faults: None,
    damage: None,
    full_disks: None,
    lanes: None,
    short_lists: None,
    short_queues: None,
    lasting: false,
};

const LOGICAL: Features = Features { mode: Some(TimestampMode::Logical), ..ANY };
// Without deletes, because a value that is read says which write it came from, and an absent one does not.
const WIDE_TRUETIME: Features = Features {
    mode: Some(TimestampMode::TrueTime),
    wide_clocks: Some(true),
    clock_faults: Some(false),
    deletes: Some(false),
    ..ANY
};

// Comparisons of ranges would find in the end what the lists forget.
const LISTS_ALONE: Features = Features { lanes: Some(true), lasting: true, short_lists: Some(false), ..ANY };

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "naive",
        rule: "R1 T1 T2",
        what: "wall-clock timestamps and no write-back: the system that this project replaces",
        features: WIDE_TRUETIME,
        lies: Lies { clock: ClockLie::Wall, no_write_back: true, ..LIES },
    },
    Mutant {
        name: "wall-clock",
        rule: "T1 T2",
        what: "the wall clock alone orders writes",
        features: WIDE_TRUETIME,
        lies: Lies { clock: ClockLie::Wall, ..LIES },
    },
    Mutant {
        name: "no-write-back",
        rule: "R1",
        what: "a Get answers what it has read without making it durable on a majority",
        features: Features { noise: Some(true), ..ANY },
        lies: Lies { no_write_back: true, ..LIES },
    },
    Mutant {
        name: "minority-quorum",
        rule: "R1",
        what: "fewer than a majority suffice",
        features: ANY,
        lies: Lies { minority: true, ..LIES },
    },
    Mutant {
        name: "no-boot",
        rule: "V1",
        what: "timestamps do not name the incarnation of their writer",
        features: Features { crashes: Some(true), noise: Some(true), ..LOGICAL },
        lies: Lies { boot_one: true, ..LIES },
    },
    Mutant {
        name: "begins-alone",
        rule: "V1",
        what: "a node that may be on an old copy of its disk issues timestamps before anybody has met it",
        features: Features { mode: Some(TimestampMode::TrueTime), amnesia: Some(true), ..ANY },
        lies: Lies { begins_alone: true, ..LIES },
    },
    Mutant {
        name: "no-last-issued",
        rule: "V1",
        what: "a node does not remember the last time that it issued",
        features: ANY,
        lies: Lies { forgets_issued: true, ..LIES },
    },
    Mutant {
        name: "repick",
        rule: "V2",
        what: "a write that is sent again gets a new timestamp",
        features: Features { noise: Some(true), ..ANY },
        lies: Lies { repicks: true, ..LIES },
    },
    Mutant {
        name: "ack-before-fsync",
        rule: "S1",
        what: "a replica acknowledges what it has not synced",
        features: Features { crashes: Some(true), power_cuts: Some(true), ..ANY },
        lies: Lies { disk: DiskLie::SyncsNothing, ..LIES },
    },
    Mutant {
        name: "count-unsynced",
        rule: "S2",
        what: "a version that is not durable counts as held",
        features: Features {
            crashes: Some(true),
            power_cuts: Some(true),
            slow_sync: Some(true),
            early_reads: Some(true),
            ..ANY
        },
        lies: Lies { counts_unsynced: true, ..LIES },
    },
    Mutant {
        name: "count-late",
        rule: "R1",
        what: "replies to an earlier phase count in a later one",
        features: Features { noise: Some(true), ..LOGICAL },
        lies: Lies { counts_late: true, ..LIES },
    },
    Mutant {
        name: "no-commit-wait",
        rule: "T1",
        what: "nobody waits until a timestamp is in the past",
        features: WIDE_TRUETIME,
        lies: Lies { clock: ClockLie::NobodyWaits, ..LIES },
    },
    Mutant {
        name: "get-does-not-wait",
        rule: "T1",
        what: "Sets wait until their timestamp is in the past, Gets do not",
        features: WIDE_TRUETIME,
        lies: Lies { clock: ClockLie::GetsDoNotWait, ..LIES },
    },
    Mutant {
        name: "stale-latest",
        rule: "T2",
        what: "the clock is read before the operation begins",
        features: WIDE_TRUETIME,
        lies: Lies { clock: ClockLie::Stale, ..LIES },
    },
    Mutant {
        name: "gc-newest",
        rule: "G1",
        what: "garbage collection takes the newest version too",
        features: Features { no_cache: Some(true), ..ANY },
        lies: Lies { disk: DiskLie::CollectsNewest, ..LIES },
    },
    Mutant {
        name: "drop-tombstone",
        rule: "G1",
        what: "a replica forgets a deleted key",
        features: Features { no_cache: Some(true), deletes: Some(true), ..ANY },
        lies: Lies { drops_tombstones: true, ..LIES },
    },
    Mutant {
        name: "damage-is-absence",
        rule: "S3",
        what: "a replica answers for a key of which it may have lost a version",
        features: Features { no_cache: Some(true), damage: Some(true), ..ANY },
        lies: Lies { disk: DiskLie::HidesDamage, ..LIES },
    },
    Mutant {
        name: "empty-disk",
        rule: "M1",
        what: "a node whose disk was replaced comes back as itself",
        features: Features { amnesia: Some(true), ..ANY },
        lies: Lies { keeps_identity: true, ..LIES },
    },
    Mutant {
        name: "believes-strangers",
        rule: "V1",
        what: "a boot count is believed without a proof",
        features: Features { strangers: Some(true), ..ANY },
        lies: Lies { believes_strangers: true, ..LIES },
    },
    Mutant {
        name: "stranger-ends-node",
        rule: "M1",
        what: "a verdict is believed although nothing shows that a member says so",
        features: Features { strangers: Some(true), ..ANY },
        lies: Lies { believes_verdicts: true, ..LIES },
    },
    Mutant {
        name: "believes-trouble",
        rule: "M1",
        what: "what another node cannot do is taken for a verdict on this one",
        features: Features { read_only: Some(true), ..ANY },
        lies: Lies { believes_trouble: true, ..LIES },
    },
    Mutant {
        name: "database-not-remembered",
        rule: "M1",
        what: "a node takes whatever lies in its data directory for the database that it had",
        features: Features { parts: Some(true), ..ANY },
        lies: Lies { forgets_database: true, ..LIES },
    },
    Mutant {
        name: "peers-counts-in-memory",
        rule: "M1",
        what: "what a node hears of its peers' batches is gone when it restarts",
        features: Features { parts: Some(true), ..ANY },
        lies: Lies { forgets_counts: true, ..LIES },
    },
    Mutant {
        name: "cancel-batch",
        rule: "S1",
        what: "ending a phase throws away a batch that holds the writes of others",
        features: Features { slow_sync: Some(true), ..ANY },
        lies: Lies { cancels_batches: true, ..LIES },
    },
    Mutant {
        name: "opens-early",
        rule: "S1",
        what: "a coordinator counts the write to its own disk before it is synced",
        features: Features { crashes: Some(true), slow_sync: Some(true), ..ANY },
        lies: Lies { opens_early: true, ..LIES },
    },
    Mutant {
        name: "acks-what-did-not-fit",
        rule: "S1",
        what: "of a batch that a full disk takes in part all writes are acknowledged",
        features: Features { full_disks: Some(true), ..ANY },
        lies: Lies { all_fits: true, ..LIES },
    },
    Mutant {
        name: "queue-without-bound",
        rule: "B1",
        what: "any number of writes waits for a slow disk",
        features: Features { slow_sync: Some(true), short_queues: Some(true), ..ANY },
        lies: Lies { queues_all: true, ..LIES },
    },
    Mutant {
        name: "full-disk-stays",
        rule: "D1",
        what: "a replica whose disk was full waits for a batch to show that there is room again",
        features: Features { full_disks: Some(true), deletes: Some(false), ..ANY },
        lies: Lies { never_looks: true, ..LIES },
    },
    Mutant {
        name: "repair-stops",
        rule: "R2",
        what: "a round of repair that finds no room is not tried again",
        features: LISTS_ALONE,
        lies: Lies { repair_stops: true, ..LIES },
    },
    Mutant {
        name: "refuses-silently",
        rule: "R2",
        what: "a node does not remember which of its own writes its full disk has refused",
        features: Features { full_disks: Some(true), ..LISTS_ALONE },
        lies: Lies { refuses_silently: true, ..LIES },
    },
    Mutant {
        name: "forgets-undelivered",
        rule: "R2",
        what: "writes that were under way when a connection broke are not remembered for their peer",
        features: LISTS_ALONE,
        lies: Lies { forgets_undelivered: true, ..LIES },
    },
    Mutant {
        name: "compares-nothing",
        rule: "R2",
        what: "what no list remembers is never looked for",
        features: Features { crashes: Some(true), short_lists: Some(true), ..ANY },
        lies: Lies { compares_nothing: true, ..LIES },
    },
];

/// The mutant of this name.
pub fn find(name: &str) -> Option<&'static Mutant> {
    MUTANTS.iter().find(|mutant| mutant.name == name)
}
