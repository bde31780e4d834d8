//! What an event loop reaches beyond itself in this world ([`Environment`]), and where most mutants tell it their lies.

use super::back::Back;
use super::healing::Who;
use super::running::{About, Operations, RunningOperation};
use super::view::View;
use crate::checks::bounded;
use crate::mutant::{ClockLie, ExpiryLie, Lies};
use crate::rng::Rng;
use abd::{
    AcceptedRecord, Acceptor, AfterCommit, CallId, Evaluation, Instant, Interval, ListedWrites, NodeId, Now,
    Operation, OperationId, Outcome, Reason, Reply, Request, StampedValue, Standing, TimestampIssuer, Unit,
    UpdateId, Version,
};
use bytes::Bytes;
use node::admission::Admission;
use node::change::{Decision, Driver, HealWanted};
use node::clock::Moments;
use node::commit::Queue;
use node::configuration::{Configuration, DirectoryId, LEVEL};
use node::hello::LaneKind;
use node::inquiry::notes::Notes;
use node::lanes::Bounds;
use node::lanes::outgoing::Waiting;
use node::limits::KnownLimits;
use node::lookups::{HandOver, Lookups};
use node::news::News;
use node::repair::ranges::Range;
use node::repair::{Repair, is_repair};
use node::shard::{Environment, ReplyTo};
use node::sync::source::{Records, Source as _, records_of};
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;
use store::Database as _;

/// Replies that may come after the last look at what a peer has left unread, in bytes.
const ANSWERS: usize = 8 << 10;

/// What is true while an event happens at a node.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) interval: Option<Interval>,
    /// The upper bound of the clock for the horizon.
    pub(crate) latest: u64,
    /// For values that expire.
    pub(crate) moments: Moments,
    pub(crate) standing: Standing,
    pub(crate) sequence: u64,
    /// How long a disk takes to find something.
    pub(crate) lookups: Option<(u64, u64)>,
}

/// What an event loop has done that this world has to know of.
pub(crate) enum Note {
    /// Its coordinator gives a write to its own replica.
    Writes(Bytes, StampedValue),
    /// The first lane to a member is up, or the last one is gone.
    Link(u32, bool),
    /// A member has said how many batches it has made durable.
    Observed(u32, u64),
    /// Its coordinator gives a proposal for this key to its own replica.
    Proposes(Bytes, UpdateId),
    /// There is no room for an update: what its client asked for is done as a blind Delete.
    Blind(usize),
}

