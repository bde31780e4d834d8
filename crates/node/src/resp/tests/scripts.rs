//! `EVAL` and its relatives, from their words to what is to be done. What scripts do is tested where they run.
use super::*;
use crate::functions::{Function, FunctionAnswer, Script};
use crate::inquiry::notes::{Note, NoteId, NoteKind};
use crate::inquiry::{Finding, Inquiry};
use crate::resp::command::{Stage, Step};
use abd::{Operation, Version};

/// SHA-1 of `source`.
const SHA: &str = "828d338a9b04221c9cbe286f50cd389f68de4ecf";

/// The node and a session on it.
fn ask_at(node: &Node, line: &str) -> Plan {
    session().handle(ClientRequest::Command(args(line)), node)
}

/// The script that the one operation of a plan carries, and its key.
fn script_of(plan: Plan) -> (Bytes, Script) {
    let Plan::Run(run) = plan else { panic!("{plan:?}") };
    let [Operation::Update { key, functions }] = &run.operations[..] else { panic!("{run:?}") };
    match Function::decode(&functions[0].encoded) {
        Ok(Function::Script(script)) => (key.clone(), script),
        other => panic!("{other:?}"),
    }
}

fn inquiry_of(plan: Plan) -> (Inquiry, crate::resp::AfterInquiry) {
    match plan {
        Plan::First(Stage { step: Step::Inquire(inquiry, after), .. }) => (inquiry, after),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_script_is_an_update_of_its_first_key() {
    let node = Node::default();
    let (key, script) = script_of(ask_at(&node, "EVAL source 2 a b c d"));
    assert_eq!((key.as_ref(), script.source.as_ref()), (&b"a"[..], &b"source"[..]));
    assert_eq!((script.keys, script.arguments), (vec!["a".into(), "b".into()], vec!["c".into(), "d".into()]));
    assert!(!script.read_only && !script.resp3);
    let (key, script) = script_of(ask_at(&node, "EVAL_RO source 0 c"));
    assert!(key.is_empty() && script.keys.is_empty() && script.read_only);
}

#[test]
fn a_script_that_is_about_another_key_begins_anew_there() {
    let Plan::Run(run) = ask_at(&Node::default(), "EVAL source 0") else { panic!("it runs") };
    let mut then = run.then.expect("it looks at what came of it");
    let updated =
        |answer: FunctionAnswer| Outcome::Updated { answers: vec![answer.encode()], version: Version::MIN };
    assert!(then(0, &updated(FunctionAnswer::Reply("+OK\r\n".into()))).is_none());
    for _ in 0..8 {
        let next = then(0, &updated(FunctionAnswer::OtherKey("x".into())));
        assert!(matches!(next, Some(Operation::Update { key, .. }) if key == "x"));
    }
    let last = updated(FunctionAnswer::OtherKey("x".into()));
    assert!(then(0, &last).is_none(), "it does not look for its key for ever");
    let told = reply(core::iter::once(last).collect(), run.answer, &NOW);
    assert!(encoded(&told, Protocol::Resp2).starts_with("-ERR the script had no effect"));
}

#[test]
fn a_script_that_is_not_known_here_is_asked_for() {
    let node = Node::default();
    let line = format!("EVALSHA {} 1 k", SHA.to_uppercase());
    let (inquiry, after) = inquiry_of(ask_at(&node, &line));
    let Inquiry::Recall(id) = inquiry else { panic!("{inquiry:?}") };
    assert_eq!(id.kind, NoteKind::Script);
    let unknown = after(Finding::Note(None), &node).expect_err("nobody knows it");
    assert_eq!(unknown, Response::error("NOSCRIPT No matching script. Please use EVAL."));
    let (_, after) = inquiry_of(ask_at(&node, &line));
    let found = after(Finding::Note(Some("source".into())), &node).expect("somebody does");
    assert_eq!(script_of(found).1.source, "source");
    // From now on it is known here.
    assert_eq!(script_of(ask_at(&node, &line)).1.source, "source");
    let malformed = ask_at(&node, "EVALSHA 123 1 k");
    assert!(matches!(malformed, Plan::Reply(Response::Error(text)) if text.starts_with("NOSCRIPT")));
}

#[test]
fn a_script_that_was_carried_out_is_known() {
    let node = Node::default();
    script_of(ask_at(&node, "EVAL source 0"));
    assert_eq!(script_of(ask_at(&node, &format!("EVALSHA {SHA} 0"))).1.source, "source");
    let Plan::Reply(told) = ask_at(&node, &format!("SCRIPT EXISTS {SHA} abc")) else {
        panic!("all are known")
    };
    assert_eq!(told, Response::Array([1, 0].map(Response::Integer).into()));
}

#[test]
fn a_script_that_is_loaded_goes_to_a_majority() {
    let node = Node::default();
    let (inquiry, after) = inquiry_of(ask_at(&node, "SCRIPT LOAD source"));
    let Inquiry::Remember(Note { id: NoteId { kind, .. }, bytes }) = inquiry else { panic!("{inquiry:?}") };
    assert_eq!((kind, bytes.as_ref()), (NoteKind::Script, &b"source"[..]));
    let Ok(Plan::Reply(told)) = after(Finding::Done, &node) else { panic!("that is the reply") };
    assert_eq!(told, Response::text(SHA));
    let wrong = ask_at(&node, "SCRIPT LOAD wrong");
    assert!(matches!(wrong, Plan::Reply(Response::Error(_))));
    assert!(matches!(inquiry_of(ask_at(&node, "SCRIPT FLUSH ASYNC")).0, Inquiry::Forget(NoteKind::Script)));
}

#[test]
fn errors_are_those_of_redis() {
    for (line, error) in [
        ("EVAL source x", "-ERR value is not an integer or out of range\r\n"),
        ("EVAL source -1", "-ERR Number of keys can't be negative\r\n"),
        ("EVAL source 2 a", "-ERR Number of keys can't be greater than number of args\r\n"),
        ("EVAL source", "-ERR wrong number of arguments for 'eval' command\r\n"),
        ("SCRIPT FLUSH now", "-ERR SCRIPT FLUSH only support SYNC|ASYNC option\r\n"),
        ("SCRIPT KILL", "-NOTBUSY No scripts in execution right now.\r\n"),
        ("SCRIPT DEBUG maybe", "-ERR Use SCRIPT DEBUG YES/SYNC/NO\r\n"),
        ("SCRIPT DEBUG no", "+OK\r\n"),
    ] {
        assert_eq!(ask_fresh(line), error, "{line}");
    }
}
