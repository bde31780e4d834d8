//! Commands that touch keys, and the words of errors.

use super::super::command::Command;
use super::super::commands::COMMANDS;
use super::*;
use crate::functions::{Condition, Function, FunctionAnswer};
use abd::{Content, Deadline, Operation, Reason, StampedValue, Version};
use alloc::collections::{BTreeMap, BTreeSet};

fn error(line: &str) -> String {
    let text = ask_fresh(line);
    text.strip_prefix('-')
        .and_then(|text| text.strip_suffix("\r\n"))
        .unwrap_or_else(|| panic!("{text}"))
        .to_owned()
}

fn found(value: &'static str) -> Outcome {
    Outcome::Read(StampedValue::plain(Version::MIN, Content::Value(value.into())))
}

const NOTHING: Outcome = Outcome::Read(StampedValue::NEVER);

fn written(existed: bool) -> Outcome {
    Outcome::Written { version: Version::MIN, existed }
}

/// An update has ended, whose function has answered so.
fn updated(answer: FunctionAnswer) -> Outcome {
    Outcome::Updated { answers: vec![answer.encode()], version: Version::MIN }
}

fn update(key: &'static str, function: &Function) -> Operation {
    Operation::Update { key: key.into(), functions: vec![function.encode()] }
}

#[test]
fn keys_and_values_become_operations_and_outcomes_replies() {
    let get = |key: &'static str| Operation::Get { key: key.into() };
    let delete = |key| update(key, &Function::Delete { condition: Condition::Always, get: false });
    let count = |count| updated(FunctionAnswer::Integer(count));
    let set = || Operation::Set { key: "k".into(), value: "v".into(), deadline: Deadline::NONE };
    let with_version = format!("*2\r\n+OK\r\n$48\r\n{}\r\n", "0".repeat(48));
    let cases: [(&str, &[Operation], &[Outcome], &str); 15] = [
        ("GET k", &[get("k")], &[found("v")], "$1\r\nv\r\n"),
        ("get k", &[get("k")], &[NOTHING], "$-1\r\n"),
        ("get ", &[get("")], &[found("")], "$0\r\n\r\n"),
        ("sTrLeN k", &[get("k")], &[found("four")], ":4\r\n"),
        ("strlen k", &[get("k")], &[NOTHING], ":0\r\n"),
        ("set k v", &[set()], &[written(false)], "+OK\r\n"),
        ("SET k v", &[set()], &[written(true)], "+OK\r\n"),
        ("SET k v WITHVER", &[set()], &[written(true)], &with_version),
        ("MSET k x k v", &[set()], &[written(true)], "+OK\r\n"),
        ("INCR k", &[update("k", &Function::Increment(1))], &[count(7)], ":7\r\n"),
        ("del a b a", &[delete("a"), delete("b")], &[count(1), count(0)], ":1\r\n"),
        // On full disks some are deleted without an update.
        ("UNLINK b a", &[delete("a"), delete("b")], &[written(true), count(1)], ":2\r\n"),
        ("EXISTS a b a", &[get("a"), get("b"), get("a")], &[found(""), NOTHING, found("")], ":2\r\n"),
        ("MGET a b", &[get("a"), get("b")], &[NOTHING, found("v")], "*2\r\n$-1\r\n$1\r\nv\r\n"),
        ("mget a a", &[get("a"), get("a")], &[found("v"), found("v")], "*2\r\n$1\r\nv\r\n$1\r\nv\r\n"),
    ];
    for (line, operations, outcomes, reply) in cases {
        let (planned, told) = run(line, outcomes.iter().cloned());
        assert_eq!((planned.as_slice(), told.as_str()), (operations, reply), "{line}");
    }
}

#[test]
fn bad_news_is_told_whatever_the_command() {
    let (refused, unclear) = (Outcome::Refused(Reason::Stopping), Outcome::Indeterminate(Reason::Cancelled));
    let told = |line, outcomes: &[&Outcome]| run(line, outcomes.iter().map(|one| (*one).clone())).1;
    let refusal = format!("-NOQUORUM no effect: {}\r\n", Reason::Stopping);
    assert_eq!(told("GET k", &[&refused]), refusal);
    assert_eq!(told("MGET a b", &[&NOTHING, &refused]), refusal);
    assert_eq!(told("DEL a b", &[&refused, &refused]), refusal);
    let doubt = format!("-INDETERMINATE the write may or may not take effect: {}\r\n", Reason::Cancelled);
    assert_eq!(told("SET k v", &[&unclear]), doubt);
    assert_eq!(told("DEL a b", &[&refused, &unclear]), doubt, "the worst first");
    let some = format!(
        "-INDETERMINATE some of the keys were written, others certainly not: {}\r\n",
        Reason::Stopping
    );
    assert_eq!(told("MSET a 1 b 2", &[&written(true), &refused]), some);
    let deleted = |count| updated(FunctionAnswer::Integer(count));
    assert_eq!(told("DEL a b", &[&deleted(1), &refused]), some);
    assert_eq!(told("DEL a b", &[&deleted(0), &refused]), refusal, "nothing was there");
    assert_eq!(told("INCR k", &[&unclear]), doubt);
    assert_eq!(told("SET k v NX WITHVER", &[&refused]), refusal);
}

