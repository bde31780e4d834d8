//! Commands about the connection itself.

use super::*;

#[test]
fn ping_echo_select_quit() {
    assert_eq!(ask_fresh("PING"), "+PONG\r\n");
    assert_eq!(ask_fresh("ping hi"), "$2\r\nhi\r\n");
    assert_eq!(ask_fresh("ECHO hi"), "$2\r\nhi\r\n");
    assert_eq!(ask_fresh("SELECT 0"), "+OK\r\n");
    assert_eq!(ask_fresh("SELECT 1"), "-ERR DB index is out of range\r\n");
    assert_eq!(ask_fresh("SELECT -1"), "-ERR DB index is out of range\r\n");
    assert_eq!(ask_fresh("SELECT x"), "-ERR value is not an integer or out of range\r\n");
    assert!(matches!(handle(&mut session(), "QUIT"), Plan::Last(reply) if reply == Response::OK));
}

fn name(session: &Session) -> String {
    session.names().name.clone()
}

#[test]
fn hello_changes_the_protocol_and_reset_restores_it() {
    let mut session = session();
    let version = super::super::REDIS_VERSION;
    let fields = |proto| {
        format!(
            "$6\r\nserver\r\n$9\r\natomic-kv\r\n$7\r\nversion\r\n${}\r\n{version}\r\n$5\r\nproto\r\n:{proto}\r\n\
             $2\r\nid\r\n:7\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n\
             $7\r\nmodules\r\n*0\r\n",
            version.len()
        )
    };
    assert_eq!(ask(&mut session, "HELLO"), format!("*14\r\n{}", fields(2)));
    assert_eq!(ask(&mut session, "hello 3 AUTH default x SETNAME me"), format!("%7\r\n{}", fields(3)));
    assert_eq!((session.protocol(), name(&session)), (Protocol::Resp3, "me".to_owned()));
    assert_eq!(ask(&mut session, "HELLO"), format!("%7\r\n{}", fields(3)));
    assert_eq!(ask(&mut session, "RESET"), "+RESET\r\n");
    assert_eq!((session.protocol(), name(&session)), (Protocol::Resp2, String::new()));
}

