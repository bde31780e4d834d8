//! Rules P2', P5 and P7: what a replica promises, accepts, keeps and forgets.

use crate::support::{Disk, KEY, stamped, version};
use abd::{
    Acceptance, AcceptedThere, Acceptor, AcceptorLimits, Ballot, Base, Closed, Content, Deadline, Proposal,
    Reaction, Refusal, Replica, Reply, Request, Scope, StampedValue, Standing, Unit, UpdateId, Version,
};
use bytes::Bytes;

const REPLICA: Replica = Replica { scope: Scope::FIRST, configuration: Bytes::new(), max_future: None };
const STANDING: Standing = Standing { admitted: true, writable: true };
const LIMITS: AcceptorLimits = AcceptorLimits { promises: 4, closed: 4, key_bytes: 1000, buckets: 1 };

/// A replica by itself. What it wants to have stored waits until the test says so.
struct Alone {
    disk: Disk,
    acceptor: Acceptor,
    queued: Vec<Unit>,
}

impl Alone {
    fn new() -> Self {
        let mut disk = Disk::default();
        disk.synced.commit(Unit::Mark(ballot(1 << 40, 1)));
        Self { acceptor: Acceptor::new(1, Scope::FIRST.epoch, Ballot::MIN, LIMITS), disk, queued: Vec::new() }
    }

    /// The reply; of one that waits for the disk what it will be.
    fn ask(&mut self, request: Request) -> Reply {
        match REPLICA.handle(&self.disk, &mut self.acceptor, request, STANDING, 0) {
            Reaction::Reply(reply) => reply,
            Reaction::Commit { unit, reply } => {
                self.queued.push(unit);
                reply.committed()
            }
        }
    }

    fn sync(&mut self) {
        self.queued.drain(..).for_each(|unit| self.disk.synced.commit(unit));
    }

    /// Asks, and has the disk do what is wanted.
    fn ask_and_sync(&mut self, request: Request) -> Reply {
        let reply = self.ask(request);
        self.sync();
        reply
    }

    fn restart(&mut self, boot: u32) {
        self.queued.clear();
        self.acceptor = self.disk.synced.acceptor(boot, LIMITS);
    }
}

fn ballot(round: u64, node: u32) -> Ballot {
    Ballot { epoch: 1, round, node, boot: 1 }
}

fn base(time: u64) -> StampedValue {
    if time == 0 { StampedValue::NEVER } else { stamped(version(time, 1, 1), "base") }
}

fn proposal(of: Ballot) -> Proposal {
    let content = Content::Value(Bytes::from(format!("{of:?}")));
    Proposal { update: of.update(), content, deadline: Deadline::NONE }
}

fn prepare(of: Ballot, at: Option<Base>) -> Request {
    Request::Prepare { key: KEY.into(), ballot: of, base: at.map(Box::new), have: Version::MIN }
}

fn accept(of: Ballot, at: Base) -> Request {
    Request::Accept { key: KEY.into(), ballot: of, base: Box::new(at), proposal: Box::new(proposal(of)) }
}

fn write(stamped: StampedValue) -> Request {
    Request::LocalWrite { key: KEY.into(), stamped }
}

/// What a closed replica says that has accepted a proposal under its first ballot alone.
fn accepted_under(of: Ballot) -> AcceptedThere {
    AcceptedThere::Update { update: of.update(), lowest: of, highest: of }
}

/// What a promise says was accepted.
#[track_caller]
fn promised(reply: Reply) -> Option<Acceptance> {
    match reply {
        Reply::Promise(promise) => promise.accepted,
        other => panic!("expected a promise, found {other:?}"),
    }
}

#[track_caller]
fn closed(reply: Reply) -> Closed {
    match reply {
        Reply::Closed(closed) => *closed,
        other => panic!("expected a closed replica, found {other:?}"),
    }
}

