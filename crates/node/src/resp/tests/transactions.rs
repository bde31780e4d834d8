//! Transactions from words to replies, on keys that one client has for itself unless a test writes between.

use super::super::policy::MultiKeys;
use super::super::{Stage, Step};
use super::*;
use crate::functions::registers::Registers;
use abd::{Deadline, Operation, Reason};

const QUEUED: &str = "+QUEUED";
const BROKEN: &str = "-EXECABORT Transaction discarded because of previous errors.";

/// A client, and a node that has its keys.
struct Talk {
    session: Session,
    node: Node,
    keys: Registers,
    /// How many operations were carried out.
    operations: usize,
    /// Operations on these keys certainly have no effect.
    unreachable: Vec<&'static str>,
    /// What others write after so many operations.
    written_after: Option<(usize, &'static str)>,
}

impl Talk {
    fn at(multi_keys: MultiKeys) -> Self {
        let policy = Policy { multi_keys, ..Policy::default() };
        Self {
            session: session(),
            node: Node { policy, ..Node::default() },
            keys: Registers::new(SMALL.max_value_bytes),
            operations: 0,
            unreachable: Vec::new(),
            written_after: None,
        }
    }

    /// Somebody else writes a key.
    fn write(&mut self, key: &'static str, value: &'static str) {
        let (key, value) = (key.into(), value.into());
        self.keys.carry_out(Operation::Set { key, value, deadline: Deadline::NONE });
    }

    fn carry_out(&mut self, operation: Operation) -> Outcome {
        if let Some((after, key)) = self.written_after
            && after == self.operations
        {
            self.write(key, "between");
        }
        self.operations += 1;
        if self.unreachable.iter().any(|key| operation.key() == key) {
            return Outcome::Refused(Reason::Stopping);
        }
        self.keys.carry_out(operation)
    }

    /// The reply to a line, without line ends.
    fn say(&mut self, line: &str) -> String {
        assert!(!self.session.waits(), "all before has been answered");
        let mut plan = self.session.handle(ClientRequest::Command(args(line)), &self.node);
        while let Plan::First(Stage { step: Step::Run(operations, next), .. }) = plan {
            let outcomes = operations.into_iter().map(|operation| self.carry_out(operation));
            plan = next(outcomes.collect(), &self.node).unwrap();
        }
        let told = match plan {
            Plan::Run(mut run) => {
                let mut outcomes = super::super::Outcomes::new();
                for (place, mut operation) in run.operations.into_iter().enumerate() {
                    outcomes.push(loop {
                        let outcome = self.carry_out(operation);
                        match run.then.as_mut().and_then(|then| then(place, &outcome)) {
                            Some(next) => operation = next,
                            None => break outcome,
                        }
                    });
                }
                match run.hears_all {
                    true => (run.answer)(outcomes, &NOW),
                    false => reply(outcomes, run.answer, &NOW),
                }
            }
            Plan::Reply(reply) | Plan::Last(reply) => reply,
            other => panic!("{line}: {other:?}"),
        };
        encoded(&told, self.session.protocol()).trim_end().replace("\r\n", " ")
    }

