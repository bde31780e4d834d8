//! Whom a question goes to first: those who answer soon, as far as anybody knows.

use crate::support::read_reply;
use abd::{
    CallId, Config, Coordinator, Deadline, Instant, Members, Moment, NodeId, Now, Operation, QuorumSystem,
    Refusal, Reply, Request, Scope, TimestampIssuer, TimestampMode, Version,
};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;

const PROBE_AFTER: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(1);
const HEDGE: Duration = Duration::from_secs(1);

/// The coordinator of node 1, and others whose answers take a while.
struct Cluster {
    coordinator: Coordinator,
    issuer: TimestampIssuer,
    now: Instant,
    round_trips: BTreeMap<NodeId, Duration>,
    /// Answers on their way.
    answers: BTreeSet<(Instant, NodeId, CallId)>,
}

impl Cluster {
    /// With the round trips, in microseconds, to node 2 and so on.
    fn of(round_trips: &[u64]) -> Self {
        let ids = (2..).map(NodeId).zip(round_trips.iter().copied().map(Duration::from_micros));
        let round_trips: BTreeMap<_, _> = ids.collect();
        let config = Config {
            local: NodeId(1),
            quorums: QuorumSystem::of(
                Members::new(round_trips.keys().copied().chain([NodeId(1)]).collect()),
                Scope::FIRST,
            ),
            mode: TimestampMode::Logical,
            hedge_after: HEDGE,
            rotate_after: NonZeroU64::MIN,
            probe_after: Some(PROBE_AFTER),
            resend_after: Duration::from_secs(1),
            pause: Duration::from_millis(1),
        };
        Self {
            coordinator: Coordinator::new(config),
            issuer: TimestampIssuer::new(NodeId(1), 1),
            now: Instant(1_000_000_000),
            round_trips,
            answers: BTreeSet::new(),
        }
    }

    /// One that knows how near they are: at first it asks one more than it needs.
    fn acquainted(round_trips: &[u64]) -> Self {
        let mut cluster = Self::of(round_trips);
        cluster.asked(20);
        cluster
    }

    fn reply(&mut self, from: NodeId, call: CallId) {
        let reply = read_reply(Version::MIN, None);
        let now = Now { instant: self.now, interval: None, moment: Moment::UNKNOWN };
        self.coordinator.handle_reply(from, call, reply, now, &self.issuer);
    }

    /// The next answer arrives, if it does by then.
    fn arrive(&mut self, until: Instant) -> bool {
        let Some(&(at, from, call)) = self.answers.first() else { return false };
        if at > until {
            return false;
        }
        self.answers.pop_first();
        self.now = at;
        self.reply(from, call);
        true
    }

    /// A Get begins; which others it asks.
    fn begin_get(&mut self) -> Vec<NodeId> {
        let now = Now { instant: self.now, interval: None, moment: Moment::UNKNOWN };
        let operation = Operation::Get { key: "k".into() };
        self.coordinator.submit(operation, self.now + Duration::from_secs(10), now, &self.issuer);
        self.send()
    }

    /// What is to be sent goes to the others, and is answered by the own replica; who is asked.
    fn send(&mut self) -> Vec<NodeId> {
        let mut asked = Vec::new();
        while let Some(transmit) = self.coordinator.poll_transmit() {
            assert!(matches!(transmit.request, Request::LocalRead { .. }), "there is nothing to write");
            if transmit.to == NodeId(1) {
                self.reply(transmit.to, transmit.call);
            } else {
                asked.push(transmit.to);
                let at = self.now + self.round_trips[&transmit.to];
                self.answers.insert((at, transmit.to, transmit.call));
            }
        }
        asked
    }

    /// Time passes, with whatever arrives meanwhile.
    fn pass(&mut self, until: Instant) {
        while self.arrive(until) {
            assert!(self.send().is_empty(), "who has been asked is asked again");
        }
        self.now = until;
    }

    /// A Get, a millisecond after the last one has ended: which others it asks, and how long it takes.
    fn get(&mut self) -> (Vec<NodeId>, Duration) {
        let begin = self.now + PAUSE;
        self.pass(begin);
        let mut asked = self.begin_get();
        while self.coordinator.poll_outcome().is_none() {
            let due = self.coordinator.poll_timeout().unwrap();
            if !self.arrive(due) {
                self.now = due;
                self.coordinator.handle_timeout(
                    Now { instant: due, interval: None, moment: Moment::UNKNOWN },
                    &self.issuer,
                );
            }
            asked.extend(self.send());
        }
        (asked, self.now.since(begin))
    }

