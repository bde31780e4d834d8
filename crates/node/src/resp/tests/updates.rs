//! Commands from their words to their replies, on keys that one client has for itself. The replies are Redis 7.0's, or those that
//! are documented where that lacks the command.
use super::*;
use crate::functions::registers::Registers;
use abd::Deadline;

/// Says lines to one session and compares the replies, which are given without line ends. A line such as `+5` moves the clock on by
/// so many milliseconds.
pub(super) fn script(lines: &[(&str, &str)]) {
    let (mut session, mut keys) = (session(), Registers::new(SMALL.max_value_bytes));
    let mut now = NOW;
    for (line, expected) in lines {
        if let Some(millis) = line.strip_prefix('+') {
            let millis: u64 = millis.parse().expect("milliseconds");
            now =
                Moments { earliest: Moment(now.earliest.0 + millis), latest: Moment(now.latest.0 + millis) };
            continue;
        }
        keys.circumstances.moments = now;
        let told = match handle_at(&mut session, line, now) {
            Plan::Run(run) => {
                let outcomes = run.operations.into_iter().map(|operation| keys.carry_out(operation));
                reply(outcomes.collect(), run.answer, &now)
            }
            Plan::Reply(reply) => reply,
            other => panic!("{line}: {other:?}"),
        };
        let told = encoded(&told, session.protocol());
        assert_eq!(told.trim_end().replace("\r\n", " "), *expected, "{line}");
    }
}

pub(super) const INTEGER: &str = "-ERR value is not an integer or out of range";
const FLOAT: &str = "-ERR value is not a valid float";
const OVERFLOW: &str = "-ERR increment or decrement would overflow";
const TOO_LARGE: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
pub(super) const SYNTAX: &str = "-ERR syntax error";
const ZEROS: &str = "000000000000000000000000000000000000000000000000";

#[test]
fn set_with_conditions() {
    script(&[
        ("SET k a XX", "$-1"),
        ("SET k a NX", "+OK"),
        ("set k b nx", "$-1"),
        ("SET k b XX", "+OK"),
        ("SET k c GET", "$1 b"),
        ("SET new c GET", "$-1"),
        ("SET k d NX GET", "$1 c"),
        ("GET k", "$1 c"),
        ("SET k d GET XX", "$1 c"),
        ("GET k", "$1 d"),
        ("SET other d XX GET", "$-1"),
        ("GET other", "$-1"),
        ("SET other d GET NX", "$-1"),
        ("GET other", "$1 d"),
        ("SET k e IFEQ x", "$-1"),
        ("SET k e IFEQ d", "+OK"),
        ("SET k f ifeq x GET", "$1 e"),
        ("SET k f GET IFEQ e", "$1 e"),
        ("SET none f IFEQ ", "$-1"),
        ("EXISTS none", ":0"),
        ("SET k g IFNE f", "$-1"),
        ("SET k g IFNE x", "+OK"),
        ("SET none g IFNE g", "+OK"),
        ("GET none", "$1 g"),
    ]);
}

#[test]
fn set_takes_one_condition() {
    for options in [
        "NX XX",
        "XX NX",
        "NX IFEQ a",
        "IFEQ a NX",
        "IFEQ a IFEQ a",
        "IFEQ a IFNE b",
        "XX IFNE a",
        "IFEQ",
        "IFNE",
        "IFVER",
        "NX FOO",
        "GET ",
        "FOO",
        "NX XX EX 10",
        "EX",
        "PX 1 EXAT",
        "IFDEQ d",
        "IFDNE d",
        "PERSIST",
        "WITHVER FOO",
    ] {
        script(&[(&format!("SET k v {options}"), SYNTAX), ("GET k", "$-1")]);
    }
    let zeros = format!("SET k v NX IFVER {ZEROS}");
    script(&[(&zeros, SYNTAX), ("SET k v NX NX GET GET", "$-1"), ("SET k w XX XX", "+OK")]);
}

