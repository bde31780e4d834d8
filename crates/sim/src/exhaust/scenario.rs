//! What a tiny world consists of: who does what, what may go wrong, and which rule is broken on purpose.

use abd::{Members, NodeId, NodeSet, QuorumSystem, Scope, TimestampMode};

/// Most replicas that a world may have: three, and a fourth where the members change.
pub(super) const REPLICAS: usize = 4;

/// The configuration between two sets of members.
pub(super) const JOINT: u8 = 2;

/// The one after it.
pub(super) const LAST: u8 = 3;

/// Most operations that a world may have.
pub(super) const MAX_OPERATIONS: usize = 5;

/// Most event loops that a world may have.
pub(super) const MAX_LOOPS: usize = 5;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperationKind {
    Get,
    /// Its value is its letter.
    Set,
    Delete,
    /// An Update that adds its letter to the value, and answers what that was.
    Append,
    /// An Update that gives the key its letter if there is no value, and answers what was there.
    Create,
    /// A Set whose value has a deadline.
    SetEx,
    /// A Create whose value has a deadline, as a lock does.
    Lock,
    /// An Update that takes a value's deadline away and adds its letter to it, and answers what was there. It leaves an absent key alone.
    Persist,
}

impl OperationKind {
    pub(super) fn is_update(self) -> bool {
        matches!(self, Self::Append | Self::Create | Self::Lock | Self::Persist)
    }

    /// Whether it gives the key a value with a deadline.
    pub(super) fn has_deadline(self) -> bool {
        matches!(self, Self::SetEx | Self::Lock)
    }

    /// Whether it reads what replicas hold before anything else.
    pub(super) fn begins_with_a_read(self) -> bool {
        matches!(self, Self::Get | Self::Create | Self::Lock | Self::Persist)
    }
}

/// An operation: its kind and the event loop that coordinates it. Every one that writes has a letter of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) kind: OperationKind,
    pub(super) event_loop: usize,
    /// An operation that must have answered before this one is invoked.
    pub(super) after: Option<usize>,
    /// The configuration in which it is invoked at the earliest: a restriction, to reach a scene.
    pub(super) from: u8,
}

/// One event loop of one node: a coordinator and the node's issuer.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventLoop {
    /// The node it belongs to. Loops that write are on different nodes; a Get issues nothing, so its loop may share a
    /// node.
    pub(super) node: u32,
    pub(super) mode: TimestampMode,
    /// Whether it may run its operations at the same time, or only one after the other.
    pub(super) concurrent: bool,
    /// Whether it may crash, once, at any moment, and come back in its next incarnation.
    pub(super) crashes: bool,
    /// Whether no value is ever due by its clock. Any other clock may say at any moment that a value is due, or that it is not; with
    /// TrueTime, as far as the interval allows.
    pub(super) is_slow: bool,
}

/// What interval clocks may say when true time is `now`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// `latest` is at most `now + ahead`.
    pub(super) ahead: u8,
    /// `latest` is at least `now - behind`: zero for a clock that keeps its promise.
    pub(super) behind: u8,
}

/// The rule that an adapter around the production machines breaks. No such switch exists in production code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// Nothing: the row must hold.
    Nothing,
    /// BL1: the adapter answers a Get's write-back itself, and nobody stores it.
    WriteBack,
    /// BL2, BT5: the issuer is built anew before every input, so it forgets what it issued.
    LastIssued,
    /// BL3: a restarted node gets an issuer with the boot count that it had.
    Boot,
    /// BL4: replicas say of every version they report that it is durable.
    DurableFlag,
    /// BD1: a replica that holds a tombstone may forget it.
    Tombstone,
    /// BD2: when all replicas hold a tombstone they may forget it together; old messages are not fenced off.
    TombstoneEverywhere,
    /// BT1: Sets are told that every time is past.
    SetWait,
    /// BT2: Gets are told that every time is past.
    GetWait,
    /// BT3: everybody is told that every time is past, and `latest` is a wall clock.
    AllWaits,
    /// BT6: Updates are told that every time is past.
    UpdateWait,
    /// BN1: who is closed at a base is understood to have accepted nothing there.
    Evidence,
    /// BV1: a replica that restarts does not find its mark.
    Floor,
    /// BR1: the adapter says of what an Update publishes that it is stored everywhere, when it is sent.
    Publication,
    /// BR2: who is closed at a base is understood to know that somebody else has won there.
    Resolution,
    /// BR3: a replica that is closed at a base takes part in it as if it had never heard of it.
    Forgotten,
    /// BR4: an Update publishes under the next time, as a Set does, and not under a carstamp.
    Carstamp,
    /// BP2: a replica that is closed at a base may take part in it all the same, with what it remembers.
    Closed,
    /// BE1, BE2: a Get answers that a value which is due is absent, and decides nothing. With TrueTime it knows what time it is, and
    /// Updates judge by `latest`.
    OwnClock,
    /// BE3: a Get answers so once a majority has promised for that value, and has accepted nothing there. It knows what time it is.
    PromiseOnly,
    /// BE4: the same, and Updates judge by `latest`.
    PromiseAndLatest,
    /// BE5: a Get that finds a value that is due deletes the key.
    FreshTimestamp,
    /// BE6: a replica may drop a value that has a deadline.
    Dropped,
    /// BM1: a sync brings versions alone, and not what was accepted.
    VersionsAlone,
    /// BM2: acknowledgements of one value are added up whatever configuration they were asked for in; two suffice.
    AddedUp,
    /// BM3: in the joint configuration a majority of those to come suffices.
    NextAlone,
    /// BM4: the members to come are members before they are synced.
    Unsynced,
    /// BM5: acceptors do not know of which configuration a ballot is, nor do coordinators of what they are told.
    RoundsAlone,
    /// BM7: a replica serves requests of older configurations than its own.
    Unfenced,
    /// BM10: some coordinators take the old members for the successor of the joint configuration, others the new ones.
    TwoSuccessors,
}