#[test]
fn limits_are_exact() {
    assert_eq!(run("get 12345678", [NOTHING]).0.len(), 1);
    assert_eq!(error("get 123456789"), "ERR key is too long: 9 bytes, the limit is 8");
    assert_eq!(error("mget a 123456789"), "ERR key is too long: 9 bytes, the limit is 8");
    assert_eq!(error("set 123456789 v"), "ERR key is too long: 9 bytes, the limit is 8");
    assert_eq!(run(&format!("set k {}", "v".repeat(32)), [written(true)]).1, "+OK\r\n");
    let long = format!("set k {}", "v".repeat(33));
    assert_eq!(error(&long), "ERR value is too large: 33 bytes, the limit is 32");
}

/// What the cluster keeps for itself has names that no command takes: alone, as a subcommand, queued, and of a script.
#[test]
fn no_command_names_a_reserved_key() {
    let reserved = "\0atomic-kv\0x";
    let refusal = "ERR the key is reserved: what the cluster keeps for itself begins so";
    let all = COMMANDS.iter().flat_map(|command| {
        let own = (command.name.to_owned(), command);
        let sub = |sub: &'static Command| (format!("{} {}", command.name, sub.name), sub);
        core::iter::once(own).chain(command.subcommands.iter().map(sub)).collect::<Vec<_>>()
    });
    let mut refused = 0;
    for (name, command) in all.filter(|(_, command)| command.keys.0 > 0) {
        let words = name.split(' ').count();
        let given = command.arity.unsigned_abs() as usize - words;
        let line = format!("{name}{}", format!(" {reserved}").repeat(given));
        assert_eq!(error(&line), refusal, "{name}");
        refused += 1;
    }
    assert!(refused > 40, "{refused} commands name keys");
    assert_eq!(error(&format!("EVAL x 2 a {reserved}")), refusal);
    let mut session = session();
    ask(&mut session, "MULTI");
    assert_eq!(ask(&mut session, &format!("GET {reserved}")), format!("-{refusal}\r\n"));
    assert!(ask(&mut session, "EXEC").starts_with("-EXECABORT"));
    // What only looks like it is a key as any other.
    assert_eq!(run("GET \0atomic", [NOTHING]).0.len(), 1);
}

#[test]
fn arity() {
    for (line, name) in [
        ("GET", "get"),
        ("get a b", "get"),
        ("SET k", "set"),
        ("DEL", "del"),
        ("mget", "mget"),
        ("ping a b", "ping"),
        ("ECHO", "echo"),
        ("client", "client"),
        ("CLIENT SETNAME", "client|setname"),
        ("config get", "config|get"),
        ("select", "select"),
    ] {
        assert_eq!(error(line), format!("ERR wrong number of arguments for '{name}' command"));
    }
}

#[test]
fn unknown_commands_read_as_in_redis() {
    assert_eq!(error("FOO a b"), "ERR unknown command 'FOO', with args beginning with: 'a' 'b' ");
    assert_eq!(error("FOO"), "ERR unknown command 'FOO', with args beginning with: ");
    let long = error(&format!("{} {} {} z", "f".repeat(200), "a".repeat(100), "b".repeat(100)));
    let (name, shown) = ("f".repeat(128), format!("'{}' '{}' ", "a".repeat(100), "b".repeat(25)));
    assert_eq!(long, format!("ERR unknown command '{name}', with args beginning with: {shown}"));
    assert_eq!(error("foo a\r\nb"), "ERR unknown command 'foo', with args beginning with: 'a  b' ");
    assert_eq!(error("LPUSH k v"), "ERR unknown command 'LPUSH', with args beginning with: 'k' 'v' ");
    assert_eq!(
        error("client MAINT_NOTIFICATIONS on"),
        "ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP."
    );
    for line in ["POST / HTTP/1.1", "Host: localhost"] {
        assert!(matches!(handle(&mut session(), line), Plan::Close), "{line}");
    }
}

