//! Which writes may wait: those beyond the majority that the operation counts on.

use crate::support::read_reply;
use abd::{
    CallId, Config, Coordinator, Deadline, Instant, Members, Moment, NodeId, Now, Operation, PAUSE,
    QuorumSystem, Reply, Request, Scope, TimestampIssuer, TimestampMode, Transmit, Version,
};
use std::num::NonZeroU64;
use std::time::Duration;

const NOW: Now = Now { instant: Instant(0), interval: None, moment: Moment::UNKNOWN };

struct Node {
    coordinator: Coordinator,
    issuer: TimestampIssuer,
}

impl Node {
    fn of(count: u32) -> Self {
        let config = Config {
            local: NodeId(1),
            quorums: QuorumSystem::of(Members::new((1..=count).map(NodeId).collect()), Scope::FIRST),
            pause: PAUSE,
            mode: TimestampMode::Logical,
            hedge_after: Duration::from_millis(10),
            rotate_after: NonZeroU64::MIN,
            probe_after: None,
            resend_after: Duration::from_millis(50),
        };
        Self { coordinator: Coordinator::new(config), issuer: TimestampIssuer::new(NodeId(1), 1) }
    }

    fn sent(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.coordinator.poll_transmit()).collect()
    }

    fn reply(&mut self, from: NodeId, call: CallId, reply: Reply) {
        self.coordinator.handle_reply(from, call, reply, NOW, &self.issuer);
    }

    /// Begins an operation and answers its first phase; whom it asked, and what it sends then.
    fn until_writes(&mut self, operation: Operation) -> (Vec<NodeId>, Vec<Transmit>) {
        self.coordinator.submit(operation, Instant(1_000_000_000), NOW, &self.issuer);
        let mut asked = Vec::new();
        loop {
            let sent = self.sent();
            assert!(!sent.is_empty(), "the operation asks nobody");
            if sent.iter().any(|transmit| !transmit.request.is_read()) {
                return (asked, sent);
            }
            for Transmit { to, call, request, may_wait, again, .. } in sent {
                assert!(!may_wait && !again, "a question waits, or is one of before");
                asked.push(to);
                let reply = match request {
                    Request::LocalRead { .. } if to == NodeId(1) => read_reply(Version::MIN, None),
                    Request::LocalRead { .. } => {
                        let version = Version::of_write(self.issuer.issue(7).unwrap());
                        let content = Some(abd::Content::Value("x".into()));
                        read_reply(version, content)
                    }
                    _ => Reply::Timestamp { version: Version::MIN, present: false, writable: true },
                };
                self.reply(to, call, reply);
            }
        }
    }

    fn set(&mut self) -> (Vec<NodeId>, Vec<Transmit>) {
        self.until_writes(Operation::Set { key: "k".into(), value: "v".into(), deadline: Deadline::NONE })
    }
}

fn patient(sent: &[Transmit]) -> Vec<NodeId> {
    sent.iter().filter(|transmit| transmit.may_wait).map(|transmit| transmit.to).collect()
}

#[test]
fn a_write_beyond_the_majority_that_was_asked_may_wait() {
    for count in 1..=7 {
        let mut node = Node::of(count);
        for _ in 0..10 {
            let (asked, sent) = node.set();
            let all: Vec<NodeId> = (1..=count).map(NodeId).collect();
            let others: Vec<NodeId> = all.iter().copied().filter(|to| !asked.contains(to)).collect();
            let mut sent_to: Vec<NodeId> = sent.iter().map(|transmit| transmit.to).collect();
            sent_to.sort_unstable();
            assert_eq!(sent_to, all);
            assert_eq!(patient(&sent), others, "{count} members, asked {asked:?}");
        }
    }
}

#[test]
fn nothing_waits_while_one_that_is_counted_on_may_not_answer() {
    let mut node = Node::of(3);
    // Both others cannot be counted on, so whichever is, the third is asked at once.
    node.coordinator.handle_peer_writable(NodeId(2), false);
    node.coordinator.handle_peer_writable(NodeId(3), false);
    assert_eq!(patient(&node.set().1), []);
    node.coordinator.handle_peer_writable(NodeId(2), true);
    node.coordinator.handle_peer_writable(NodeId(3), true);
    node.coordinator.handle_peer_down(NodeId(2));
    let (asked, sent) = node.set();
    assert_eq!((asked, patient(&sent)), (vec![NodeId(1), NodeId(3)], vec![NodeId(2)]));
    // What is sent again does not wait.
    let later = Now { instant: Instant(60_000_000), interval: None, moment: Moment::UNKNOWN };
    node.coordinator.handle_timeout(later, &node.issuer);
    let again = node.sent();
    assert!(again.iter().any(|transmit| transmit.to == NodeId(2)));
    assert_eq!(patient(&again), []);
    assert!(again.iter().all(|transmit| transmit.again));
    node.coordinator.handle_peer_up(NodeId(2), 1);
    let again = node.sent();
    assert!(!again.is_empty() && again.iter().all(|transmit| transmit.again && transmit.to == NodeId(2)));
}

#[test]
fn a_write_back_does_not_wait() {
    let mut node = Node::of(3);
    let (_, sent) = node.until_writes(Operation::Get { key: "k".into() });
    assert_eq!((sent.len(), patient(&sent)), (2, vec![]));
}