    /// How many of so many Gets ask each of the others.
    fn asked(&mut self, gets: usize) -> Vec<usize> {
        let mut counts: BTreeMap<NodeId, usize> = self.round_trips.keys().map(|id| (*id, 0)).collect();
        for _ in 0..gets {
            for id in self.get().0 {
                *counts.get_mut(&id).unwrap() += 1;
            }
        }
        counts.into_values().collect()
    }
}

#[test]
fn a_far_member_is_asked_beside_a_near_one_now_and_then() {
    let mut cluster = Cluster::acquainted(&[300, 4000]);
    let begin = cluster.now;
    for _ in 0..1000 {
        let (asked, time) = cluster.get();
        assert!(asked.contains(&NodeId(2)));
        assert_eq!(time, Duration::from_micros(300), "nobody waits for the far one");
    }
    let before = cluster.now.since(begin).as_millis() / PROBE_AFTER.as_millis();
    let [near, far] = cluster.asked(1000)[..] else { unreachable!() };
    assert_eq!(near, 1000);
    assert!((20..=27).contains(&far) && (20..=27).contains(&before), "{far} and {before} probes in 1.3 s");
}

#[test]
fn those_that_are_about_as_near_are_asked_in_turns() {
    for round_trips in [[300, 300], [100, 650], [1000, 2400]] {
        assert_eq!(Cluster::acquainted(&round_trips).asked(100), [50, 50], "{round_trips:?}");
    }
}

#[test]
fn a_member_that_comes_nearer_is_asked_in_turns_again_and_one_that_goes_away_is_not() {
    let mut cluster = Cluster::acquainted(&[300, 4000]);
    assert!(cluster.asked(400)[1] < 20);
    cluster.round_trips.insert(NodeId(3), Duration::from_micros(400));
    cluster.asked(400);
    assert_eq!(cluster.asked(100), [50, 50]);
    // Late answers count, too: by now the Gets that asked have long ended.
    cluster.round_trips.insert(NodeId(2), Duration::from_millis(200));
    cluster.asked(10);
    let [far, near] = cluster.asked(400)[..] else { unreachable!() };
    assert_eq!(near, 400);
    assert!(far < 20, "asked {far} times");
}

#[test]
fn how_far_is_too_far_depends_on_those_who_are_needed() {
    // Two of four others are needed.
    assert_eq!(Cluster::acquainted(&[300, 4000, 4000, 4000]).asked(400), [200; 4]);
    let mut cluster = Cluster::acquainted(&[300, 4000, 300, 4000]);
    let [one, two, three, four] = cluster.asked(400)[..] else { unreachable!() };
    assert_eq!((one, three), (400, 400));
    assert!(two < 20 && four < 20, "asked {two} and {four} times");
}

#[test]
fn a_far_member_is_asked_when_a_near_one_is_gone() {
    let mut cluster = Cluster::acquainted(&[300, 4000]);
    cluster.round_trips.insert(NodeId(2), Duration::from_secs(100));
    cluster.coordinator.handle_peer_down(NodeId(2));
    let (asked, time) = cluster.get();
    assert!(asked.contains(&NodeId(3)));
    assert_eq!(time, Duration::from_millis(4));
}

/// Two of four others are needed, so a Get goes on after the first answer: that asks nobody again, and is no time to measure from.
#[test]
fn answers_are_timed_from_when_they_were_asked_for() {
    // Of many Gets at a time, the two that are asked must not seem nearer than those that are only probed.
    let mut cluster = Cluster::acquainted(&[8000; 4]);
    let mut counts = BTreeMap::new();
    for _ in 0..300 {
        for id in cluster.begin_get() {
            *counts.entry(id).or_insert(0) += 1;
        }
        cluster.pass(cluster.now + PAUSE);
    }
    assert!(counts.values().all(|count| (145..=160).contains(count)), "{counts:?}");
    // The first to answer is timed with every Get: when it becomes slow, that is known at once.
    let mut cluster = Cluster::acquainted(&[300, 400, 400, 400]);
    cluster.asked(50);
    cluster.round_trips.insert(NodeId(2), Duration::from_millis(100));
    let slow = (0..200).filter(|_| cluster.get().1 > Duration::from_millis(1)).count();
    assert!(slow <= 4, "{slow} Gets waited for it");
}

