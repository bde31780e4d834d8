//! The machine alone.

use super::*;
use abd::{Members, NodeId, NodeSet, Refusal, Scope, Timestamp};
use alloc::vec;
use listing::Listing;

const TIMEOUT: Duration = Duration::from_secs(5);

fn inquiries(members: u32) -> Inquiries<u32> {
    Inquiries::new(plain(1..=members, 1), NodeId(1), <[u8]>::cmp, TIMEOUT)
}

fn members(ids: impl IntoIterator<Item = u32>) -> Members {
    Members::new(ids.into_iter().map(NodeId).collect())
}

fn scope(epoch: u32) -> Scope {
    Scope { epoch, ..Scope::FIRST }
}

fn plain(ids: impl IntoIterator<Item = u32>, epoch: u32) -> QuorumSystem {
    QuorumSystem::of(members(ids), scope(epoch))
}

fn at(milliseconds: u64) -> Instant {
    Instant(milliseconds * 1_000_000)
}

fn now(milliseconds: u64) -> Now {
    Now { instant: at(milliseconds), interval: None, moment: abd::Moment::UNKNOWN }
}

fn asked(inquiries: &mut Inquiries<u32>) -> Vec<u32> {
    core::iter::from_fn(|| inquiries.poll_ask()).map(|ask| ask.member.0).collect()
}

fn call(number: u64) -> CallId {
    call_in(1, number)
}

/// In an epoch.
fn call_in(epoch: u32, number: u64) -> CallId {
    CallId { operation: number, phase: epoch }
}

fn version(time: u64) -> Version {
    Version::of_write(Timestamp { time, node: 1, boot: 1 })
}

fn keys() -> Inquiry {
    Inquiry::Keys(Wanted { keys: 10, bytes: 1000, ..Wanted::default() })
}

const PAGE: Answer = Answer::Keys(Listing { entries: Vec::new(), told_up_to: None });
const SCRIPT: NoteId = NoteId { kind: NoteKind::Script, name: [7; 20] };

#[test]
fn a_bare_majority_is_asked_and_others_when_it_does_not_answer() {
    let mut all = inquiries(3);
    let id = all.begin(keys(), 1, at(0));
    assert_eq!(asked(&mut all), [1, 2]);
    all.handle_answer(NodeId(1), call(id.0), PAGE, now(1));
    assert_eq!(all.poll_ended(), None);
    // One that refuses, or cannot be reached, is as good as none.
    all.handle_answer(NodeId(2), call(id.0), Answer::Refused(Refusal::Overloaded), now(1));
    assert_eq!(asked(&mut all), [3]);
    assert_eq!(all.poll_timeout(), Some(at(101)));
    all.handle_timeout(at(101));
    assert_eq!(asked(&mut all), [2, 3]);
    all.handle_answer(NodeId(2), call(id.0), PAGE, now(102));
    assert_eq!(all.poll_ended(), Some((1, Finding::Keys(Page::default()))));
    assert_eq!((all.in_flight(), all.poll_timeout()), (0, None));
    // The one that has let it wait is asked last.
    let id = all.begin(keys(), 2, at(200));
    assert_eq!(asked(&mut all), [1, 2]);
    all.cancel(id, at(201));
    assert_eq!((all.in_flight(), all.poll_timeout()), (0, None));
}

#[test]
fn what_a_majority_does_not_answer_fails_in_time() {
    let mut all = inquiries(3);
    let id = all.begin(keys(), 1, at(0));
    all.handle_answer(NodeId(1), call(id.0), PAGE, now(1));
    let mut questions = 0;
    while let Some(due) = all.poll_timeout() {
        questions += asked(&mut all).len();
        all.handle_timeout(due);
    }
    let (_, finding) = all.poll_ended().unwrap();
    let reason = Reason::NoQuorum { answered: 1, needed: 2, members: 3, refusal: None };
    assert_eq!(finding, Finding::Failed(reason));
    assert!((4..30).contains(&questions), "{questions}");
}

#[test]
fn few_looks_run_at_a_time_and_each_has_its_turn() {
    let mut all = inquiries(3);
    let ids: Vec<InquiryId> = (0..10).map(|number| all.begin(keys(), number, at(0))).collect();
    assert_eq!(asked(&mut all).len(), 2 * LOOKS_MAX);
    // Notes do not wait for looks.
    all.begin(Inquiry::Forget(NoteKind::Script), 99, at(0));
    assert_eq!(asked(&mut all), [1, 2, 3]);
    for id in &ids {
        for member in [1, 2] {
            all.handle_answer(NodeId(member), call(id.0), PAGE, now(1));
        }
    }
    let ended: Vec<u32> = core::iter::from_fn(|| all.poll_ended()).map(|(back, _)| back).collect();
    assert_eq!(ended, (0..10).collect::<Vec<u32>>());
}

