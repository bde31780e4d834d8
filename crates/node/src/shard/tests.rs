//! Event loops of three nodes, and lanes between them.

mod cluster;
mod configurations;
mod inquiries;
mod surroundings;
mod sweeping;
mod syncing;
mod updates;

use super::*;
use crate::change::{self, Driver};
use crate::clock::Moments;
use crate::configuration::{Configuration, DirectoryId};
use crate::functions::{Function, FunctionAnswer};
use crate::hello::{LaneId, LaneKind, WITH_CONFIGURATIONS as VERSION};
use crate::in_memory::Store;
use crate::inquiry::Finding;
use crate::inquiry::notes::Notes;
use crate::lanes::Bounds;
use crate::lanes::lane::{LaneError, PING, SILENCE_LIMIT};
use crate::limits::FRAME_BYTES_MAX;
use crate::lookups::look_up;
use crate::news::News;
use crate::repair::ranges::Range;
use crate::repair::{Config as RepairConfig, Repair};
use crate::sweep::Progress;
use crate::sync::source::{Records, records_of};
use abd::wire::put_frame;
use abd::{
    Acceptor, AcceptorLimits, AfterCommit, Ballot, Base, Content, Deadline, Evaluation, Moment, Proposal,
    Refusal, Request, Scope, Standing, TimestampIssuer, TimestampMode, Unit,
};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec;
use bytes::BytesMut;
use core::cell::{Cell, RefCell};
use core::ops::Deref;

use cluster::*;

#[test]
fn what_is_set_through_one_node_is_read_through_any() {
    let mut cluster = Cluster::new();
    let outcomes = cluster.set(0, "v");
    assert!(outcomes.borrow().is_empty(), "nobody answers before the others have");
    cluster.run();
    assert!(matches!(outcomes.borrow()[..], [Outcome::Written { existed: false, .. }]));
    for node in 0..NODES {
        assert_eq!(cluster.read(node), "v");
        assert_eq!(cluster.nodes[node].0.in_flight(), 0);
    }
}

/// R2: what was under way on a lane that breaks, and what was written while it was down, reaches the peer when it is back.
#[test]
fn r2_what_a_broken_lane_has_lost_is_sent_again() {
    let mut cluster = Cluster::new();
    cluster.run();
    cluster.part(0, 2);
    cluster.part(1, 2);
    let outcomes = cluster.set(0, "v");
    cluster.run();
    assert!(matches!(outcomes.borrow()[..], [Outcome::Written { .. }]));
    assert_eq!(cluster.stored(2), None);
    // MEMBERS LIST tells how much that is.
    let now = *cluster.now.borrow();
    cluster.nodes[0].0.begin_driving(now);
    let behind = |cluster: &mut Cluster| {
        cluster.pass(Duration::from_secs(2));
        cluster.run();
        let driver = cluster.nodes[0].1.driver.borrow();
        driver.view().seen(id(2)).unwrap().behind.unwrap()
    };
    let told = behind(&mut cluster);
    assert!(told.keys == 1 && told.time >= Duration::from_secs(1), "{told:?}");
    cluster.join(0, 2);
    for _ in 0..4 {
        cluster.pass(Duration::from_secs(2));
        cluster.run();
    }
    assert_eq!(cluster.stored(2).unwrap(), "v");
    assert_eq!(behind(&mut cluster), change::Behind::default());
}

/// D1, R2: what the own replica refuses is written elsewhere, and is remembered as missed here.
#[test]
fn r2_what_the_own_replica_refuses_is_missed_here() {
    let mut cluster = Cluster::new();
    cluster.run();
    *cluster.nodes[0].1.writable.borrow_mut() = false;
    let outcomes = cluster.set(0, "v");
    cluster.run();
    assert!(matches!(outcomes.borrow()[..], [Outcome::Written { .. }]));
    assert_eq!(cluster.stored(0), None);
    let surroundings = &cluster.nodes[0].1;
    assert_eq!(surroundings.own, 0);
    let repair = surroundings.repair.borrow();
    let behind: Vec<usize> = repair.statuses(*cluster.now.borrow()).map(|(_, status)| status.keys).collect();
    drop(repair);
    assert_eq!(behind, [1, 1], "whoever has it is asked for it");
    *surroundings.writable.borrow_mut() = true;
    for _ in 0..8 {
        cluster.pass(Duration::from_secs(2));
        cluster.run();
    }
    assert_eq!(cluster.stored(0).unwrap(), "v");
}

#[test]
fn a_lane_that_is_silent_or_brings_nonsense_is_to_be_closed() {
    let mut cluster = Cluster::new();
    cluster.run();
    let (key, now) = (cluster.lanes[&(0, 1)], cluster.now());
    let shard = &mut cluster.nodes[0].0;
    assert_eq!(shard.look_after(key, now.instant + SILENCE_LIMIT), Ok(()));
    let later = now.instant + SILENCE_LIMIT + Duration::from_nanos(1);
    assert_eq!(shard.look_after(key, later), Err(LaneError::Silence(SILENCE_LIMIT)));
    let mut nonsense = BytesMut::from(&[0, 0, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8][..]);
    assert!(shard.handle_bytes(key, &mut nonsense, now).is_err());
    shard.close_lane(key, now);
    assert!(!shard.is_up(id(1)) && shard.is_up(id(2)) && !shard.has_lane(id(1), LANE));
    assert_eq!(shard.handle_bytes(key, &mut BytesMut::from(&[7; 64][..]), now), Ok(()), "nobody listens");
}

