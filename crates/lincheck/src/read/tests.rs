//! Small histories by hand: what each format means, and where the broken ones break.

use crate::checker::check;
use crate::history::{Action, History, Operation};
use crate::read::{ModelKind, read, write_json_lines};
use crate::update::{Answer, Change, Condition, Update};

#[test]
fn json_lines_survive_a_round_trip() {
    let text = r#"# a comment
{"op":"put","key":"k","value":"\u00e9\n","invoke":1,"return":2,"client":7}
{"op":"read","key":{"hex":"ff00"},"value":null,"invoke":3}
{"op":"cas","from":1,"to":2,"ok":false,"invoke":4,"return":9}
"#;
    let first = read(text.as_bytes()).expect("well formed");
    assert_eq!(first.history.operations.len(), 3);
    assert_eq!(first.history.operations[1].key, [0xff, 0]);
    let again = read(write_json_lines(&first.history).as_bytes()).expect("we wrote it");
    assert_eq!(again.history, first.history);
}

#[test]
fn every_update_survives_a_round_trip() {
    let values = [None, Some(b"x".to_vec()), Some(b"\xff".to_vec())];
    let mut conditions = vec![Condition::Always];
    let mut changes = vec![Change::Append(b"t".to_vec()), Change::Add(-7)];
    let mut answers =
        vec![Answer::Nothing, Answer::Applied(true), Answer::Applied(false), Answer::Length(u64::MAX)];
    for value in &values {
        conditions.extend([Condition::Is(value.clone()), Condition::IsNot(value.clone())]);
        changes.push(Change::Set(value.clone()));
        answers.extend([Answer::Before(value.clone()), Answer::After(value.clone())]);
    }
    let mut operations = Vec::new();
    for condition in &conditions {
        for change in &changes {
            for answer in &answers {
                let update =
                    Update { condition: condition.clone(), change: change.clone(), answer: answer.clone() };
                let ret = (operations.len() % 2 == 0).then_some(9);
                operations.push(Operation {
                    client: 1,
                    key: Vec::new(),
                    action: update.into(),
                    invoke: 3,
                    ret,
                });
            }
        }
    }
    let history = History::new(operations);
    let recording = read(write_json_lines(&history).as_bytes()).expect("we wrote it");
    assert_eq!(recording.history, history);
    assert_eq!(recording.likely_model(), ModelKind::RegisterWithUpdates);
}

#[test]
fn additions_of_edn_start_from_zero() {
    let edn = "{:process 0 :type :invoke :f :add :value 2}\n{:process 0 :type :info :f :add :value 2}
               {:process 1 :type :invoke :f :add :value 3} {:process 1 :type :ok :f :add :value 3}
               {:process 1 :type :invoke :f :read} {:process 1 :type :ok :f :read :value SEEN}";
    for (seen, good) in [("3", true), ("5", true), ("2", false), ("0", false)] {
        let recording = read(edn.replace("SEEN", seen).as_bytes()).expect("well formed");
        let verdict = check(&recording.model(recording.likely_model()), &recording.history);
        assert_eq!(verdict.is_linearizable(), good, "{seen}: {verdict}");
    }
}

#[test]
fn a_failed_cas_is_an_answer_in_etcd_logs_but_not_in_edn() {
    let log = "INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\nINFO  jepsen.util - 0\t:fail\t:cas\t[1 2]\n";
    let etcd = read(log.as_bytes()).expect("well formed");
    let refused = Action::from(Update::cas(Some(b"1"), b"2", false));
    assert_eq!(etcd.history.operations[0].action, refused);
    let edn = "[{:process 0, :type :invoke, :f :cas, :value [1 2]} {:process 0, :type :fail, :f :cas, :value [1 2]}]";
    assert!(read(edn.as_bytes()).expect("well formed").history.operations.is_empty());
}

#[test]
fn an_unknown_write_may_happen_late() {
    let edn = "{:process 0 :type :invoke :f :write :value 5}\n{:process 0 :type :info :f :write :value 5}
               {:process 1 :type :invoke :f :read :value nil} {:process 1 :type :ok :f :read :value 0}
               {:process 1 :type :invoke :f :read :value nil} ; later\n {:process 1 :type :ok :f :read :value 5}";
    let recording = read(edn.as_bytes()).expect("well formed");
    assert!(check(&recording.model(ModelKind::CasRegister), &recording.history).is_linearizable());
}

