//! From bytes to requests.

use super::super::Oversized;
use super::*;
use proptest::prelude::*;
use redis_protocol::resp2::{
    encode::encode_bytes,
    types::{BytesFrame, Resp2Frame},
};

fn parse(bytes: &[u8]) -> (Vec<ClientRequest>, Option<ProtocolError>) {
    parse_chunks(SMALL, [bytes])
}

fn commands(lines: &[&str]) -> Vec<ClientRequest> {
    lines.iter().map(|line| ClientRequest::Command(args(line))).collect()
}

/// A command as a client library encodes it.
fn oracle_encoding(args: &[Vec<u8>]) -> Vec<u8> {
    let frame = BytesFrame::Array(
        args.iter().map(|arg| BytesFrame::BulkString(Bytes::copy_from_slice(arg))).collect(),
    );
    let mut out = vec![0; frame.encode_len(false)];
    encode_bytes(&mut out, &frame, false).expect("the buffer has the frame's length");
    out
}

#[test]
fn a_pipeline_of_arrays_and_inline_commands() {
    let bytes =
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n*0\r\n*-1\r\n\r\n  set a  \"\" \r\nget b\n*1\r\n$0\r\n\r\n";
    let mut expected = commands(&["GET k", "PING", "set a "]);
    expected.extend(commands(&["get b", ""]));
    assert_eq!(parse(bytes), (expected, None));
}

#[test]
fn inline_quotes_and_escapes() {
    let (requests, error) = parse(b"a \"x\\x41\\n\\\"\\xzz y\" 'it\\'s \\n'\r\n");
    let words = [&b"a"[..], b"xA\n\"xzz y", b"it's \\n"].map(Bytes::copy_from_slice).into();
    assert_eq!((requests, error), (vec![ClientRequest::Command(words)], None));
    for bad in [&b"a \"b\r\n"[..], b"a 'b\r\n", b"\"a\"b\r\n", b"a \"\\\r\n"] {
        assert_eq!(parse(bad).1, Some(ProtocolError::UnbalancedQuotes), "{}", bad.escape_ascii());
    }
}

#[test]
fn protocol_errors_read_as_in_redis() {
    let long = |first: u8| [&[first], vec![b'1'; 70_000].as_slice()].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"*x\r\n".to_vec(), "invalid multibulk length"),
        (b"*17\r\n".to_vec(), "invalid multibulk length"),
        (b"*01\r\n".to_vec(), "invalid multibulk length"),
        (b"*1\n".to_vec(), "invalid multibulk length"),
        (b"*99999999999999999999\r\n".to_vec(), "invalid multibulk length"),
        (b"*1\r\n$x\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$-1\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$+1\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$536870913\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n:1\r\n".to_vec(), "expected '$', got ':'"),
        (b"*1\r\n$1\r\nabc".to_vec(), "expected CRLF after the argument"),
        (long(b'*'), "too big mbulk count string"),
        ([b"*1\r\n", long(b'$').as_slice()].concat(), "too big bulk count string"),
        (long(b'a'), "too big inline request"),
    ];
    for (bytes, text) in cases {
        let (requests, error) = parse(&bytes);
        assert_eq!(error.map(|error| error.to_string()), Some(format!("ERR Protocol error: {text}")));
        assert_eq!(requests, []);
    }
}

#[test]
fn an_error_is_final() {
    let mut parser = RequestParser::new(SMALL);
    let mut buf = BytesMut::from(&b"*1\r\n$x\r\n"[..]);
    assert!(parser.parse(&mut buf).is_err());
    let mut fresh = BytesMut::from(&b"PING\r\n"[..]);
    assert_eq!(parser.parse(&mut fresh), Err(ProtocolError::InvalidBulkLength));
}

