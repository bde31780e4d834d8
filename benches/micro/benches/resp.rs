//! Instructions of the client protocol: a pipeline of requests parsed.
#![allow(missing_docs, unused_qualifications, reason = "the harness's macros write such code")]

use bytes::{Bytes, BytesMut};
use gungraun::{library_benchmark, library_benchmark_group, main};
use node::resp::{Limits, Protocol, RequestParser, Response};
use std::hint::black_box;

/// Requests in a pipeline, half of them SET.
const DEPTH: u32 = 16;

fn pipeline() -> (RequestParser, BytesMut) {
    let mut input = BytesMut::new();
    for key in 0..DEPTH {
        let request = match key % 2 {
            0 => format!("*3\r\n$3\r\nSET\r\n$14\r\nkey:{key:010}\r\n$100\r\n{}\r\n", "v".repeat(100)),
            _ => format!("*2\r\n$3\r\nGET\r\n$14\r\nkey:{key:010}\r\n"),
        };
        input.extend_from_slice(request.as_bytes());
    }
    (RequestParser::new(Limits::default()), input)
}

#[library_benchmark]
#[bench::depth_16(pipeline())]
fn parse((mut parser, mut input): (RequestParser, BytesMut)) -> (RequestParser, u32) {
    let mut parsed = 0;
    while let Ok(Some(request)) = parser.parse(black_box(&mut input)) {
        black_box(request);
        parsed += 1;
    }
    assert_eq!(parsed, DEPTH);
    (parser, parsed)
}

fn replies() -> (Vec<Response>, BytesMut) {
    let value = Response::Bulk(Bytes::from(vec![7; 100]));
    let replies = (0..DEPTH).map(|key| if key % 2 == 0 { Response::OK } else { value.clone() }).collect();
    (replies, BytesMut::with_capacity(16 << 10))
}

#[library_benchmark]
#[bench::depth_16(replies())]
fn encode((replies, mut out): (Vec<Response>, BytesMut)) -> (Vec<Response>, BytesMut) {
    for reply in black_box(&replies) {
        reply.encode(Protocol::Resp2, &mut out);
    }
    (replies, out)
}

library_benchmark_group!(name = resp_group, benchmarks = [parse, encode]);
main!(library_benchmark_groups = [resp_group]);
