//! The production replica and acceptor, over a disk of two words, and the adapters that lie in their names.
//!
//! What is written is durable at once, unless the world has page caches. Two more simplifications, beyond those of the module:
//!
//! * *The mark is exact.* In production it is raised in steps, so that a restart makes a replica refuse more than it has promised.
//!   Here it is the highest ballot that was promised, the least that rule P5 allows; and it is on the disk when it is needed.
//! * *An acceptor looks at once* at what has become durable. In production it does when the next request comes. Whatever is asked
//!   of an acceptor that has not looked yet is answered the same; both are asked, each time, and compared.

use super::hash::Map;
use super::machine::KEY;
use super::numbered::Numbered;
use super::scenario::{Break, Scenario};
use super::values::{ValueId, Values};
use abd::{
    AcceptedRecord, Acceptor, AcceptorLimits, Ballot, Base, Newest, Reaction, Replica, Reply, Request, Scope,
    StampedValue, Standing, Unit, Version, VersionStore,
};
use bytes::Bytes;
use std::convert::Infallible;

/// The number of a distinct acceptor.
pub(super) type AcceptorId = u16;

/// What a replica has stored of the one key: its newest durable value and its newest value; and its acceptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell {
    pub(super) durable: ValueId,
    pub(super) newest: ValueId,
    pub(super) acceptor: AcceptorId,
}

impl Cell {
    /// Holds this, durably.
    pub(super) fn synced(value: ValueId) -> Self {
        Self { durable: value, newest: value, acceptor: 0 }
    }
}

/// Every replica that serves the configuration of an acceptor.
fn replica(acceptor: &Acceptor) -> Replica {
    let scope = Scope { epoch: acceptor.epoch(), ..Scope::FIRST };
    Replica { scope, configuration: Bytes::new(), max_future: None }
}

/// One key, and more instances than any run has.
const LIMITS: AcceptorLimits = AcceptorLimits { promises: 1, closed: 8, key_bytes: 1 << 10, buckets: 1 };

/// What every replica may do here.
const STANDING: Standing = Standing { admitted: true, writable: true };

/// An acceptor and what its replica has written down for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kept {
    acceptor: Acceptor,
    /// The highest ballot that was promised.
    mark: Ballot,
    /// Where closed bases are served (BP2): what it has promised and accepted at each.
    at_closed: Vec<(ValueId, Acceptor)>,
    /// The configuration that the replica has installed.
    epoch: u8,
}

/// All distinct acceptors of a run.
pub(super) struct Replicas {
    kept: Numbered<Kept>,
    /// The same that has not looked yet at a disk with this newest value.
    slow: Map<(AcceptorId, ValueId), Acceptor>,
    breaks: Break,
    /// Whether a replica may restart.
    restarts: bool,
    page_cache: bool,
}

