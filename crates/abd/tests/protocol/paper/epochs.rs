//! Rules C1 and P3' across epochs (PROTOCOL section 7.2): what a phase goes on with when another configuration takes the place of its own.
//! Each row of the table there is a test.

use super::{logical, plant_everywhere, truetime, updated};
use crate::functions::append;
use crate::support::{Message, PATIENCE, Payload, Ticket, World, get, set, stamped, version};
use abd::{
    Acceptance, AcceptorLimits, Ballot, Content, Deadline, Members, NodeId, NodeSet, Operation, Outcome,
    Proposal, QuorumSystem, RESERVED, Reaction, Reason, Reply, Request, Scope, StampedValue, Standing, Unit,
    UpdateId,
};
use std::time::Duration;

fn members(ids: impl IntoIterator<Item = u32>) -> Members {
    Members::new(ids.into_iter().map(NodeId).collect())
}

fn scope(epoch: u32) -> Scope {
    Scope { epoch, ..Scope::FIRST }
}

/// Nodes 1 to 3 become 1, 2 and 4, in epoch 2.
fn joint() -> QuorumSystem {
    QuorumSystem::joint(members(1..=3), members([1, 2, 4]), NodeSet::EMPTY, scope(2))
}

/// They are, in epoch 3.
fn switched() -> QuorumSystem {
    QuorumSystem::of(members([1, 2, 4]), scope(3))
}

/// Three members, and a fourth node that is none.
fn world() -> World {
    let mut world = logical(4);
    let three = QuorumSystem::of(members(1..=3), scope(1));
    for id in world.ids() {
        world.restrict(id, &three);
    }
    world
}

fn install_everywhere(world: &mut World, quorums: &QuorumSystem) {
    for id in world.ids() {
        world.install(id, quorums);
    }
}

fn requests(world: &World, wanted: impl Fn(&Request) -> bool) -> Vec<(u32, Scope)> {
    let is_wanted =
        |message: &&Message| matches!(&message.payload, Payload::Request(request) if wanted(request));
    world.pool.iter().filter(is_wanted).map(|message| (message.to, message.scope)).collect()
}

/// Lets time pass, and delivers what is sent.
fn settle(world: &mut World) {
    for _ in 0..100 {
        world.deliver_all();
        world.advance(Duration::from_millis(10));
    }
}

/// A query goes on with the same phase from zero: what one epoch has counted does not help another one (BM2).
#[test]
fn c1_a_query_begins_anew() {
    let mut world = world();
    plant_everywhere(&mut world, version(5, 1, 1), "x");
    let (read, write) = (world.submit(1, get()), world.submit(2, set("y")));
    world.deliver(|message| message.between(1, 1) || message.between(2, 2));
    world.lose(|_| true);
    install_everywhere(&mut world, &joint());
    let asked = requests(&world, Request::is_read);
    assert!(!asked.is_empty() && asked.iter().all(|(_, at)| *at == scope(2)), "{asked:?}");
    world.deliver(|message| message.between(1, 1) || message.between(2, 2));
    assert_eq!((world.outcome(read), world.outcome(write)), (None, None));
    settle(&mut world);
    assert!(world.read(read).is_some());
    assert!(world.written(write) > version(5, 1, 1));
}

/// The joint epoch asks a majority of both (BM3): with the new member silent, the two old ones that stay suffice; with one of
/// them silent as well, none of the two sides helps out for the other.
#[test]
fn c1_a_joint_quorum_is_one_of_either_side() {
    let mut world = world();
    install_everywhere(&mut world, &joint());
    let write = world.submit(1, set("x"));
    world.deliver(|message| !message.touches(4));
    let _ = world.written(write);
    let write = world.submit(1, set("y"));
    for _ in 0..20 {
        world.lose(|message| message.touches(2) || message.touches(4));
        world.deliver_all();
        world.advance(Duration::from_millis(20));
    }
    assert_eq!(world.outcome(write), None, "1 and 3 are a majority of the old ones alone");
}

/// A write goes on with the version that it has picked (V2), and is acknowledged anew.
#[test]
fn c1_a_write_keeps_its_version_and_begins_to_count_anew() {
    let mut world = world();
    let write = world.submit(1, set("x"));
    world.deliver(|message| !message.is_write());
    let picked = world.writes()[0].1.version;
    world.deliver(|message| message.between(1, 1));
    world.lose(|_| true);
    install_everywhere(&mut world, &joint());
    let writes = world.writes();
    assert_eq!(writes.len(), 4, "all voters of either side: {writes:?}");
    assert!(writes.iter().all(|(_, stamped)| stamped.version == picked));
    world.deliver(|message| message.between(1, 4) || message.between(1, 3));
    assert_eq!(world.outcome(write), None, "what node 1 had said belongs to the epoch before");
    settle(&mut world);
    assert_eq!(world.written(write), picked);
}

