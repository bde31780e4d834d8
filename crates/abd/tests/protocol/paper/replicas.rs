//! What a replica may tell: rules S1, S2, G1 and M1, and that any minority may be down.

use super::{logical, no_write, plant_everywhere};
use crate::support::{
    Disk, HEDGE, KEY, Message, PATIENCE, RESEND, World, delete, fresh_acceptor, get, set, stamped, version,
};
use abd::{
    Ballot, Content, Outcome, Reaction, Refusal, Replica, Reply, Request, Scope, Standing, TimestampMode,
    Unit,
};

const REPLICA: Replica =
    Replica { scope: Scope::FIRST, configuration: bytes::Bytes::new(), max_future: None };

/// PROTOCOL S1: no put is acknowledged before its fsync.
#[test]
fn s1_a_set_answers_only_when_a_majority_has_synced_it() {
    let mut world = logical(3);
    for id in world.ids() {
        world.node(id).disk.lazy = true;
    }
    let write = world.submit(1, set("x"));
    world.deliver_all();
    assert_eq!(world.outcome(write), None, "nobody has synced");
    world.fsync(1);
    world.deliver_all();
    assert_eq!(world.outcome(write), None, "one of three has synced");
    world.fsync(3);
    world.deliver_all();
    world.written(write);
}

/// PROTOCOL S1, second sentence: a put is acknowledged at once if the *durable* newest version is not below it.
#[test]
fn s1_only_a_durable_newer_version_stands_in_for_a_put() {
    let (replica, standing) = (REPLICA, Standing { admitted: true, writable: true });
    let request = Request::LocalWrite { key: KEY.into(), stamped: stamped(version(5, 1, 1), "x") };
    let mut disk = Disk::default();
    let newer = Unit::Version { key: KEY.into(), stamped: stamped(version(6, 1, 1), "newer") };
    disk.cache.commit(newer.clone());
    let reaction = replica.handle(&disk, &mut fresh_acceptor(), request.clone(), standing, 0);
    assert!(matches!(reaction, Reaction::Commit { .. }), "a cached version may vanish: {reaction:?}");
    disk.synced.commit(newer);
    let reaction = replica.handle(&disk, &mut fresh_acceptor(), request, standing, 0);
    assert_eq!(
        reaction,
        Reaction::Reply(Reply::Written { previous: Some((version(6, 1, 1), true)) }),
        "nothing needs to be stored"
    );
}

/// PROTOCOL S2 and section 4, counter-example BL4: a version that is not fsynced is reported, but not counted.
#[test]
fn s2_a_reply_that_is_not_durable_is_not_a_holder() {
    let mut world = logical(3);
    let x = stamped(version(5, 3, 1), "x");
    world.plant(1, x.clone());
    world.node(2).disk.lazy = true;
    world.node(2).disk.cache.commit(Unit::Version { key: KEY.into(), stamped: x });
    let reader = world.submit(1, get());
    world.deliver(|m| no_write(m) && m.from != 3 && m.to != 3);
    assert_eq!(world.outcome(reader), None, "x would vanish with node 2's cache");
    let mut asked: Vec<u32> = world.writes().iter().map(|(to, _)| *to).collect();
    asked.sort_unstable();
    assert_eq!(asked, [2, 3], "everybody who is not a holder");
    world.deliver(|m| m.touches(2));
    assert_eq!(world.outcome(reader), None, "node 2 still has not synced");
    world.fsync(2);
    world.deliver(|m| m.touches(2));
    assert_eq!(world.read(reader).as_deref(), Some("x"));
    world.crash(2);
    assert!(world.newest(2).durable && world.newest(2).stamped.version == version(5, 3, 1));
}