/// What the event loop of one process reaches.
pub(crate) struct Surroundings {
    pub(crate) lies: Lies,
    pub(crate) moment: Cell<Moment>,
    /// Which node, and which boot.
    pub(crate) issues_as: (NodeId, u32),
    pub(crate) issuer: RefCell<TimestampIssuer>,
    pub(crate) store: View,
    /// What its replica has promised and accepted in this run.
    pub(crate) acceptor: RefCell<Acceptor>,
    /// Writes that wait for the disk.
    pub(crate) writes: RefCell<Queue<ListedWrites, ReplyTo>>,
    pub(crate) queue_bytes: usize,
    pub(crate) driver: RefCell<Driver>,
    pub(crate) admission: Rc<RefCell<Admission>>,
    /// By which directory it is known, and by which it knows others.
    pub(crate) who: Cell<Who>,
    pub(crate) known: RefCell<Vec<(NodeId, DirectoryId)>>,
    /// What has become of what operators wanted.
    pub(crate) decided: RefCell<Vec<Decision>>,
    /// The newest epoch that its directory expects, and what it is to expect.
    pub(crate) expected: Cell<u32>,
    pub(crate) coming: RefCell<Vec<Configuration>>,
    /// The newest epoch that it has installed or begun to.
    pub(crate) newest_epoch: Cell<u32>,
    /// The newest one that it serves.
    pub(crate) served_epoch: Cell<u32>,
    /// What it has installed since somebody looked.
    pub(crate) installed: RefCell<Vec<Configuration>>,
    /// Whether the acceptor has just accepted something.
    pub(crate) accepts: Cell<bool>,
    /// The mutant `one-answer-for-all`: the last answers, of which key and version.
    pub(crate) told: RefCell<Option<(Bytes, Version, Vec<Bytes>)>>,
    /// The mutant `expires-by-delete`: Gets that have found what is due.
    pub(crate) deletes: RefCell<Vec<Back>>,
    /// Whether look-ups leave the event loop, and those that wait.
    pub(crate) hand_over: RefCell<HandOver>,
    pub(crate) lookups: RefCell<Lookups<ReplyTo>>,
    pub(crate) repair: RefCell<Repair>,
    /// What it remembers for others.
    pub(crate) remembered: RefCell<Notes>,
    /// Whether an inquiry has ended.
    pub(crate) has_found: Cell<bool>,
    pub(crate) operations: RefCell<Operations>,
    /// The folds of updates, by their numbers: each is named after the oldest operation of its key.
    pub(crate) folds: RefCell<Operations>,
    /// Operations that have ended, and the versions of what was written.
    pub(crate) ended: RefCell<Vec<(usize, Option<Version>)>>,
    /// What the thing that happens is about.
    pub(crate) about: Cell<About>,
    /// Whether the process is about to end.
    pub(crate) stops: Cell<bool>,
    pub(crate) notes: RefCell<Vec<Note>>,
    /// The largest values that members let their clients write.
    pub(crate) limits: RefCell<KnownLimits>,
    /// What may wait on a lane, if that is less than in the node.
    pub(crate) bounds: Option<Bounds>,
    /// A lane is being closed, and what was under way on it is not remembered.
    pub(crate) forgets: Cell<bool>,
    pub(crate) rng: RefCell<Rng>,
}

impl Surroundings {
    pub(super) fn note(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }

    /// The mutant `one-answer-for-all`: whatever has led to one version is answered as the first of that.
    pub(super) fn answered_alike(&self, key: &Bytes, outcome: Outcome) -> Outcome {
        let Outcome::Updated { answers, version } = outcome else { return outcome };
        let mut told = self.told.borrow_mut();
        let same = told.as_ref().filter(|(of, at, _)| self.lies.one_answer && of == key && *at == version);
        let answers = same.map_or(answers, |(_, _, answers)| answers.clone());
        *told = Some((key.clone(), version, answers.clone()));
        Outcome::Updated { answers, version }
    }

    /// The mutant `queued-is-forgotten`: what was accepted is on the disk, and known from now on.
    pub(super) fn remember(&self, key: &Bytes, record: &AcceptedRecord) {
        let is_alive =
            self.store.versions.newest(key).is_ok_and(|newest| newest.stamped.version == record.base);
        if self.lies.forgets_queued && is_alive {
            let mut acceptor = self.acceptor.borrow_mut();
            let nothing = acceptor.before(b"a key that nobody has");
            acceptor.undo(key, nothing);
            acceptor.restore(key.clone(), record.clone());
        }
    }

    /// What a call of the own coordinator is about.
    pub(super) fn about(&self, call: CallId) -> About {
        match self.operations.borrow().get(&call.operation) {
            Some(running) => running.about,
            // Folds have numbers of their own.
            None if !is_repair(call) => About::Update,
            None => About::Other,
        }
    }

    /// The client's operation that a call of the own coordinator belongs to: of a fold, the oldest that is a part of it.
    pub(super) fn operation_of(&self, call: CallId) -> Option<usize> {
        let running = |operations: &Operations| Some(operations.get(&call.operation)?.operation);
        running(&self.operations.borrow()).or_else(|| running(&self.folds.borrow()))
    }