#[test]
fn versions_are_told_and_pinned() {
    let first = format!("{:016x}{:08x}{:08x}{:016x}", 1, 1, 1, 0);
    let second = format!("{:016x}{:08x}{:08x}{:016x}", 1, 1, 1, 1);
    let third = format!("{:016x}{:08x}{:08x}{:016x}", 1, 1, 1, 2);
    let created = format!("{:048x}", 1);
    script(&[
        ("GETVER k", &format!("*2 $-1 $48 {ZEROS}")),
        ("SET k a WITHVER", &format!("*2 +OK $48 {first}")),
        ("GETVER k", &format!("*2 $1 a $48 {first}")),
        (&format!("SET k b IFVER {ZEROS}"), "$-1"),
        (&format!("SET k b IFVER {}", first.to_uppercase()), "+OK"),
        (&format!("SET k b IFVER {first}"), "$-1"),
        (&format!("SET k c GET WITHVER IFVER {first}"), &format!("*2 $1 b $48 {second}")),
        ("SET k c withver NX", &format!("*2 $-1 $48 {second}")),
        (&format!("DELEX k IFVER {first}"), ":0"),
        (&format!("DELEX k IFVER {second}"), ":1"),
        (&format!("DELEX k IFVER {third}"), ":0"),
        ("GETVER k", &format!("*2 $-1 $48 {third}")),
        (&format!("SET k d IFVER {third}"), "+OK"),
        (&format!("SET new d IFVER {ZEROS} WITHVER"), &format!("*2 +OK $48 {created}")),
        (&format!("SET new d IFVER {ZEROS} WITHVER"), &format!("*2 $-1 $48 {created}")),
        ("SET k e IFVER 1", "-ERR a version has 48 hexadecimal digits"),
        ("DELEX k IFVER x", "-ERR a version has 48 hexadecimal digits"),
        (
            "HELLO 3",
            "%7 $6 server $9 atomic-kv $7 version $5 7.0.0 $5 proto :3 $2 id :7 $4 mode $10 standalone $4 role $6 master $7 modules *0",
        ),
        ("GETVER none", &format!("*2 _ $48 {ZEROS}")),
    ]);
}

#[test]
fn relatives_of_set() {
    script(&[
        ("SETNX k a", ":1"),
        ("SETNX k b", ":0"),
        ("GETSET k c", "$1 a"),
        ("GETSET none d", "$-1"),
        ("GET none", "$1 d"),
        ("MSET a 1 b 2 a 3", "+OK"),
        ("MGET a b", "*2 $1 3 $1 2"),
        ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"),
        ("MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command"),
        ("MSETNX a 1", ":0"),
        ("MSETNX c 1", ":1"),
        (
            "MSETNX x 1 y 2",
            "-ERR MSETNX of several keys is not supported: nothing here is atomic across keys; use SETNX for each",
        ),
        ("EXISTS x y", ":0"),
    ]);
    let long = "v".repeat(33);
    for command in ["SETNX k", "GETSET k", "MSET k", "MSET a b k", "MSETNX k", "APPEND k"] {
        script(&[
            (&format!("{command} {long}"), "-ERR value is too large: 33 bytes, the limit is 32"),
            ("GET k", "$-1"),
        ]);
    }
    script(&[("MSET a 1 123456789 2", "-ERR key is too long: 9 bytes, the limit is 8"), ("GET a", "$-1")]);
}

#[test]
fn deletions() {
    script(&[
        ("MSET a 1 b 2 c 3 d 4", "+OK"),
        ("DEL a a x", ":1"),
        ("DEL a", ":0"),
        ("UNLINK b x c", ":2"),
        ("GETDEL d", "$1 4"),
        ("GETDEL d", "$-1"),
        ("SET k v", "+OK"),
        ("DELIFEQ k w", ":0"),
        ("DELIFEQ none ", ":0"),
        ("DELIFEQ k v", ":1"),
        ("DELIFEQ k v", ":0"),
        ("DELEX k", ":0"),
        ("DELEX k IFNE v", ":0"),
        ("SET k v", "+OK"),
        ("DELEX k IFEQ w", ":0"),
        ("delex k ifne v", ":0"),
        ("DELEX k IFNE w", ":1"),
        ("SET k v", "+OK"),
        ("DELEX k IFEQ v", ":1"),
        ("SET k v", "+OK"),
        ("DELEX k", ":1"),
        ("DELEX k IFEQ", "-ERR wrong number of arguments for 'delex' command"),
        ("DELEX k IFEQ a b", "-ERR wrong number of arguments for 'delex' command"),
        ("DELEX k IFDEQ a", "-ERR Invalid condition. Use IFEQ, IFNE, or IFVER"),
    ]);
}

