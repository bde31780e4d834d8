//! Commands about keys as a whole: copies and new names, what a key holds, the one database.

use super::super::policy::MultiKeys;
use super::super::{Outcomes, Stage, Step};
use super::*;
use crate::functions::registers::Registers;
use abd::Operation;

/// Says lines to a session at a node that works key by key, and compares the replies, which are given without line ends.
fn script(lines: &[(&str, &str)]) {
    let (mut session, mut keys) = (session(), Registers::new(SMALL.max_value_bytes));
    for (line, expected) in lines {
        let told = tell(&mut session, &mut keys, line, |_, _| {});
        assert_eq!(told, *expected, "{line}");
    }
}

/// The reply to a line. `between` looks at each operation before it is carried out, and may write keys.
fn tell(
    session: &mut Session,
    keys: &mut Registers,
    line: &str,
    mut between: impl FnMut(&Operation, &mut Registers),
) -> String {
    let policy = Policy { multi_keys: MultiKeys::PerKey, ..Policy::default() };
    let node = Node { policy, ..Node::default() };
    let mut plan = session.handle(ClientRequest::Command(args(line)), &node);
    let mut carry_out = |operations: Operations| -> Outcomes {
        let carry_out = |operation| {
            between(&operation, keys);
            keys.carry_out(operation)
        };
        operations.into_iter().map(carry_out).collect()
    };
    let told = loop {
        plan = match plan {
            Plan::Run(run) => break reply(carry_out(run.operations), run.answer, &NOW),
            Plan::Reply(reply) => break reply,
            Plan::First(Stage { step: Step::Run(operations, next), .. }) => {
                next(carry_out(operations), &node).unwrap_or_else(Plan::Reply)
            }
            other => panic!("{line}: {other:?}"),
        };
    };
    encoded(&told, session.protocol()).trim_end().replace("\r\n", " ")
}

#[test]
fn copy_as_in_redis() {
    script(&[
        ("COPY a b", ":0"),
        ("GET b", "$-1"),
        ("SET a 1", "+OK"),
        ("COPY a b", ":1"),
        ("SET a 2", "+OK"),
        ("COPY a b DB 0", ":0"),
        ("GET b", "$1 1"),
        ("copy a b replace db 0 Replace", ":1"),
        ("GET b", "$1 2"),
        ("COPY a a", "-ERR source and destination objects are the same"),
        ("COPY a c DB 1", "-ERR DB index is out of range"),
        ("COPY a c DB -1", "-ERR DB index is out of range"),
        ("COPY a c DB x", "-ERR value is not an integer or out of range"),
        (
            "COPY a c DB 99999999999",
            "-ERR value is out of range, value must between -2147483648 and 2147483647",
        ),
        ("COPY a c DB", "-ERR syntax error"),
        ("COPY a c NX", "-ERR syntax error"),
        ("COPY a", "-ERR wrong number of arguments for 'copy' command"),
        ("EXISTS c", ":0"),
    ]);
}

#[test]
fn a_renamed_key_keeps_its_value_and_leaves_its_name() {
    script(&[
        ("RENAME a b", "-ERR no such key"),
        ("RENAME a a", "-ERR no such key"),
        ("RENAMENX a b", "-ERR no such key"),
        ("RENAMENX a a", "-ERR no such key"),
        ("SET a 1", "+OK"),
        ("RENAME a a", "+OK"),
        ("RENAMENX a a", ":0"),
        ("GET a", "$1 1"),
        ("RENAME a b", "+OK"),
        ("MGET a b", "*2 $-1 $1 1"),
        ("SET a 2", "+OK"),
        ("RENAMENX a b", ":0"),
        ("MGET a b", "*2 $1 2 $1 1"),
        ("RENAMENX a c", ":1"),
        ("RENAME c b", "+OK"),
        ("MGET a b c", "*3 $-1 $1 2 $-1"),
    ]);
}

#[test]
fn a_copy_has_the_deadline_of_its_original() {
    let (mut session, mut keys) = (session(), Registers::new(SMALL.max_value_bytes));
    let deadline = abd::Deadline(NOW.latest.0 + 5000);
    keys.carry_out(Operation::Set { key: "a".into(), value: "1".into(), deadline });
    keys.carry_out(Operation::Set {
        key: "b".into(),
        value: "2".into(),
        deadline: abd::Deadline(deadline.0 * 2),
    });
    for (line, told) in [("COPY a b REPLACE", ":1"), ("COPY b c", ":1"), ("RENAME c d", "+OK")] {
        assert_eq!(tell(&mut session, &mut keys, line, |_, _| {}), told);
    }
    let read = |key: &'static str| keys.read(&key.into());
    for key in ["a", "b", "d"] {
        assert_eq!(
            (read(key).content.value().unwrap().as_ref(), read(key).deadline),
            (&b"1"[..], deadline),
            "{key}"
        );
    }
}

#[test]
fn what_others_write_meanwhile_is_not_lost() {
    let is_write = |operation: &Operation, key: &str| matches!(operation, Operation::Update { key: of, .. } if of == key);
    let set = |keys: &mut Registers, key: &'static str| {
        let (key, value) = (key.into(), "other".into());
        keys.carry_out(Operation::Set { key, value, deadline: abd::Deadline::NONE });
    };
    let told = |line: &str, when: &str, which: &'static str| {
        let (mut session, mut keys) = (session(), Registers::new(SMALL.max_value_bytes));
        tell(&mut session, &mut keys, "SET a 1", |_, _| {});
        let mut has_written = false;
        let told = tell(&mut session, &mut keys, line, |operation, keys| {
            if is_write(operation, when) && !core::mem::replace(&mut has_written, true) {
                set(keys, which);
            }
        });
        assert!(has_written, "{line}");
        (told, tell(&mut session, &mut keys, "MGET a b", |_, _| {}))
    };
    let both = |told: &str, values: &str| (told.to_owned(), format!("*2 {values}"));
    // The source is written between its copy and its deletion: that stays.
    assert_eq!(told("RENAME a b", "a", "a"), both("+OK", "$5 other $1 1"));
    // The target is written between the look and the copy.
    assert_eq!(told("RENAMENX a b", "b", "b"), both(":0", "$1 1 $5 other"));
    assert_eq!(told("COPY a b", "b", "b"), both(":0", "$1 1 $5 other"));
}