/// A TrueTime Set that asks nobody keeps its version as well.
#[test]
fn c1_a_blind_write_keeps_its_version() {
    let mut world = truetime(3);
    let write = world.submit(1, set("x"));
    let picked = world.writes()[0].1.version;
    world.lose(|_| true);
    install_everywhere(&mut world, &QuorumSystem::of(members(1..=3), scope(2)));
    for id in world.ids() {
        world.clock(id, 2000, 2000);
    }
    settle(&mut world);
    assert_eq!(world.written(write), picked);
}

/// A write-back goes on with its query: what is newest is asked again.
#[test]
fn c1_a_write_back_begins_with_its_query() {
    let mut world = world();
    world.plant(1, stamped(version(5, 1, 1), "x"));
    let read = world.submit(1, get());
    world.deliver(|message| !message.is_write());
    assert!(!world.writes().is_empty(), "node 1 alone has it");
    world.lose(|_| true);
    for id in [2, 4] {
        world.plant(id, stamped(version(6, 2, 1), "newer"));
    }
    install_everywhere(&mut world, &joint());
    assert!(world.writes().is_empty() && !requests(&world, Request::is_read).is_empty());
    settle(&mut world);
    assert_eq!(world.read(read), Some("newer".into()));
}

/// Prepare and Accept go on with Prepare at the same base, under a ballot of the new epoch.
#[test]
fn c1_a_proposal_is_prepared_again_at_its_base() {
    for until_accept in [false, true] {
        let mut world = world();
        plant_everywhere(&mut world, version(5, 1, 1), "x");
        let update = world.submit(1, append("+"));
        if until_accept {
            world.deliver(|message| !matches!(message.payload, Payload::Request(Request::Accept { .. })));
            assert_eq!(requests(&world, |request| matches!(request, Request::Accept { .. })).len(), 3);
            world.deliver(|message| message.between(1, 1));
        }
        world.lose(|_| true);
        install_everywhere(&mut world, &joint());
        let ballots: Vec<Ballot> = world
            .pool
            .iter()
            .filter_map(|message| match &message.payload {
                Payload::Request(Request::Prepare { ballot, base, .. }) => {
                    assert_eq!(base.is_some(), until_accept, "P3': a proposal stays at its base");
                    Some(*ballot)
                }
                _ => None,
            })
            .collect();
        assert!(!ballots.is_empty() && ballots.iter().all(|ballot| ballot.epoch == 2), "{ballots:?}");
        settle(&mut world);
        assert_eq!(updated(&world, update), ("=x".into(), version(5, 1, 1).successor().unwrap()));
        let read = world.submit(2, get());
        world.deliver_all();
        assert_eq!(world.read(read), Some("x+".into()), "applied once");
    }
}

/// What was decided is published with the same version, acknowledged anew.
#[test]
fn c1_a_publication_keeps_its_version() {
    let mut world = world();
    plant_everywhere(&mut world, version(5, 1, 1), "x");
    let update = world.submit(1, append("+"));
    world.deliver(|message| !message.is_write());
    let before = world.writes();
    assert_eq!(before.len(), 3);
    world.lose(|_| true);
    install_everywhere(&mut world, &joint());
    assert!(world.writes().len() == 4 && world.writes()[0].1 == before[0].1);
    settle(&mut world);
    assert_eq!(updated(&world, update).1, version(5, 1, 1).successor().unwrap());
}