#[test]
fn integers() {
    script(&[
        ("INCR k", ":1"),
        ("INCRBY k 41", ":42"),
        ("DECR k", ":41"),
        ("DECRBY k -1", ":42"),
        ("GET k", "$2 42"),
        ("INCRBY k 9223372036854775807", OVERFLOW),
        ("DECRBY k -9223372036854775807", OVERFLOW),
        ("DECRBY k -9223372036854775808", "-ERR decrement would overflow"),
        ("INCRBY k -9223372036854775808", ":-9223372036854775766"),
        ("DECRBY k 43", OVERFLOW),
        ("GET k", "$20 -9223372036854775766"),
        ("INCRBY k 9223372036854775808", INTEGER),
        ("INCRBY k +1", INTEGER),
        ("INCRBY k 01", INTEGER),
        ("INCRBY k -0", INTEGER),
        ("INCRBY k 1.0", INTEGER),
        ("INCRBY k ", INTEGER),
        ("DECRBY k x", INTEGER),
        ("SET k 01", "+OK"),
        ("INCR k", INTEGER),
        ("SET k ", "+OK"),
        ("DECR k", INTEGER),
        ("SET k 9223372036854775808", "+OK"),
        ("DECR k", INTEGER),
        ("GET k", "$19 9223372036854775808"),
        ("DECR none", ":-1"),
    ]);
}

#[test]
fn numbers() {
    let infinite = "-ERR increment would produce NaN or Infinity";
    script(&[
        ("INCRBYFLOAT k 10.50", "$4 10.5"),
        ("INCRBYFLOAT k 0.1", "$4 10.6"),
        ("INCRBYFLOAT k -5", "$3 5.6"),
        ("GET k", "$3 5.6"),
        ("INCRBYFLOAT k inf", infinite),
        ("INCRBYFLOAT k -Infinity", infinite),
        ("INCRBYFLOAT k nan", FLOAT),
        ("INCRBYFLOAT k 1e5000", FLOAT),
        ("INCRBYFLOAT k 1e-5000", FLOAT),
        ("INCRBYFLOAT k x", FLOAT),
        ("INCRBYFLOAT k ", FLOAT),
        ("GET k", "$3 5.6"),
        ("SET k 5.0e3", "+OK"),
        ("INCRBYFLOAT k 2.0e2", "$4 5200"),
        ("INCR k", ":5201"),
        ("INCRBYFLOAT k 0x1p-1", "$6 5201.5"),
        ("INCR k", INTEGER),
        ("SET k abc", "+OK"),
        ("INCRBYFLOAT k 1", FLOAT),
        ("SET k inf", "+OK"),
        ("INCRBYFLOAT k 1", infinite),
        ("SET k 0.1", "+OK"),
        ("INCRBYFLOAT k 0.2", "$3 0.3"),
        ("INCRBYFLOAT k -0.3", "$1 0"),
        ("INCRBYFLOAT k -0", "$1 0"),
        ("INCRBYFLOAT k 17179869184.00000001", "$29 17179869184.00000000931322575"),
        ("SET k 9223372036854775807", "+OK"),
        ("INCRBYFLOAT k 1", "$19 9223372036854775808"),
    ]);
}

