//! The wire format: what is put comes back, and nothing that arrives can do more than close its connection.

use abd::wire::{
    FRAME_HEADER, WireError, call_of, get_bytes, get_reply, get_request, is_reply, put_bytes, put_frame,
    put_reply, put_request, request::Received, take_frame,
};
use abd::{
    Acceptance, AcceptedThere, Ballot, Base, CallId, Closed, Content, Deadline, Glimpse, Promise, Proposal,
    Refusal, Reply, Request, Scope, StampedValue, TIME_CEILING, Timestamp, Told, UpdateId, Version,
};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

/// More than any frame of these tests.
const LIMIT: usize = 1 << 20;

/// Short byte strings, the empty one included.
fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

/// Versions that a writer can have made.
fn written() -> impl Strategy<Value = Version> {
    (1..=TIME_CEILING, 1..=u32::MAX, 1..=u32::MAX, any::<u64>())
        .prop_map(|(time, node, boot, rmwc)| Version { timestamp: Timestamp { time, node, boot }, rmwc })
}

/// Those, and "never written".
fn version() -> impl Strategy<Value = Version> {
    prop_oneof![1 => Just(Version::MIN), 4 => written()]
}

/// Values and tombstones.
fn content() -> impl Strategy<Value = Content> {
    prop_oneof![Just(Content::Tombstone), bytes().prop_map(Content::Value)]
}

/// Ballots.
fn ballot() -> impl Strategy<Value = Ballot> {
    (any::<u32>(), 0..=abd::ballot::ROUND_CEILING, any::<u32>(), any::<u32>())
        .prop_map(|(epoch, round, node, boot)| Ballot { epoch, round, node, boot })
}

/// The identities of updates, and none.
fn update() -> impl Strategy<Value = UpdateId> {
    prop_oneof![Just(UpdateId::NONE), ballot().prop_map(Ballot::update)]
}

/// When values expire, and never.
fn deadline() -> impl Strategy<Value = Deadline> {
    prop_oneof![Just(Deadline::NONE), any::<u64>().prop_map(Deadline)]
}

/// What somebody has written.
fn stamped() -> impl Strategy<Value = StampedValue> {
    (written(), content(), deadline(), update())
        .prop_map(|(version, content, deadline, update)| StampedValue { version, content, deadline, update })
}

/// What a replica tells of a newest version.
fn glimpse() -> impl Strategy<Value = Glimpse> {
    (version(), any::<bool>(), deadline(), update(), prop::option::of(content()), any::<bool>()).prop_map(
        |(version, present, deadline, update, content, durable)| Glimpse {
            version,
            present,
            deadline,
            update,
            content,
            durable,
        },
    )
}

/// What an update proposes.
fn proposal() -> impl Strategy<Value = Proposal> {
    (update(), content(), deadline()).prop_map(|(update, content, deadline)| Proposal {
        update,
        content,
        deadline,
    })
}

/// Bases, by name and whole.
fn base() -> impl Strategy<Value = Base> {
    prop_oneof![version().prop_map(Base::Named), stamped().prop_map(Base::Whole)]
}

/// Every kind of request.
fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (bytes(), version()).prop_map(|(key, have)| Request::LocalRead { key, have }),
        bytes().prop_map(|key| Request::LocalReadTimestamp { key }),
        (bytes(), stamped()).prop_map(|(key, stamped)| Request::LocalWrite { key, stamped }),
        (bytes(), ballot(), prop::option::of(base().prop_map(Box::new)), version())
            .prop_map(|(key, ballot, base, have)| Request::Prepare { key, ballot, base, have }),
        (bytes(), ballot(), base().prop_map(Box::new), proposal().prop_map(Box::new))
            .prop_map(|(key, ballot, base, proposal)| Request::Accept { key, ballot, base, proposal }),
    ]
}

/// Every kind of refusal.
fn refusal() -> impl Strategy<Value = Refusal> {
    prop::sample::select(vec![
        Refusal::NotAdmitted,
        Refusal::DiskFull,
        Refusal::FutureVersion,
        Refusal::Overloaded,
        Refusal::StoreFailed,
        Refusal::Damaged,
        Refusal::TooLarge,
        Refusal::Busy,
        Refusal::OtherConfiguration,
    ])
}

/// What a replica knows of a closed instance.
fn accepted_there() -> impl Strategy<Value = AcceptedThere> {
    prop_oneof![
        Just(AcceptedThere::Nothing),
        (update(), ballot(), ballot()).prop_map(|(update, lowest, highest)| AcceptedThere::Update {
            update,
            lowest,
            highest
        }),
        Just(AcceptedThere::Forgotten)
    ]
}

/// Who was told of an acceptance.
fn told() -> impl Strategy<Value = Told> {
    prop::collection::vec(ballot(), 0..=Told::MAX + 1).prop_map(Told::of)
}