/// A tiny world.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) loops: Vec<EventLoop>,
    pub(super) operations: Vec<Operation>,
    /// Interval clocks, if any loop is in TrueTime mode.
    pub(super) clocks: Option<Clocks>,
    /// Whether the answer to a timestamp query may overtake nothing (false) or travel for any time (true); see the
    /// module documentation for why most worlds need not tell these apart.
    pub(super) slow_replies: bool,
    /// Whether what a replica stores stays volatile until a step of its own makes it durable.
    pub(super) page_cache: bool,
    /// How often a replica may lose what is not durable.
    pub(super) power_cuts: u8,
    /// How often a replica may come back empty under its old id.
    pub(super) wipes: u8,
    /// How often a replica may restart: what it has promised is gone, but for its mark (rule P5).
    pub(super) replica_restarts: u8,
    /// Whether answers to Prepare and Accept may be lost; see the module documentation for why most worlds need not have that.
    pub(super) lost_replies: bool,
    /// Ballots that an Update may begin. Beyond them it stays open for ever.
    pub(super) ballots: u8,
    /// Whether the members change: from A, B and C to A, B and D.
    pub(super) changes: bool,
    /// Whether requests that nobody waits for any more arrive, too.
    pub(super) late: bool,
    pub(super) breaks: Break,
}

impl Scenario {
    /// A world with logical timestamps and nobody in it.
    pub(super) fn logical() -> Self {
        Self {
            loops: Vec::new(),
            operations: Vec::new(),
            clocks: None,
            slow_replies: false,
            page_cache: false,
            power_cuts: 0,
            wipes: 0,
            replica_restarts: 0,
            lost_replies: false,
            ballots: 2,
            changes: false,
            late: true,
            breaks: Break::Nothing,
        }
    }

    /// A world with interval clocks that promise at most `epsilon` between true time and `latest`.
    pub(super) fn truetime(epsilon: u8) -> Self {
        Self { clocks: Some(Clocks { ahead: epsilon, behind: 0 }), ..Self::logical() }
    }

    /// A world with logical timestamps in which the members change.
    pub(super) fn change() -> Self {
        Self { changes: true, ..Self::logical() }
    }

    /// Adds an event loop that runs `kinds` one after the other.
    pub(super) fn run(self, kinds: &[OperationKind]) -> Self {
        let mode = if self.clocks.is_some() { TimestampMode::TrueTime } else { TimestampMode::Logical };
        self.run_in(mode, kinds)
    }

    /// The same, in a mode of its own.
    pub(super) fn run_in(mut self, mode: TimestampMode, kinds: &[OperationKind]) -> Self {
        let event_loop = self.loops.len();
        // The third replica leaves where the members change.
        let nodes = if self.changes { [1, 2, 4] } else { [1, 2, 3] };
        let node = nodes[event_loop.min(nodes.len() - 1)];
        self.loops.push(EventLoop { node, mode, concurrent: false, crashes: false, is_slow: false });
        self.operations.extend(kinds.iter().map(|&kind| Operation {
            kind,
            event_loop,
            after: None,
            from: 1,
        }));
        assert!(
            self.loops.len() <= MAX_LOOPS && self.operations.len() <= MAX_OPERATIONS,
            "too large a world"
        );
        let writers = |node| {
            let on_node =
                |o: &&Operation| o.kind != OperationKind::Get && self.loops[o.event_loop].node == node;
            let mut loops: Vec<usize> =
                self.operations.iter().filter(on_node).map(|o| o.event_loop).collect();
            loops.dedup();
            loops.len()
        };
        assert!(writers(node) <= 1, "two loops that write would need one issuer");
        self
    }

    /// The last loop begins when this operation is answered.
    pub(super) fn after(mut self, operation: usize) -> Self {
        self.first_of_last_loop().after = Some(operation);
        self
    }

    /// The last loop begins in this configuration at the earliest.
    pub(super) fn from(mut self, epoch: u8) -> Self {
        self.first_of_last_loop().from = epoch;
        self
    }

