//! Small histories by hand: what each format means, and where the broken ones break.

use crate::checker::check;
use crate::history::Action;
use crate::read::{ModelKind, read, write_json_lines};

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
fn a_failed_cas_is_an_answer_in_etcd_logs_but_not_in_edn() {
    let log = "INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\nINFO  jepsen.util - 0\t:fail\t:cas\t[1 2]\n";
    let etcd = read(log.as_bytes()).expect("well formed");
    assert!(matches!(etcd.history.operations[0].action, Action::Cas { applied: false, .. }));
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
    ] {
        assert_eq!(read(text.as_bytes()).expect_err(text).line, line, "{text}");
    }
    assert_eq!(read(b"{\"op\":\n\xff").expect_err("not text").line, 2);
    assert!(read("[".repeat(100_000).as_bytes()).is_err());
}