#[test]
fn a_note_is_sought_at_home_first_and_then_everywhere() {
    let mut all = inquiries(3);
    let id = all.begin(Inquiry::Recall(SCRIPT), 1, at(0));
    assert_eq!(asked(&mut all), [1]);
    all.handle_answer(NodeId(1), call(id.0), Answer::Note(None), now(1));
    assert_eq!(asked(&mut all), [2, 3]);
    all.handle_answer(NodeId(3), call(id.0), Answer::Note(Some("source".into())), now(2));
    assert_eq!(all.poll_ended(), Some((1, Finding::Note(Some("source".into())))));
    // A majority that does not know it is enough to say so.
    let id = all.begin(Inquiry::Recall(SCRIPT), 2, at(0));
    for member in [1, 2] {
        all.handle_answer(NodeId(member), call(id.0), Answer::Note(None), now(1));
    }
    assert_eq!(all.poll_ended(), Some((2, Finding::Note(None))));
    // Alone it is one.
    let mut alone = inquiries(1);
    let id = alone.begin(Inquiry::Recall(SCRIPT), 1, at(0));
    alone.handle_answer(NodeId(1), call(id.0), Answer::Note(None), now(1));
    assert_eq!(alone.poll_ended(), Some((1, Finding::Note(None))));
}

#[test]
fn holders_are_others_that_have_the_version() {
    let holders = |wanted, wait| Inquiry::Holders {
        key: "k".into(),
        version: version(5),
        wanted,
        wait: Duration::from_millis(wait),
    };
    let mut all = inquiries(5);
    // A completed write is at a majority, so it is at two others.
    all.begin(holders(2, 0), 1, at(0));
    assert_eq!(all.poll_ended(), Some((1, Finding::Holders(2))));
    let id = all.begin(holders(3, 150), 2, at(0));
    assert_eq!(asked(&mut all), [2, 3, 4, 5]);
    for (member, time) in [(2, 5), (3, 4), (4, 6)] {
        all.handle_answer(NodeId(member), call(id.0), Answer::Newest(version(time)), now(1));
    }
    all.handle_timeout(at(100));
    assert_eq!(asked(&mut all), [3, 5]);
    all.handle_answer(NodeId(3), call(id.0), Answer::Newest(version(5)), now(101));
    assert_eq!(all.poll_ended(), Some((2, Finding::Holders(3))));
    // It does not fail, but tells what it knows.
    all.begin(holders(4, 150), 3, at(200));
    all.handle_timeout(at(350));
    assert_eq!(all.poll_ended(), Some((3, Finding::Holders(2))));
}

#[test]
fn messages_come_back_as_they_were_and_nothing_else_does() {
    let note = Note { id: SCRIPT, bytes: vec![1, 2].into() };
    let wanted = Wanted { after: Some("a".into()), pattern: Some("b*".into()), keys: 3, bytes: 4 };
    let entry = listing::ListedKey {
        key: "k".into(),
        version: version(3),
        present: true,
        deadline: abd::Deadline(77),
    };
    let plain = listing::ListedKey { present: false, deadline: abd::Deadline::NONE, ..entry.clone() };
    let questions = [
        Question::Keys(wanted),
        Question::Keys(Wanted::default()),
        Question::Newest("k".into()),
        Question::Remember(note),
        Question::Recall(SCRIPT),
        Question::Forget(NoteKind::Cursor),
    ];
    let answers = [
        Answer::Keys(Listing { entries: vec![entry, plain], told_up_to: Some("z".into()) }),
        PAGE,
        Answer::Newest(version(9)),
        Answer::Done,
        Answer::Note(None),
        Answer::Note(Some("n".into())),
        Answer::Refused(Refusal::Damaged),
    ];
    let encoded = |put: &dyn Fn(&mut bytes::BytesMut)| {
        let mut out = bytes::BytesMut::new();
        put(&mut out);
        out.freeze()
    };
    for question in questions {
        let body = encoded(&|out| message::put_question(out, call(8), &question));
        assert!(message::is_question(&body) && !message::is_answer(&body));
        assert_eq!(message::get_question(body.clone()), Ok((call(8), question)));
        assert!((0..body.len()).all(|length| message::get_question(body.slice(..length)).is_err()));
    }
    for answer in answers {
        let body = encoded(&|out| message::put_answer(out, call(8), &answer));
        assert!(message::is_answer(&body) && !message::is_question(&body));
        assert_eq!(message::get_answer(body.clone()), Ok((call(8), answer)));
        assert!((0..body.len()).all(|length| message::get_answer(body.slice(..length)).is_err()));
    }
}

#[test]
fn a_pause_asks_nobody_and_ends_in_time_or_with_its_client() {
    let mut all = inquiries(3);
    let long = all.begin(Inquiry::Pause(Duration::from_millis(50)), 1, at(10));
    all.begin(Inquiry::Pause(Duration::from_millis(20)), 2, at(10));
    all.begin(Inquiry::Pause(Duration::from_secs(3600)), 3, at(10));
    assert_eq!((asked(&mut all), all.poll_timeout(), all.in_flight()), (vec![], Some(at(30)), 0));
    all.handle_timeout(at(29));
    assert_eq!(all.poll_ended(), None);
    all.handle_timeout(at(30));
    assert_eq!((all.poll_ended(), all.poll_ended()), (Some((2, Finding::Done)), None));
    all.cancel(long, at(31));
    all.handle_timeout(at(99));
    assert_eq!(all.poll_ended(), None);
    all.handle_timeout(Instant(u64::MAX));
    assert_eq!((all.poll_ended(), all.poll_timeout()), (Some((3, Finding::Done)), None));
}

