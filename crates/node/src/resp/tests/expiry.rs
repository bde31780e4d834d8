//! Keys that expire: `SET … EX`, `EXPIRE`, `TTL`, `GETEX` and their relatives, with a clock that the tests move.

use super::updates::{INTEGER, SYNTAX, script};
use super::*;
use abd::{Content, Deadline, Operation, StampedValue, Version};

/// What `SET` and its relatives say to a time that is none.
fn invalid(command: &str) -> String {
    format!("-ERR invalid expire time in '{command}' command")
}

#[test]
fn values_are_there_until_their_time() {
    script(&[
        ("SET k a PX 100", "+OK"),
        ("PTTL k", ":100"),
        ("+99", ""),
        ("PTTL k", ":1"),
        ("GET k", "$1 a"),
        ("SET k b NX", "$-1"),
        ("+1", ""),
        ("GET k", "$-1"),
        ("PTTL k", ":-2"),
        ("SET k b NX PX 50", "+OK"),
        ("+50", ""),
        ("SET k c XX", "$-1"),
        ("SET k c NX GET", "$-1"),
        ("TTL k", ":-1"),
        ("SETEX k 2 d", "+OK"),
        ("PTTL k", ":2000"),
        ("PSETEX k 20 e", "+OK"),
        ("PTTL k", ":20"),
        ("+20", ""),
        ("EXISTS k", ":0"),
        ("DEL k", ":0"),
        ("INCR k", ":1"),
        ("TTL k", ":-1"),
    ]);
}

#[test]
fn what_keeps_a_deadline_and_what_takes_it_away() {
    script(&[
        ("SET k 1 EX 10", "+OK"),
        ("INCR k", ":2"),
        ("INCRBYFLOAT k 1", "$1 3"),
        ("APPEND k 4", ":2"),
        ("SETRANGE k 0 5", ":2"),
        ("PTTL k", ":10000"),
        ("SET k a KEEPTTL", "+OK"),
        ("PTTL k", ":10000"),
        ("SET k b GET", "$1 a"),
        ("PTTL k", ":-1"),
        ("SET k c EX 10 GET", "$1 b"),
        ("SET k d XX KEEPTTL GET", "$1 c"),
        ("PTTL k", ":10000"),
        ("GETSET k e", "$1 d"),
        ("PTTL k", ":-1"),
        ("EXPIRE k 5", ":1"),
        ("PERSIST k", ":1"),
        ("PERSIST k", ":0"),
        ("PTTL k", ":-1"),
        ("PERSIST none", ":0"),
        ("SET new v KEEPTTL", "+OK"),
        ("TTL new", ":-1"),
        ("EXPIRE k 5", ":1"),
        ("SET k f", "+OK"),
        ("TTL k", ":-1"),
        ("EXPIRE k 5", ":1"),
        ("MSET k g", "+OK"),
        ("TTL k", ":-1"),
        ("SET k h IFEQ g PX 7", "+OK"),
        ("SET k i IFEQ g PX 9", "$-1"),
        ("PTTL k", ":7"),
    ]);
}

#[test]
fn times_are_absolute_and_rounded_as_in_redis() {
    script(&[
        ("SET k v PXAT 1700000001499", "+OK"),
        ("TTL k", ":1"),
        ("PEXPIRETIME k", ":1700000001499"),
        ("EXPIRETIME k", ":1700000001"),
        ("PEXPIREAT k 1700000001500", ":1"),
        ("TTL k", ":2"),
        ("EXPIRETIME k", ":1700000002"),
        ("SET k v EXAT 1700000007", "+OK"),
        ("PTTL k", ":7000"),
        ("EXPIREAT k 1700000008", ":1"),
        ("PTTL k", ":8000"),
        ("EXPIRETIME none", ":-2"),
        ("PEXPIRETIME none", ":-2"),
        ("TTL none", ":-2"),
        ("SET k v", "+OK"),
        ("EXPIRETIME k", ":-1"),
        ("PEXPIRETIME k", ":-1"),
        ("PEXPIREAT k 9223372036854775807", ":1"),
        ("PEXPIRETIME k", ":9223372036854775807"),
    ]);
}