    /// Notes whose fold a call about a key belongs to, if it is one of a fold.
    pub(super) fn note_fold(&self, call: CallId, key: &Bytes) {
        let operations = self.operations.borrow();
        if is_repair(call) || operations.contains_key(&call.operation) {
            return;
        }
        let oldest_of =
            |about| operations.values().find(|running| running.about == about && running.key == key);
        // Gets alone have folds where a value is due to expire.
        let oldest = oldest_of(About::Update).or_else(|| oldest_of(About::Get));
        let mut folds = self.folds.borrow_mut();
        match (oldest, folds.get_mut(&call.operation)) {
            (Some(oldest), Some(fold)) => fold.operation = oldest.operation,
            (Some(oldest), None) => {
                let fold = RunningOperation::new(oldest.operation, About::Update, key.clone());
                folds.insert(call.operation, fold);
            }
            (None, _) => {}
        }
    }

    /// What its replica has accepted of a range.
    pub(super) fn accepted(&self, range: &Range) -> Records {
        let mut records = Records::new();
        records_of(&mut self.acceptor.borrow_mut(), range, store::versions::order, &mut records);
        records
    }

    /// What the event loop is told about time.
    pub(crate) fn told_interval(&self) -> Option<Interval> {
        let interval = self.moment.get().interval;
        let never_waits = interval.map(|interval| Interval { earliest: u64::MAX, ..interval });
        match self.lies.clock {
            ClockLie::GetsDoNotWait if self.about.get() == About::Get => never_waits,
            ClockLie::UpdatesDoNotWait if self.about.get() == About::Update => never_waits,
            _ => interval,
        }
    }

    /// Holds what waits on a lane to what may (rule B1).
    pub(crate) fn check_lane(&self, waiting: Waiting) {
        let Some(bounds) = self.bounds else { return };
        let node = self.store.node;
        self.store.convict(bounded::check(node, "of a backlog", waiting.backlog, bounds.backlog));
        // What it is asked when it has just looked it still answers.
        let unread = bounds.unread + ANSWERS;
        self.store.convict(bounded::check(node, "for a peer that does not read", waiting.encoded, unread));
    }

    /// What a reply is about in this node's own coordinator.
    pub(crate) fn reply_about(&self, to: ReplyTo) -> About {
        if to.lane.is_none() { self.about(to.call) } else { About::Other }
    }

    /// The next question for whoever may wait for the disk.
    pub(crate) fn next_lookup(&self, now: Instant) -> Option<(Request, ReplyTo)> {
        self.lookups.borrow_mut().next(now)
    }

    /// An operation has ended: its number.
    pub(crate) fn end(&self, operation: usize) -> Option<OperationId> {
        let mut operations = self.operations.borrow_mut();
        let number = *operations.iter().find(|(_, running)| running.operation == operation)?.0;
        operations.remove(&number);
        Some(OperationId(number))
    }
}

/// The same, as the event loop holds it.
pub(crate) struct Reached(pub(crate) Rc<Surroundings>);

impl Deref for Reached {
    type Target = Surroundings;

    fn deref(&self) -> &Surroundings {
        &self.0
    }
}

impl Environment for Reached {
    type Store = View;

    fn now(&self, instant: Instant) -> Now {
        Now { instant, interval: self.told_interval(), moment: self.judged_by() }
    }

    fn moments(&self) -> Moments {
        let Moments { earliest, latest } = self.moment.get().moments;
        let earliest = if self.lies.expiry == ExpiryLie::Early { latest } else { earliest };
        Moments { earliest, latest }
    }

    fn expect(&self, configuration: &Configuration) -> bool {
        let is_expected = self.expected.get() >= configuration.epoch();
        if !is_expected {
            self.coming.borrow_mut().push(configuration.clone());
        }
        is_expected
    }

    fn begin_installing<T>(&self, epoch: u32, queue: impl FnOnce() -> T) -> Option<T> {
        if epoch < self.newest_epoch.get() {
            return None;
        }
        self.newest_epoch.set(epoch);
        self.acceptor.borrow_mut().install(epoch);
        Some(queue())
    }

    fn served_epoch(&self) -> u32 {
        self.served_epoch.get()
    }

