//! What replicas ask each other, as bytes.

use crate::world::{key, version};
use abd::{CallId, Refusal, Version};
use bytes::{Bytes, BytesMut};
use node::limits::KEY_BYTES_MAX;
use node::repair::message::{
    Answer, Question, get_answer, get_question, is_answer, is_question, put_answer, put_question,
};
use node::repair::ranges::{CHUNK_KEYS, Range};

fn questions() -> Vec<Question> {
    let range = Range { after: Some("a".into()), up_to: None };
    vec![
        Question::Digest { range: range.clone(), count: 7, digest: [9; 16] },
        Question::Versions { listed: vec![(key(1), version(1)), (key(2), Version::MIN)], range: Some(range) },
        Question::Versions { listed: Vec::new(), range: None },
    ]
}

pub(crate) fn answers() -> Vec<Answer> {
    vec![
        Answer::Same(true),
        Answer::Same(false),
        Answer::Refused(Refusal::Overloaded),
        Answer::Versions {
            versions: vec![version(3), Version::MIN],
            others: vec![(key(1), version(1))],
            told_up_to: None,
        },
        Answer::Versions { versions: Vec::new(), others: Vec::new(), told_up_to: Some("z".into()) },
    ]
}

const CALL: CallId = CallId { operation: 77, phase: 3 };

#[test]
fn messages_survive_the_way_and_nothing_else_is_one() {
    for question in questions() {
        let mut body = BytesMut::new();
        put_question(&mut body, CALL, &question);
        assert!(is_question(&body) && !is_answer(&body));
        assert_eq!(get_question(body.clone().freeze()), Ok((CALL, question)));
        for length in 0..body.len() {
            assert!(get_question(body.clone().freeze().slice(..length)).is_err());
        }
        body.extend_from_slice(&[0]);
        assert!(get_question(body.freeze()).is_err());
    }
    for told in answers() {
        let mut body = BytesMut::new();
        put_answer(&mut body, CALL, &told);
        assert!(is_answer(&body) && !is_question(&body));
        assert_eq!(get_answer(body.clone().freeze()), Ok((CALL, told)));
        for length in 0..body.len() {
            assert!(get_answer(body.clone().freeze().slice(..length)).is_err());
        }
        body.extend_from_slice(&[0]);
        assert!(get_answer(body.freeze()).is_err());
    }
}

#[test]
fn what_exceeds_the_limits_is_no_message() {
    let many: Vec<_> = (0..=CHUNK_KEYS).map(|number| (key(number), version(1))).collect();
    let mut body = BytesMut::new();
    put_question(&mut body, CALL, &Question::Versions { listed: many.clone(), range: None });
    assert!(get_question(body.freeze()).is_err());
    let mut body = BytesMut::new();
    put_answer(&mut body, CALL, &Answer::Versions { versions: Vec::new(), others: many, told_up_to: None });
    assert!(get_answer(body.freeze()).is_err());
    let mut body = BytesMut::new();
    put_question(
        &mut body,
        CALL,
        &Question::Digest { range: Range::default(), count: 1025, digest: [0; 16] },
    );
    assert!(get_question(body.freeze()).is_err());
    // Nobody has written such a key.
    let long = vec![(Bytes::from(vec![b'k'; KEY_BYTES_MAX + 1]), version(1))];
    let mut body = BytesMut::new();
    put_question(&mut body, CALL, &Question::Versions { listed: long, range: None });
    assert!(get_question(body.freeze()).is_err());
    // A length that claims more than there is costs nothing.
    let mut body = BytesMut::new();
    put_answer(
        &mut body,
        CALL,
        &Answer::Versions { versions: Vec::new(), others: Vec::new(), told_up_to: None },
    );
    let count_at = body.len() - 5;
    body[count_at..count_at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(get_answer(body.freeze()).is_err());
}