/// PROTOCOL S3: a replica that may have lost a version of a key abstains from every question about it, and takes writes.
#[test]
fn s3_a_damaged_replica_abstains_and_takes_writes() {
    let (replica, standing) = (REPLICA, Standing { admitted: true, writable: true });
    let disk = Disk { damaged: true, ..Disk::default() };
    let ask = |request, standing| replica.handle(&disk, &mut fresh_acceptor(), request, standing, 0);
    let refused = |refusal| Reaction::Reply(Reply::Refused(refusal));
    let read = Request::LocalRead { key: KEY.into(), have: version(9, 1, 1) };
    assert_eq!(ask(read, standing), refused(Refusal::Damaged));
    let query = Request::LocalReadTimestamp { key: KEY.into() };
    assert_eq!(ask(query, standing), refused(Refusal::Damaged));
    let write = Request::LocalWrite { key: KEY.into(), stamped: stamped(version(5, 1, 1), "x") };
    let Reaction::Commit { reply, .. } = ask(write.clone(), standing) else { panic!("it takes no write") };
    assert_eq!(reply.committed(), Reply::Written { previous: None }, "nobody knows what was here before");
    assert_eq!(ask(write, Standing { writable: false, ..standing }), refused(Refusal::DiskFull));
}

/// PROTOCOL S3: the others make up the majority, at once; without one nobody answers, and the client hears why.
#[test]
fn s3_whoever_abstains_is_replaced_at_once_and_counts_in_no_majority() {
    for damaged in [1, 2] {
        let mut world = logical(3);
        plant_everywhere(&mut world, version(5, 3, 1), "x");
        world.node(damaged).disk.damaged = true;
        let (reader, write) = (world.submit(1, get()), world.submit(1, set("y")));
        // No time passes: nobody waits for a hedge.
        world.deliver_all();
        assert!(matches!(world.outcome(reader), Some(Outcome::Read(_))), "{damaged}");
        world.written(write);
    }
    let mut world = logical(3);
    plant_everywhere(&mut world, version(5, 3, 1), "x");
    for id in [2, 3] {
        world.node(id).disk.damaged = true;
    }
    let reader = world.submit(1, get());
    world.deliver_all();
    assert_eq!(world.outcome(reader), None, "one replica is no majority");
    world.advance(PATIENCE);
    world.deliver_all();
    let Some(Outcome::Refused(why)) = world.outcome(reader) else { panic!("{:?}", world.outcome(reader)) };
    assert!(why.to_string().contains("its copy of this key is damaged"), "{why}");
}

/// PROTOCOL section 6: a Delete is a Set of the tombstone, and a late older put does not undo it.
#[test]
fn g1_a_delete_leaves_a_tombstone_that_older_puts_do_not_pass() {
    let mut world = logical(3);
    let write = world.submit(1, set("x"));
    world.deliver(no_write);
    let late = world.hold(|m| m.is_write() && m.to == 3);
    world.deliver_all();
    let removal = world.submit(2, delete());
    world.deliver_all();
    assert!(matches!(world.outcome(removal), Some(Outcome::Written { existed: true, .. })));
    assert!(world.written(removal) > world.written(write));
    world.put_back(late);
    world.deliver_all();
    assert_eq!(world.newest(3).stamped.content, Content::Tombstone);
    let reader = world.submit(3, get());
    world.deliver_all();
    assert_eq!(world.outcome(reader), Some(&Outcome::Read(world.newest(3).stamped)));
    let again = world.submit(1, delete());
    world.deliver_all();
    assert!(matches!(world.outcome(again), Some(Outcome::Written { existed: false, .. })));
}

