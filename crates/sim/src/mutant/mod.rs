//! Known-wrong variants that the checks must convict. A simulator that finds nothing proves nothing; these show that
//! it would.
//!
//! None of them is a switch in the production code. Each is a lie told *around* the unmodified state machines, the
//! store and the disk: a clock that claims what it does not know, an issuer made anew, a reply rewritten on its way, a
//! disk that says "synced".

mod given;
mod members;
mod table;

use crate::plan::Features;

/// A broken variant.
#[derive(Debug)]
pub struct Mutant {
    /// As on the command line.
    pub name: &'static str,
    /// The rule that it breaks (see the protocol document).
    pub rule: &'static str,
    /// How it is broken.
    pub what: &'static str,
    /// Whether runs of seeds convict it; else a script alone can.
    pub by_seeds: bool,
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
    /// How values with deadlines expire.
    pub expiry: ExpiryLie,
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
    /// Nor has what waits for a peer that does not read.
    pub keeps_all: bool,
    /// Clients may hold any amount of a node's memory.
    pub keeps_clients: bool,
    /// A reply to an earlier run of a node is delivered to the present one.
    pub mixes_runs: bool,
    /// A lane on which nothing comes is believed to be well.
    pub trusts_silence: bool,
    /// A message with a value beyond what a node lets its clients write ends the connection.
    pub limits_peers: bool,
    /// What ends with a node that stops is said to have had no effect.
    pub drain_refuses: bool,
    /// A refusal of an update is understood to say that nothing was accepted.
    pub refusal_is_evidence: bool,
    /// Replicas say that nobody was told of what they have accepted.
    pub hides_who_was_told: bool,
    /// An update goes on at another base as soon as it hears of one.
    pub leaves_its_base: bool,
    /// What was promised is forgotten by a restart.
    pub forgets_promises: bool,
    /// What was accepted is forgotten by a restart.
    pub joins_afresh: bool,
    /// Updates are answered when they are chosen, and nobody stores them.
    pub answers_unpublished: bool,
    /// A replica accepts at a base below its newest version.
    pub serves_closed: bool,
    /// An acceptance is stored without its base.
    pub tears_base: bool,
    /// What waits for the disk is not known to whoever asks next.
    pub forgets_queued: bool,
    /// A replica whose disk is full takes part in updates.
    pub accepts_full: bool,
    /// All updates of a fold are answered alike.
    pub one_answer: bool,
    /// A Get writes back what it has read without saying whose update that was.
    pub drops_update: bool,
    /// A replica serves whoever asks in an older epoch.
    pub serves_older: bool,
    /// Whoever proposes a configuration takes it for decided.
    pub decides_alone: bool,
    /// What a sync brings is versions, and no accepted records.
    pub syncs_values: bool,
    /// Every member says that it is synced, and nobody pulls anything.
    pub claims_synced: bool,
    /// Acknowledgements of two epochs are added up.
    pub adds_epochs: bool,
    /// While members change, those to come are asked alone.
    pub asks_next_alone: bool,
    /// What was lost is brought back under the old directory id.
    pub heals_in_place: bool,
    /// Ballots are compared by their rounds, whatever their epochs.
    pub compares_rounds: bool,
    /// A condition that fails in a fold is answered when the fold is proposed.
    pub answers_conditions: bool,
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
    /// The same, for updates only.
    UpdatesDoNotWait,
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

/// Lies about values that are due to expire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiryLie {
    /// None.
    #[default]
    None,
    /// A Get answers by its node's own clock, and nothing is decided.
    OwnClock,
    /// A Get answers by true time, and nothing is decided.
    TrueTime,
    /// A Get that finds a value that is due deletes the key, as a client would.
    Deletes,
    /// A Get answers when a majority has promised; nothing is accepted.
    PromiseOnly,
    /// What is due by the clock of its node a replica does not show.
    Hides,
    /// A value is judged by `latest`.
    Early,
}

impl ExpiryLie {
    /// Whether Gets are not told what is due.
    pub(crate) fn hides_from_gets(self) -> bool {
        matches!(self, Self::OwnClock | Self::TrueTime | Self::Deletes)
    }
}

impl Lies {
    /// Whether a directory is not looked at.
    pub(crate) fn trusts_directory(&self) -> bool {
        // A disk that syncs nothing goes back at a power cut, and must not be given away by that.
        self.keeps_identity || self.forgets_database || self.disk == DiskLie::SyncsNothing
    }
}

/// All mutants.
pub fn mutants() -> impl Iterator<Item = &'static Mutant> {
    table::MUTANTS.iter().chain(members::MUTANTS)
}

/// The mutant of this name.
pub fn find(name: &str) -> Option<&'static Mutant> {
    mutants().find(|mutant| mutant.name == name)
}