#[test]
fn a_refused_hello_changes_nothing() {
    for (line, reply) in [
        ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
        ("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"),
        ("HELLO 3 SETNAME a FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"),
        ("HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'\r\n"),
        ("HELLO 3 AUTH bob x", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
    ] {
        let mut session = session();
        assert_eq!(ask(&mut session, line), reply);
        assert_eq!((session.protocol(), name(&session)), (Protocol::Resp2, String::new()));
    }
}

#[test]
fn auth_without_a_configured_password() {
    let text = "-ERR AUTH <password> called without any password configured for the default user. \
                Are you sure your configuration is correct?\r\n";
    assert_eq!(ask_fresh("AUTH secret"), text);
    assert_eq!(ask_fresh("AUTH default secret"), "+OK\r\n");
    assert!(ask_fresh("AUTH bob secret").starts_with("-WRONGPASS "));
    assert_eq!(ask_fresh("AUTH a b c"), "-ERR syntax error\r\n");
}

#[test]
fn client_family() {
    let mut session = session();
    assert_eq!(ask(&mut session, "CLIENT ID"), ":7\r\n");
    assert_eq!(ask(&mut session, "CLIENT GETNAME"), "$-1\r\n");
    assert_eq!(ask(&mut session, "CLIENT SETNAME me"), "+OK\r\n");
    assert_eq!(ask(&mut session, "CLIENT GETNAME"), "$2\r\nme\r\n");
    let bad = "-ERR Client names cannot contain spaces, newlines or special characters.\r\n";
    assert_eq!(ask(&mut session, "CLIENT SETNAME a\nb"), bad);
    assert_eq!(ask(&mut session, "client SETINFO LIB-NAME redis-py"), "+OK\r\n");
    assert_eq!(ask(&mut session, "client setinfo lib-ver 8.0"), "+OK\r\n");
    assert_eq!(ask(&mut session, "client setinfo colour red"), "-ERR Unrecognized option 'colour'\r\n");
    assert_eq!(ask(&mut session, "client no-evict on"), "+OK\r\n");
    assert_eq!(ask(&mut session, "client no-touch maybe"), "-ERR syntax error\r\n");
    assert!(ask(&mut session, "client help").starts_with("*26\r\n+CLIENT <subcommand> "));
    let info = ask(&mut session, "CLIENT INFO");
    let wanted =
        ["id=7 addr=127.0.0.1:50000 laddr=127.0.0.1:6380 ", " name=me age=60 idle=0 ", " cmd=client|info "];
    assert!(wanted.iter().all(|part| info.contains(part)), "{info}");
    assert!(info.ends_with(" resp=2 lib-name=redis-py lib-ver=8.0\n\r\n"), "{info}");
}

#[test]
fn client_list_has_all_by_number() {
    let list = ask_fresh("CLIENT LIST");
    let lines: Vec<&str> = list.lines().skip(1).collect();
    assert!(lines[0].starts_with("id=3 addr=127.0.0.1:3 laddr=127.0.0.1:6380 "), "{list}");
    assert!(
        lines[1].starts_with("id=7 addr=127.0.0.1:50000 ") && lines[1].contains(" cmd=client|list "),
        "{list}"
    );
    assert!(lines[2].starts_with("id=9 ") && lines[2].contains(" age=10 idle=10 "), "{list}");
    assert!(lines[2].contains(" cmd=NULL "), "{list}");
    let other = ask_fresh("CLIENT LIST ID 3");
    assert!(other.contains("\nid=3 ") && other.lines().count() == 3, "{other}");
    assert_eq!(ask_fresh("CLIENT LIST TYPE pubsub"), "$0\r\n\r\n");
    assert_eq!(ask_fresh("CLIENT LIST ID x"), "-ERR Invalid client ID\r\n");
    assert_eq!(ask_fresh("CLIENT LIST TYPE x"), "-ERR Unknown client type 'x'\r\n");
}

#[test]
fn client_kill_closes_those_that_all_filters_fit() {
    let closed = |line: &str| {
        let mut session = session();
        let node = Node { own: Some(session.listed().clone()), ..Node::default() };
        let (reply, itself) = match session.handle(ClientRequest::Command(args(line)), &node) {
            Plan::Reply(reply) => (reply, false),
            Plan::Last(reply) => (reply, true),
            other => panic!("{line}: {other:?}"),
        };
        let mut killed = node.killed.into_inner();
        killed.sort_unstable();
        (reply, itself, killed)
    };
    assert_eq!(closed("CLIENT KILL 127.0.0.1:3"), (Response::OK, false, vec![3]));
    assert_eq!(closed("CLIENT KILL 127.0.0.1:50000"), (Response::OK, true, vec![]));
    let nobody = (Response::error("ERR No such client"), false, vec![]);
    assert_eq!(closed("CLIENT KILL 127.0.0.1:4"), nobody);
    for (filters, killed) in [
        ("TYPE normal", &[3, 9][..]),
        ("TYPE pubsub", &[]),
        ("USER default", &[3, 9]),
        ("ID 3", &[3]),
        ("ID 3 ID 9 ID 11", &[3, 9]),
        ("ID 3 ADDR 127.0.0.1:9", &[]),
        ("LADDR 127.0.0.1:6380", &[3, 9]),
        ("MAXAGE 20", &[3]),
        ("ID 7", &[]),
    ] {
        let expected = (Response::count(killed.len()), false, killed.to_vec());
        assert_eq!(closed(&format!("CLIENT KILL {filters}")), expected, "{filters}");
    }
    let with_itself = (Response::Integer(3), true, vec![3, 9]);
    assert_eq!(closed("client kill type normal skipme no"), with_itself);
    for (filters, told) in [
        ("ID x", "client-id should be greater than 0"),
        ("ID 0", "client-id should be greater than 0"),
        ("USER bob", "No such user 'bob'"),
        ("TYPE x", "Unknown client type 'x'"),
        ("ID 3 ADDR", "syntax error"),
        ("COLOUR red", "syntax error"),
        ("SKIPME maybe", "syntax error"),
    ] {
        let expected = (Response::error(format!("ERR {told}")), false, vec![]);
        assert_eq!(closed(&format!("CLIENT KILL {filters}")), expected, "{filters}");
    }
}

#[test]
fn whoever_lists_clients_is_told_their_names() {
    let (mut session, node) = (session(), Node::default());
    for line in ["HELLO 3 SETNAME me", "CLIENT SETINFO LIB-VER 8.0"] {
        session.handle(ClientRequest::Command(args(line)), &node);
    }
    let (id, names) = node.renamed.take().unwrap();
    assert_eq!((id, names.name.as_str(), names.library_version.as_str()), (7, "me", "8.0"));
    session.handle(ClientRequest::Command(args("RESET")), &node);
    let (_, names) = node.renamed.take().unwrap();
    assert_eq!((names.name.as_str(), names.library_version.as_str()), ("", "8.0"));
}

#[test]
fn requests_are_counted_by_command_and_errors_by_code() {
    let (mut session, node) = (session(), Node::default());
    for line in ["GET k", "get k", "GET", "SET waytoolong v", "FLY", "HELLO 4", "PING", "client kill id x"] {
        session.handle(ClientRequest::Command(args(line)), &node);
    }
    let all = || core::iter::once(&node.counts);
    let counted = crate::resp::by_command(all());
    assert_eq!(
        counted.iter().map(|one| (one.name, one.calls, one.rejected)).collect::<Vec<_>>(),
        [("client", 1, 0), ("get", 2, 1), ("hello", 1, 0), ("ping", 1, 0), ("set", 0, 1)]
    );
    assert_eq!(crate::resp::by_error(all()), [("NOPROTO", 1), ("ERR", 4)]);
    assert_eq!(node.counts.calls(), 5);
}

#[test]
fn info_by_section() {
    let (server, persistence) = ("# Server\r\nredis_version:0.1.0\r\n", "# Persistence\r\nloading:0\r\n");
    let both = format!("{server}\r\n{persistence}");
    let all = format!("{both}\r\n# Commandstats\r\ncmdstat_get:calls=1\r\n");
    for (line, text) in [
        ("info", both.as_str()),
        ("INFO default", &both),
        ("info persistence server", &both),
        ("INFO Server", server),
        ("info all", &all),
        ("info everything", &all),
        ("info default commandstats", &all),
        ("info nope", ""),
    ] {
        assert_eq!(ask_fresh(line), format!("${}\r\n{text}\r\n", text.len()), "{line}");
    }
    let mut session = session();
    ask(&mut session, "hello 3");
    assert!(ask(&mut session, "info server").starts_with("=35\r\ntxt:# Server\r\n"));
}