/// C1: what was said in one epoch is nothing in the next one, and a joint quorum is needed in a joint one.
#[test]
fn c1_answers_of_two_epochs_do_not_add_up() {
    let mut all = inquiries(3);
    let id = all.begin(keys(), 1, at(0));
    assert_eq!(asked(&mut all), [1, 2]);
    all.handle_answer(NodeId(1), call(id.0), PAGE, now(1));
    let joint = QuorumSystem::joint(members(1..=3), members([3, 4, 5]), NodeSet::EMPTY, scope(2));
    all.install(&joint, at(10));
    assert_eq!(asked(&mut all), [1, 2, 3, 4]);
    // Neither what the first epoch says late, nor a majority of those of old, nor somebody without a vote.
    all.handle_answer(NodeId(2), call(id.0), PAGE, now(11));
    for member in [1, 2, 9, 4] {
        all.handle_answer(NodeId(member), call_in(2, id.0), PAGE, now(11));
    }
    assert_eq!(all.poll_ended(), None);
    all.handle_answer(NodeId(3), call_in(2, id.0), PAGE, now(12));
    assert_eq!(all.poll_ended(), Some((1, Finding::Keys(Page::default()))));
    // Once they have changed only those who came are asked; this node is none of them.
    all.begin(keys(), 2, at(20));
    all.install(&plain(3..=5, 3), at(21));
    assert_eq!(asked(&mut all), [3, 4]);
    all.begin(Inquiry::Recall(SCRIPT), 3, at(22));
    assert_eq!(asked(&mut all), [3, 4, 5]);
}

/// C1: whoever has not installed the epoch refuses, and is asked again.
#[test]
fn c1_a_member_of_another_epoch_is_asked_until_it_follows() {
    let mut all = inquiries(3);
    all.install(&plain(1..=3, 2), at(0));
    let id = all.begin(Inquiry::Forget(NoteKind::Script), 1, at(0));
    assert_eq!(asked(&mut all), [1, 2, 3]);
    all.handle_answer(NodeId(1), call_in(2, id.0), Answer::Done, now(1));
    for member in [2, 3] {
        let refused = Answer::Refused(Refusal::OtherConfiguration);
        all.handle_answer(NodeId(member), call_in(2, id.0), refused, now(1));
    }
    assert_eq!(all.poll_ended(), None);
    all.handle_timeout(at(100));
    assert_eq!(asked(&mut all), [2, 3]);
    all.handle_answer(NodeId(3), call_in(2, id.0), Answer::Done, now(101));
    assert_eq!(all.poll_ended(), Some((1, Finding::Done)));
}

#[test]
fn an_inquiry_that_begins_anew_ends_when_it_would_have_ended() {
    let mut all = inquiries(3);
    let id = all.begin(keys(), 1, at(0));
    for epoch in 2..=40 {
        all.install(&plain(1..=3, epoch), at(u64::from(epoch) * 100));
    }
    assert_eq!(asked(&mut all), [1, 2], "the questions of older epochs are not put any more");
    all.handle_answer(NodeId(1), call_in(40, id.0), PAGE, now(4001));
    while let Some(due) = all.poll_timeout().filter(|due| *due <= at(5000)) {
        all.handle_timeout(due);
    }
    let reason = Reason::NoQuorum { answered: 1, needed: 2, members: 3, refusal: None };
    assert_eq!(all.poll_ended(), Some((1, Finding::Failed(reason))));
    assert_eq!((all.in_flight(), all.poll_timeout()), (0, None));
}

#[test]
fn fewer_members_have_fewer_holders_and_more_have_more() {
    let wait = Duration::from_secs(1);
    let holders = |wanted| Inquiry::Holders { key: "k".into(), version: version(5), wanted, wait };
    let mut all = inquiries(3);
    let id = all.begin(holders(2), 1, at(0));
    all.handle_answer(NodeId(2), call(id.0), Answer::Newest(version(5)), now(1));
    all.install(&plain(1..=5, 2), at(2));
    assert_eq!(all.poll_ended(), Some((1, Finding::Holders(2))), "a majority of five has it");
    let id = all.begin(holders(3), 2, at(3));
    all.install(&plain([2, 3, 4, 5], 3), at(4));
    assert_eq!(asked(&mut all), [2, 3, 4, 5], "this node is no member any more");
    for member in 2..=4 {
        all.handle_answer(NodeId(member), call_in(3, id.0), Answer::Newest(version(6)), now(5));
    }
    assert_eq!(all.poll_ended(), Some((2, Finding::Holders(3))));
}