#[test]
fn a_time_in_the_past_takes_the_key_away() {
    for line in [
        "EXPIRE k 0",
        "EXPIRE k -1",
        "PEXPIRE k -1",
        "EXPIREAT k 1",
        "PEXPIREAT k 1700000000000",
        "EXPIREAT k -5",
    ] {
        script(&[
            ("SET k v", "+OK"),
            (line, ":1"),
            ("EXISTS k", ":0"),
            (line, ":0"),
            // The deletion is one, with a version of its own, and not a value that waits for its expiry.
            ("SET k w NX", "+OK"),
            ("TTL k", ":-1"),
        ]);
    }
    script(&[
        ("SET k v EXAT 1", "+OK"),
        ("GET k", "$-1"),
        ("SET k v XX PXAT 1700000000000", "$-1"),
        ("SET k v NX PXAT 1700000000000", "+OK"),
        ("GET k", "$-1"),
        ("SET k v", "+OK"),
        ("GETEX k EXAT 1", "$1 v"),
        ("GETEX k EXAT 1", "$-1"),
    ]);
}

#[test]
fn which_deadlines_expire_replaces() {
    script(&[
        ("EXPIRE none 10", ":0"),
        ("SET k v", "+OK"),
        ("EXPIRE k 10 XX", ":0"),
        ("EXPIRE k 10 GT", ":0"),
        ("EXPIRE k 10 lt", ":1"),
        ("EXPIRE k 10 LT", ":0"),
        ("EXPIRE k 9 NX", ":0"),
        ("EXPIRE k 9 GT", ":0"),
        ("EXPIRE k 11 GT", ":1"),
        ("EXPIRE k 12 XX GT", ":1"),
        ("EXPIRE k 11 xx lt LT", ":1"),
        ("PTTL k", ":11000"),
        ("PEXPIRE k 1 NX NX", ":0"),
        ("PERSIST k", ":1"),
        ("PEXPIRE k 1 XX LT", ":0"),
        ("PEXPIRE k 1 NX", ":1"),
    ]);
    let several = "-ERR NX and XX, GT or LT options at the same time are not compatible";
    for options in ["NX XX", "NX GT", "LT NX"] {
        script(&[(&format!("EXPIRE k 10 {options}"), several)]);
    }
    script(&[
        ("EXPIRE k 10 LT GT", "-ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE k x GT LT", "-ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE k x AB", "-ERR Unsupported option AB"),
        ("EXPIRE k x", INTEGER),
        ("EXPIRE k", "-ERR wrong number of arguments for 'expire' command"),
    ]);
}

#[test]
fn getex_reads_and_changes_the_deadline_alone() {
    script(&[
        ("GETEX k", "$-1"),
        ("GETEX k EX 10", "$-1"),
        ("EXISTS k", ":0"),
        ("SET k v", "+OK"),
        ("GETEX k", "$1 v"),
        ("GETEX k EX 10", "$1 v"),
        ("PTTL k", ":10000"),
        ("GETEX k", "$1 v"),
        ("PTTL k", ":10000"),
        ("GETEX k px 5", "$1 v"),
        ("PTTL k", ":5"),
        ("GETEX k PERSIST PERSIST", "$1 v"),
        ("PTTL k", ":-1"),
        ("GETEX k EX 1 EX 2", "$1 v"),
        ("PTTL k", ":2000"),
        ("GETEX k PXAT 1700000000009", "$1 v"),
        ("PTTL k", ":9"),
        ("GETEX k KEEPTTL", SYNTAX),
        ("GETEX k NX", SYNTAX),
        ("GETEX k EX 1 PERSIST", SYNTAX),
        ("GETEX k PERSIST EX 1", SYNTAX),
        ("GETEX k EX", SYNTAX),
        ("GETEX k EX 0", &invalid("getex")),
        ("GETEX k EX x", INTEGER),
        ("+9", ""),
        // As Redis does it: a key is looked for first.
        ("GETEX k EX 0", "$-1"),
        ("GETEX k EX x", "$-1"),
    ]);
}

