//! Commands about the node: durability, settings, memory, users, what took long. The replies are Redis 7.0's where it says the same.

use super::super::policy::DebugCommand;
use super::super::{Stage, Step, commands};
use super::*;
use crate::inquiry::Inquiry;
use abd::{Content, StampedValue, Version};

fn script(lines: &[(&str, &str)]) {
    let (mut session, node) = (session(), Node::default());
    for (line, expected) in lines {
        assert_eq!(told(&mut session, &node, line), *expected, "{line}");
    }
}

/// A reply without line ends.
fn told(session: &mut Session, node: &Node, line: &str) -> String {
    match session.handle(ClientRequest::Command(args(line)), node) {
        Plan::Reply(reply) => encoded(&reply, session.protocol()).trim_end().replace("\r\n", " "),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn what_is_answered_is_durable() {
    script(&[
        ("SAVE", "+OK"),
        ("SAVE now", "-ERR wrong number of arguments for 'save' command"),
        ("BGSAVE", "+Background saving started"),
        ("bgsave schedule", "+Background saving started"),
        ("BGSAVE now", "-ERR syntax error"),
        ("BGREWRITEAOF", "+Background append only file rewriting started"),
        ("LASTSAVE", ":1700000000"),
        ("TIME", "*2 $10 1700000000 $1 0"),
        (
            "SHUTDOWN NOSAVE",
            "-ERR SHUTDOWN is not supported: stop the node itself, by SIGTERM or its service manager",
        ),
    ]);
    assert!(ask_fresh("LOLWUT VERSION 5 1 2").contains("Atomic KV ver. "));
    assert_eq!(ask_fresh("LOLWUT VERSION x"), "-ERR value is not an integer or out of range\r\n");
}

#[test]
fn a_few_parameters_may_change() {
    let failed = |name: &str, why: &str| {
        format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
    };
    let immutable = failed("databases", "can't set immutable config");
    let range = failed("slowlog-max-len", "argument must be between 0 and 4096 inclusive");
    let no_integer = failed("slowlog-max-len", "argument couldn't be parsed into an integer");
    let duplicate = failed("slowlog-max-len", "duplicate parameter");
    let get = "CONFIG GET slowlog-max-len";
    script(&[
        (get, "*2 $15 slowlog-max-len $3 128"),
        ("CONFIG SET slowlog-max-len 5 Slowlog-Log-Slower-Than 0", "+OK"),
        (get, "*2 $15 slowlog-max-len $1 5"),
        ("CONFIG SET slowlog-max-len 6 databases 2", &immutable),
        (
            "CONFIG SET slowlog-max-len 6 latency-monitor-threshold x",
            &failed("latency-monitor-threshold", "argument couldn't be parsed into an integer"),
        ),
        ("CONFIG SET slowlog-max-len 5000", &range),
        ("CONFIG SET slowlog-max-len 5k", &no_integer),
        ("CONFIG SET slowlog-max-len 6 slowlog-max-len 7", &duplicate),
        (
            "CONFIG SET slowlog-max-len 6 nope 7",
            "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'",
        ),
        ("CONFIG SET slowlog-max-len 6 nope", "-ERR syntax error"),
        ("CONFIG SET slowlog-max-len", "-ERR wrong number of arguments for 'config|set' command"),
        (get, "*2 $15 slowlog-max-len $1 5"),
        ("CONFIG SET databases 1 appendonly yes", "+OK"),
    ]);
}

#[test]
fn the_slow_log_is_told_in_redis_form() {
    let (mut session, node) = (session(), Node::default());
    script(&[("SLOWLOG GET", "*0"), ("SLOWLOG LEN", ":0")]);
    told(&mut session, &node, "CLIENT SETNAME me");
    for (line, keys, milliseconds) in [("GET k", 1, 9), ("MGET a b", 2, 11), ("object help", 0, 12)] {
        session.handle(ClientRequest::Command(args(line)), &node);
        let keys: Vec<Bytes> = args(line).into_iter().skip(1).take(keys).collect();
        let time = Duration::from_millis(milliseconds);
        session.took(session.listed().noted(), &keys, keys.len(), time, &node);
    }
    let (client, name) = ("$15 127.0.0.1:50000", "$2 me");
    let newest = format!("*6 :1 :1700000000 :12000 *2 $6 OBJECT $4 HELP {client} {name}");
    let before = format!("*6 :0 :1700000000 :11000 *3 $4 MGET $1 a $1 b {client} {name}");
    for (line, reply) in [
        ("SLOWLOG LEN", ":2".to_owned()),
        ("SLOWLOG GET", format!("*2 {newest} {before}")),
        ("SLOWLOG GET 1", format!("*1 {newest}")),
        ("SLOWLOG GET 0", "*0".to_owned()),
        ("SLOWLOG GET -1", format!("*2 {newest} {before}")),
        ("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1".to_owned()),
        ("SLOWLOG GET x", "-ERR count should be greater than or equal to -1".to_owned()),
        (
            "SLOWLOG GET 1 2",
            "-ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.".to_owned(),
        ),
        ("SLOWLOG RESET", "+OK".to_owned()),
        ("SLOWLOG LEN", ":0".to_owned()),
    ] {
        assert_eq!(told(&mut session, &node, line), reply, "{line}");
    }
}

#[test]
fn latency_events_are_told_in_redis_form() {
    let (mut session, node) = (session(), Node::default());
    let report = told(&mut session, &node, "LATENCY DOCTOR");
    assert!(
        report.starts_with("$288 I'm sorry, Dave, I can't do that. Latency monitoring is disabled"),
        "{report}"
    );
    assert_eq!(told(&mut session, &node, "CONFIG SET latency-monitor-threshold 5"), "+OK");
    for (line, milliseconds) in [("GET k", 7), ("GET k", 6), ("DEL k", 8)] {
        session.handle(ClientRequest::Command(args(line)), &node);
        let time = Duration::from_millis(milliseconds);
        session.took(session.listed().noted(), &["k".into()], 1, time, &node);
    }
    for (line, reply) in [
        ("LATENCY LATEST", "*2 *4 $7 command :1700000000 :8 :8 *4 $12 fast-command :1700000000 :7 :7"),
        ("LATENCY HISTORY command", "*1 *2 :1700000000 :8"),
        ("LATENCY HISTORY fork", "*0"),
        ("LATENCY RESET fork", ":0"),
        ("LATENCY RESET command", ":1"),
        ("LATENCY LATEST", "*1 *4 $12 fast-command :1700000000 :7 :7"),
        ("LATENCY RESET", ":1"),
        ("LATENCY LATEST", "*0"),
        ("LATENCY GRAPH command", "-ERR unknown subcommand 'GRAPH'. Try LATENCY HELP."),
    ] {
        assert_eq!(told(&mut session, &node, line), reply, "{line}");
    }
}

#[test]
fn memory_of_a_key() {
    let found =
        |value: &'static str| Outcome::Read(StampedValue::plain(Version::MIN, Content::Value(value.into())));
    let usage = |value| run("MEMORY USAGE k SAMPLES 0", [found(value)]).1;
    let bytes = |reply: String| reply[1..].trim_end().parse::<u64>().unwrap();
    assert_eq!(bytes(usage("123456789")) - bytes(usage("")), 9);
    assert_eq!(run("MEMORY USAGE k", [Outcome::Read(StampedValue::NEVER)]).1, "$-1\r\n");
    script(&[
        ("MEMORY USAGE k SAMPLES", "-ERR syntax error"),
        ("MEMORY USAGE k SAMPLES x", "-ERR value is not an integer or out of range"),
        ("MEMORY USAGE k SAMPLES -1", "-ERR syntax error"),
        ("MEMORY USAGE k DEPTH 1", "-ERR syntax error"),
        ("MEMORY PURGE", "+OK"),
        ("MEMORY MALLOC-STATS", "$45 Stats not supported for the current allocator"),
        ("MEMORY NOPE", "-ERR unknown subcommand 'NOPE'. Try MEMORY HELP."),
    ]);
    assert!(ask_fresh("MEMORY STATS").starts_with("*8\r\n$14\r\npeak.allocated\r\n:"));
    assert!(ask_fresh("MEMORY DOCTOR").contains("has a bound"));
}

#[test]
fn there_is_one_user() {
    script(&[
        ("ACL WHOAMI", "$7 default"),
        ("ACL USERS", "*1 $7 default"),
        ("ACL LIST", "*1 $34 user default on nopass ~* &* +@all"),
        ("ACL GETUSER nobody", "$-1"),
        (
            "ACL GETUSER default",
            "*12 $5 flags *2 $2 on $6 nopass $9 passwords *0 $8 commands $5 +@all $4 keys $2 ~* $8 channels $2 &* $9 selectors *0",
        ),
        ("ACL CAT nope", "-ERR Unknown category 'nope'"),
        ("ACL CAT a b", "-ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL HELP."),
        ("ACL SETUSER bob on", "-ERR unknown subcommand 'SETUSER'. Try ACL HELP."),
    ]);
    let words = |line: &str| -> Vec<String> {
        ask_fresh(line).lines().skip(1).filter(|line| !line.starts_with('$')).map(str::to_owned).collect()
    };
    let categories = words("ACL CAT");
    assert_eq!((categories.len(), categories[0].as_str()), (21, "keyspace"));
    let keyspace = words("ACL CAT keyspace");
    assert!(
        ["del", "object|encoding", "rename"].iter().all(|name| keyspace.iter().any(|known| known == name))
    );
    for command in &commands::COMMANDS {
        for category in command.categories {
            assert!(categories.iter().any(|known| known == &category[1..]), "{}: {category}", command.name);
        }
    }
}

#[test]
fn no_keys_are_tracked_and_no_client_is_blocked() {
    script(&[
        ("CLIENT TRACKING OFF", "+OK"),
        ("client tracking off bcast noloop redirect 5", "+OK"),
        (
            "CLIENT TRACKING ON",
            "-ERR CLIENT TRACKING ON is not supported: nobody would tell which keys have changed",
        ),
        ("CLIENT TRACKING ON NOPE", "-ERR syntax error"),
        ("CLIENT TRACKING MAYBE", "-ERR syntax error"),
        ("CLIENT TRACKINGINFO", "*6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0"),
        ("CLIENT GETREDIR", ":-1"),
        (
            "CLIENT CACHING YES",
            "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ),
        ("CLIENT REPLY ON", "+OK"),
        ("CLIENT REPLY OFF", "-ERR CLIENT REPLY is not supported but for ON: every request is answered"),
        ("CLIENT REPLY MAYBE", "-ERR syntax error"),
        ("CLIENT UNBLOCK 5", ":0"),
        ("CLIENT UNBLOCK 5 timeout", ":0"),
        ("CLIENT UNBLOCK 5 maybe", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range"),
    ]);
}

#[test]
fn debug_is_for_those_who_may_use_it() {
    let refusal = "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a \
                   local connection, otherwise you need to set this option in the configuration file, and then restart the server.";
    script(&[("DEBUG SLEEP 1", refusal), ("DEBUG HELP", refusal), ("DEBUG NOPE", refusal)]);
    let at = |debug_command, peer: &str, line: &str| {
        let policy = Policy { debug_command, ..Policy::default() };
        let node = Node { policy, ..Node::default() };
        let local = "127.0.0.1:6380".to_owned();
        let mut session = Session::new(7, peer.to_owned(), local, Duration::ZERO, SMALL);
        session.handle(ClientRequest::Command(args(line)), &node)
    };
    for (choice, peer, is_allowed) in [
        (DebugCommand::Local, "127.0.0.1:5", true),
        (DebugCommand::Local, "[::1]:5", true),
        (DebugCommand::Local, "10.0.0.127:5", false),
        (DebugCommand::Yes, "10.0.0.127:5", true),
    ] {
        let plan = at(choice, peer, "DEBUG SLEEP 1.5");
        let sleeps = matches!(
            &plan,
            Plan::First(Stage { step: Step::Inquire(Inquiry::Pause(time), _), .. }) if *time == Duration::from_millis(1500)
        );
        assert_eq!(sleeps, is_allowed, "{peer}: {plan:?}");
    }
    for line in ["DEBUG NOPE 1", "DEBUG NOPE", "DEBUG nope a b"] {
        let Plan::Reply(Response::Error(told)) = at(DebugCommand::Yes, "10.0.0.1:1", line) else {
            panic!("{line}")
        };
        let name = line.split(' ').nth(1).unwrap();
        let expected = "ERR unknown subcommand or wrong number of arguments for";
        assert_eq!(told, format!("{expected} '{name}'. Try DEBUG HELP."));
    }
}
