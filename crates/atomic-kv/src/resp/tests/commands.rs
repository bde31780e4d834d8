//! Commands that touch keys, and the words of errors.

use std::collections::{BTreeMap, BTreeSet};

use super::super::table::COMMANDS;
use super::*;

fn error(line: &str) -> String {
    let text = ask_fresh(line);
    text.strip_prefix('-')
        .and_then(|text| text.strip_suffix("\r\n"))
        .unwrap_or_else(|| panic!("{text}"))
        .to_owned()
}

#[test]
fn keys_and_values_reach_the_node() {
    let mut session = session();
    let keys = || args("a b a").to_vec();
    assert_eq!(handle(&mut session, "GET k"), Action::Get("k".into()));
    assert_eq!(handle(&mut session, "sTrLeN k"), Action::StrLen("k".into()));
    assert_eq!(handle(&mut session, "set k v"), Action::Set { key: "k".into(), value: "v".into() });
    assert_eq!(handle(&mut session, "del a b a"), Action::Delete(keys()));
    assert_eq!(handle(&mut session, "UNLINK a b a"), Action::Delete(keys()));
    assert_eq!(handle(&mut session, "EXISTS a b a"), Action::Exists(keys()));
    assert_eq!(handle(&mut session, "MGET a b a"), Action::MultiGet(keys()));
    assert_eq!(handle(&mut session, "get "), Action::Get(Bytes::new()));
}

#[test]
fn limits_are_exact() {
    assert!(matches!(handle(&mut session(), "get 12345678"), Action::Get(_)));
    assert_eq!(error("get 123456789"), "ERR key is too long: 9 bytes, the limit is 8");
    assert_eq!(error("mget a 123456789"), "ERR key is too long: 9 bytes, the limit is 8");
    assert_eq!(error("set 123456789 v"), "ERR key is too long: 9 bytes, the limit is 8");
    assert!(matches!(handle(&mut session(), &format!("set k {}", "v".repeat(32))), Action::Set { .. }));
    let long = format!("set k {}", "v".repeat(33));
    assert_eq!(error(&long), "ERR value is too large: 33 bytes, the limit is 32");
}

#[test]
fn set_options_are_refused_by_name() {
    for option in ["NX", "xx", "GET", "KEEPTTL", "EX 10", "px 10", "EXAT 1", "PXAT 1", "IFEQ old", "EX NX"] {
        let name = option.split(' ').next().unwrap_or_default().to_uppercase();
        let text = format!("ERR SET option '{name}' is not supported yet; the value was not written");
        assert_eq!(error(&format!("SET k v {option}")), text);
    }
    for line in ["SET k v FOO", "SET k v NX FOO", "SET k v EX 10 FOO", "SET k v "] {
        assert_eq!(error(line), "ERR syntax error");
    }
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
    assert_eq!(error("WAIT 1 0"), "ERR unknown command 'WAIT', with args beginning with: '1' '0' ");
    assert_eq!(error("CLUSTER SLOTS"), "ERR This instance has cluster support disabled");
    assert_eq!(
        error("client MAINT_NOTIFICATIONS on"),
        "ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP."
    );
    assert_eq!(handle(&mut session(), "POST / HTTP/1.1"), Action::Close);
    assert_eq!(handle(&mut session(), "Host: localhost"), Action::Close);
}

#[test]
fn command_family() {
    assert_eq!(ask_fresh("COMMAND COUNT"), ":18\r\n");
    assert_eq!(ask_fresh("COMMAND GETKEYS mget a b"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(ask_fresh("COMMAND GETKEYS set a b"), "*1\r\n$1\r\na\r\n");
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
    assert!(ask_fresh("config get *").starts_with("*8\r\n"));
    assert!(error("CONFIG SET save 1").starts_with("ERR CONFIG SET is not supported"));
    assert_eq!(error("CONFIG REWRITE"), "ERR unknown subcommand 'REWRITE'. Try CONFIG HELP.");
}

/// Words in backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_readme_lists_the_commands_that_are_served() {
    let readme = include_str!("../../../../../README.md");
    let section = readme.split("\n## Commands\n").nth(1).unwrap().trim_start();
    let listed = quoted(section.lines().next().unwrap());
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
            Action::Respond(reply) => encoded(&reply, Protocol::Resp2).contains("not supported"),
            _ => false,
        };
        assert_eq!(supported == "no", refused, "{command}");
    }
}