    fn newest_epoch(&self) -> u32 {
        self.newest_epoch.get()
    }

    fn installed(&self, configuration: &Configuration) {
        self.served_epoch.set(configuration.epoch());
        self.admission.borrow_mut().install(configuration, self.who.get().voting);
        self.limits.borrow_mut().install(configuration);
        let mut moment = self.moment.get();
        moment.standing.admitted = self.admission.borrow().is_admitted();
        self.moment.set(moment);
        self.installed.borrow_mut().push(configuration.clone());
    }

    fn driver<T>(&self, run: impl FnOnce(&mut Driver) -> T) -> T {
        run(&mut self.driver.borrow_mut())
    }

    fn news(&self) -> News {
        let (who, repair, versions) = (self.who.get(), self.repair.borrow(), &self.store.versions);
        let lost = if versions.has_lost() { self.store.lost() } else { Vec::new() };
        let wants = |(_, is_gone): &(DirectoryId, bool)| *is_gone || versions.has_lost();
        // After a switch it is whole, and about to write that down.
        let is_whole = self.store.database.being_healed(who.own).is_some();
        let heal = who.heal.filter(wants).filter(|_| !is_whole);
        let heal = heal.map(|(directory, is_gone)| HealWanted { directory, is_gone });
        // The mutant `switches-unsynced`.
        let is_claimed = self.lies.claims_synced;
        let synced_in = if is_claimed { self.served_epoch.get() } else { repair.synced_in() };
        let pulled = repair.pulled();
        News { directory: who.presented, level: LEVEL, synced_in, lost, heal, pulled }
    }

    fn remembered(&self) -> Vec<(NodeId, DirectoryId)> {
        self.known.borrow().clone()
    }

    fn hand_over(&self, evaluation: Evaluation) -> Option<Evaluation> {
        Some(evaluation)
    }

    fn horizon(&self) -> u64 {
        self.moment.get().latest
    }

    fn issuer(&self) -> impl Deref<Target = TimestampIssuer> {
        if self.lies.forgets_issued {
            // The mutant `no-last-issued`: one that has never issued anything.
            let (node, boot) = self.issues_as;
            self.issuer.replace(TimestampIssuer::new(node, boot));
        }
        self.issuer.borrow()
    }

    fn store(&self) -> impl Deref<Target = View> {
        &self.store
    }

    fn standing(&self) -> Standing {
        let standing = self.moment.get().standing;
        // The mutant `accepts-on-full-disk`.
        Standing { writable: standing.writable || self.lies.accepts_full, ..standing }
    }

    fn sequence(&self) -> u64 {
        self.moment.get().sequence
    }

    fn acceptor<T>(&self, key: &[u8], run: impl FnOnce(&mut Acceptor) -> T) -> T {
        let mut acceptor = self.acceptor.borrow_mut();
        let before = self.lies.forgets_queued.then(|| acceptor.before(key));
        self.accepts.set(false);
        let done = run(&mut acceptor);
        if let Some(before) = before.filter(|_| self.accepts.get()) {
            // The mutant `queued-is-forgotten`: it is told again when it is on the disk.
            acceptor.undo(&Bytes::copy_from_slice(key), before);
        }
        done
    }