/// A member that is slower than anybody waits for is slow, and one whose connection is new is not.
#[test]
fn a_question_that_is_never_answered_counts() {
    let mut cluster = Cluster::acquainted(&[300, 300]);
    // Its answers come, but so late that another question is timed by then.
    cluster.round_trips.insert(NodeId(3), HEDGE * 3 / 2);
    let mut asked_from = |count| {
        let mut asked = 0;
        for _ in 0..count {
            asked += usize::from(cluster.begin_get().contains(&NodeId(3)));
            cluster.pass(cluster.now + PAUSE);
        }
        asked
    };
    asked_from(1500);
    let asked = asked_from(2000);
    assert!(asked < 60, "asked {asked} times in 2 s");
    cluster.answers.retain(|(_, from, _)| *from != NodeId(3));
    cluster.round_trips.insert(NodeId(3), Duration::from_micros(300));
    cluster.coordinator.handle_peer_down(NodeId(3));
    cluster.coordinator.handle_peer_up(NodeId(3), 1);
    cluster.asked(10);
    assert_eq!(cluster.asked(100), [50, 50]);
}

#[test]
fn far_members_are_probed_in_turns_and_the_nearest_is_the_first_to_help() {
    let mut cluster = Cluster::acquainted(&[300, 300, 4000, 1200]);
    // So rarely that all are due each time.
    for _ in 0..20 {
        cluster.now = cluster.now + 3 * PROBE_AFTER;
        cluster.get();
    }
    cluster.round_trips.insert(NodeId(5), Duration::from_micros(300));
    for _ in 0..40 {
        cluster.now = cluster.now + 3 * PROBE_AFTER;
        cluster.get();
    }
    let [_, _, far, near] = cluster.asked(300)[..] else { unreachable!() };
    assert!(near > 150 && far < 20, "asked {near} and {far} times");
    cluster.round_trips.insert(NodeId(5), Duration::from_micros(1200));
    cluster.asked(600);
    cluster.round_trips.insert(NodeId(2), Duration::from_secs(100));
    cluster.coordinator.handle_peer_down(NodeId(2));
    let slow = (0..200).filter(|_| cluster.get().1 > Duration::from_micros(1200)).count();
    assert_eq!(slow, 0, "one that is 4 ms away was waited for");
}

#[test]
fn a_member_without_room_is_not_asked_for_a_timestamp_first() {
    let mut cluster = Cluster::acquainted(&[300, 300]);
    cluster.coordinator.handle_peer_writable(NodeId(2), false);
    for _ in 0..10 {
        let now = Now { instant: cluster.now, interval: None, moment: Moment::UNKNOWN };
        let operation = Operation::Set { key: "k".into(), value: "v".into(), deadline: Deadline::NONE };
        cluster.coordinator.submit(operation, cluster.now + HEDGE, now, &cluster.issuer);
        let asked: BTreeSet<NodeId> =
            std::iter::from_fn(|| cluster.coordinator.poll_transmit()).map(|transmit| transmit.to).collect();
        assert_eq!(asked, BTreeSet::from([NodeId(1), NodeId(3)]));
    }
}

/// D1's kind: what is believed of a member is asked for again by time, also where nobody writes.
#[test]
fn a_suspect_that_answers_again_is_asked_in_turns_again() {
    let mut cluster = Cluster::acquainted(&[300, 300]);
    cluster.coordinator.handle_peer_down(NodeId(2));
    assert!(cluster.asked(200).into_iter().all(|times| times > 50));
}

#[test]
fn a_refusal_and_a_question_that_was_not_sent_are_no_reason_to_wait() {
    let mut cluster = Cluster::acquainted(&[300, 300]);
    // The question that is timed is refused: that counts, but a little only.
    let refuse = |cluster: &mut Cluster| {
        cluster.pass(cluster.now + 2 * PAUSE);
        cluster.begin_get();
        while let Some((at, from, call)) = cluster.answers.pop_first() {
            cluster.now = at;
            let now = Now { instant: at, interval: None, moment: Moment::UNKNOWN };
            cluster.coordinator.handle_reply(
                from,
                call,
                Reply::Refused(Refusal::NotAdmitted),
                now,
                &cluster.issuer,
            );
            cluster.send();
        }
    };
    refuse(&mut cluster);
    cluster.asked(600);
    assert_eq!(cluster.asked(100), [50, 50], "what was refused once is served since");
    // What the sender drops is not waited for.
    for _ in 0..4 {
        cluster.pass(cluster.now + 2 * PAUSE);
        cluster.begin_get();
        for (at, peer, call) in std::mem::take(&mut cluster.answers) {
            if peer == NodeId(3) {
                cluster.coordinator.handle_not_sent(peer, call);
            } else {
                cluster.answers.insert((at, peer, call));
            }
        }
    }
    cluster.now = cluster.now + Duration::from_secs(2);
    cluster.asked(10);
    assert_eq!(cluster.asked(20), [10, 10]);
}