/// Every kind of reply.
fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        glimpse().prop_map(Reply::Read),
        (version(), any::<bool>(), any::<bool>()).prop_map(|(version, present, writable)| Reply::Timestamp {
            version,
            present,
            writable
        }),
        prop::option::of((version(), any::<bool>())).prop_map(|previous| Reply::Written { previous }),
        (glimpse(), prop::option::of((ballot(), proposal())), any::<bool>(), any::<u32>()).prop_map(
            |(newest, accepted, writable, boot)| {
                let accepted = accepted.map(|(ballot, proposal)| Acceptance { ballot, proposal });
                Reply::Promise(Box::new(Promise { newest, accepted, writable, boot }))
            }
        ),
        (ballot(), glimpse().prop_map(Box::new))
            .prop_map(|(promised, newest)| Reply::Nack { promised, newest }),
        (glimpse(), any::<u32>(), accepted_there(), prop::option::of(ballot()), told()).prop_map(
            |(newest, boot, accepted, winner, told)| {
                let winner = winner.map(Ballot::update).filter(|winner| *winner != UpdateId::NONE);
                Reply::Closed(Box::new(Closed { newest, boot, accepted, winner, told }))
            }
        ),
        Just(Reply::Accepted),
        Just(Reply::NeedBase),
        bytes().prop_map(|configuration| Reply::Stale { configuration }),
        refusal().prop_map(Reply::Refused),
    ]
}

/// Any call.
fn call() -> impl Strategy<Value = CallId> {
    (any::<u64>(), any::<u32>()).prop_map(|(operation, phase)| CallId { operation, phase })
}

/// Parts of the keys and their configurations.
fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::FIRST),
        (any::<u32>(), any::<u32>()).prop_map(|(partition, epoch)| Scope { partition, epoch })
    ]
}

/// Everything that a request says.
fn received() -> impl Strategy<Value = Received> {
    (call(), any::<u32>(), scope(), request()).prop_map(|(call, remaining_ms, scope, request)| Received {
        call,
        remaining_ms,
        scope,
        request,
    })
}

/// A request's body.
fn request_body(received: &Received) -> Bytes {
    let Received { call, remaining_ms, scope, request } = received;
    let mut out = BytesMut::new();
    put_request(&mut out, *call, *remaining_ms, *scope, request);
    out.freeze()
}

/// A reply's body.
fn reply_body(call: CallId, reply: &Reply) -> Bytes {
    let mut out = BytesMut::new();
    put_reply(&mut out, call, reply);
    out.freeze()
}

/// A frame around a body.
fn frame(body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    put_frame(&mut out, |out| out.extend_from_slice(body));
    out
}

