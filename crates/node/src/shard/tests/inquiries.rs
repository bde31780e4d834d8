//! Inquiries of an event loop.

use super::*;
use crate::inquiry::Inquiry;
use crate::inquiry::listing::Wanted;
use crate::inquiry::message::{Answer, Question, get_answer, put_question};
use crate::inquiry::notes::{Note, NoteId, NoteKind};
use abd::wire::FRAME_HEADER;
use alloc::format;
use alloc::string::String;

const SCRIPT: NoteId = NoteId { kind: NoteKind::Script, name: [3; 20] };

impl Cluster {
    fn inquire(&mut self, node: usize, inquiry: Inquiry) -> Option<Finding> {
        let (back, now) = (Back::default(), self.now().instant);
        self.nodes[node].0.inquire(inquiry, back.clone(), now);
        self.run();
        back.findings.take().pop()
    }

    fn put(&mut self, node: usize, key: String, value: Option<&'static str>) {
        let operation = match value {
            Some(value) => Operation::Set { key: key.into(), value: value.into(), deadline: Deadline::NONE },
            None => Operation::Delete { key: key.into() },
        };
        let outcomes = self.submit(node, operation);
        self.run();
        assert!(matches!(outcomes.borrow()[..], [Outcome::Written { .. }]));
    }

    /// All keys, page by page through the nodes in turn.
    fn keys(&mut self, pattern: &'static str, keys: u32) -> Vec<Bytes> {
        let (mut found, mut after) = (Vec::new(), None);
        for node in (0..NODES).cycle().take(100) {
            let pattern = Some(pattern.into());
            let wanted = Wanted { after, pattern, keys, bytes: 1 << 20 };
            let Some(Finding::Keys(page)) = self.inquire(node, Inquiry::Keys(wanted)) else {
                panic!("a majority is there")
            };
            found.extend(page.keys.into_iter().map(|(key, _)| key));
            after = page.told_up_to;
            if after.is_none() {
                return found;
            }
        }
        panic!("it never ends");
    }
}

#[test]
fn what_is_there_is_found_through_any_node_though_each_lacks_something() {
    let mut cluster = Cluster::new();
    for number in 0..30 {
        // Every node misses a third of the writes.
        let away = number % NODES;
        let (one, other) = ((away + 1) % NODES, (away + 2) % NODES);
        for peer in [one, other] {
            cluster.part(away.min(peer), away.max(peer));
        }
        cluster.put(one, format!("k{number:02}"), Some("v"));
        cluster.put(other, format!("gone{:02}", (number + 1) % 30), None);
        cluster.put(other, format!("gone{number:02}"), Some("v"));
        for peer in [one, other] {
            cluster.join(away.min(peer), away.max(peer));
        }
    }
    let expected: Vec<Bytes> = (0..30).map(|number| format!("k{number:02}").into()).collect();
    for keys in [1, 4, 1000] {
        assert_eq!(cluster.keys("k*", keys), expected, "{keys} at a time");
    }
    assert_eq!(cluster.keys("g*[1-2]9", 3), [Bytes::from("gone19"), Bytes::from("gone29")]);
    assert_eq!(cluster.keys("gone0[01]", 1), [Bytes::from("gone01")]);
    assert_eq!(cluster.nodes[0].0.in_flight(), 0);
}

#[test]
fn an_inquiry_goes_on_without_a_member_and_waits_for_a_majority() {
    let mut cluster = Cluster::new();
    cluster.put(0, "k".into(), Some("v"));
    cluster.part(0, 1);
    assert_eq!(cluster.keys("*", 10).len(), 1);
    cluster.part(0, 2);
    let keys = || Inquiry::Keys(Wanted { keys: 1, bytes: 1, ..Wanted::default() });
    let (back, now) = (Back::default(), cluster.now().instant);
    cluster.nodes[0].0.inquire(keys(), back.clone(), now);
    cluster.run();
    assert_eq!(*back.findings.borrow(), []);
    cluster.join(0, 2);
    cluster.pass(Duration::from_secs(1));
    cluster.run();
    assert!(matches!(back.findings.borrow()[..], [Finding::Keys(_)]));
    // Whoever has gone is told nothing.
    cluster.part(0, 2);
    let (back, now) = (Back::default(), cluster.now().instant);
    let id = cluster.nodes[0].0.inquire(keys(), back.clone(), now);
    cluster.nodes[0].0.end_inquiry(id, now);
    cluster.join(0, 2);
    cluster.pass(OP_TIMEOUT);
    cluster.run();
    assert_eq!((&back.findings.borrow()[..], cluster.nodes[0].0.in_flight()), (&[][..], 0));
}

/// C1: a question is answered in its epoch alone; releases that know of no epochs say zero, and mean the first.
#[test]
fn c1_a_question_of_another_epoch_is_refused() {
    let mut cluster = Cluster::new();
    let (key, now) = (cluster.lanes[&(0, 1)], cluster.now());
    for (epoch, expected) in [(0, Answer::Note(None)), (1, Answer::Note(None)), (2, OTHER), (u32::MAX, OTHER)]
    {
        let (shard, call) = (&mut cluster.nodes[0].0, CallId { operation: 7, phase: epoch });
        let mut question = BytesMut::new();
        put_frame(&mut question, |body| put_question(body, call, &Question::Recall(SCRIPT)));
        shard.take_output(key, &mut BytesMut::new(), || now.instant);
        shard.handle_bytes(key, &mut question, now).unwrap();
        let mut answer = BytesMut::new();
        shard.take_output(key, &mut answer, || now.instant);
        assert_eq!(get_answer(answer.split_off(FRAME_HEADER).freeze()), Ok((call, expected)), "{epoch}");
    }
}

const OTHER: Answer = Answer::Refused(Refusal::OtherConfiguration);

#[test]
fn a_note_is_found_at_any_node_while_a_majority_lives() {
    let mut cluster = Cluster::new();
    let note = Note { id: SCRIPT, bytes: vec![7; 100_000].into() };
    let bytes = note.bytes.clone();
    cluster.part(0, 2);
    assert_eq!(cluster.inquire(0, Inquiry::Remember(note)), Some(Finding::Done));
    cluster.join(0, 2);
    cluster.part(0, 1);
    for node in 0..NODES {
        assert_eq!(cluster.inquire(node, Inquiry::Recall(SCRIPT)), Some(Finding::Note(Some(bytes.clone()))));
    }
    cluster.join(0, 1);
    assert_eq!(cluster.inquire(2, Inquiry::Forget(NoteKind::Script)), Some(Finding::Done));
    cluster.run();
    assert_eq!(cluster.inquire(1, Inquiry::Recall(SCRIPT)), Some(Finding::Note(None)));
}

#[test]
fn holders_are_waited_for() {
    let mut cluster = Cluster::new();
    cluster.part(0, 2);
    let outcomes = cluster.set(0, "v");
    cluster.run();
    let [Outcome::Written { version, .. }] = outcomes.borrow()[..] else { panic!("it is written") };
    let holders =
        |wanted| Inquiry::Holders { key: "k".into(), version, wanted, wait: Duration::from_secs(3) };
    assert_eq!(cluster.inquire(0, holders(1)), Some(Finding::Holders(1)));
    let (back, now) = (Back::default(), cluster.now().instant);
    cluster.nodes[0].0.inquire(holders(2), back.clone(), now);
    cluster.run();
    assert_eq!(*back.findings.borrow(), []);
    cluster.join(0, 2);
    for _ in 0..20 {
        cluster.pass(Duration::from_millis(200));
        cluster.run();
    }
    assert_eq!(*back.findings.borrow(), [Finding::Holders(2)]);
}