/// P3'(b): that a replica has accepted nothing says something about its own epoch alone. Node 4 comes to a newer version by a sync and
/// has never heard of the proposal, which nodes 1 and 3 had accepted.
#[test]
fn p3_nothing_accepted_says_nothing_across_epochs() {
    let mut world = world();
    plant_everywhere(&mut world, version(5, 1, 1), "x");
    let update = world.submit(1, append("+"));
    world.deliver(|message| !matches!(message.payload, Payload::Request(Request::Accept { .. })));
    world.deliver(|message| !message.is_reply() && (message.between(1, 1) || message.between(1, 3)));
    // It is decided, although its coordinator has heard of neither.
    world.lose(|_| true);
    install_everywhere(&mut world, &joint());
    install_everywhere(&mut world, &switched());
    for id in [2, 4] {
        world.plant(id, stamped(version(9, 2, 1), "newer"));
    }
    let waits = world.submit(1, append("!"));
    for _ in 0..20 {
        world.lose(|message| message.touches(3) || message.between(1, 1));
        world.deliver_all();
        world.advance(Duration::from_millis(50));
    }
    // It may have been decided, so it does not begin anew. Nobody will tell, so it does not wait, either; nor do others.
    assert!(
        matches!(world.outcome(update), Some(Outcome::Indeterminate(Reason::FateUnknown { .. }))),
        "{:?}",
        world.outcome(update)
    );
    settle(&mut world);
    assert_eq!(updated(&world, waits).0, "=newer");
}

/// Node 3 is down. An update of node 1 is accepted at its own replica alone, then the members change; whether a sync has read what is
/// accepted there meanwhile. A Set closes everybody who is there. Gives the update.
fn closed_across_epochs(world: &mut World, synced: bool) -> Ticket {
    plant_everywhere(world, version(5, 1, 1), "x");
    world.node(1).coordinator.handle_peer_down(NodeId(3));
    let update = world.submit(1, append("+"));
    world.deliver(|message| !matches!(message.payload, Payload::Request(Request::Accept { .. })));
    world.deliver(|message| message.between(1, 1));
    world.lose(|_| true);
    if synced {
        assert_eq!(world.node(1).acceptor.accepted_between(None, None).count(), 1);
    }
    for id in [1, 2, 4] {
        world.plant(id, stamped(version(9, 2, 1), "newer"));
    }
    for epoch in [joint(), switched()] {
        for id in [1, 2, 4] {
            world.install(id, &epoch);
        }
        for _ in 0..20 {
            world.lose(|message| message.touches(3));
            world.deliver(|message| !message.touches(3));
            world.advance(Duration::from_millis(10));
        }
    }
    update
}

/// P3' (d): those who may have the proposal are known, whatever configurations come. All of them say that they told nobody.
#[test]
fn p3_what_nobody_else_has_is_lost_in_whatever_epoch() {
    let mut world = world();
    let update = closed_across_epochs(&mut world, false);
    assert_eq!(updated(&world, update).0, "=newer");
}

/// P3' (d): a sync may have brought it to others.
#[test]
fn p3_what_a_sync_has_read_may_be_accepted_elsewhere() {
    let mut world = world();
    let update = closed_across_epochs(&mut world, true);
    assert!(
        matches!(world.outcome(update), Some(Outcome::Indeterminate(Reason::FateUnknown { .. }))),
        "{:?}",
        world.outcome(update)
    );
}

/// C1: an acceptor of a newer epoch refuses what belongs to an older one, and is not asked to promise what it promised then.
#[test]
fn c1_an_acceptor_takes_part_in_one_epoch() {
    let mut world = world();
    plant_everywhere(&mut world, version(5, 1, 1), "x");
    let update = world.submit(1, append("+"));
    world.deliver_present(|message| matches!(message.payload, Payload::Request(_)));
    let (replica, node) = (world.replica.clone(), world.node(1));
    node.acceptor.install(2);
    let write = Request::LocalWrite { key: "k".into(), stamped: stamped(version(6, 1, 1), "y") };
    let reaction = replica.handle(&node.disk, &mut node.acceptor, write, node.standing, 0);
    assert_eq!(reaction, Reaction::Reply(Reply::Refused(abd::Refusal::OtherConfiguration)));
    install_everywhere(&mut world, &QuorumSystem::of(members(1..=3), scope(3)));
    settle(&mut world);
    let _ = updated(&world, update);
}

fn acceptance(epoch: u32, round: u64, value: &'static str) -> Acceptance {
    let proposal = Proposal {
        update: UpdateId { round, node: 1, boot: 1 },
        content: Content::Value(value.into()),
        deadline: Deadline::NONE,
    };
    Acceptance { ballot: Ballot { epoch, round, node: 1, boot: 1 }, proposal }
}