    fn commit(&self, unit: Unit, reply: AfterCommit, to: ReplyTo) -> Result<(), Reply> {
        let unit = match unit {
            Unit::Acceptance { key, record, .. }
                if to.lane.is_none() && self.takes_for_accepted(&key, &record.acceptance.proposal) =>
            {
                // The mutant `promise-is-enough`: nothing is written.
                return Err(Reply::Accepted);
            }
            Unit::Acceptance { key, record, base } => {
                if to.lane.is_none() {
                    self.note(Note::Proposes(key.clone(), record.acceptance.proposal.update));
                }
                self.accepts.set(true);
                // The mutant `record-without-base`.
                let base = base.filter(|_| !self.lies.tears_base);
                Unit::Acceptance { key, record, base }
            }
            unit => unit,
        };
        let own_write = unit.version().filter(|_| to.lane.is_none() && reply.acknowledges_write());
        if let Some((key, stamped)) = own_write.filter(|_| !is_repair(to.call)) {
            if self.lies.no_write_back && self.about(to.call) == About::Get {
                // The mutant `no-write-back`: nothing is written.
                return Err(Reply::Written { previous: None });
            }
            let unpublished = self.lies.answers_unpublished && self.about(to.call) == About::Update;
            if unpublished || self.takes_for_published(key, stamped) {
                // The mutants `answers-before-published` and `promise-is-enough`: the same.
                return Err(Reply::Written { previous: None });
            }
            self.note(Note::Writes(key.clone(), stamped.clone()));
        }
        let mut writes = self.writes.borrow_mut();
        let before = writes.bytes();
        writes.enqueue(&mut ListedWrites(vec![unit]), reply, to)?;
        self.store.convict(bounded::check(
            self.store.node,
            "writes that wait for its disk",
            before,
            self.queue_bytes,
        ));
        Ok(())
    }

    fn hands_over(&self) -> bool {
        self.moment.get().lookups.is_some() && self.hand_over.borrow().is_on(self.moment.get().now)
    }

    fn is_slow(&self) -> bool {
        self.hand_over.borrow().is_slow(self.moment.get().now)
    }

    fn ask_disk(&self, request: Request, to: ReplyTo, deadline: Instant) -> Result<(), Reply> {
        self.lookups.borrow_mut().ask(request, to, deadline, self.moment.get().now)
    }

    fn look_here<T>(&self, look: impl FnOnce() -> T) -> T {
        let mut rng = self.rng.borrow_mut();
        // It may find it in the page cache.
        if let Some((from, to)) = self.moment.get().lookups.filter(|_| rng.one_in(2)) {
            let took = Duration::from_nanos(rng.between(from, to));
            self.hand_over.borrow_mut().has_read(took, self.moment.get().now);
        }
        look()
    }

    fn taken(&self, found_bytes: usize) {
        self.lookups.borrow_mut().taken(found_bytes);
    }

    fn repair(&self, tell: impl FnOnce(&mut Repair, Instant)) {
        tell(&mut self.repair.borrow_mut(), self.moment.get().now);
    }

    fn notes<T>(&self, run: impl FnOnce(&mut Notes) -> T) -> T {
        run(&mut self.remembered.borrow_mut())
    }

    fn missed(&self, member: NodeId, key: &Bytes, version: Version) {
        let is_own = member.0 == self.store.node + 1;
        let is_forgotten = if is_own { self.lies.refuses_silently } else { self.forgets.get() };
        if !is_forgotten {
            self.repair.borrow_mut().handle_missed(member, key, version, self.moment.get().now);
        }
    }

    fn peer_is_up(&self, peer: NodeId, up: bool) {
        self.driver.borrow_mut().handle_up(peer, up, self.moment.get().now);
        self.note(Note::Link(peer.0 - 1, up));
        self.repair(|repair, now| match up {
            true => repair.handle_peer_up(peer, now),
            false => repair.handle_peer_down(peer),
        });
    }

    fn observe(&self, peer: NodeId, sequence: u64) {
        self.note(Note::Observed(peer.0, sequence));
    }

    fn reason_to_refuse(&self, operation: &Operation) -> Option<Reason> {
        self.limits.borrow().reason_to_refuse(operation)
    }

    fn value_bytes_max(&self) -> usize {
        self.limits.borrow().value_bytes_max()
    }

    fn bounds(&self, kind: LaneKind) -> Bounds {
        let any = usize::MAX;
        match self.bounds {
            // The mutant `backlog-without-bound`.
            _ if self.lies.keeps_all => Bounds { encoded: 200, backlog: any, contents: any, unread: any },
            bounds => bounds.unwrap_or(Bounds::of(kind)),
        }
    }
}