    fn first_of_last_loop(&mut self) -> &mut Operation {
        let last = self.loops.len() - 1;
        let first = self.operations.iter_mut().find(|operation| operation.event_loop == last);
        let Some(first) = first else { unreachable!("a loop has operations") };
        first
    }

    /// The last loop runs its operations at the same time.
    pub(super) fn at_once(mut self) -> Self {
        self.last_loop().concurrent = true;
        self
    }

    /// The last loop may crash.
    pub(super) fn may_crash(mut self) -> Self {
        self.last_loop().crashes = true;
        self
    }

    /// By the clock of the last loop no value is due.
    pub(super) fn slow_clock(mut self) -> Self {
        self.last_loop().is_slow = true;
        self
    }

    fn last_loop(&mut self) -> &mut EventLoop {
        let Some(last) = self.loops.last_mut() else { unreachable!("a loop was added before") };
        last
    }

    /// Answers to timestamp queries may travel for any time.
    pub(super) fn slow_replies(mut self) -> Self {
        self.slow_replies = true;
        self
    }

    /// Replicas write to a page cache, and power may fail this often.
    pub(super) fn power_cuts(mut self, cuts: u8) -> Self {
        (self.page_cache, self.power_cuts) = (true, cuts);
        self
    }

    /// A replica may come back empty this often.
    pub(super) fn wipes(mut self, wipes: u8) -> Self {
        self.wipes = wipes;
        self
    }

    /// A replica may restart this often.
    pub(super) fn replica_restarts(mut self, restarts: u8) -> Self {
        self.replica_restarts = restarts;
        self
    }

    /// Answers to Prepare and Accept may be lost.
    pub(super) fn lost_replies(mut self) -> Self {
        self.lost_replies = true;
        self
    }

    /// Updates may begin so many ballots.
    pub(super) fn ballots(mut self, ballots: u8) -> Self {
        self.ballots = ballots;
        self
    }

    /// No request arrives that nobody waits for.
    pub(super) fn never_late(mut self) -> Self {
        self.late = false;
        self
    }

    /// Whose answers suffice in a configuration, as an event loop sees it: at first A, B and C; then both; then A, B and D.
    pub(super) fn quorums(&self, epoch: u8, event_loop: usize) -> QuorumSystem {
        let members = |ids: [u32; 3]| Members::new(ids.map(NodeId).to_vec());
        let (old, next) = (members([1, 2, 3]), members([1, 2, 4]));
        let scope = Scope { epoch: epoch.into(), ..Scope::FIRST };
        let stays = self.breaks == Break::TwoSuccessors && event_loop % 2 == 1;
        match epoch {
            JOINT if self.breaks != Break::NextAlone => QuorumSystem::joint(old, next, NodeSet::EMPTY, scope),
            LAST if stays => QuorumSystem::of(old, scope),
            JOINT | LAST => QuorumSystem::of(next, scope),
            _ => QuorumSystem::of(old, scope),
        }
    }

    /// The event loop of a node, where each has one.
    pub(super) fn loop_of(&self, node: u32) -> usize {
        let place = self.loops.iter().position(|event_loop| event_loop.node == node);
        let Some(place) = place else { unreachable!("node {node} has no event loop") };
        place
    }

    /// How many replicas there are.
    pub(super) fn replicas(&self) -> u8 {
        if self.changes { 4 } else { 3 }
    }

    /// How many of them are interchangeable: the first ones.
    pub(super) fn interchangeable(&self) -> usize {
        if self.changes { 2 } else { 3 }
    }

    /// Whether there is consensus: somebody updates, or values expire.
    pub(super) fn has_updates(&self) -> bool {
        self.has_deadlines() || self.operations.iter().any(|operation| operation.kind.is_update())
    }

    /// Whether there are values with a deadline.
    pub(super) fn has_deadlines(&self) -> bool {
        self.operations.iter().any(|operation| operation.kind.has_deadline())
    }

    /// Whether an operation may come to consensus.
    pub(super) fn may_propose(&self, operation: u8) -> bool {
        let kind = self.operations[usize::from(operation)].kind;
        kind.is_update() || kind == OperationKind::Get && self.has_deadlines()
    }

    /// Clocks that may also be behind.
    pub(super) fn clocks_behind(mut self, behind: u8) -> Self {
        if let Some(clocks) = &mut self.clocks {
            clocks.behind = behind;
        }
        self
    }

    /// The same world with one rule broken.
    pub(super) fn without(mut self, breaks: Break) -> Self {
        self.breaks = breaks;
        self
    }

    /// What a history calls an operation: `Set a`, `Get c`.
    pub(super) fn name(&self, operation: usize) -> String {
        let letter = char::from(LETTERS[operation]);
        format!("{:?} {letter}", self.operations[operation].kind)
    }
}

/// Operations are letters, and the value of a Set is its letter.
pub(super) const LETTERS: &[u8; MAX_OPERATIONS] = b"abcde";