/// C3: what is adopted is joined with what is there: the larger base, then the later ballot, whose most significant part is the
/// epoch (BM5).
#[test]
fn c3_records_are_joined() {
    let base = |time, value| stamped(version(time, 1, 1), value);
    let mut world = world();
    let mut adopt = |base: StampedValue, acceptance: Acceptance| {
        let (replica, node) = (world.replica.clone(), world.node(1));
        let request =
            Request::Adopt { key: "k".into(), base: Box::new(base), acceptance: Box::new(acceptance) };
        match replica.handle(&node.disk, &mut node.acceptor, request, node.standing, 0) {
            Reaction::Commit { unit, reply } => {
                node.disk.synced.commit(unit);
                assert_eq!(reply.committed(), Reply::Written { previous: None });
            }
            Reaction::Reply(reply) => assert_eq!(reply, Reply::Written { previous: None }),
        }
        let restored = node.disk.synced.acceptor(2, AcceptorLimits::default());
        let found = |acceptor: &abd::Acceptor| {
            let record = acceptor.accepted(b"k").map(|(base, acceptance)| (base.time(), acceptance.clone()));
            record.map(|(time, acceptance)| (time, acceptance.ballot.epoch, acceptance.ballot.round))
        };
        assert_eq!(found(&node.acceptor), found(&restored), "what is told is durable");
        found(&node.acceptor)
    };
    assert_eq!(adopt(base(5, "x"), acceptance(1, 7, "a")), Some((5, 1, 7)));
    assert_eq!(adopt(base(5, "x"), acceptance(1, 6, "b")), Some((5, 1, 7)), "an earlier ballot");
    assert_eq!(adopt(base(5, "x"), acceptance(2, 1, "c")), Some((5, 2, 1)), "a later epoch");
    assert_eq!(adopt(base(4, "w"), acceptance(3, 9, "d")), Some((5, 2, 1)), "closed there");
    assert_eq!(adopt(base(6, "y"), acceptance(1, 1, "e")), Some((6, 1, 1)), "a larger base");
    // Whoever abstains for the key after damage (S3) takes it, too: it is what heals.
    world.node(1).disk.damaged = true;
    let request = Request::Adopt {
        key: "k".into(),
        base: Box::new(base(7, "z")),
        acceptance: Box::new(acceptance(1, 2, "f")),
    };
    let (replica, node) = (world.replica.clone(), world.node(1));
    // Twice: its memory has it then, and the disk may have lost it again.
    for _ in 0..2 {
        let reaction = replica.handle(&node.disk, &mut node.acceptor, request.clone(), node.standing, 0);
        let Reaction::Commit { unit: Unit::Acceptance { base: Some(_), record, .. }, .. } = reaction else {
            panic!("{reaction:?}")
        };
        assert_eq!(record.acceptance, acceptance(1, 2, "f"));
    }
    world.node(1).disk.damaged = false;
    let records: Vec<_> = world.node(1).acceptor.accepted_between(None, Some(&"k".into())).collect();
    assert_eq!(records.len(), 1);
    assert_eq!(world.node(1).acceptor.accepted_between(Some(&"k".into()), None).count(), 0);
}

/// D1: full disks take what the cluster keeps of itself. A node with a disk that is not full could not be brought in without. One of
/// them lacks the base, too.
#[test]
fn d1_full_disks_take_the_configuration() {
    let mut world = logical(3);
    let of_the_cluster = |token: &str| match append(token) {
        Operation::Update { functions, .. } => Operation::Update { key: RESERVED.into(), functions },
        other => other,
    };
    let first = world.submit_within(1, of_the_cluster("a."), PATIENCE);
    world.deliver(|message| !message.touches(3));
    assert_eq!(updated(&world, first).0, "absent");
    world.lose(|message| message.touches(3));
    for id in [2, 3] {
        world.node(id).standing = Standing { admitted: true, writable: false };
        // As pings tell it.
        world.node(1).coordinator.handle_peer_writable(NodeId(id), false);
    }
    let gone = |message: &Message| message.touches(2);
    for (coordinator, token, before) in [(1, "b.", "=a."), (3, "c.", "=a.b.")] {
        let ticket = world.submit_within(coordinator, of_the_cluster(token), PATIENCE);
        for _ in 0..20 {
            world.deliver(|message| !gone(message));
            world.lose(gone);
            world.advance(Duration::from_millis(20));
        }
        assert_eq!(updated(&world, ticket).0, before);
    }
    // A client's are refused as before.
    let refused = world.submit_within(3, append("d."), PATIENCE);
    settle(&mut world);
    assert!(matches!(world.outcome(refused), Some(Outcome::Refused(_))), "{:?}", world.outcome(refused));
}