    fn script(&mut self, lines: &[(&str, &str)]) -> &mut Self {
        for (line, expected) in lines {
            assert_eq!(self.say(line), *expected, "{line}");
        }
        self
    }
}

fn script(lines: &[(&str, &str)]) {
    Talk::at(MultiKeys::Refuse).script(lines);
}

/// Each line is what Redis 7.0.15 answers.
#[test]
fn commands_are_queued_and_carried_out_together() {
    script(&[
        ("MULTI", "+OK"),
        ("SET a b", QUEUED),
        ("INCR a", QUEUED),
        ("GET a", QUEUED),
        ("PING", QUEUED),
        ("SET a c FOO", QUEUED),
        ("UNWATCH", QUEUED),
        ("APPEND a cd", QUEUED),
        ("STRLEN a", QUEUED),
        ("EXISTS a a", QUEUED),
        ("DEL a a", QUEUED),
        ("GETDEL a", QUEUED),
        ("INCRBY a 4", QUEUED),
        ("MGET a a", QUEUED),
        (
            "EXEC",
            "*13 +OK -ERR value is not an integer or out of range $1 b +PONG -ERR syntax error +OK :3 :3 :2 :1 $-1 :4 *2 $1 4 $1 4",
        ),
        ("GET a", "$1 4"),
        ("EXEC", "-ERR EXEC without MULTI"),
        ("DISCARD", "-ERR DISCARD without MULTI"),
    ]);
    script(&[("MULTI", "+OK"), ("MULTI", "-ERR MULTI calls can not be nested"), ("EXEC", "*0")]);
    script(&[
        ("MULTI", "+OK"),
        ("SET a 1", QUEUED),
        ("DISCARD", "+OK"),
        ("GET a", "$-1"),
        ("MULTI", "+OK"),
        ("SET a 1", QUEUED),
        ("RESET", "+RESET"),
        ("EXEC", "-ERR EXEC without MULTI"),
        ("GET a", "$-1"),
        ("MULTI", "+OK"),
        ("QUIT", "+OK"),
    ]);
}

/// The commands of a transaction are one operation.
#[test]
fn a_transaction_of_one_key_is_one_operation() {
    let mut talk = Talk::at(MultiKeys::Refuse);
    talk.script(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("SET k 1", QUEUED), ("INCR k", QUEUED)]);
    talk.script(&[("MGET k k", QUEUED), ("EXEC", "*3 +OK :2 *2 $1 2 $1 2")]);
    assert_eq!(talk.operations, 2, "one to watch, one for all the rest");
    talk.script(&[("MULTI", "+OK"), ("PING", QUEUED), ("ECHO x", QUEUED), ("EXEC", "*2 +PONG $1 x")]);
    assert_eq!(talk.operations, 2);
}

#[test]
fn a_command_that_is_refused_breaks_the_transaction() {
    for (line, why) in [
        ("FOO", "-ERR unknown command 'FOO', with args beginning with:"),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("MULTI x", "-ERR wrong number of arguments for 'multi' command"),
        ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
        ("CLIENT GETNAME x", "-ERR wrong number of arguments for 'client|getname' command"),
        ("SET 123456789 x", "-ERR key is too long: 9 bytes, the limit is 8"),
        ("RENAME a a", "-ERR Command not allowed inside a transaction"),
        ("SAVE", "-ERR Command not allowed inside a transaction"),
        ("SHUTDOWN NOSAVE", "-ERR Command not allowed inside a transaction"),
    ] {
        script(&[
            ("MULTI", "+OK"),
            ("SET a 1", QUEUED),
            (line, why),
            ("SET a 2", QUEUED),
            ("EXEC", BROKEN),
            ("GET a", "$-1"),
            ("EXEC", "-ERR EXEC without MULTI"),
        ]);
        script(&[("MULTI", "+OK"), (line, why), ("DISCARD", "+OK"), ("SET a 1", "+OK")]);
    }
    let arity = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    script(&[("MULTI", "+OK"), ("SET a 1", QUEUED), ("EXEC x", arity), ("EXEC", "-ERR EXEC without MULTI")]);
    script(&[("EXEC x", arity)]);
    // What only carrying it out can tell breaks nothing, and names the command that it is about.
    let mset = "*2 +OK -ERR wrong number of arguments for 'mset' command";
    script(&[("MULTI", "+OK"), ("SET a 1", QUEUED), ("MSET a 1 a", QUEUED), ("EXEC", mset)]);
    // A request that was too large to be read.
    let mut talk = Talk::at(MultiKeys::Refuse);
    talk.script(&[("MULTI", "+OK"), ("SET a 1", QUEUED)]);
    let large = ClientRequest::TooLarge { what: super::super::Oversized::Argument, declared: 99, limit: 9 };
    assert!(matches!(talk.session.handle(large, &talk.node), Plan::Reply(Response::Error(_))));
    talk.script(&[("EXEC", BROKEN)]);
}