/// Attiya, Bar-Noy, Dolev 1995, the main theorem: any minority may be down. One more, and nothing is answered.
#[test]
fn liveness_a_minority_may_be_down() {
    for (count, mode) in
        [3, 5].into_iter().flat_map(|n| [(n, TimestampMode::Logical), (n, TimestampMode::TrueTime)])
    {
        let mut world = World::new(count, mode);
        let down = count / 2;
        let dead = |m: &Message, down: u32| m.touches(count) || (down > 1 && m.touches(count - 1));
        for (operation, expected) in [(set("x"), None), (get(), Some("x")), (delete(), None), (get(), None)] {
            let reads = matches!(operation, abd::Operation::Get { .. });
            let ticket = world.submit(1, operation);
            world.advance(HEDGE);
            for id in world.ids().into_iter().filter(|_| mode == TimestampMode::TrueTime) {
                let at = 2000 + world.instant.0;
                world.clock(id, at, at);
            }
            world.deliver(|m| !dead(m, down));
            if reads {
                assert_eq!(world.read(ticket).as_deref(), expected, "{count} {mode:?}");
            } else {
                world.written(ticket);
            }
            world.lose(|_| true);
        }
        let ticket = world.submit(1, get());
        world.advance(HEDGE);
        world.deliver(|m| m.to < count - down && m.from < count - down);
        assert_eq!(world.outcome(ticket), None, "a minority answered");
    }
}

/// PROTOCOL M1: a replica that is not admitted takes part in nothing, and its silence is no majority.
#[test]
fn m1_a_replica_that_is_not_admitted_does_not_count() {
    let mut world = logical(3);
    world.node(2).standing.admitted = false;
    world.node(3).standing.admitted = false;
    plant_everywhere(&mut world, version(5, 3, 1), "x");
    let reader = world.submit(1, get());
    let write = world.submit(1, set("y"));
    world.advance(HEDGE);
    world.deliver_all();
    assert_eq!((world.outcome(reader), world.outcome(write)), (None, None));
    world.node(2).standing.admitted = true;
    world.advance(RESEND);
    world.deliver_all();
    world.written(write);
    assert!(world.outcome(reader).is_some());
}

/// A store that must not be read: what it has in memory is that nothing is.
struct OnDiskAlone;

impl abd::VersionStore for OnDiskAlone {
    type Error = std::convert::Infallible;

    fn newest(&self, _: &[u8]) -> Result<abd::Newest, Self::Error> {
        panic!("a write reads the disk")
    }

    fn mark(&self) -> Ballot {
        Ballot::MIN
    }

    fn remembered_above(&self, _: &[u8], _: abd::Version) -> Option<abd::Glimpse> {
        None
    }
}

/// PROTOCOL section 4: a write is a blind put, so no disk is read for one; nobody says then what it replaces.
#[test]
fn s1_a_write_reads_nothing() {
    let (replica, standing) = (REPLICA, Standing { admitted: true, writable: true });
    for content in [Content::Tombstone, Content::Value("x".into())] {
        let stamped = abd::StampedValue::plain(version(5, 1, 1), content);
        let write = Request::LocalWrite { key: KEY.into(), stamped: stamped.clone() };
        let Reaction::Commit { unit, reply } =
            replica.handle(&OnDiskAlone, &mut fresh_acceptor(), write, standing, 0)
        else {
            panic!("it is not stored")
        };
        assert_eq!(unit, Unit::Version { key: KEY.into(), stamped });
        assert_eq!(reply.committed(), Reply::Written { previous: None });
    }
}

/// A TrueTime Delete picks its version at once (T2) and asks how many keys there were before it writes, because writes do not
/// say.
#[test]
fn t2_a_truetime_delete_counts_by_a_question() {
    for before in [Some("x"), None] {
        let mut world = World::new(3, TimestampMode::TrueTime);
        if let Some(value) = before {
            plant_everywhere(&mut world, version(5, 3, 1), value);
        }
        let removal = world.submit(1, delete());
        assert!(world.writes().is_empty(), "it asks first");
        world.clock(1, 2000, 2000);
        world.deliver_all();
        let Some(Outcome::Written { version, existed }) = world.outcome(removal) else {
            panic!("{:?}", world.outcome(removal))
        };
        assert_eq!((version.time(), *existed), (1000, before.is_some()));
    }
}
