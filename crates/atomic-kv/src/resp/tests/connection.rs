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
    assert_eq!(handle(&mut session(), "QUIT"), Action::ReplyAndClose(Reply::OK));
}

#[test]
fn hello_changes_the_protocol_and_reset_restores_it() {
    let mut session = session();
    let version = env!("CARGO_PKG_VERSION");
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
    assert_eq!((session.protocol(), session.name()), (Protocol::Resp3, "me"));
    assert_eq!(ask(&mut session, "HELLO"), format!("%7\r\n{}", fields(3)));
    assert_eq!(ask(&mut session, "RESET"), "+RESET\r\n");
    assert_eq!((session.protocol(), session.name()), (Protocol::Resp2, ""));
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
        assert_eq!((session.protocol(), session.name()), (Protocol::Resp2, ""));
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
    assert_eq!(ask(&mut session, "client kill id 3"), "-ERR CLIENT KILL is not supported\r\n");
    assert!(ask(&mut session, "client help").starts_with("*17\r\n+CLIENT <subcommand> "));
    let info = ask(&mut session, "CLIENT INFO");
    let wanted =
        ["id=7 addr=127.0.0.1:50000 laddr=127.0.0.1:6380 ", " name=me age=60 idle=0 ", " cmd=client|info "];
    assert!(wanted.iter().all(|part| info.contains(part)), "{info}");
    assert!(info.ends_with(" resp=2 lib-name=redis-py lib-ver=8.0\n\r\n"), "{info}");
}

#[test]
fn client_list_has_the_others_and_a_fresh_own_line() {
    let list = ask_fresh("CLIENT LIST");
    assert!(list.contains("id=3 other\nid=7 addr=") && !list.contains("stale"), "{list}");
    assert_eq!(ask_fresh("CLIENT LIST ID 3"), "$11\r\nid=3 other\n\r\n");
    assert_eq!(ask_fresh("CLIENT LIST TYPE pubsub"), "$0\r\n\r\n");
    assert_eq!(ask_fresh("CLIENT LIST ID x"), "-ERR Invalid client ID\r\n");
    assert_eq!(ask_fresh("CLIENT LIST TYPE x"), "-ERR Unknown client type 'x'\r\n");
}

#[test]
fn info_by_section() {
    assert!(ask_fresh("info").contains("loading:0"));
    assert_eq!(ask_fresh("INFO Server"), "$31\r\n# Server\r\nredis_version:0.1.0\r\n\r\n");
    let both = "# Persistence\r\nloading:0\r\n\r\n# Server\r\nredis_version:0.1.0\r\n";
    assert_eq!(ask_fresh("info server persistence"), format!("${}\r\n{both}\r\n", both.len()));
    assert_eq!(ask_fresh("info nope"), "$0\r\n\r\n");
    let mut session = session();
    ask(&mut session, "hello 3");
    assert!(ask(&mut session, "info server").starts_with("=35\r\ntxt:# Server\r\n"));
}