#[test]
fn broken_files_name_the_line() {
    for (text, line) in [
        ("", 1),
        ("hello", 1),
        ("{\"op\":\"read\",\"invoke\":1}\n{\"op\":\"read\"}", 2),
        ("{\"op\":\"read\",\"invoke\":1,\"retrun\":2}", 1),
        ("[{:process 0 :type :invoke :f :read}\n{:process 0 :type :invoke :f :read}]", 2),
        ("[{:process 0\n :type :ok :f :read}", 2),
        ("[\n{:process 3 :type :ok :f :read :value 1}]", 2),
        ("INFO jepsen.util - 1 :invoke :write 3\nINFO jepsen.util - 1 :ok", 2),
        ("INFO jepsen.util - 1 :invoke :write 3\nINFO jepsen.util - 1 :ok :read 3", 2),
        ("[{:process 0 :type :invoke :f :write :value 1}\n\n{:process 0 :type :ok :f :read :value 1}]", 3),
        ("{\"op\":\"read\",\"value\":1.5,\"invoke\":1}", 1),
        ("{\"op\":\"read\",\"value\":01,\"invoke\":1}", 1),
        ("{\"op\":\"read\",\"invoke\":18446744073709551616}", 1),
        ("\n{\"op\":\"read\",\"invoke\":5,\"return\":4}", 2),
        ("{\"op\":\"update\",\"invoke\":5}", 1),
        ("{\"op\":\"update\",\"set\":1,\"add\":1,\"invoke\":5}", 1),
        ("{\"op\":\"update\",\"add\":\"1\",\"invoke\":5}", 1),
        ("{\"op\":\"update\",\"append\":null,\"invoke\":5}", 1),
        ("{\"op\":\"update\",\"set\":1,\"ok\":true,\"length\":1,\"invoke\":5}", 1),
        ("{\"op\":\"read\",\"op\":\"read\",\"invoke\":5}", 1),
        ("[{:process 99999999999999999999 :type :invoke :f :read}]", 1),
        ("[{:process 0 :type :invoke :f :write :value {}}]", 1),
        ("INFO jepsen.util - 99999999999999999999 :invoke :write 3", 1),
    ] {
        assert_eq!(read(text.as_bytes()).expect_err(text).line, line, "{text}");
    }
    assert_eq!(read(b"{\"op\":\n\xff").expect_err("not text").line, 2);
}

/// Each of these made some reader of the world run out of stack, memory or time.
#[test]
fn hostile_files_are_refused() {
    let members: Vec<String> = (0..100_000).map(|i| format!("\"m{i}\":1")).collect();
    for text in [
        "[".repeat(1_000_000),
        "{".repeat(1_000_000),
        "#_".repeat(1_000_000),
        "#a ".repeat(1_000_000),
        "[#{".repeat(500_000),
        "{\"a\":".repeat(500_000),
        format!("{{{}}}", members.join(",")),
        format!("[{{:process 0 :type :invoke :f :read :value \"{}", "x".repeat(1_000_000)),
        format!("{{\"op\":\"write\",\"value\":{},\"invoke\":1}}", "9".repeat(1_000_000)),
        "; only a comment".to_owned() + &"\n;".repeat(500_000) + "\n]",
    ] {
        assert!(read(text.as_bytes()).is_err(), "{}", &text[..40]);
    }
}

#[test]
fn a_file_cut_anywhere_is_read_or_refused() {
    let edn = include_str!("../../tests/histories/cas-twice.edn");
    let log = include_str!("../../tests/histories/stale-read.log");
    let lines = include_str!("../../tests/histories/new-old-inversion.jsonl");
    for text in [edn, log, lines] {
        for end in 0..text.len() {
            // What counts is that this returns; a cut between two lines leaves a good file.
            let error = read(&text.as_bytes()[..end]).err();
            assert!(error.is_none_or(|error| error.line <= text.lines().count()), "cut at {end}");
        }
    }
}

#[test]
fn a_byte_order_mark_is_no_obstacle() {
    let text = "\u{feff}{\"op\":\"read\",\"invoke\":1,\"return\":2}";
    assert_eq!(read(text.as_bytes()).map(|recording| recording.history.operations.len()), Ok(1));
}
