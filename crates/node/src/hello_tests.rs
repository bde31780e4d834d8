use super::*;
use crate::nonce::Tag;
use abd::wire::put_bytes;
use abd::{NodeId, TimestampMode};
use alloc::{borrow::ToOwned, string::ToString, vec, vec::Vec};

/// Bytes of fields, the tag and the length included.
const LANE_FIELD: usize = 6 + 3;
const CHALLENGE_FIELD: usize = 6 + 16;
const ENDPOINT_FIELD: usize = 6 + 2 + "c.example".len();

fn about() -> About {
    About {
        cluster: "1=a:1,3=c:3".into(),
        timestamps: "logical".into(),
        member: Some(3),
        challenge: [9; 16],
        admitted: true,
        limits: Limits { key: 1, value: 2, frame: 3 },
        loops: 2,
        endpoint: Endpoint::new("c.example", 6380),
        epoch: None,
    }
}

fn hello(oldest: u16, newest: u16) -> Hello {
    Hello {
        versions: Versions::new(oldest, newest).unwrap(),
        service: Service::Replica,
        lane: Some(LaneId { kind: LaneKind::Bulk, pair: 1 }),
        about: about(),
        address: None,
    }
}

fn written(put: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    put(&mut out);
    out.freeze()
}

#[test]
fn the_highest_common_version_is_spoken() {
    let range = |oldest, newest| Versions::new(oldest, newest).unwrap();
    assert_eq!(range(3, 5).common(range(2, 4)), Some(4));
    assert_eq!(range(2, 4).common(range(3, 5)), Some(4));
    assert_eq!(range(3, 3).common(range(1, 9)), Some(3));
    assert_eq!(range(3, 4).common(range(5, 6)), None);
    assert_eq!(range(5, 6).common(range(3, 4)), None);
    assert_eq!(Versions::new(4, 3), None);
}

#[test]
fn what_is_said_is_understood() {
    let said = hello(3, 5);
    assert_eq!(Hello::get(written(|out| said.put(out)), Versions::OURS), Ok(said));
    let said = Welcome { version: 5, about: About { member: None, ..about() }, configuration: None };
    assert_eq!(Welcome::get(written(|out| said.put(out)), Versions::OURS), Ok(said));
    let configuration = Configuration::first([(NodeId(1), "a:1".into())], TimestampMode::Logical);
    let about_joining = About { member: None, epoch: Some(7), ..about() };
    let said = Hello { service: Service::Join, lane: None, about: about_joining.clone(), ..hello(6, 6) };
    let said = Hello { address: Some("d:4".into()), ..said };
    assert_eq!(Hello::get(written(|out| said.put(out)), Versions::OURS), Ok(said));
    let said = Welcome { version: 6, about: about_joining, configuration: Some(configuration) };
    assert_eq!(Welcome::get(written(|out| said.put(out)), Versions::OURS), Ok(said));
    let mut body = BytesMut::new();
    Met.put(&mut body);
    put_field(&mut body, 900, |out| out.put_slice(b"whatever"));
    assert_eq!(Met::get(body.freeze(), Versions::OURS), Ok(Met));
}

#[test]
fn a_refusal_may_come_in_place_of_a_welcome_and_of_a_verdict() {
    for said in [
        Refused::Mismatch("another cluster".into()),
        Refused::Impostor("another disk".into(), vec![Tag([1; 16])]),
        Refused::Retired(Bytes::from_static(b"a configuration"), vec![Tag([1; 16])]),
    ] {
        let body = written(|out| said.put(out));
        assert_eq!(Welcome::get(body.clone(), Versions::OURS), Err(said.clone().into()));
        assert_eq!(Met::get(body, Versions::OURS), Err(said.into()));
    }
    let welcome = written(|out| Welcome { version: 5, about: about(), configuration: None }.put(out));
    assert_eq!(Met::get(welcome, Versions::OURS), Err(HelloError::Stranger));
}