#[test]
fn a_large_argument_is_skipped_while_it_streams() {
    let mut parser = RequestParser::new(SMALL);
    let mut buf = BytesMut::from(&b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n"[..]);
    assert_eq!(parser.parse(&mut buf), Ok(None));
    for _ in 0..1000 {
        buf.extend_from_slice(&[b'\n'; 1000]);
        assert_eq!(parser.parse(&mut buf), Ok(None));
        assert!(buf.is_empty());
    }
    buf.extend_from_slice(b"\r\n$1\r\nx\r\nPING\r\n");
    let refused = ClientRequest::TooLarge { what: Oversized::Argument, declared: 1_000_000, limit: 32 };
    assert_eq!(parser.parse(&mut buf), Ok(Some(refused.clone())));
    assert_eq!(parser.parse(&mut buf).map(|request| request.into_iter().collect()), Ok(commands(&["PING"])));
    match session().handle(refused, &Node::default()) {
        Plan::Reply(Response::Error(text)) => {
            assert_eq!(text, "ERR value is too large: 1000000 bytes, the limit is 32");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_of_many_arguments_is_bounded_too() {
    let limits = Limits { max_key_bytes: 8, max_value_bytes: 4 << 20, max_args: 1000 };
    let value = [&b"$4194304\r\n"[..], &vec![b'v'; 4 << 20], b"\r\n"].concat();
    let mut chunks: Vec<&[u8]> = vec![b"*30\r\n"];
    chunks.extend(std::iter::repeat_n(value.as_slice(), 30));
    chunks.push(b"PING\r\n");
    let (requests, error) = parse_chunks(limits, chunks);
    assert_eq!(error, None);
    assert!(matches!(
        requests[0],
        ClientRequest::TooLarge { what: Oversized::Request, limit: 71_303_168, .. }
    ));
    assert_eq!(requests[1..], commands(&["PING"]));
}

/// What it holds is asked for whenever something has come. To look at each argument then would take minutes here.
#[test]
fn what_a_half_sent_request_holds_is_known_at_once() {
    const ARGUMENTS: usize = 500_000;
    let mut parser = RequestParser::new(Limits::default());
    let mut buf = BytesMut::from(format!("*{}\r\n", ARGUMENTS + 1).as_bytes());
    for number in 1..=ARGUMENTS {
        buf.extend_from_slice(b"$3\r\nabc\r\n");
        assert_eq!(parser.parse(&mut buf), Ok(None));
        assert_eq!(parser.held_bytes(), number * 67);
    }
    buf.extend_from_slice(b"$3\r\na");
    assert_eq!(parser.parse(&mut buf), Ok(None));
    assert_eq!(parser.held_bytes(), ARGUMENTS * 67);
    buf.extend_from_slice(b"bc\r\n");
    assert!(matches!(parser.parse(&mut buf), Ok(Some(_))));
    assert_eq!(parser.held_bytes(), 0);
}

#[test]
fn large_arguments_share_the_buffer_and_small_ones_leave_it_free() {
    let place_of = |argument: &[u8]| {
        let header = format!("*1\r\n${}\r\n", argument.len());
        let mut buf = BytesMut::from(&[header.as_bytes(), argument, b"\r\n"].concat()[..]);
        let start = buf.as_ptr() as usize + header.len();
        let Ok(Some(ClientRequest::Command(args))) = RequestParser::new(Limits::default()).parse(&mut buf)
        else {
            panic!("a whole command was there");
        };
        (args[0].as_ptr() as usize, start)
    };
    let (large, in_buffer) = place_of(&[7; 4096]);
    assert_eq!(large, in_buffer);
    let (small, in_buffer) = place_of(b"hello");
    assert_ne!(small, in_buffer);
}

/// Bytes that are often nearly a request.
fn nearly_resp() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"*1\r\n".to_vec()),
        Just(b"*2\r\n".to_vec()),
        Just(b"$3\r\nGET\r\n".to_vec()),
        Just(b"$0\r\n\r\n".to_vec()),
        Just(b"$-1\r\n".to_vec()),
        Just([&b"$1200\r\n"[..], &[b'z'; 1200], b"\r\n"].concat()),
        Just(b"ping 'a' \"b\\x41\"\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_parses_the_same(bytes in nearly_resp(), cuts in proptest::collection::vec(1_usize..40, 1..20)) {
        let whole = parse(&bytes);
        prop_assert_eq!(&parse_chunks(SMALL, bytes.chunks(1)), &whole);
        let mut rest = bytes.as_slice();
        let mut chunks = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        prop_assert_eq!(&parse_chunks(SMALL, chunks), &whole);
    }

    #[test]
    fn what_a_client_library_encodes_comes_back(
        sent in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..8), 0..6),
        size in 1_usize..50,
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(|args| oracle_encoding(args)).collect();
        let expected: Vec<ClientRequest> = sent.into_iter()
            .map(|args| ClientRequest::Command(args.into_iter().map(Bytes::from).collect()))
            .collect();
        prop_assert_eq!(parse_chunks(SMALL, bytes.chunks(size)), (expected, None));
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), noise in nearly_resp()) {
        let mut session = session();
        for input in [&bytes, &noise] {
            for request in parse(input).0 {
                session.handle(request, &Node::default());
            }
        }
    }

    #[test]
    fn no_command_panics_on_any_arguments(
        name in proptest::sample::select(vec![
            "set", "get", "mget", "del", "hello", "auth", "client", "command", "config", "info", "select", "ping", "nope",
        ]),
        words in proptest::collection::vec(prop_oneof![
            proptest::sample::select(vec![
                "3", "auth", "setname", "list", "id", "docs", "getkeys", "info", "get", "set", "setinfo", "type", "help",
                "filterby", "pattern", "no-evict", "kill", "lib-name", "count", "client|list", "*", "[a",
            ]).prop_map(|word| word.as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..12),
        ], 0..6),
    ) {
        let mut session = session();
        let mut args = Args::from_iter([Bytes::from(name)]);
        args.extend(words.into_iter().map(Bytes::from));
        if let Plan::Reply(reply) = session.handle(ClientRequest::Command(args), &Node::default()) {
            let mut out = BytesMut::new();
            reply.encode(session.protocol(), &mut out);
            let bytes = out.freeze();
            let taken = match session.protocol() {
                Protocol::Resp2 => redis_protocol::resp2::decode::decode_bytes(&bytes).unwrap().map(|(_, len)| len),
                Protocol::Resp3 => redis_protocol::resp3::decode::complete::decode_bytes(&bytes).unwrap().map(|(_, len)| len),
            };
            prop_assert_eq!(taken, Some(bytes.len()));
        }
    }
}