impl Replicas {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut replicas = Self {
            kept: Numbered::new(),
            slow: Map::default(),
            breaks: scenario.breaks,
            restarts: scenario.replica_restarts > 0,
            page_cache: scenario.page_cache,
        };
        let acceptor = Acceptor::new(1, Scope::FIRST.epoch, Ballot::MIN, LIMITS);
        replicas.kept.number(Kept { acceptor, mark: Ballot::MIN, at_closed: Vec::new(), epoch: 1 });
        replicas
    }

    /// How many distinct ones there are.
    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }

    /// Answers a question.
    pub(super) fn read(&self, values: &Values, cell: Cell, request: Request) -> Reply {
        let acceptor = &self.kept.get(cell.acceptor).acceptor;
        let mut reply = replica(acceptor).read(&Store { values, cell }, request, STANDING);
        if let (Break::DurableFlag, Reply::Read(found)) = (self.breaks, &mut reply) {
            found.durable = true;
        }
        reply
    }

    /// What a replica stores after a write was delivered to it, and whether it acknowledges.
    pub(super) fn store(&mut self, values: &mut Values, cell: Cell, value: ValueId) -> (Cell, bool) {
        let stamped = values.get(value).clone();
        if values.get(cell.newest).version == stamped.version && cell.newest != value {
            // Two values under one version, which a debug build of the replica asserts never to see. A release build
            // keeps what it has and acknowledges; so does this world, to see where it leads.
            return (cell, true);
        }
        let request = Request::LocalWrite { key: KEY, stamped };
        if self.page_cache {
            // Without updates an acceptor has nothing to remember.
            let mut acceptor = self.kept.get(cell.acceptor).acceptor.clone();
            let (unit, _) = change(values, cell, &mut acceptor, request);
            let is_newer = values.get(value).version > values.get(cell.newest).version;
            let newest = if unit.is_some() && is_newer { value } else { cell.newest };
            // Acknowledged when it is delivered again after the fsync, as every request is.
            return (Cell { newest, ..cell }, unit.is_none());
        }
        let (after, reply) = self.handle(values, cell, request);
        (after, matches!(reply, Reply::Written { .. }))
    }

    /// What a replica has after a request that changes something, and what it answers once that is durable.
    pub(super) fn handle(&mut self, values: &mut Values, cell: Cell, request: Request) -> (Cell, Reply) {
        match (self.breaks, closed_base(values, cell, &request)) {
            (Break::Forgotten, Some(base)) => {
                let mut acceptor = Acceptor::new(1, Scope::FIRST.epoch, Ballot::MIN, LIMITS);
                let (_, reply) = change(values, Cell::synced(base), &mut acceptor, request);
                (cell, reply)
            }
            (Break::RoundsAlone, _) => self.answer(values, cell, without_epoch(request)),
            _ => self.answer(values, cell, request),
        }
    }

    /// The configuration that a replica has installed.
    pub(super) fn epoch(&self, cell: Cell) -> u8 {
        self.kept.get(cell.acceptor).epoch
    }

    /// A replica hears of a configuration, and installs it if it is newer than its own.
    pub(super) fn install(&mut self, cell: Cell, epoch: u8) -> Cell {
        let mut kept = self.kept.get(cell.acceptor).clone();
        if kept.epoch >= epoch {
            return cell;
        }
        kept.epoch = epoch;
        if self.breaks != Break::RoundsAlone {
            kept.acceptor.install(epoch.into());
        }
        Cell { acceptor: self.kept.number(kept), ..cell }
    }

    /// What a replica has after it has merged what another one holds, as a sync does (rule C3).
    pub(super) fn merge(&mut self, values: &mut Values, cell: Cell, other: Cell) -> Cell {
        let held = values.get(other.newest).clone();
        let record = self.kept.get(other.acceptor).acceptor.accepted(&KEY);
        let alive = record.filter(|(base, _)| *base == held.version && self.breaks != Break::VersionsAlone);
        match alive {
            Some((_, acceptance)) => {
                let acceptance = Box::new(acceptance.clone());
                let (after, reply) =
                    self.answer(values, cell, Request::Adopt { key: KEY, base: Box::new(held), acceptance });
                assert!(matches!(reply, Reply::Written { .. }), "a replica does not merge: {reply:?}");
                after
            }
            None if other.newest == 0 => cell,
            None => self.store(values, cell, other.newest).0,
        }
    }

    /// The same of a replica that takes part in an instance at which it is closed, as if it were not; nothing if the request is about
    /// none.
    pub(super) fn handle_though_closed(
        &mut self,
        values: &mut Values,
        cell: Cell,
        request: Request,
    ) -> Option<(Cell, Reply)> {
        let base = closed_base(values, cell, &request)?;
        let mut kept = self.kept.get(cell.acceptor).clone();
        let place = kept.at_closed.partition_point(|(at, _)| *at < base);
        if kept.at_closed.get(place).is_none_or(|(at, _)| *at != base) {
            kept.at_closed.insert(place, (base, Acceptor::new(1, Scope::FIRST.epoch, Ballot::MIN, LIMITS)));
        }
        let (_, reply) = change(values, Cell::synced(base), &mut kept.at_closed[place].1, request);
        Some((Cell { acceptor: self.kept.number(kept), ..cell }, reply))
    }

    fn answer(&mut self, values: &mut Values, cell: Cell, request: Request) -> (Cell, Reply) {
        let Kept { acceptor: before, mark, mut at_closed, epoch } = self.kept.get(cell.acceptor).clone();
        let ballot = match &request {
            Request::Prepare { ballot, .. } => *ballot,
            _ => Ballot::MIN,
        };
        let mut acceptor = before.clone();
        let (unit, reply) = change(values, cell, &mut acceptor, request.clone());
        let mut after = cell;
        if let Some((_, stamped)) = unit.as_ref().and_then(Unit::version)
            && stamped.version > values.get(cell.newest).version
        {
            after.newest = values.number(stamped);
            after.durable = after.newest;
            if self.breaks == Break::Closed {
                at_closed.push((cell.newest, before.clone()));
                at_closed.sort_unstable_by_key(|(at, _)| *at);
            }
        }
        let is_promise = matches!(reply, Reply::Promise(_));
        let mark = if self.restarts && is_promise { mark.max(ballot) } else { mark };
        if acceptor != before || after != cell {
            let slow = acceptor.clone();
            look(values, after, &mut acceptor);
            let second = self.slow.get(&(cell.acceptor, cell.newest)).cloned();
            let second = second.map(|mut second| {
                let (_, reply) = change(values, cell, &mut second, request);
                look(values, after, &mut second);
                (second, reply)
            });
            let is_same = second.is_none_or(|second| second == (acceptor.clone(), reply.clone()));
            assert!(
                is_same,
                "an acceptor that looks late is another one than {acceptor:?}, or says not {reply:?}"
            );
            after.acceptor = self.kept.number(Kept { acceptor, mark, at_closed, epoch });
            self.slow.entry((after.acceptor, after.newest)).or_insert(slow);
        } else {
            after.acceptor = self.kept.number(Kept { acceptor, mark, at_closed, epoch });
        }
        (after, reply)
    }

    /// A replica restarts; nothing if that changes nothing but its count of starts.
    pub(super) fn restart(&mut self, values: &Values, cell: Cell) -> Option<Cell> {
        let Kept { acceptor, mark, epoch, .. } = self.kept.get(cell.acceptor);
        let floor = if self.breaks == Break::Floor { Ballot::MIN } else { *mark };
        let record = acceptor.accepted(&KEY).filter(|(base, _)| *base == values.get(cell.durable).version);
        let record = record.map(|(base, acceptance)| AcceptedRecord { base, acceptance: acceptance.clone() });
        let restarted = |boot, floor| {
            let mut acceptor = Acceptor::new(boot, acceptor.epoch(), floor, LIMITS);
            if let Some(record) = record.clone() {
                acceptor.restore(KEY, record);
            }
            acceptor
        };
        let is_same = |floor| restarted(acceptor.boot(), floor) == *acceptor;
        if is_same(Ballot::MIN) || is_same(floor) {
            return None;
        }
        let acceptor = restarted(acceptor.boot() + 1, floor);
        let kept = Kept { acceptor, mark: *mark, at_closed: Vec::new(), epoch: *epoch };
        Some(Cell { newest: cell.durable, acceptor: self.kept.number(kept), ..cell })
    }

    /// A replica that will not restart any more needs no mark.
    pub(super) fn without_mark(&mut self, cell: Cell) -> Cell {
        let kept = Kept { mark: Ballot::MIN, ..self.kept.get(cell.acceptor).clone() };
        Cell { acceptor: self.kept.number(kept), ..cell }
    }

    /// Which run of its replica an acceptor is of.
    pub(super) fn boot(&self, acceptor: AcceptorId) -> u32 {
        self.kept.get(acceptor).acceptor.boot()
    }
}