#[track_caller]
fn nacked(reply: Reply) -> Ballot {
    match reply {
        Reply::Nack { promised, .. } => promised,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

/// P1: a promise is kept, and tells what was accepted.
#[test]
fn p1_nothing_below_a_promise_is_promised_or_accepted() {
    let mut alone = Alone::new();
    assert_eq!(promised(alone.ask(prepare(ballot(2, 1), None))), None);
    for request in [prepare(ballot(1, 2), None), accept(ballot(1, 2), Base::Whole(base(0)))] {
        assert_eq!(nacked(alone.ask(request)), ballot(2, 1));
    }
    // A repeated question has the same answer.
    assert_eq!(promised(alone.ask(prepare(ballot(2, 1), None))), None);
    assert_eq!(alone.ask_and_sync(accept(ballot(2, 1), Base::Whole(base(0)))), Reply::Accepted);
    let accepted = promised(alone.ask(prepare(ballot(2, 2), None))).unwrap();
    assert_eq!(accepted, Acceptance { ballot: ballot(2, 1), proposal: proposal(ballot(2, 1)) });
    assert_eq!(alone.ask(accept(ballot(2, 2), Base::Named(Version::MIN))), Reply::Accepted);
    assert_eq!(alone.acceptor.counts(), (1, 0));
}

/// P2': above a base a replica takes no part there, for ever, whether or not it did before; and it says what it knows.
#[test]
fn p2_a_replica_is_closed_at_a_base_below_its_newest_version() {
    let mut alone = Alone::new();
    alone.ask_and_sync(write(base(5)));
    let (first, second) = (ballot(1, 1), ballot(2, 2));
    assert_eq!(promised(alone.ask(prepare(first, None))), None);
    assert_eq!(alone.ask_and_sync(accept(first, Base::Named(version(5, 1, 1)))), Reply::Accepted);
    alone.ask_and_sync(write(base(7)));
    for at in [5, 0] {
        let accepted = if at == 5 { accepted_under(first) } else { AcceptedThere::Nothing };
        for request in [prepare(second, Some(Base::Whole(base(at)))), accept(second, Base::Whole(base(at)))] {
            let found = closed(alone.ask(request));
            assert_eq!((found.newest.version, found.boot), (version(7, 1, 1), 1));
            assert_eq!((found.accepted, found.winner), (accepted, None), "at {at}");
        }
    }
    assert_eq!(alone.acceptor.counts(), (0, 0), "nothing is kept of what is over");
    // A restart forgets what happened at 5.
    alone.restart(2);
    let found = closed(alone.ask(prepare(second, Some(Base::Whole(base(5))))));
    assert_eq!((found.boot, found.accepted), (2, AcceptedThere::Nothing));
}

/// P2': a write that waits for the disk closes nothing yet: it may vanish. Then the record is still there.
#[test]
fn p2_what_waits_for_the_disk_closes_nothing() {
    let mut alone = Alone::new();
    alone.ask_and_sync(write(base(5)));
    assert_eq!(alone.ask_and_sync(accept(ballot(1, 1), Base::Named(version(5, 1, 1)))), Reply::Accepted);
    assert!(matches!(alone.ask(write(base(7))), Reply::Written { .. }));
    assert!(matches!(alone.queued[..], [Unit::Closing { .. }]), "the record goes with it");
    let accepted = promised(alone.ask(prepare(ballot(2, 2), Some(Base::Whole(base(5))))));
    assert_eq!(accepted.map(|accepted| accepted.ballot), Some(ballot(1, 1)));
    alone.restart(2);
    let accepted = promised(alone.ask(prepare(ballot(1 << 41, 2), None)));
    assert_eq!(accepted.map(|accepted| accepted.ballot), Some(ballot(1, 1)));
}

/// P3': who made the successor of a base is remembered, also when that is gone.
#[test]
fn p3_a_replica_tells_who_has_won() {
    let mut alone = Alone::new();
    let (at, winner) = (version(5, 1, 1), ballot(3, 3).update());
    alone.ask_and_sync(write(base(5)));
    let successor = StampedValue { update: winner, ..stamped(at.successor().unwrap(), "won") };
    alone.ask_and_sync(write(successor));
    let ask = prepare(ballot(4, 1), Some(Base::Named(at)));
    assert_eq!(closed(alone.ask(ask.clone())).winner, Some(winner));
    alone.ask_and_sync(write(base(9)));
    assert_eq!(closed(alone.ask(ask)).winner, Some(winner));
}

/// P3': what is not remembered one by one is not denied.
#[test]
fn p3_what_was_forgotten_is_not_taken_for_nothing() {
    let mut alone = Alone::new();
    for time in 1..=6 {
        alone.ask_and_sync(write(base(time)));
        let at = Base::Named(version(time, 1, 1));
        assert_eq!(alone.ask_and_sync(accept(ballot(time, 2), at)), Reply::Accepted);
    }
    alone.ask_and_sync(write(base(9)));
    let mut accepted =
        |time| closed(alone.ask(prepare(ballot(99, 1), Some(Base::Named(version(time, 1, 1)))))).accepted;
    assert_eq!(accepted(1), AcceptedThere::Forgotten);
    assert_eq!(accepted(2), AcceptedThere::Forgotten);
    assert_eq!(accepted(3), accepted_under(ballot(3, 2)));
    assert_eq!(accepted(6), accepted_under(ballot(6, 2)));
    assert_eq!(accepted(7), AcceptedThere::Nothing);
}

/// P3': under which ballots an update was accepted is told, as far as it is known.
#[test]
fn p3_a_replica_tells_under_which_ballots_it_has_accepted() {
    let accept_for = |of: Ballot, update: Ballot| {
        let Request::Accept { key, base, proposal, .. } = accept(update, Base::Whole(base(0))) else {
            panic!()
        };
        Request::Accept { key, ballot: of, base, proposal }
    };
    let range =
        |alone: &mut Alone| match closed(alone.ask(prepare(ballot(99, 1), Some(Base::Whole(base(0))))))
            .accepted
        {
            AcceptedThere::Update { update, lowest, highest } => (update, lowest.round, highest.round),
            other => panic!("{other:?}"),
        };
    let (mine, other) = (ballot(1, 1), ballot(2, 2));
    let mut alone = Alone::new();
    for (round, update) in [(1, mine), (3, mine), (4, other), (5, mine), (7, mine)] {
        assert_eq!(alone.ask_and_sync(accept_for(ballot(round, 3), update)), Reply::Accepted);
    }
    let mut restarted = Alone::new();
    restarted.disk = alone.disk.clone();
    restarted.restart(2);
    for (alone, lowest) in [(&mut alone, 5), (&mut restarted, 0)] {
        alone.ask_and_sync(write(base(5)));
        assert_eq!(range(alone), (mine.update(), lowest, 7));
    }
}

/// P5: after a restart everything up to the mark counts as promised.
#[test]
fn p5_a_restart_keeps_its_promises_by_its_mark() {
    let mut alone = Alone::new();
    alone.disk = Disk::default();
    // The first one raises the mark, far enough for many more.
    assert_eq!(promised(alone.ask(prepare(ballot(7, 1), None))), None);
    let [Unit::Mark(mark)] = alone.queued[..] else { panic!("{:?}", alone.queued) };
    assert!(mark > ballot(8, 1));
    alone.sync();
    assert_eq!(promised(alone.ask(prepare(ballot(8, 1), None))), None);
    assert!(alone.queued.is_empty(), "a promise writes nothing");
    alone.restart(2);
    for request in [prepare(ballot(9, 2), None), accept(ballot(9, 2), Base::Whole(base(0)))] {
        assert_eq!(nacked(alone.ask(request)), mark);
    }
    assert_eq!(promised(alone.ask_and_sync(prepare(ballot(mark.round + 1, 2), None))), None);
}

/// P5: promises that are too many are kept as one for many keys.
#[test]
fn p5_an_evicted_promise_still_binds() {
    let mut alone = Alone::new();
    let prepare_key = |key: u64, of| Request::Prepare {
        key: Bytes::from(key.to_string()),
        ballot: of,
        base: None,
        have: Version::MIN,
    };
    for key in 0..10 {
        assert_eq!(promised(alone.ask(prepare_key(key, ballot(100 + key, 1)))), None);
    }
    assert_eq!(alone.acceptor.counts(), (0, 4));
    for key in 0..10 {
        assert!(nacked(alone.ask(prepare_key(key, ballot(80, 2)))) >= ballot(100 + key, 1));
    }
}

/// P7: an acceptance contains its base: a replica that lacks it asks for it, and stores both at once.
#[test]
fn p7_an_acceptance_and_its_base_are_one_unit() {
    let mut alone = Alone::new();
    let at = base(5);
    assert_eq!(alone.ask(accept(ballot(1, 1), Base::Named(at.version))), Reply::NeedBase);
    assert!(alone.queued.is_empty() && alone.acceptor.counts() == (0, 0));
    assert_eq!(alone.ask(accept(ballot(1, 1), Base::Whole(at.clone()))), Reply::Accepted);
    let [Unit::Acceptance { base: Some(stored), record, .. }] = &alone.queued[..] else {
        panic!("{:?}", alone.queued)
    };
    assert_eq!((&**stored, record.base), (&at, at.version));
    // Until that is durable, there is no telling what holds for an older base.
    assert_eq!(alone.ask(prepare(ballot(2, 2), None)), Reply::Refused(Refusal::Busy));
    alone.restart(2);
    assert_eq!(alone.acceptor.counts(), (0, 0));
    assert_eq!(alone.ask_and_sync(accept(ballot(1 << 41, 1), Base::Whole(at))), Reply::Accepted);
    alone.restart(3);
    assert_eq!(alone.acceptor.counts(), (1, 0));
    assert_eq!(
        promised(alone.ask(prepare(ballot(1 << 42, 2), None))).map(|a| a.ballot),
        Some(ballot(1 << 41, 1))
    );
}

/// P7: what a promise is given for is stored first.
#[test]
fn p7_a_promise_stores_its_base_first() {
    let mut alone = Alone::new();
    let request = prepare(ballot(1, 1), Some(Base::Whole(base(5))));
    assert_eq!(promised(alone.ask(request)), None);
    assert!(matches!(&alone.queued[..], [Unit::Version { stamped, .. }] if *stamped == base(5)));
    // The reply is sealed, and nothing is said about an older base meanwhile.
    assert_eq!(alone.ask(prepare(ballot(2, 2), None)), Reply::Refused(Refusal::Busy));
    alone.sync();
    assert_eq!(nacked(alone.ask(prepare(ballot(0, 2), None))), ballot(1, 1));
}

/// Section 5.3: what waits for the disk is the authority. Without it a promise would be lost: the record on the disk knows nothing
/// of what was just accepted.
#[test]
fn what_was_accepted_and_waits_for_the_disk_is_told() {
    let mut alone = Alone::new();
    assert_eq!(alone.ask(accept(ballot(1, 1), Base::Named(Version::MIN))), Reply::Accepted);
    let accepted = promised(alone.ask(prepare(ballot(2, 2), None)));
    assert_eq!(accepted.map(|accepted| accepted.ballot), Some(ballot(1, 1)));
    assert_eq!(nacked(alone.ask(accept(ballot(1, 1), Base::Named(Version::MIN)))), ballot(2, 2));
}

/// What the disk's queue has refused leaves no trace.
#[test]
fn what_was_not_queued_is_undone() {
    let mut alone = Alone::new();
    alone.ask_and_sync(accept(ballot(1, 1), Base::Named(Version::MIN)));
    let before = alone.acceptor.clone();
    let kept = alone.acceptor.before(KEY.as_bytes());
    assert_eq!(alone.ask(accept(ballot(3, 3), Base::Whole(base(9)))), Reply::Accepted);
    assert_ne!(alone.acceptor, before);
    alone.acceptor.undo(&KEY.into(), kept);
    alone.queued.clear();
    assert_eq!(alone.acceptor.counts(), before.counts());
    let accepted = promised(alone.ask(prepare(ballot(2, 2), None)));
    assert_eq!(accepted.map(|accepted| accepted.proposal.update), Some(ballot(1, 1).update()));
    assert_ne!(ballot(1, 1).update(), UpdateId::NONE);
}

/// B1: keys that nobody asks about again are not kept.
#[test]
fn b1_records_that_are_over_are_forgotten_by_and_by() {
    let mut alone = Alone::new();
    let mut asked = 0;
    let mut request = |make: &dyn Fn(Bytes) -> Request| {
        asked += 1;
        make(Bytes::from(format!("key {asked}")))
    };
    for round in 1..=200 {
        let proposal = Box::new(proposal(ballot(round, 1)));
        let base = Box::new(Base::Named(Version::MIN));
        let accept = request(&|key| Request::Accept {
            key,
            ballot: ballot(round, 1),
            base: base.clone(),
            proposal: proposal.clone(),
        });
        let key = accept.key().clone();
        assert_eq!(alone.ask_and_sync(accept), Reply::Accepted);
        alone.ask_and_sync(Request::LocalWrite { key, stamped: base_of_all() });
    }
    let (accepted, bare) = alone.acceptor.counts();
    assert!(accepted <= 4 && bare == 0, "{accepted} {bare}");
}

fn base_of_all() -> StampedValue {
    base(5)
}

/// C1: requests of another configuration are told so, and change nothing.
#[test]
fn c1_a_replica_serves_its_own_configuration() {
    let scope = |partition, epoch| Scope { partition, epoch };
    let replica = Replica { scope: scope(0, 2), configuration: "2".into(), max_future: None };
    assert_eq!(replica.judge_scope(scope(0, 2)), None);
    assert_eq!(replica.judge_scope(scope(0, 1)), Some(Reply::Stale { configuration: "2".into() }));
    for other in [scope(0, 3), scope(1, 2), scope(1, 1)] {
        assert_eq!(replica.judge_scope(other), Some(Reply::Refused(Refusal::OtherConfiguration)));
    }
}
