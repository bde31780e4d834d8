use abd::wire;
use bytes::{Bytes, BytesMut};
use node::client::service;
use node::frames::{Frames, HEAD_BYTES, Incoming};
use node::functions::{Function, FunctionAnswer};
use node::hello::{Hello, Met, Versions, Welcome};
use node::inquiry::message as inquiry;
use node::introduction::Introduction;
use node::repair::message as repair;
use node::sync::message as sync;

const LIMIT: usize = 1 << 16;

/// What arrives at the peer port: frames and the messages in them.
///
/// Frames come out the same however the bytes are cut, and a message that is understood says the same after it was
/// written again.
pub fn frames(data: &[u8]) {
    let whole = taken(data, data.len().max(1));
    let cut = taken(data, 1 + data.first().map_or(0, |&first| usize::from(first % 16)));
    assert_eq!(whole, cut, "the cut of the stream shows in the frames");
    for body in whole {
        message(&body);
    }
    let passed_over = passed_over(data, data.len().max(1));
    assert_eq!(passed_over, self::passed_over(data, 7), "the cut of the stream shows in what is passed over");
    // Few random bytes have the right checksum, so the messages get them without a frame, too.
    message(&Bytes::copy_from_slice(data));
}

/// The frames in front of the first error, from a stream that arrives in pieces.
fn taken(data: &[u8], piece: usize) -> Vec<Bytes> {
    let mut input = BytesMut::new();
    let mut frames = Vec::new();
    for bytes in data.chunks(piece) {
        input.extend_from_slice(bytes);
        loop {
            match wire::take_frame(&mut input, LIMIT) {
                Ok(Some(body)) => frames.push(body),
                Ok(None) => break,
                Err(_) => return frames,
            }
        }
    }
    frames
}

/// The same from a node's own reader, which passes over what is too long.
fn passed_over(data: &[u8], piece: usize) -> Vec<Incoming> {
    let (mut frames, mut input, mut all) = (Frames::new(HEAD_BYTES), BytesMut::new(), Vec::new());
    for bytes in data.chunks(piece) {
        input.extend_from_slice(bytes);
        loop {
            match frames.take(&mut input) {
                Ok(Some(incoming)) => all.push(incoming),
                Ok(None) => break,
                Err(_) => return all,
            }
        }
    }
    for incoming in &all {
        if let Incoming::TooLong { head, length } = incoming {
            assert!(head.len() == HEAD_BYTES && *length > HEAD_BYTES);
            let _ = wire::call_of(head);
        }
    }
    all
}

fn message(body: &Bytes) {
    let written = |write: &dyn Fn(&mut BytesMut)| {
        let mut out = BytesMut::new();
        write(&mut out);
        out.freeze()
    };
    if let Ok(received) = wire::get_request(body.clone()) {
        let wire::Received { call, remaining_ms, scope, request } = &received;
        let again = written(&|out| wire::put_request(out, *call, *remaining_ms, *scope, request));
        assert_eq!(wire::get_request(again), Ok(received));
    }
    if let Ok((call, reply)) = wire::get_reply(body.clone()) {
        let again = written(&|out| wire::put_reply(out, call, &reply));
        assert_eq!(wire::get_reply(again), Ok((call, reply)));
    }
    if let Ok((call, question)) = repair::get_question(body.clone()) {
        let again = written(&|out| repair::put_question(out, call, &question));
        assert_eq!(repair::get_question(again), Ok((call, question)));
    }
    if let Ok((call, answer)) = repair::get_answer(body.clone()) {
        let again = written(&|out| repair::put_answer(out, call, &answer));
        assert_eq!(repair::get_answer(again), Ok((call, answer)));
    }
    if let Ok((call, question)) = sync::get_question(body.clone()) {
        let again = written(&|out| sync::put_question(out, call, &question));
        assert_eq!(sync::get_question(again), Ok((call, question)));
    }
    if let Ok((call, wanted)) = sync::get_wanted(body) {
        let again = written(&|out| sync::put_wanted(out, call, wanted));
        assert_eq!(sync::get_wanted(&again), Ok((call, wanted)));
    }
    if let Ok((call, caught_up)) = sync::get_caught_up(body) {
        let again = written(&|out| sync::put_caught_up(out, call, caught_up));
        assert_eq!(sync::get_caught_up(&again), Ok((call, caught_up)));
    }
    if let Ok((call, answer)) = sync::get_answer(body.clone()) {
        let again = written(&|out| sync::put_answer(out, call, &answer));
        assert_eq!(sync::get_answer(again), Ok((call, answer)));
    }
    if let Ok((call, question)) = inquiry::get_question(body.clone()) {
        let again = written(&|out| inquiry::put_question(out, call, &question));
        assert_eq!(inquiry::get_question(again), Ok((call, question)));
    }
    if let Ok((call, answer)) = inquiry::get_answer(body.clone()) {
        let again = written(&|out| inquiry::put_answer(out, call, &answer));
        assert_eq!(inquiry::get_answer(again), Ok((call, answer)));
    }
    if let Ok((number, call)) = service::get_call(body.clone()) {
        let again = written(&|out| service::put_call(out, number, &call));
        assert_eq!(service::get_call(again), Ok((number, call)));
    }
    if let Ok((number, answer)) = service::get_answer(body.clone()) {
        let again = written(&|out| service::put_answer(out, number, &answer));
        assert_eq!(service::get_answer(again), Ok((number, answer)));
    }
    if let Ok(function) = Function::decode(body) {
        assert_eq!(function.to_bytes(), body, "a function has one form");
    }
    if let Ok(answer) = FunctionAnswer::decode(body) {
        assert_eq!(answer.encode(), body, "an answer has one form");
    }
    if let Ok(hello) = Hello::get(body.clone(), Versions::OURS) {
        let again = written(&|out| hello.put(out));
        assert_eq!(Hello::get(again, Versions::OURS), Ok(hello));
    }
    if let Ok(said) = Introduction::get(body.clone(), Versions::OURS) {
        let again = written(&|out| said.put(out));
        assert_eq!(Introduction::get(again, Versions::OURS), Ok(said));
    }
    if let Ok(met) = Met::get(body.clone(), Versions::OURS) {
        assert_eq!(Met::get(written(&|out| met.put(out)), Versions::OURS), Ok(met));
    }
    if let Ok(welcome) = Welcome::get(body.clone(), Versions::OURS) {
        let again = written(&|out| welcome.put(out));
        assert_eq!(Welcome::get(again, Versions::OURS), Ok(welcome));
    }
}