proptest! {
    /// Requests come back, and neither a shorter nor a longer body is one.
    #[test]
    fn requests_round_trip_and_only_whole(received in received()) {
        let body = request_body(&received);
        for length in 0..body.len() {
            prop_assert!(get_request(body.slice(..length)).is_err(), "cut at {length} of {}", body.len());
        }
        let mut longer = BytesMut::from(&body[..]);
        longer.extend_from_slice(&[0]);
        prop_assert_eq!(get_request(longer.freeze()), Err(WireError::Length));
        prop_assert_eq!(call_of(&body[..13]), Some((received.call, false)));
        prop_assert_eq!(get_request(body), Ok(received));
    }

    /// The same for replies.
    #[test]
    fn replies_round_trip_and_only_whole((call, reply) in (call(), reply())) {
        let body = reply_body(call, &reply);
        for length in 0..body.len() {
            prop_assert!(get_reply(body.slice(..length)).is_err(), "cut at {length} of {}", body.len());
        }
        let mut longer = BytesMut::from(&body[..]);
        longer.extend_from_slice(&[0]);
        prop_assert_eq!(get_reply(longer.freeze()), Err(WireError::Length));
        prop_assert!(is_reply(&body));
        prop_assert_eq!(call_of(&body[..13]), Some((call, true)));
        prop_assert_eq!(get_reply(body), Ok((call, reply)));
    }

    /// A request is never taken for a reply, nor a reply for a request.
    #[test]
    fn the_two_directions_do_not_mix((call, received, reply) in (call(), received(), reply())) {
        prop_assert!(!is_reply(&request_body(&received)));
        prop_assert!(get_reply(request_body(&received)).is_err());
        prop_assert!(get_request(reply_body(call, &reply)).is_err());
    }

    /// Noise is an error or, by chance, a message that encodes to the same noise. Never a panic.
    #[test]
    fn random_bytes_never_panic(kind in any::<u8>(), mut noise in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut input = BytesMut::from(&noise[..]);
        let _ = take_frame(&mut input, LIMIT);
        let _ = get_bytes(&mut Bytes::from(noise.clone()));
        if let Some(first) = noise.first_mut() {
            // Half of all cases get past the first byte.
            *first = if kind & 1 == 0 { *first } else { [1, 2, 3, 4, 5, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74][usize::from(kind) % 15] };
        }
        let noise = Bytes::from(noise);
        if let Ok(received) = get_request(noise.clone()) {
            prop_assert_eq!(request_body(&received), noise.clone());
        }
        if let Ok((call, reply)) = get_reply(noise.clone()) {
            prop_assert_eq!(reply_body(call, &reply), noise);
        }
    }

    /// A message with one byte replaced is an error or another message in its only encoding. Never a panic.
    #[test]
    fn a_damaged_body_never_panics((call, received, reply) in (call(), received(), reply()), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = request_body(&received).to_vec();
        let place = at.index(body.len());
        body[place] = byte;
        if let Ok(received) = get_request(body.clone().into()) {
            prop_assert_eq!(request_body(&received), body);
        }
        let mut body = reply_body(call, &reply).to_vec();
        let place = at.index(body.len());
        body[place] = byte;
        if let Ok((call, reply)) = get_reply(body.clone().into()) {
            prop_assert_eq!(reply_body(call, &reply), body);
        }
    }

    /// One flipped bit of the checksum or of the body is noticed.
    #[test]
    fn a_flipped_bit_is_a_checksum_error((call, reply) in (call(), reply()), at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let mut input = frame(&reply_body(call, &reply));
        let place = 4 + at.index(input.len() - 4);
        input[place] ^= 1 << bit;
        prop_assert_eq!(take_frame(&mut input, LIMIT), Err(WireError::Checksum));
    }

    /// One flipped bit of the length never yields a body.
    #[test]
    fn a_flipped_bit_of_the_length_yields_no_body((call, reply) in (call(), reply()), place in 0..4usize, bit in 0..8u32) {
        let mut input = frame(&reply_body(call, &reply));
        input[place] ^= 1 << bit;
        prop_assert!(!matches!(take_frame(&mut input, LIMIT), Ok(Some(_))));
    }

    /// A stream cut anywhere yields nothing until the rest is there; then both frames, in order.
    #[test]
    fn partial_frames_wait_for_the_rest(first in bytes(), second in bytes(), at in any::<prop::sample::Index>()) {
        let mut stream = frame(&first);
        let boundary = stream.len();
        stream.extend_from_slice(&frame(&second));
        let cut = at.index(stream.len());
        let rest = stream.split_off(cut);
        let mut got = Vec::new();
        while let Some(body) = take_frame(&mut stream, LIMIT).expect("an undamaged stream") {
            got.push(body);
        }
        prop_assert_eq!(got.len(), usize::from(cut >= boundary));
        stream.extend_from_slice(&rest);
        while let Some(body) = take_frame(&mut stream, LIMIT).expect("an undamaged stream") {
            got.push(body);
        }
        prop_assert_eq!(got, vec![first, second]);
        prop_assert!(stream.is_empty());
    }

    /// Fields with a length prefix come back, and the rest of the input stays.
    #[test]
    fn byte_fields_round_trip(field in bytes(), rest in bytes()) {
        let mut out = BytesMut::new();
        put_bytes(&mut out, &field);
        out.extend_from_slice(&rest);
        let mut input = out.freeze();
        prop_assert_eq!(get_bytes(&mut input), Ok(field));
        prop_assert_eq!(input, rest);
    }

    /// The order of encoded versions is the order of versions.
    #[test]
    fn versions_sort_as_their_bytes_do(a in version(), b in version()) {
        prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        prop_assert_eq!(Version::from_bytes(&a.to_bytes()), Ok(a));
    }
}

/// A frame above the limit is refused from its header alone, before anybody reserves memory for it.
#[test]
fn an_over_long_frame_is_refused_by_its_header() {
    let whole = frame(&[7; 100]);
    for limit in [0, 99] {
        let mut header = BytesMut::from(&whole[..FRAME_HEADER]);
        assert_eq!(take_frame(&mut header, limit), Err(WireError::TooLong { length: 100, limit }));
    }
    let mut exact = whole.clone();
    assert_eq!(take_frame(&mut exact, 100).map(|body| body.map(|body| body.len())), Ok(Some(100)));
    let mut short = BytesMut::from(&whole[..FRAME_HEADER - 1]);
    assert_eq!(take_frame(&mut short, 0), Ok(None), "the header is not all there");
}

/// No coordinator asks to store "never written" (PROTOCOL section 1: no writer can produce it).
#[test]
fn a_write_of_the_least_version_is_refused() {
    let stamped = StampedValue::plain(Version::MIN, Content::Tombstone);
    let body = request_body(&Received {
        call: CallId { operation: 1, phase: 1 },
        remaining_ms: 1,
        scope: Scope::FIRST,
        request: Request::LocalWrite { key: "k".into(), stamped },
    });
    assert!(matches!(get_request(body), Err(WireError::Version(_))));
}