#[test]
fn command_family() {
    assert_eq!(ask_fresh("COMMAND COUNT"), format!(":{}\r\n", in_the_readme().len()));
    assert_eq!(ask_fresh("COMMAND GETKEYS mget a b"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(ask_fresh("COMMAND GETKEYS set a b"), "*1\r\n$1\r\na\r\n");
    assert_eq!(ask_fresh("COMMAND GETKEYS mset a 1 b 2"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(ask_fresh("COMMAND GETKEYS lcs a b LEN"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(ask_fresh("COMMAND GETKEYS object encoding a"), "*1\r\n$1\r\na\r\n");
    assert_eq!(error("COMMAND GETKEYS object help"), "ERR The command has no key arguments");
    assert_eq!(error("COMMAND GETKEYS object nope a"), "ERR Invalid command specified");
    assert_eq!(error("COMMAND GETKEYS ping"), "ERR The command has no key arguments");
    assert_eq!(error("COMMAND GETKEYS nope"), "ERR Invalid command specified");
    assert_eq!(error("COMMAND GETKEYS get"), "ERR Invalid number of arguments specified for command");
    assert_eq!(ask_fresh("COMMAND LIST FILTERBY PATTERN *GET"), "*2\r\n$3\r\nget\r\n$4\r\nmget\r\n");
    assert_eq!(ask_fresh("COMMAND LIST FILTERBY MODULE json"), "*0\r\n");
    assert_eq!(ask_fresh("COMMAND INFO nope"), "*1\r\n*-1\r\n");
    let get = "*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n";
    assert!(ask_fresh("COMMAND INFO GET").starts_with(get));
    assert!(ask_fresh("COMMAND DOCS get").starts_with("*2\r\n$3\r\nget\r\n*10\r\n$7\r\nsummary\r\n"));
    assert!(ask_fresh("COMMAND DOCS client|id").starts_with("*2\r\n$9\r\nclient|id\r\n"));
    let many = format!("COMMAND INFO{}", " get".repeat(1025));
    assert_eq!(error(&many), "ERR too many command names: 1025, the limit is 1024");
}

#[test]
fn config_get_takes_patterns() {
    assert_eq!(ask_fresh("CONFIG GET save"), "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    assert_eq!(ask_fresh("config get APPEND*"), "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n");
    assert_eq!(ask_fresh("config get sav? s[a-b]ve s[^b]ve nope"), "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    assert_eq!(ask_fresh("config get nope s[b]ve sav *x"), "*0\r\n");
    assert!(ask_fresh("config get *").starts_with("*14\r\n"));
    assert_eq!(error("CONFIG REWRITE"), "ERR unknown subcommand 'REWRITE'. Try CONFIG HELP.");
}

/// Words in backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The commands that the README lists.
fn in_the_readme() -> BTreeSet<String> {
    let readme = include_str!("../../../../../README.md");
    let section = readme.split("\n## Commands\n").nth(1).unwrap().trim_start();
    quoted(section.split("\n\n").next().unwrap())
}

#[test]
fn the_readme_lists_the_commands_that_are_served() {
    let listed = in_the_readme();
    assert!(COMMANDS.is_sorted_by_key(|command| command.name));
    let served: BTreeSet<String> = COMMANDS.iter().map(|spec| spec.name.to_ascii_uppercase()).collect();
    assert_eq!(listed, served);
}

#[test]
fn compat_has_a_row_for_every_command_and_says_where_it_is_partly_or_not_served() {
    let rows: BTreeMap<&str, &str> = include_str!("../../../../../COMPAT.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(command, rest)| (command, rest.split(" |").next().unwrap()))
        .collect();
    let mut served = BTreeSet::new();
    for spec in COMMANDS {
        // A command that answers nothing by itself has rows for its subcommands alone.
        if spec.subcommands.is_empty() || spec.accepts(1) {
            served.insert(spec.name.to_ascii_uppercase());
        }
        served.extend(
            spec.subcommands.iter().map(|sub| format!("{} {}", spec.name, sub.name).to_ascii_uppercase()),
        );
    }
    assert_eq!(rows.keys().map(|command| (*command).to_owned()).collect::<BTreeSet<_>>(), served);
    for (command, supported) in rows {
        assert!(["yes", "partly", "no"].contains(&supported), "{command}: {supported}");
        let refused = match handle(&mut session(), &format!("{command} a b")) {
            Plan::Reply(reply) => encoded(&reply, Protocol::Resp2).contains("not supported"),
            _ => false,
        };
        assert_eq!(supported == "no", refused, "{command}");
    }
}