#[test]
fn without_a_common_version_nothing_else_is_read() {
    let mut body = BytesMut::new();
    hello(7, 9).put(&mut body);
    // Whatever fields look like then.
    body.truncate(9);
    body.put_slice(b"nonsense");
    let why = Hello::get(body.freeze(), Versions::OURS).unwrap_err();
    assert_eq!(why, HelloError::Version { theirs: Versions::new(7, 9).unwrap(), ours: Versions::OURS });
    assert!(why.to_string().contains("versions 7 to 9, this node versions 5 to 6"), "{why}");
    let said = Welcome { version: 7, about: about(), configuration: None };
    let why = Welcome::get(written(|out| said.put(out)), Versions::OURS).unwrap_err();
    assert!(matches!(why, HelloError::Version { .. }));
}

#[test]
fn a_node_from_before_there_were_ranges_is_told_apart() {
    let theirs = Versions::new(2, 2).unwrap();
    let expected = HelloError::Version { theirs, ours: Versions::OURS };
    let said = written(|out| {
        out.put_u8(HELLO);
        out.put_u32(MAGIC);
        out.put_u16(2);
        out.put_u8(1);
        put_bytes(out, b"1=a:1");
    });
    assert_eq!(Hello::get(said, Versions::OURS), Err(expected.clone()));
    let answered = written(|out| Refused::Mismatch("2".into()).put(out));
    assert_eq!(Welcome::get(answered, Versions::OURS), Err(expected));
}

#[test]
fn what_a_later_release_adds_is_skipped() {
    let said = hello(3, 5);
    let mut body = BytesMut::new();
    said.put(&mut body);
    // A field of its own, and more at the end of a known one.
    body.truncate(body.len() - ENDPOINT_FIELD - CHALLENGE_FIELD);
    put_field(&mut body, CHALLENGE, |out| out.put_slice(&[&[9; 16][..], &[77, 78]].concat()));
    put_field(&mut body, ENDPOINT, |out| Endpoint::new("c.example", 6380).unwrap().put(out));
    put_field(&mut body, 900, |out| out.put_slice(b"whatever"));
    assert_eq!(Hello::get(body.freeze(), Versions::OURS), Ok(said));
}

#[test]
fn a_field_that_is_missing_comes_twice_or_is_cut_is_an_error() {
    let body = written(|out| hello(5, 5).put(out));
    for length in 0..body.len() {
        // Without its last fields it is a hello without an endpoint, a challenge, or a lane.
        let cut = Hello::get(body.slice(..length), Versions::OURS);
        let missing =
            [ENDPOINT_FIELD, ENDPOINT_FIELD + CHALLENGE_FIELD, ENDPOINT_FIELD + CHALLENGE_FIELD + LANE_FIELD];
        let whole = missing.contains(&(body.len() - length));
        assert_eq!(cut.is_ok(), whole, "{length}: {cut:?}");
    }
    let mut twice = BytesMut::from(&body[..]);
    put_field(&mut twice, CHALLENGE, |out| out.put_slice(&[0; 16]));
    let expected = Err(HelloError::Fields(FieldsError::Order(CHALLENGE)));
    assert_eq!(Hello::get(twice.freeze(), Versions::OURS), expected);
}

#[test]
fn an_endpoint_that_cannot_be_one_is_as_good_as_none() {
    let said = hello(3, 5);
    let mut body = BytesMut::new();
    said.put(&mut body);
    body.truncate(body.len() - ENDPOINT_FIELD);
    put_field(&mut body, ENDPOINT, |out| out.put_slice(b"\x01\x00a b"));
    let about = About { endpoint: None, ..about() };
    assert_eq!(Hello::get(body.freeze(), Versions::OURS), Ok(Hello { about, ..said }));
}

#[test]
fn what_a_stranger_says_is_shown_without_control_characters() {
    let why = "bad\n2026 ERROR forged \u{1b}[31m\u{9b}31m".to_owned();
    for refused in [Refused::Mismatch(why.clone()), Refused::Impostor(why, Vec::new())] {
        let shown = HelloError::from(refused).to_string();
        assert!(shown.ends_with("bad\u{fffd}2026 ERROR forged \u{fffd}[31m\u{fffd}31m"), "{shown:?}");
    }
}