#[test]
fn options_of_set_that_name_a_time() {
    for options in
        ["EX 1 PX 1", "EX 1 KEEPTTL", "KEEPTTL PXAT 1", "EXAT 1 EX 1", "PXAT 1 EXAT 1", "EX 1 PERSIST"]
    {
        script(&[(&format!("SET k v {options}"), SYNTAX), ("GET k", "$-1")]);
    }
    script(&[
        ("SET k v EX 1 EX 3 NX", "+OK"),
        ("PTTL k", ":3000"),
        ("SET k v KEEPTTL KEEPTTL", "+OK"),
        ("PTTL k", ":3000"),
        ("SET k v XX GET PX 5", "$1 v"),
        ("PTTL k", ":5"),
    ]);
    let far = "9223372036854775";
    for number in ["0", "-1", "9223372036854775807", far] {
        let set = invalid("set");
        script(&[
            (&format!("SET k v EX {number}"), &set),
            (&format!("SETEX k {number} v"), &invalid("setex")),
            ("EXISTS k", ":0"),
        ]);
    }
    for (line, command) in [
        ("SET k v PX 9223372036854775807", "set"),
        ("SET k v PX 0", "set"),
        ("SET k v EXAT 9223372036854775807", "set"),
        ("SET k v PXAT -1", "set"),
        ("PSETEX k -1 v", "psetex"),
        ("PSETEX k 9223372036854775807 v", "psetex"),
        ("EXPIRE k 9223372036854775807", "expire"),
        ("EXPIRE k -9223372036854775807", "expire"),
        ("EXPIRE k 9223372036854775", "expire"),
        ("PEXPIRE k 9223372036854775807", "pexpire"),
        ("EXPIREAT k 9223372036854775807", "expireat"),
    ] {
        script(&[(line, &invalid(command)), ("EXISTS k", ":0")]);
    }
    for line in ["SET k v EX 1.0", "SET k v PX x", "SETEX k  v", "PSETEX k 9223372036854775808 v"] {
        script(&[(line, INTEGER), ("EXISTS k", ":0")]);
    }
    // Words that are no options are found before numbers that are none.
    script(&[("SET k v EX x FOO", SYNTAX)]);
}

#[test]
fn what_is_left_is_told_at_the_time_of_the_reply() {
    let Plan::Run(run) = handle(&mut session(), "PTTL k") else { panic!("a read") };
    assert_eq!(run.operations.as_slice(), [Operation::Get { key: "k".into() }]);
    assert!(!run.needs_values);
    let stamped = StampedValue {
        deadline: Deadline(NOW.latest.0 + 10),
        ..StampedValue::plain(Version::MIN, Content::Value("v".into()))
    };
    let later = Moments { earliest: Moment(NOW.earliest.0 + 7), latest: Moment(NOW.latest.0 + 8) };
    let outcomes = [Outcome::Read(stamped.clone())];
    assert_eq!(reply(outcomes.into_iter().collect(), run.answer, &later), Response::Integer(2));
    // What is past its time for some clocks, but has not expired yet, has nothing left.
    let later = Moments { latest: Moment(NOW.latest.0 + 11), ..later };
    let Plan::Run(run) = handle(&mut session(), "PTTL k") else { panic!("a read") };
    assert_eq!(
        reply([Outcome::Read(stamped)].into_iter().collect(), run.answer, &later),
        Response::Integer(0)
    );
}

#[test]
fn a_value_lives_no_shorter_than_its_client_says() {
    let now = NOW.latest.0;
    let unsure = Moments { earliest: Moment(now - 300), latest: Moment(now) };
    for line in ["SET k v PX 100", "SET k v PX 100 WITHVER"] {
        let Plan::Run(run) = handle_at(&mut session(), line, unsure) else { panic!("a write") };
        let set = Operation::Set { key: "k".into(), value: "v".into(), deadline: Deadline(now + 100) };
        assert_eq!(run.operations.as_slice(), [set], "{line}: it needs no consensus");
    }
}

#[test]
fn increx_adds_within_bounds() {
    script(&[
        ("INCREX k", "*2 :1 :1"),
        ("INCREX k BYINT 4", "*2 :5 :4"),
        ("INCREX k BYINT -10", "*2 :-5 :-10"),
        ("INCREX k byint 0", "*2 :-5 :0"),
        ("INCREX k BYINT 100 UBOUND 80", "*2 :-5 :0"),
        ("INCREX k BYINT 100 UBOUND 80 SATURATE", "*2 :80 :85"),
        ("INCREX k BYINT 1 UBOUND 80", "*2 :80 :0"),
        ("INCREX k SATURATE BYINT -100 LBOUND 0", "*2 :0 :-80"),
        ("INCREX k LBOUND 0 UBOUND 10", "*2 :1 :1"),
        // What is out of bounds already may come back.
        ("SET k 50", "+OK"),
        ("INCREX k BYINT 5 UBOUND 30", "*2 :50 :0"),
        ("INCREX k BYINT -25 UBOUND 30", "*2 :25 :-25"),
        ("SET k 50", "+OK"),
        ("INCREX k BYINT 5 UBOUND 30 SATURATE", "*2 :30 :-20"),
        ("INCREX none BYINT 5 LBOUND 10", "*2 :0 :0"),
        ("INCREX none BYFLOAT -0.5 UBOUND -1.5", "*2 $1 0 $1 0"),
        ("EXISTS none", ":0"),
        ("SET k 9223372036854775800", "+OK"),
        ("INCREX k BYINT 9223372036854775800", "*2 :9223372036854775800 :0"),
        ("INCREX k BYINT 9223372036854775800 SATURATE", "*2 :9223372036854775807 :7"),
        ("INCREX k SATURATE UBOUND -5", "-ERR applied increment would overflow"),
        ("GET k", "$19 9223372036854775807"),
        ("SET k x", "+OK"),
        ("INCREX k", INTEGER),
        ("INCREX k BYFLOAT 1", "-ERR value is not a valid float"),
        ("SET k 1.5", "+OK"),
        ("INCREX k", INTEGER),
        ("INCREX k BYFLOAT 0.25", "*2 $4 1.75 $4 0.25"),
        ("INCREX k BYFLOAT 10 UBOUND 5.5", "*2 $4 1.75 $1 0"),
        ("INCREX k BYFLOAT 10 UBOUND 5.5 SATURATE", "*2 $3 5.5 $4 3.75"),
        ("INCREX k BYFLOAT -10 LBOUND -inf", "*2 $4 -4.5 $3 -10"),
        ("INCREX k BYFLOAT 1 UBOUND -inf LBOUND -inf SATURATE", "-ERR applied increment would be Infinity"),
        ("SET k inf", "+OK"),
        ("INCREX k BYFLOAT 1", "-ERR value cannot be Infinity"),
        ("SET k 1e4932", "+OK"),
        ("INCREX new BYFLOAT 1e4932 SATURATE UBOUND 7", "*2 $1 7 $1 7"),
    ]);
}

