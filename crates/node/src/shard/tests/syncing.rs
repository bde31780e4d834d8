//! Rules C3 and R2 over lanes: what a node lacks it pulls, with what is accepted while members change.

use super::*;
use crate::configuration::Stage;
use abd::{Acceptance, AcceptedRecord, StampedValue, Timestamp, Version};
use alloc::format;

fn key(number: usize) -> Bytes {
    format!("key-{number:05}").into()
}

fn stamped(number: u64, length: usize) -> StampedValue {
    let version = Version::of_write(Timestamp { time: number + 1, node: 1, boot: 1 });
    StampedValue::plain(version, Content::Value(vec![b'v'; length].into()))
}

/// Keys in the stores of the first two; some have values of their own frame.
fn filled(keys: u64) -> Cluster {
    let mut cluster = Cluster::new();
    cluster.run();
    for (_, surroundings) in &cluster.nodes[..2] {
        for number in 0..keys {
            let length = if number % 1000 == 7 { 100_000 } else { 100 };
            let key = key(usize::try_from(number).unwrap());
            surroundings.store.borrow_mut().versions.insert(key, stamped(number, length));
        }
    }
    cluster
}

fn pass(cluster: &mut Cluster, times: usize) {
    for _ in 0..times {
        cluster.pass(Duration::from_millis(200));
        cluster.run();
    }
}

fn same(cluster: &Cluster, one: usize, other: usize) -> bool {
    cluster.nodes[one].1.store.borrow().versions == cluster.nodes[other].1.store.borrow().versions
}

#[test]
fn r2_whoever_was_away_pulls_what_it_lacks() {
    let mut cluster = filled(3000);
    let now = *cluster.now.borrow();
    cluster.nodes[0].1.repair.borrow_mut().handle_overflow(id(2), now);
    pass(&mut cluster, 20);
    assert!(same(&cluster, 0, 2));
    let repair = cluster.nodes[0].1.repair.borrow();
    let status = repair.statuses(now).find(|(of, _)| *of == id(2)).expect("it is a peer").1;
    assert_eq!((status.compared, status.counts.sent), (None, 3000));
}

/// C3: a node whose directory is gone has everything from a majority of the others, once those have installed the joint epoch.
#[test]
fn c3_a_member_to_come_pulls_versions_and_what_is_accepted() {
    let mut cluster = filled(2500);
    let ballot = Ballot { epoch: 1, round: 3, node: 1, boot: 1 };
    let content = Content::Value("proposed".into());
    let proposal = Proposal { update: ballot.update(), content, deadline: Deadline::NONE };
    let acceptance = Acceptance { ballot, proposal };
    // Of one key that was written, and of one that was not.
    for (key, base) in [(key(5), stamped(5, 0).version), ("new".into(), Version::MIN)] {
        let record = AcceptedRecord { base, acceptance: acceptance.clone() };
        cluster.nodes[1].1.acceptor.borrow_mut().restore(key, record);
    }
    let mut joint = cluster.nodes[0].0.configuration().successor().unwrap();
    joint.stage = Stage::Joint { next: joint.members.clone(), lost: vec![id(2)] };
    for node in [2, 0] {
        let now = cluster.now();
        cluster.nodes[node].0.meet_configuration(joint.clone(), now);
    }
    // The lane to the third one is cut before it hears of that.
    cluster.part(1, 0);
    cluster.part(1, 2);
    pass(&mut cluster, 20);
    let synced = |cluster: &Cluster, node: usize| cluster.nodes[node].1.repair.borrow().synced_in();
    assert!(same(&cluster, 0, 2));
    assert_eq!((synced(&cluster, 0), synced(&cluster, 2)), (0, 0), "one of three is no majority");
    cluster.join(1, 2);
    pass(&mut cluster, 20);
    assert_eq!((synced(&cluster, 1), synced(&cluster, 2)), (0, 2));
    let mut acceptor = cluster.nodes[2].1.acceptor.borrow_mut();
    let adopted: Vec<Bytes> = acceptor.accepted_between(None, None).map(|(key, _)| key.clone()).collect();
    assert_eq!(adopted, [key(5), "new".into()]);
}