#[test]
fn parts() {
    let offset = "-ERR offset is out of range";
    script(&[
        ("APPEND k ", ":0"),
        ("EXISTS k", ":1"),
        ("APPEND k Hello", ":5"),
        ("APPEND k -World", ":11"),
        ("SETRANGE k 6 Redis", ":11"),
        ("GET k", "$11 Hello-Redis"),
        ("SETRANGE k 13 x", ":14"),
        ("GET k", "$14 Hello-Redis\0\0x"),
        ("SETRANGE none 5 ", ":0"),
        ("EXISTS none", ":0"),
        ("SETRANGE new 1 x", ":2"),
        ("GET new", "$2 \0x"),
        ("SETRANGE k -1 x", offset),
        ("SETRANGE k 31 x", ":32"),
        ("SETRANGE k 32 x", TOO_LARGE),
        ("SETRANGE k 9223372036854775807 x", TOO_LARGE),
        ("SETRANGE k 9223372036854775807 ", ":32"),
        ("SETRANGE k 9223372036854775808 x", INTEGER),
        ("SETRANGE k 1.0 x", INTEGER),
        ("APPEND k x", TOO_LARGE),
        ("STRLEN k", ":32"),
    ]);
    let mut lines = vec![("SET k Hello".to_owned(), "+OK".to_owned())];
    for (range, part) in [
        ("0 0", "H"),
        ("0 -1", "Hello"),
        ("1 3", "ell"),
        ("-3 -1", "llo"),
        ("-3 3", "ll"),
        ("4 100", "o"),
        ("5 100", ""),
        ("3 1", ""),
        ("-1 -3", ""),
        ("-100 1", "He"),
        ("-100 -100", "H"),
        ("-100 -101", ""),
        ("-9223372036854775808 9223372036854775807", "Hello"),
        ("9223372036854775807 -1", ""),
    ] {
        for command in ["GETRANGE", "SUBSTR"] {
            lines.push((
                format!("{command} k {range}"),
                format!("${} {part}", part.len()).trim_end().to_owned(),
            ));
            lines.push((format!("{command} none {range}"), "$0".to_owned()));
        }
    }
    lines.push(("GETRANGE k 0 x".to_owned(), INTEGER.to_owned()));
    lines.push(("GETRANGE k +0 1".to_owned(), INTEGER.to_owned()));
    script(&lines.iter().map(|(line, reply)| (&line[..], &reply[..])).collect::<Vec<_>>());
}

#[test]
fn common_subsequences() {
    script(&[
        ("MSET a ohmytext b mynewtext", "+OK"),
        ("LCS a b", "$6 mytext"),
        ("LCS a b LEN", ":6"),
        ("LCS a b IDX", "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6"),
        ("LCS a b idx minmatchlen 4", "*4 $7 matches *1 *2 *2 :4 :7 *2 :5 :8 $3 len :6"),
        (
            "LCS a b IDX MINMATCHLEN -1 WITHMATCHLEN",
            "*4 $7 matches *2 *3 *2 :4 :7 *2 :5 :8 :4 *3 *2 :2 :3 *2 :0 :1 :2 $3 len :6",
        ),
        ("LCS a b IDX MINMATCHLEN 5", "*4 $7 matches *0 $3 len :6"),
        ("LCS a a", "$8 ohmytext"),
        ("LCS a none", "$0"),
        ("LCS none nope LEN", ":0"),
        ("LCS none a IDX", "*4 $7 matches *0 $3 len :0"),
        ("LCS a b LEN IDX", "-ERR If you want both the length and indexes, please just use IDX."),
        ("LCS a b FOO", SYNTAX),
        ("LCS a b MINMATCHLEN", SYNTAX),
        ("LCS a b MINMATCHLEN x", INTEGER),
        ("LCS a", "-ERR wrong number of arguments for 'lcs' command"),
    ]);
}

#[test]
fn a_table_of_common_subsequences_is_not_larger_than_it_may_be() {
    let told = |length: usize| {
        let Plan::Run(run) = handle(&mut session(), "LCS a b LEN") else { panic!("two reads") };
        let mut keys = Registers::new(usize::MAX);
        let mut read = |key: &'static str, length: usize| {
            let value = Bytes::from("v".repeat(length));
            keys.carry_out(abd::Operation::Set { key: key.into(), value, deadline: Deadline::NONE });
            keys.carry_out(abd::Operation::Get { key: key.into() })
        };
        let outcomes = [read("a", length), read("b", 1023)];
        encoded(&reply(outcomes.into_iter().collect(), run.answer, &NOW), Protocol::Resp2)
    };
    assert_eq!(told(1023), ":1023\r\n");
    assert_eq!(
        told(1024),
        "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n"
    );
}
