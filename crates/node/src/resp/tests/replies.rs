//! From replies to bytes.

use super::*;
use redis_protocol::resp3::types::BytesFrame;

#[test]
fn each_kind_in_both_protocols() {
    let one = || vec![Response::Integer(1)];
    let cases = [
        (Response::OK, "+OK\r\n", "+OK\r\n"),
        (Response::error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
        (Response::Integer(-5), ":-5\r\n", ":-5\r\n"),
        (Response::text("ab"), "$2\r\nab\r\n", "$2\r\nab\r\n"),
        (Response::text(""), "$0\r\n\r\n", "$0\r\n\r\n"),
        (Response::Null, "$-1\r\n", "_\r\n"),
        (Response::NullArray, "*-1\r\n", "_\r\n"),
        (Response::Array(one()), "*1\r\n:1\r\n", "*1\r\n:1\r\n"),
        (Response::Set(one()), "*1\r\n:1\r\n", "~1\r\n:1\r\n"),
        (Response::Map(vec![(Response::OK, Response::Null)]), "*2\r\n+OK\r\n$-1\r\n", "%1\r\n+OK\r\n_\r\n"),
        (Response::Boolean(true), ":1\r\n", "#t\r\n"),
        (Response::Boolean(false), ":0\r\n", "#f\r\n"),
        (Response::Double("2.75".into()), "$4\r\n2.75\r\n", ",2.75\r\n"),
        (Response::Verbatim("ab".into()), "$2\r\nab\r\n", "=6\r\ntxt:ab\r\n"),
        (Response::BigNumber("12\r\n3".into()), "$5\r\n12\r\n3\r\n", "(12  3\r\n"),
    ];
    for (reply, resp2, resp3) in cases {
        assert_eq!(encoded(&reply, Protocol::Resp2), resp2);
        assert_eq!(encoded(&reply, Protocol::Resp3), resp3);
    }
}

#[test]
fn a_client_library_decodes_the_whole_command_table() {
    for line in
        ["COMMAND", "COMMAND DOCS", "COMMAND INFO get nope client|list", "COMMAND LIST", "COMMAND HELP"]
    {
        let Plan::Reply(reply) = handle(&mut session(), line) else { panic!("{line}") };
        let bytes = Bytes::from(encoded(&reply, Protocol::Resp2));
        let (_, taken) = redis_protocol::resp2::decode::decode_bytes(&bytes).unwrap().unwrap();
        assert_eq!(taken, bytes.len(), "{line}");
        let bytes = Bytes::from(encoded(&reply, Protocol::Resp3));
        let (frame, taken) = redis_protocol::resp3::decode::complete::decode_bytes(&bytes).unwrap().unwrap();
        assert_eq!(taken, bytes.len(), "{line}");
        assert_eq!(matches!(frame, BytesFrame::Map { .. }), line == "COMMAND DOCS");
    }
}