#[test]
fn a_rename_is_refused_unless_the_setting_allows_it() {
    for line in ["RENAME a b", "renamenx a b"] {
        let (name, told) = (line.split(' ').next().unwrap().to_uppercase(), ask_fresh(line));
        assert!(
            told.starts_with(&format!("-ERR {name} is refused")) && told.contains("--multi-keys per-key"),
            "{told}"
        );
    }
    assert!(matches!(handle(&mut session(), "RENAME a a"), Plan::Run(_)), "one key");
    assert!(matches!(handle(&mut session(), "COPY a b"), Plan::First(_)), "its source stays");
}

#[test]
fn what_a_key_holds() {
    script(&[
        ("TYPE a", "+none"),
        ("OBJECT ENCODING a", "$-1"),
        ("OBJECT FREQ a", "$-1"),
        ("OBJECT IDLETIME a", "$-1"),
        ("OBJECT REFCOUNT a", "$-1"),
        ("MSET a 12 b 012 c -9223372036854775808 d 9223372036854775808", "+OK"),
        ("TYPE a", "+string"),
        ("TOUCH a a x d", ":3"),
        ("OBJECT ENCODING a", "$3 int"),
        ("OBJECT ENCODING b", "$6 embstr"),
        ("OBJECT ENCODING c", "$3 int"),
        ("OBJECT ENCODING d", "$6 embstr"),
        ("OBJECT REFCOUNT a", ":1"),
        ("OBJECT IDLETIME a", "-ERR idle time not tracked: reads leave no trace on keys"),
        ("OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command"),
        ("OBJECT", "-ERR wrong number of arguments for 'object' command"),
        ("OBJECT FOO a", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP."),
        ("OBJECT ENCODING 123456789", "-ERR key is too long: 9 bytes, the limit is 8"),
    ]);
    let (mut session, mut keys) = (session(), Registers::new(100));
    for (length, encoding) in [(44, "$6 embstr"), (45, "$3 raw")] {
        let value = Bytes::from("x".repeat(length));
        keys.carry_out(Operation::Set { key: "k".into(), value, deadline: abd::Deadline::NONE });
        assert_eq!(tell(&mut session, &mut keys, "OBJECT ENCODING k", |_, _| {}), encoding);
    }
}

#[test]
fn there_is_one_database() {
    let (not_one, range) = ("-ERR value is not an integer or out of range", "-ERR DB index is out of range");
    script(&[
        ("SELECT 0", "+OK"),
        ("SELECT 1", range),
        ("SELECT -1", range),
        ("SELECT x", not_one),
        ("SELECT 99999999999", "-ERR value is out of range, value must between -2147483648 and 2147483647"),
        ("MOVE a 0", "-ERR source and destination objects are the same"),
        ("MOVE a 1", range),
        ("MOVE a x", not_one),
        ("SWAPDB 0 0", "+OK"),
        ("SWAPDB x 0", "-ERR invalid first DB index"),
        ("SWAPDB 0 99999999999", "-ERR invalid second DB index"),
        ("SWAPDB 0 1", range),
        ("SWAPDB 1 1", range),
    ]);
}

#[test]
fn a_rename_that_fails_says_what_is_known() {
    let refused = || Outcome::Refused(abd::Reason::Stopping);
    let unclear = || Outcome::Indeterminate(abd::Reason::Cancelled);
    // Which of its operations ends so: the look, the copy, the deletion.
    for (place, outcome, told) in [
        (0, refused(), "-NOQUORUM no effect: "),
        (1, refused(), "-NOQUORUM no effect: "),
        (1, unclear(), "-INDETERMINATE the write may or may not take effect: "),
        (2, refused(), "-INDETERMINATE some of the keys were written, others certainly not: "),
        (2, unclear(), "-INDETERMINATE the write may or may not take effect: "),
    ] {
        let mut keys = Registers::new(SMALL.max_value_bytes);
        keys.carry_out(Operation::Set { key: "a".into(), value: "1".into(), deadline: abd::Deadline::NONE });
        let policy = Policy { multi_keys: MultiKeys::PerKey, ..Policy::default() };
        let node = Node { policy, ..Node::default() };
        let mut plan = session().handle(ClientRequest::Command(args("RENAME a b")), &node);
        let mut done = 0;
        let reply = loop {
            let Plan::First(Stage { step: Step::Run(mut operations, next), .. }) = plan else {
                let Plan::Reply(reply) = plan else { panic!("{plan:?}") };
                break encoded(&reply, Protocol::Resp2);
            };
            assert!(operations.len() == 1 && done <= place, "it goes on after {outcome:?}");
            let ended = keys.carry_out(operations.remove(0));
            let ended = if done == place { outcome.clone() } else { ended };
            done += 1;
            plan = next([ended].into_iter().collect(), &node).unwrap_or_else(Plan::Reply);
        };
        assert!(reply.starts_with(told), "{place}: {reply}");
    }
}
