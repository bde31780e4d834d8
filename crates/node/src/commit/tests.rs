use super::*;
use crate::repair::is_repair;
use abd::{
    Acceptor, AcceptorLimits, AfterCommit, Ballot, Base, CallId, Content, Deadline, Fit, Instant,
    ListedWrites, Newest, Proposal, Reaction, Refusal, Replica, Reply, Request, Scope, StampedValue,
    Standing, Timestamp, Version, VersionStore, WriteGroup,
};
use alloc::{string::String, vec, vec::Vec};
use core::time::Duration;

const REPLICA: Replica =
    Replica { scope: Scope::FIRST, configuration: bytes::Bytes::new(), max_future: None };

fn acceptor() -> Acceptor {
    Acceptor::new(1, Scope::FIRST.epoch, Ballot::MIN, AcceptorLimits::default())
}

struct NothingYet;

impl VersionStore for NothingYet {
    type Error = core::convert::Infallible;

    fn newest(&self, _key: &[u8]) -> Result<Newest, Self::Error> {
        Ok(Newest { stamped: StampedValue::NEVER, durable: true })
    }

    fn mark(&self) -> Ballot {
        Ballot { epoch: 1, round: 100, ..Ballot::MIN }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Own(CallId),
    Peer,
}

impl Address for To {
    fn own_call(&self) -> Option<CallId> {
        match self {
            Self::Own(call) => Some(*call),
            Self::Peer => None,
        }
    }
}

/// As a replica with an empty store does that is asked to store this.
fn write(time: u64, content: Content) -> (ListedWrites, AfterCommit) {
    let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
    let request = Request::LocalWrite { key: "k".into(), stamped: StampedValue::plain(version, content) };
    let standing = Standing { admitted: true, writable: true };
    let reaction = REPLICA.handle(&NothingYet, &mut acceptor(), request, standing, 0);
    let Reaction::Commit { unit, reply } = reaction else { panic!("nothing is to be written") };
    let mut put = ListedWrites::default();
    put.push(&unit);
    (put, reply)
}

fn own(operation: u64) -> To {
    To::Own(CallId { operation, phase: 0 })
}

const REPAIR: u64 = u64::MAX;

/// S1: of a batch that a full disk takes in part, the replies to that part alone are opened. R2: the own replica lacks what it has
/// refused, and somebody may have it.
#[test]
fn s1_what_did_not_fit_is_refused_and_r2_missed() {
    assert!(is_repair(CallId { operation: REPAIR, phase: 0 }));
    let deletes = [true, false, true, false, false, true, false];
    let to = [own(1), own(2), To::Peer, To::Peer, own(REPAIR), own(6), own(7)];
    for (fit, fits) in [
        (Fit::All, [true; 7]),
        (Fit::Roomless(String::new()), deletes),
        (Fit::Nothing(String::new()), [false; 7]),
    ] {
        let mut queue = Queue::new(QUEUE_BYTES_MAX);
        for (index, delete) in deletes.into_iter().enumerate() {
            let content = if delete { Content::Tombstone } else { Content::Value("v".into()) };
            let (mut put, reply) = write(index as u64 + 1, content);
            assert_eq!(queue.enqueue(&mut put, reply, to[index]), Ok(index == 0));
        }
        let mut batch = Batch::default();
        queue.take(&mut batch);
        assert!(queue.is_empty() && batch.writes.len() == 7);
        let mut opened = Vec::new();
        batch.open(&fit, |one| opened.push(one));
        assert!(batch.is_empty() && batch.writes.is_empty());
        assert_eq!(opened.iter().map(|one| one.to).collect::<Vec<_>>(), to);
        for ((one, fits), time) in opened.iter().zip(fits).zip(1..) {
            assert_eq!(matches!(one.reply, Reply::Written { .. }), fits, "{fit:?} {one:?}");
            assert_eq!(one.reply == Reply::Refused(Refusal::DiskFull), !fits, "{fit:?} {one:?}");
            let is_missed = !fits && ![To::Peer, own(REPAIR)].contains(&one.to);
            let missed = one.missed.as_ref().map(|(key, version)| (&key[..], version.time()));
            assert_eq!(missed, is_missed.then_some((&b"k"[..], time)), "{fit:?} {one:?}");
        }
    }
}

/// R2: what was only proposed, and what it was proposed for, is missed by nobody: it may not even have been chosen.
#[test]
fn r2_a_refused_acceptance_is_not_missed() {
    let version = Version::of_write(Timestamp { time: 1, node: 1, boot: 1 });
    let base = Base::Whole(StampedValue::plain(version, Content::Value("v".into())));
    let ballot = Ballot { epoch: 1, round: 1, node: 1, boot: 1 };
    let (content, deadline) = (Content::Tombstone, Deadline::NONE);
    let proposal = Proposal { update: ballot.update(), content, deadline };
    let key = || "k".into();
    let requests = [
        Request::Prepare { key: key(), ballot, base: Some(base.clone().into()), have: version },
        Request::Accept { key: key(), ballot, base: base.into(), proposal: proposal.into() },
    ];
    for request in requests {
        let standing = Standing { admitted: true, writable: true };
        let reaction = REPLICA.handle(&NothingYet, &mut acceptor(), request, standing, 0);
        let Reaction::Commit { unit, reply } = reaction else { panic!("nothing is to be written") };
        assert!(unit.version().is_some() && unit.needs_room());
        let (mut put, mut queue, mut batch) =
            (ListedWrites::default(), Queue::new(QUEUE_BYTES_MAX), Batch::default());
        put.push(&unit);
        assert_eq!(queue.enqueue(&mut put, reply, own(1)), Ok(true));
        queue.take(&mut batch);
        let mut opened = Vec::new();
        batch.open(&Fit::Roomless(String::new()), |one| opened.push(one));
        let reply = Reply::Refused(Refusal::DiskFull);
        assert_eq!(opened, [Opened { to: own(1), reply, missed: None }]);
    }
}

/// B1: a slow disk costs bounded memory.
#[test]
fn b1_what_waits_for_the_disk_is_bounded() {
    let mut queue = Queue::new(1000);
    let mut taken = 0;
    loop {
        let (mut put, reply) = write(taken + 1, Content::Value(vec![7; 99].into()));
        match queue.enqueue(&mut put, reply, To::Peer) {
            Ok(first) => assert_eq!(first, taken == 0),
            Err(refused) => {
                assert!(refused == Reply::Refused(Refusal::Overloaded) && put.is_empty());
                break;
            }
        }
        taken += 1;
    }
    // The last of them goes beyond it.
    assert_eq!((taken, queue.len(), queue.bytes()), (3, 3, 3 * (100 + WRITE_OVERHEAD)));
    let mut batch = Batch::default();
    queue.take(&mut batch);
    let (mut put, reply) = write(9, Content::Tombstone);
    assert_eq!(queue.enqueue(&mut put, reply, To::Peer), Ok(true));
    queue.close();
    let (mut put, reply) = write(10, Content::Tombstone);
    assert!(queue.enqueue(&mut put, reply, To::Peer).is_err() && !queue.has_ended());
    batch = Batch::default();
    queue.take(&mut batch);
    assert!(queue.has_ended() && batch.writes.len() == 1);
}

const S: Duration = Duration::from_secs(1);

#[test]
fn d1_a_full_disk_is_looked_at_by_time_alone() {
    let mut now = Instant(5);
    let mut rounds = Rounds::new(false, now);
    for _ in 0..3 {
        // It may have something to give back.
        assert_eq!(rounds.poll(false, now), Round::Wait(now + LOOK_EVERY));
        now = now + LOOK_EVERY;
        assert_eq!(rounds.poll(false, now), Round::Look);
        assert!(!rounds.handle_looked(false, now) && !rounds.has_room());
        assert_eq!(rounds.poll(true, now), Round::Tidy);
        rounds.handle_tidied(Tidied::All, now);
    }
    // What batches show does not put the next look off, nor tidying up.
    assert_eq!(rounds.poll(true, now + S), Round::Commit);
    assert!(!rounds.handle_committed(&Fit::Roomless(String::new()), true, now + S));
    assert_eq!(rounds.poll(false, now + S), Round::Wait(now + LOOK_EVERY));
    now = now + LOOK_EVERY;
    assert_eq!(rounds.poll(true, now), Round::Look);
    assert!(rounds.handle_looked(true, now) && rounds.has_room());
    assert_eq!(rounds.poll(true, now), Round::Commit);
    // A batch of deletes alone may fit although there is no room.
    assert!(rounds.handle_committed(&Fit::All, false, now) && !rounds.has_room());
    assert!(rounds.handle_committed(&Fit::All, true, now) && rounds.has_room());
}

#[test]
fn a_database_tidies_up_when_nobody_has_written_for_a_while() {
    let start = Instant(0);
    let mut rounds = Rounds::new(true, start);
    assert_eq!(rounds.poll(false, start), Round::Wait(start + LOOK_EVERY));
    let mut now = start + S;
    assert!(!rounds.handle_committed(&Fit::All, true, now));
    now = now + S;
    assert_eq!(rounds.poll(false, now), Round::Look);
    rounds.handle_looked(true, now);
    // Each batch puts it off.
    assert!(!rounds.handle_committed(&Fit::All, true, now));
    now = now + S;
    assert_eq!(rounds.poll(false, now), Round::Wait(now + S));
    now = now + S;
    rounds.handle_looked(true, now);
    assert_eq!((rounds.poll(false, now), rounds.poll(true, now)), (Round::Tidy, Round::Commit));
    rounds.handle_tidied(Tidied::Running, now);
    assert_eq!(rounds.poll(false, now), Round::Wait(now + S / 5));
    now = now + S / 5;
    assert_eq!(rounds.poll(false, now), Round::Tidy);
    rounds.handle_tidied(Tidied::All, now);
    assert_eq!(rounds.poll(false, now), Round::Wait(start + 6 * S));
}
