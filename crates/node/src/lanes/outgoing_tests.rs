use super::*;
use crate::hello::LaneKind;
use abd::wire::{Received, get_request, take_frame};
use abd::{Content, NodeId, Scope, StampedValue, Timestamp, Version};
use alloc::{vec, vec::Vec};
use bytes::Bytes;
use core::time::Duration;

fn transmit(operation: u64, request: Request) -> Transmit {
    Transmit {
        to: NodeId(2),
        call: CallId { operation, phase: 0 },
        scope: Scope::FIRST,
        deadline: Instant(0) + Duration::from_secs(1),
        request,
        may_wait: false,
        again: false,
    }
}

fn question(operation: u64) -> Transmit {
    transmit(operation, Request::LocalReadTimestamp { key: "k".into() })
}

fn write(operation: u64, bytes: usize) -> Transmit {
    let version = Version::of_write(Timestamp { time: operation + 1, node: 1, boot: 1 });
    let content = Content::Value(Bytes::from(vec![b'v'; bytes]));
    transmit(
        operation,
        Request::LocalWrite { key: "k".into(), stamped: StampedValue::plain(version, content) },
    )
}

/// The calls that a buffer holds, each with what is left of its time in milliseconds.
fn calls(mut encoded: BytesMut) -> Vec<(u64, u32)> {
    let mut calls = Vec::new();
    while let Some(body) = take_frame(&mut encoded, usize::MAX).unwrap() {
        let Received { call, remaining_ms, scope, .. } = get_request(body).unwrap();
        assert_eq!(scope, Scope::FIRST);
        calls.push((call.operation, remaining_ms));
    }
    assert!(encoded.is_empty());
    calls
}

fn taken(outgoing: &mut Outgoing) -> BytesMut {
    let mut buffer = BytesMut::new();
    outgoing.take(&mut buffer);
    buffer
}

fn put(outgoing: &mut Outgoing, patience: Patience, bytes: usize) -> bool {
    outgoing.frame(patience, |body| body.extend_from_slice(&vec![7; bytes]))
}

#[test]
fn the_least_patient_frame_decides_and_the_sender_is_not_woken_for_nothing() {
    let mut outgoing = Outgoing::new(Bounds::of(LaneKind::Small));
    assert!(put(&mut outgoing, Patience::Long, 10));
    assert!(!put(&mut outgoing, Patience::Long, 10));
    assert!(put(&mut outgoing, Patience::Round, 10));
    assert!(!put(&mut outgoing, Patience::Long, 10));
    assert_eq!(outgoing.patience(), Some(Patience::Round));
    assert!(put(&mut outgoing, Patience::None, 10));
    assert!(put(&mut outgoing, Patience::None, 10));
    taken(&mut outgoing);
    assert_eq!((outgoing.patience(), outgoing.len()), (None, 0));
    // Many bytes are not patient for long.
    assert!(put(&mut outgoing, Patience::Long, LONG_BYTES));
    assert_eq!(outgoing.patience(), Some(Patience::Round));
}

#[test]
fn requests_wait_unencoded_behind_many_and_go_in_their_order() {
    let mut outgoing = Outgoing::new(Bounds::of(LaneKind::Bulk));
    let now = Instant(0);
    for operation in 0..3 {
        outgoing.request(write(operation, 200 << 10), now).unwrap();
    }
    outgoing.request(question(3), now).unwrap();
    assert!(outgoing.has_backlog());
    assert_eq!(calls(taken(&mut outgoing)), [(0, 1000), (1, 1000)]);
    // What is left of the time is what is left when it goes.
    outgoing.refill(now + Duration::from_millis(300), |_| false);
    assert!(!outgoing.has_backlog());
    assert_eq!(calls(taken(&mut outgoing)), [(2, 700), (3, 700)]);
    assert_eq!(outgoing.backlog_bytes, 0);
}

#[test]
fn a_question_that_nobody_waits_for_is_not_sent_and_a_write_is() {
    let mut outgoing = Outgoing::new(Bounds::of(LaneKind::Small));
    let now = Instant(0);
    put(&mut outgoing, Patience::None, Bounds::of(LaneKind::Small).encoded);
    for transmit in [question(0), question(1), write(2, 10)] {
        outgoing.request(transmit, now).unwrap();
    }
    taken(&mut outgoing);
    let mut asked = Vec::new();
    outgoing.refill(now, |call| {
        asked.push(call.operation);
        call.operation == 0
    });
    assert_eq!(asked, [0, 1]);
    assert_eq!(calls(taken(&mut outgoing)), [(1, 1000), (2, 1000)]);
}

/// C1: what has not gone yet when a newer configuration is served goes in that.
#[test]
fn c1_what_waits_goes_in_the_newer_epoch_unless_it_is_sent_anew() {
    let (bounds, now) = (Bounds::of(LaneKind::Small), Instant(0));
    let mut outgoing = Outgoing::new(bounds);
    put(&mut outgoing, Patience::None, bounds.encoded);
    for operation in 0..4 {
        outgoing.request(write(operation, 100), now).unwrap();
    }
    let newer = Scope { epoch: 2, ..Scope::FIRST };
    outgoing.install(newer, |transmit| transmit.call.operation % 2 == 0);
    assert_eq!(outgoing.backlog_bytes, 2 * cost(&write(0, 100).request));
    taken(&mut outgoing);
    outgoing.refill(now, |_| false);
    let (mut encoded, mut gone) = (taken(&mut outgoing), Vec::new());
    while let Some(body) = take_frame(&mut encoded, usize::MAX).unwrap() {
        let Received { call, scope, .. } = get_request(body).unwrap();
        gone.push((call.operation, scope));
    }
    assert_eq!(gone, [(1, newer), (3, newer)]);
    assert_eq!(outgoing.backlog_bytes, 0);
}

#[test]
fn what_waits_is_bounded() {
    for kind in [LaneKind::Small, LaneKind::Bulk] {
        let (bounds, now) = (Bounds::of(kind), Instant(0));
        let mut outgoing = Outgoing::new(Bounds::of(kind));
        let mut taken = 0;
        while outgoing.request(write(taken, 10 << 10), now).is_ok() {
            taken += 1;
        }
        assert!(outgoing.backlog_bytes <= bounds.backlog);
        assert!(outgoing.len() < bounds.encoded + (11 << 10));
        assert_eq!(outgoing.take_backlog().back().unwrap().call.operation, taken - 1);
        assert!(!outgoing.has_backlog());
        // One that is larger than all bounds is taken if it is alone.
        outgoing.request(write(0, bounds.backlog * 2), now).unwrap();
        outgoing.request(write(1, 1), now).unwrap_err();
    }
}

#[test]
fn a_peer_that_does_not_read_gets_no_contents_and_is_broken_in_the_end() {
    let bounds = Bounds::of(LaneKind::Bulk);
    let mut outgoing = Outgoing::new(Bounds::of(LaneKind::Bulk));
    assert!(outgoing.takes_contents());
    put(&mut outgoing, Patience::None, bounds.unread * 2);
    assert!(!outgoing.takes_contents());
    assert!(outgoing.overrun().is_none(), "one large value is nobody's fault");
    for _ in 0..=32 {
        put(&mut outgoing, Patience::None, bounds.unread / 32);
    }
    assert!(outgoing.overrun().is_some());
    taken(&mut outgoing);
    assert!(outgoing.takes_contents() && outgoing.overrun().is_none());
}