#[test]
fn a_watched_key_that_has_changed_stops_the_transaction() {
    let mut talk = Talk::at(MultiKeys::Refuse);
    let increment = [("MULTI", "+OK"), ("INCR k", QUEUED)];
    talk.script(&[("SET k 1", "+OK"), ("WATCH k", "+OK")]).write("k", "5");
    talk.script(&increment).script(&[("EXEC", "*-1"), ("GET k", "$1 5")]);
    // It is no longer watched.
    talk.script(&increment).script(&[("EXEC", "*1 :6")]);
    // The first look counts, and an own write is a change.
    talk.script(&[("WATCH k", "+OK")]).write("k", "7");
    talk.script(&[("WATCH k k", "+OK")]).script(&increment).script(&[("EXEC", "*-1")]);
    talk.script(&[("WATCH k", "+OK"), ("SET k 7", "+OK")]).script(&increment).script(&[("EXEC", "*-1")]);
    // What does not change it does not matter.
    talk.script(&[("WATCH k", "+OK"), ("SET k 8 NX", "$-1"), ("GET k", "$1 7")]);
    talk.script(&increment).script(&[("EXEC", "*1 :8")]);
    // An absent key.
    talk.script(&[("WATCH none", "+OK"), ("MULTI", "+OK"), ("SET none 1", QUEUED), ("EXEC", "*1 +OK")]);
    talk.script(&[("WATCH new", "+OK")]).write("new", "5");
    talk.script(&[("MULTI", "+OK"), ("SET new 1", QUEUED), ("EXEC", "*-1"), ("GET new", "$1 5")]);
    // Nothing is done to it, and still it is what decides.
    talk.script(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("PING", QUEUED), ("EXEC", "*1 +PONG")]);
    talk.script(&[("WATCH k", "+OK"), ("MULTI", "+OK")]).write("k", "9");
    talk.script(&[("WATCH k", "-ERR WATCH inside MULTI is not allowed"), ("EXEC", "*-1")]);
    for forget in ["UNWATCH", "RESET"] {
        talk.script(&[("WATCH k", "+OK")]).write("k", "9");
        let reply = if forget == "RESET" { "+RESET" } else { "+OK" };
        talk.script(&[(forget, reply)]).script(&increment).script(&[("EXEC", "*1 :10")]);
    }
    talk.script(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("DISCARD", "+OK")]).write("k", "1");
    talk.script(&increment).script(&[("EXEC", "*1 :2")]);
}

#[test]
fn a_watched_key_that_expires_has_changed() {
    let mut talk = Talk::at(MultiKeys::Refuse);
    talk.keys.circumstances.moments = Moments::of_wall(10_000_000);
    let deadline = Deadline(20);
    talk.keys.carry_out(Operation::Set { key: "k".into(), value: "v".into(), deadline });
    talk.script(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("GET k", QUEUED), ("EXEC", "*1 $1 v")]);
    talk.script(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("SET k w", QUEUED)]);
    talk.keys.circumstances.moments = Moments::of_wall(30_000_000);
    talk.script(&[("EXEC", "*-1"), ("GET k", "$-1")]);
    // One that had expired when it was first watched has not changed since.
    talk.script(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("SET k w", QUEUED), ("EXEC", "*1 +OK")]);
}

#[test]
fn a_watch_that_found_nothing_out_lets_nothing_happen() {
    let mut talk = Talk::at(MultiKeys::Refuse);
    talk.unreachable = vec!["k"];
    let refused = "-NOQUORUM no effect: this node is stopping; ask another one";
    talk.script(&[("WATCH k", refused), ("MULTI", "+OK"), ("SET k 1", QUEUED)]);
    talk.unreachable.clear();
    talk.script(&[("EXEC", BROKEN), ("GET k", "$-1")]);
    // An update that certainly had no effect is the reply of the whole.
    talk.script(&[("MULTI", "+OK"), ("SET k 1", QUEUED), ("PING", QUEUED)]);
    talk.unreachable = vec!["k"];
    talk.script(&[("EXEC", refused)]);
}