#[test]
fn increx_changes_the_deadline() {
    script(&[
        ("INCREX k EX 10", "*2 :1 :1"),
        ("PTTL k", ":10000"),
        ("INCREX k", "*2 :2 :1"),
        ("PTTL k", ":10000"),
        ("INCREX k PX 5 ENX", "*2 :3 :1"),
        ("PTTL k", ":10000"),
        ("INCREX k PX 5 UBOUND 3", "*2 :3 :0"),
        ("PTTL k", ":10000"),
        ("INCREX k PX 5 UBOUND 3 SATURATE", "*2 :3 :0"),
        ("PTTL k", ":5"),
        ("INCREX k PERSIST", "*2 :4 :1"),
        ("PTTL k", ":-1"),
        ("INCREX k ENX PXAT 1700000000009", "*2 :5 :1"),
        ("PTTL k", ":9"),
        ("+9", ""),
        ("INCREX k ENX EX 1", "*2 :1 :1"),
        ("PTTL k", ":1000"),
        ("INCREX k EXAT 1 ENX", "*2 :2 :1"),
        ("INCREX k EXAT 1", "*2 :3 :1"),
        ("EXISTS k", ":0"),
    ]);
}

#[test]
fn options_of_increx() {
    for options in [
        "FOO",
        "BYINT",
        "BYINT 1 BYFLOAT 1.5",
        "BYINT 1 BYINT 2",
        "LBOUND 0 LBOUND 1",
        "UBOUND 9 UBOUND 8",
        "SATURATE SATURATE",
        "ENX ENX EX 10",
        "PERSIST PERSIST",
        "EX 10 EX 20",
        "EX 10 PX 20",
        "EX 10 PERSIST",
        "PERSIST ENX",
        "KEEPTTL",
        "EX",
    ] {
        script(&[(&format!("INCREX k {options}"), SYNTAX), ("EXISTS k", ":0")]);
    }
    for (options, error) in [
        ("ENX", "ENX flag requires an expiration"),
        ("BYINT 1.5", "Increment is not an integer or out of range"),
        ("BYFLOAT abc", "Increment is not a valid float"),
        ("BYFLOAT -inf", "BYFLOAT increment cannot be Infinity"),
        ("LBOUND 1.5", "LBOUND is not an integer or out of range"),
        ("UBOUND x", "UBOUND is not an integer or out of range"),
        ("BYFLOAT 1 LBOUND x", "LBOUND is not a valid float"),
        ("LBOUND 10 UBOUND 5", "LBOUND can't be greater than UBOUND"),
        ("BYFLOAT 0.5 LBOUND 10.5 UBOUND 1.5", "LBOUND can't be greater than UBOUND"),
        ("BYFLOAT 0.5 LBOUND inf", "LBOUND can't be greater than UBOUND"),
        ("EX 0", "invalid expire time in 'increx' command"),
        ("PX -1", "invalid expire time in 'increx' command"),
        ("EX x", "value is not an integer or out of range"),
    ] {
        script(&[(&format!("INCREX k {options}"), &format!("-ERR {error}")), ("EXISTS k", ":0")]);
    }
}
