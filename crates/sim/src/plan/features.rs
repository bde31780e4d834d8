//! What a run is to contain.

use abd::TimestampMode;

/// What a run is to contain. `None` leaves it to the seed; a mutant fixes what it needs to show itself.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Members.
    pub nodes: Option<u32>,
    /// How timestamps are chosen.
    pub mode: Option<TimestampMode>,
    /// Crashes and restarts.
    pub crashes: Option<bool>,
    /// Power cuts among them.
    pub power_cuts: Option<bool>,
    /// Loss, duplication and strays.
    pub noise: Option<bool>,
    /// Partitions.
    pub partitions: Option<bool>,
    /// Slow syncs, for the whole run.
    pub slow_sync: Option<bool>,
    /// Unsynced writes are shown as not durable.
    pub early_reads: Option<bool>,
    /// No cache.
    pub no_cache: Option<bool>,
    /// Wide interval clocks, or bad wall clocks.
    pub wide_clocks: Option<bool>,
    /// Deletes.
    pub deletes: Option<bool>,
    /// Disks are lost.
    pub amnesia: Option<bool>,
    /// Strangers greet as members.
    pub strangers: Option<bool>,
    /// Identities that cannot be written for a while.
    pub read_only: Option<bool>,
    /// Parts of data directories are lost.
    pub parts: Option<bool>,
    /// Faults of clocks.
    pub clock_faults: Option<bool>,
    /// Parts of what is stored become unreadable.
    pub damage: Option<bool>,
    /// All disks are full at a time.
    pub full_disks: Option<bool>,
    /// Connections that break with messages in them, and full backlogs.
    pub lanes: Option<bool>,
    /// Whether a list holds only a few keys.
    pub short_lists: Option<bool>,
    /// Whether only a few writes may wait for a disk.
    pub short_queues: Option<bool>,
    /// Whether only a few messages may wait for a peer that does not read.
    pub short_backlogs: Option<bool>,
    /// Values that some nodes do not let their clients write.
    pub large: Option<bool>,
    /// Clients may hold little of a node's memory.
    pub little_for_clients: Option<bool>,
    /// Updates of other kinds than deletions. By themselves they are in every plan.
    pub updates: bool,
    /// Values with deadlines.
    pub expiry: Option<bool>,
    /// Nothing goes wrong at all.
    pub calm: Option<bool>,
    /// Nodes stop in order, and come back.
    pub stops: Option<bool>,
    /// The members change.
    pub changes: Option<bool>,
    /// Nodes lose parts of what they have stored, and heal.
    pub heals: Option<bool>,
    /// No node forgets anything, so that the lists of what peers missed must suffice.
    pub lasting: bool,
}

impl Features {
    /// As the seed has it.
    pub const ANY: Self = Self {
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
        strangers: None,
        read_only: None,
        parts: None,
        clock_faults: None,
        damage: None,
        full_disks: None,
        lanes: None,
        short_lists: None,
        short_queues: None,
        short_backlogs: None,
        large: None,
        little_for_clients: None,
        updates: true,
        expiry: None,
        calm: None,
        stops: None,
        changes: None,
        heals: None,
        lasting: false,
    };
}

impl Default for Features {
    fn default() -> Self {
        Self::ANY
    }
}