#[test]
fn several_keys_are_refused_before_any_effect() {
    for (watch, lines, shown) in [
        ("PING", &["SET a 1", "SET b 1"][..], "'a', 'b'"),
        ("PING", &["MSET a 1 b 1"], "'a', 'b'"),
        ("PING", &["GET a", "MGET a b"], "'a', 'b'"),
        ("WATCH a", &["SET b 1"], "'b', 'a'"),
        ("WATCH a b", &[], "'a', 'b'"),
    ] {
        let mut talk = Talk::at(MultiKeys::Refuse);
        talk.say(watch);
        talk.script(&[("CLIENT SETNAME one", "+OK"), ("MULTI", "+OK"), ("CLIENT SETNAME two", QUEUED)]);
        lines.iter().for_each(|line| assert_eq!(talk.say(line), QUEUED));
        let before = talk.operations;
        let told = talk.say("EXEC");
        assert!(told.starts_with("-EXECABORT ") && told.contains("--multi-keys per-key"), "{told}");
        assert!(told.contains(shown), "{told}");
        assert_eq!(talk.operations, before);
        talk.script(&[("CLIENT GETNAME", "$3 one"), ("MGET a b", "*2 $-1 $-1")]);
    }
    // Two keys of which nothing remains to be done are none.
    script(&[("MULTI", "+OK"), ("MSET a 1 a 2", QUEUED), ("DEL a a", QUEUED), ("EXEC", "*2 +OK :1")]);
}

#[test]
fn several_keys_are_done_key_by_key_where_that_is_allowed() {
    let mut talk = Talk::at(MultiKeys::PerKey);
    let lines = [("MULTI", "+OK"), ("MSET a 1 b 2", QUEUED), ("INCR b", QUEUED), ("INCR c", QUEUED)];
    talk.script(&lines).script(&[("MGET a b c d", QUEUED)]);
    talk.script(&[("EXEC", "*4 +OK :3 :1 *4 $1 1 $1 3 $1 1 $-1")]);
    assert_eq!(talk.operations, 4, "each key is one operation");
    // What fails fails for its own commands.
    talk.unreachable = vec!["b"];
    let (refused, some) = (
        "-NOQUORUM no effect: this node is stopping; ask another one",
        "-INDETERMINATE some of the keys were written, others certainly not: this node is stopping; ask another one",
    );
    talk.script(&[("MULTI", "+OK"), ("INCR a", QUEUED), ("INCR b", QUEUED), ("MSET a 5 b 5", QUEUED)]);
    talk.script(&[("EXEC", &format!("*3 :2 {refused} {some}"))]);
    talk.unreachable.clear();
    talk.script(&[("MGET a b", "*2 $1 5 $1 3")]);
}

#[test]
fn watched_keys_are_looked_at_before_several_keys_are_done() {
    let mut talk = Talk::at(MultiKeys::PerKey);
    let both = [("MULTI", "+OK"), ("INCR a", QUEUED), ("INCR b", QUEUED)];
    talk.script(&[("WATCH a w", "+OK")]).script(&both).script(&[("EXEC", "*2 :1 :1")]);
    talk.script(&[("WATCH a w", "+OK")]).write("w", "x");
    talk.script(&both).script(&[("EXEC", "*-1"), ("MGET a b", "*2 $1 1 $1 1")]);
    // Changed after the look: the part of that key has no effect.
    talk.script(&[("WATCH b w", "+OK")]).script(&both);
    talk.written_after = Some((talk.operations + 2, "b"));
    let aborted = "-ERR the watched key 'b' has changed: this part of the transaction had no effect";
    talk.script(&[("EXEC", &format!("*2 :2 {aborted}")), ("MGET a b", "*2 $1 2 $7 between")]);
    talk.written_after = None;
    // Whoever cannot look does nothing.
    talk.script(&[("WATCH w", "+OK"), ("SET b 1", "+OK")]).script(&both);
    talk.unreachable = vec!["w"];
    talk.script(&[("EXEC", "-NOQUORUM no effect: this node is stopping; ask another one")]);
    talk.unreachable.clear();
    talk.script(&[("MGET a b", "*2 $1 2 $1 1")]);
    // Only watched keys.
    talk.script(&[("WATCH a w", "+OK"), ("MULTI", "+OK"), ("PING", QUEUED), ("EXEC", "*1 +PONG")]);
    talk.script(&[("WATCH a w", "+OK"), ("MULTI", "+OK")]).write("w", "y");
    talk.script(&[("EXEC", "*-1")]);
}

