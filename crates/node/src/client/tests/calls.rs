//! Over the Coordinator service.

use super::*;
use crate::client::service::{Call, CallAnswer, get_answer, put_call};
use crate::functions::{Function, FunctionAnswer};
use abd::wire::{put_frame, take_frame};
use abd::{Deadline, Version};

fn calls(calls: &[(u64, Call)]) -> BytesMut {
    let mut out = BytesMut::new();
    for (number, call) in calls {
        put_frame(&mut out, |body| put_call(body, *number, call));
    }
    out
}

fn answers(client: &mut Client<'_, Calls>) -> Vec<(u64, CallAnswer)> {
    client.go();
    while client.world.run() {
        client.go();
    }
    let mut bytes = BytesMut::from(&core::mem::take(&mut client.received)[..]);
    let frames = core::iter::from_fn(|| take_frame(&mut bytes, 1 << 20).unwrap());
    frames.map(|body| get_answer(body).unwrap()).collect()
}

#[test]
fn calls_are_answered_in_order_but_for_those_that_were_cancelled() {
    let world = World::new();
    let mut client = Client::over_calls(&world);
    let get = |key: &'static str| Call::Run(Operation::Get { key: key.into() });
    let set = |key: &'static str| {
        Call::Run(Operation::Set { key: key.into(), value: "1".into(), deadline: Deadline::NONE })
    };
    client.send(calls(&[(7, set("a")), (9, get("b")), (8, get("c"))]));
    client.send(calls(&[(9, Call::Cancel), (11, get("a"))]));
    assert_eq!(
        answers(&mut client),
        [
            (7, CallAnswer::Written(false)),
            (8, CallAnswer::Read(None)),
            (11, CallAnswer::Read(Some("1".into())))
        ]
    );
    assert_eq!(world.turns.borrow().all(), Load::default());
}

#[test]
fn a_key_that_is_too_long_is_refused_and_bytes_without_sense_end_the_connection() {
    let world = World::new();
    let mut client = Client::over_calls(&world);
    client.send(calls(&[(1, Call::Run(Operation::Delete { key: "long".repeat(5).into() }))]));
    let why = "key is too long: 20 bytes, the limit is 16".to_owned();
    assert_eq!(answers(&mut client), [(1, CallAnswer::Refused(why))]);
    client.conversation.input().0.extend_from_slice(&[0xff; 16]);
    client.conversation.handle_read(16, world.now.get());
    assert!(client.conversation.advance(&world).is_err());
}

#[test]
fn nobody_calls_for_what_the_cluster_keeps_for_itself() {
    let world = World::new();
    let mut client = Client::over_calls(&world);
    let key = Bytes::from_static(crate::configuration::KEY);
    client.send(calls(&[(1, Call::Run(Operation::Get { key }))]));
    let [(1, CallAnswer::Refused(why))] = &answers(&mut client)[..] else { panic!("it is refused") };
    assert!(why.contains("reserved"), "{why}");
}

#[test]
fn updates_are_called_with_their_functions() {
    let world = World::new();
    let mut client = Client::over_calls(&world);
    let update = |functions: &[Function]| {
        let functions = functions.iter().map(Function::encode).collect();
        Call::Run(Operation::Update { key: "k".into(), functions })
    };
    let unknown = abd::Function { encoded: "?".into(), always_changes: false };
    let unknown = Call::Run(Operation::Update { key: "k".into(), functions: [unknown].into() });
    let (one, two) = (Function::Increment(1), Function::Append("0".into()));
    client.send(calls(&[
        (1, update(&[one.clone(), two])),
        (2, update(&[one])),
        (3, unknown),
        (4, update(&[])),
    ]));
    let version = |rmwc| Version { rmwc, ..Version::MIN };
    let answer = |number| FunctionAnswer::Integer(number).encode();
    assert_eq!(
        answers(&mut client),
        [
            (1, CallAnswer::Updated(version(1), [answer(1), answer(2)].into())),
            (2, CallAnswer::Updated(version(2), [answer(11)].into())),
            (3, CallAnswer::Refused("no function: unknown message kind 63".to_owned())),
            (4, CallAnswer::Refused("no function".to_owned())),
        ]
    );
}