#[test]
fn a_lane_to_another_run_of_a_peer_takes_the_place_of_all() {
    let mut cluster = Cluster::new();
    cluster.run();
    let (old, now) = (cluster.lanes[&(0, 1)], cluster.now());
    let bulk = LaneId { kind: LaneKind::Bulk, pair: 0 };
    let shard = &mut cluster.nodes[0].0;
    let same_run = shard.open_lane(id(1), bulk, 1, VERSION, FRAME_BYTES_MAX as u64, now).unwrap();
    assert_eq!(shard.poll_replaced(), None);
    assert!(shard.speaks(id(1), VERSION) && !shard.speaks(id(1), VERSION + 1) && !shard.speaks(id(9), 1));
    let next_run = shard.open_lane(id(1), LANE, 2, VERSION, FRAME_BYTES_MAX as u64, now).unwrap();
    assert_eq!([shard.poll_replaced(), shard.poll_replaced()].map(Option::unwrap), [old, same_run]);
    assert!(shard.has_lane(id(1), LANE) && !shard.has_lane(id(1), bulk));
    shard.close_lane(old, now);
    assert!(shard.has_lane(id(1), LANE), "it has ended before");
    shard.close_lane(next_run, now);
    assert!(!shard.is_up(id(1)));
}

#[test]
fn lanes_to_those_who_have_gone_are_closed_and_those_who_come_may_open_some() {
    let mut cluster = Cluster::new();
    cluster.run();
    let (gone, now) = (cluster.lanes[&(0, 1)], cluster.now());
    let bulk = LaneId { kind: LaneKind::Bulk, pair: 0 };
    let shard = &mut cluster.nodes[0].0;
    let second = shard.open_lane(id(1), bulk, 1, VERSION, FRAME_BYTES_MAX as u64, now).unwrap();
    assert_eq!(
        shard.open_lane(id(3), LANE, 1, VERSION, FRAME_BYTES_MAX as u64, now),
        None,
        "nobody knows it"
    );
    shard.keep_lanes([id(2), id(3)].into_iter(), now);
    assert_eq!([shard.poll_replaced(), shard.poll_replaced()].map(Option::unwrap), [gone, second]);
    assert!(!shard.is_up(id(1)) && shard.is_up(id(2)) && shard.poll_replaced().is_none());
    assert_eq!(
        shard.open_lane(id(1), LANE, 1, VERSION, FRAME_BYTES_MAX as u64, now),
        None,
        "it is known no more"
    );
    assert!(shard.open_lane(id(3), LANE, 1, VERSION, FRAME_BYTES_MAX as u64, now).is_some());
    // What comes late over what was closed has no effect.
    shard.close_lane(gone, now);
    assert_eq!(shard.handle_bytes(gone, &mut BytesMut::from(&[7; 64][..]), now), Ok(()));
}

/// M1 aside: whoever drains a node ends all its operations, and each caller is told what may have become of his.
#[test]
fn operations_that_are_given_up_say_what_may_have_become_of_them() {
    let mut cluster = Cluster::new();
    cluster.run();
    cluster.part(0, 1);
    cluster.part(0, 2);
    let (set, get) = (cluster.set(0, "v"), cluster.submit(0, Operation::Get { key: "k".into() }));
    cluster.run();
    let shard = &mut cluster.nodes[0].0;
    assert_eq!(shard.in_flight(), 2);
    shard.handle_timeout(Now { instant: Instant(u64::MAX), interval: None, moment: Moment::UNKNOWN });
    assert_eq!(shard.in_flight(), 0);
    // It had not picked a version yet.
    assert!(matches!(set.borrow()[..], [Outcome::Refused(_)]));
    assert!(matches!(get.borrow()[..], [Outcome::Refused(_)]));
}

/// B1: whoever only pings has to read the answers, too.
#[test]
fn b1_a_peer_that_pings_and_does_not_read_loses_its_lane() {
    let mut cluster = Cluster::new();
    let (key, now) = (cluster.lanes[&(0, 1)], cluster.now());
    let shard = &mut cluster.nodes[0].0;
    let mut pings = BytesMut::new();
    for _ in 0..1000 {
        put_frame(&mut pings, |body| body.extend_from_slice(&[PING]));
    }
    let unread = Bounds::of(LaneKind::Small).unread;
    for _ in 0..unread / 1000 {
        if let Err(why) = shard.handle_bytes(key, &mut pings.clone(), now) {
            assert!(matches!(why, LaneError::Unread(waiting) if waiting > unread), "{why}");
            assert!(shard.waiting(key).is_some_and(|waiting| waiting.encoded < unread + 1000));
            return;
        }
    }
    panic!("{:?} wait", shard.waiting(key));
}