#[test]
fn a_version_that_is_told_is_the_one_that_the_key_has() {
    let version = format!("{:016x}{:08x}{:08x}{:016x}", 1, 1, 1, 1);
    let mut talk = Talk::at(MultiKeys::Refuse);
    talk.write("k", "1");
    talk.script(&[("MULTI", "+OK"), ("INCR k", QUEUED), ("SET k 3 WITHVER", QUEUED), ("GETVER k", QUEUED)]);
    talk.script(&[("EXEC", &format!("*3 :2 *2 +OK $48 {version} *2 $1 3 $48 {version}"))]);
    talk.script(&[("GETVER k", &format!("*2 $1 3 $48 {version}"))]);
    talk.script(&[("MULTI", "+OK"), ("GETVER k", QUEUED), ("INCR k", QUEUED)]);
    let why =
        "-EXECABORT Transaction discarded because the key may change behind a command that tells its version";
    talk.script(&[("EXEC", why), ("GET k", "$1 3")]);
}

#[test]
fn what_is_kept_has_a_bound_and_is_counted() {
    let mut talk = Talk::at(MultiKeys::Refuse);
    assert_eq!(talk.session.held_bytes(), 0);
    talk.script(&[("MULTI", "+OK"), ("SET k v", QUEUED)]);
    assert!(talk.session.held_bytes() > 100);
    for _ in 1..1 << 16 {
        assert_eq!(talk.say("INCR k"), QUEUED);
    }
    let bytes = talk.session.held_bytes();
    assert!(bytes > 1 << 23 && bytes < 1 << 25, "{bytes}");
    talk.script(&[("INCR k", "-ERR a transaction has 65536 commands at the most")]);
    assert_eq!(talk.session.held_bytes(), 0, "none of them will be carried out");
    talk.script(&[("INCR k", QUEUED), ("EXEC", BROKEN)]);
    for number in 0..1024 {
        assert_eq!(talk.say(&format!("WATCH w{number}")), "+OK");
    }
    talk.script(&[("WATCH w1", "+OK"), ("WATCH x y", "-ERR a connection watches 1024 keys at the most")]);
    talk.script(&[("UNWATCH", "+OK"), ("WATCH x y", "+OK")]);
    assert!(talk.session.held_bytes() < 1000);
}

#[test]
fn the_protocol_of_the_reply_is_that_at_its_end() {
    let mut talk = Talk::at(MultiKeys::Refuse);
    talk.script(&[("MULTI", "+OK"), ("HELLO 3", QUEUED), ("GET k", QUEUED)]);
    let told = talk.say("EXEC");
    assert!(told.starts_with("*2 %7 ") && told.ends_with(" _"), "{told}");
    talk.script(&[("WATCH k", "+OK"), ("SET k v", "+OK"), ("MULTI", "+OK"), ("EXEC", "_")]);
}

/// The keys of the updates that an EXEC of these lines leads to, and how many functions each has.
fn updates(setting: MultiKeys, lines: &[&str]) -> Vec<(Bytes, usize)> {
    let mut talk = Talk::at(setting);
    talk.say("MULTI");
    for line in lines {
        assert_eq!(talk.say(line), "+QUEUED");
    }
    let plan = talk.session.handle(ClientRequest::Command(args("EXEC")), &talk.node);
    let Plan::Run(run) = plan else { panic!("{plan:?}") };
    let of = |operation: &Operation| match operation {
        Operation::Update { key, functions } => (key.clone(), functions.len()),
        other => panic!("{other:?}"),
    };
    run.operations.iter().map(of).collect()
}

#[test]
fn a_script_that_names_no_key_is_about_that_of_its_transaction() {
    let one = |key: &'static str, functions| vec![(Bytes::from(key), functions)];
    for setting in [MultiKeys::Refuse, MultiKeys::PerKey] {
        assert_eq!(updates(setting, &["SET k v", "EVAL s 0"]), one("k", 2));
        assert_eq!(updates(setting, &["EVAL s 0", "GET k"]), one("k", 2));
        assert_eq!(updates(setting, &["EVAL s 1 k", "EVAL s 0"]), one("k", 2));
    }
    // With one key there is no other that it may be about.
    assert_eq!(updates(MultiKeys::Refuse, &["SET k v", "EVAL s 2 a k"]), one("k", 2));
    let several = vec![("k".into(), 1), ("a".into(), 1)];
    assert_eq!(updates(MultiKeys::PerKey, &["SET k v", "EVAL s 2 a k"]), several);
}