/// What the production replica makes of a request: what to store, and the answer.
fn change(values: &Values, cell: Cell, acceptor: &mut Acceptor, request: Request) -> (Option<Unit>, Reply) {
    match replica(acceptor).handle(&Store { values, cell }, acceptor, request, STANDING, 0) {
        Reaction::Reply(reply) => (None, reply),
        Reaction::Commit { unit, reply } => (Some(unit), reply.committed()),
    }
}

/// The acceptor looks at what has become durable: a question about an instance that is over makes it, and does nothing else.
fn look(values: &Values, cell: Cell, acceptor: &mut Acceptor) {
    if cell.durable == 0 {
        return;
    }
    let base = Some(Box::new(Base::Named(Version::MIN)));
    let ballot = Ballot { epoch: acceptor.epoch(), ..Ballot::MIN };
    let question = Request::Prepare { key: KEY, ballot, base, have: Version::MAX };
    let (unit, reply) = change(values, cell, acceptor, question);
    assert!(unit.is_none() && matches!(reply, Reply::Closed(_)), "{reply:?}");
}

/// A request whose ballot belongs to the first configuration, as all of them do.
fn without_epoch(mut request: Request) -> Request {
    if let Request::Prepare { ballot, .. } | Request::Accept { ballot, .. } = &mut request {
        ballot.epoch = Scope::FIRST.epoch;
    }
    request
}

/// The base that a request names, if the replica is closed there.
fn closed_base(values: &mut Values, cell: Cell, request: &Request) -> Option<ValueId> {
    let base = match request {
        Request::Prepare { base: Some(base), .. } | Request::Accept { base, .. } => base,
        _ => return None,
    };
    let Base::Whole(base) = &**base else { return None };
    (base.version < values.get(cell.newest).version).then(|| values.number(base))
}

/// A replica's store as the production `Replica` sees it.
struct Store<'a> {
    values: &'a Values,
    cell: Cell,
}

impl VersionStore for Store<'_> {
    type Error = Infallible;

    fn newest(&self, _key: &[u8]) -> Result<Newest, Infallible> {
        let stamped: StampedValue = self.values.get(self.cell.newest).clone();
        Ok(Newest { stamped, durable: self.cell.newest == self.cell.durable })
    }

    /// As large as it need be.
    fn mark(&self) -> Ballot {
        Ballot { epoch: u32::MAX, ..Ballot::MIN }
    }
}
