//! `atomic-kv check` as scripts see it: what it prints and how it exits.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const OK: &str = "concurrent-reads.jsonl";
const WRONG: &str = "new-old-inversion.jsonl";

fn drawn(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lincheck/tests/histories").join(name)
}

fn check(arguments: &[&str], files: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_atomic-kv"))
        .arg("check")
        .args(arguments)
        .args(files)
        .output()
        .expect("the program starts")
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Two thousand swaps at the same time, which no fast way leads through.
fn hopeless(folder: &Path) -> PathBuf {
    let line = |i: u64| {
        let to = ((i * 2_654_435_761) >> 7) % 11;
        format!(
            "{{\"op\":\"cas\",\"from\":{},\"to\":{to},\"client\":{i},\"invoke\":0,\"return\":9}}\n",
            i % 11
        )
    };
    let first = "{\"op\":\"write\",\"value\":0,\"invoke\":0,\"return\":0}\n".to_owned();
    let file = folder.join("hopeless.jsonl");
    std::fs::write(&file, first + &(0..2_000).map(line).collect::<String>()).expect("a folder of our own");
    file
}

#[test]
fn the_exit_code_is_the_gravest_verdict() {
    let folder = tempfile::tempdir().expect("a folder");
    let undecided = hopeless(folder.path());
    let broken = folder.path().join("broken.jsonl");
    std::fs::write(&broken, "{\"op\":\"read\",\"invoke\":1}\n{\"op\":\"fly\",\"invoke\":1}\n").expect("ours");
    let (ok, wrong) = (drawn(OK), drawn(WRONG));

    let assert_exit = |files: &[&Path], exit: i32, expected: &[&str]| {
        let output = check(&[], files);
        let text = printed(&output);
        assert_eq!(code(&output), Some(exit), "{text}");
        for part in expected {
            assert_eq!(text.matches(part).count(), 1, "{part} in {text}");
        }
    };
    assert_exit(&[&ok], 0, &[": linearizable ("]);
    assert_exit(&[&ok, &undecided], 3, &[": linearizable (", ": unknown: gave up"]);
    assert_exit(&[&undecided, &wrong], 1, &[": unknown: gave up", ": not linearizable: key"]);
    let unreadable = "unreadable: line 2: \"op\" is \"fly\"";
    assert_exit(&[&wrong, &broken, &ok], 2, &[": not linearizable: key", unreadable, ": linearizable ("]);
}

#[test]
fn what_is_no_file_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing");
    assert_eq!(code(&check(&[], &[&missing])), Some(2));
    assert_eq!(code(&check(&[], &[folder.path()])), Some(2));
    assert_eq!(code(&check(&[], &[])), Some(2), "no file at all");
    assert_eq!(code(&check(&["--model", "queue"], &[&drawn(OK)])), Some(2));
}

#[test]
fn a_named_model_is_the_one_that_judges() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("empty.jsonl");
    std::fs::write(&file, "{\"op\":\"read\",\"value\":\"\",\"invoke\":1,\"return\":2}\n").expect("ours");
    assert_eq!(
        code(&check(&["--model", "kv"], &[&file])),
        Some(0),
        "a missing key reads as the empty string"
    );
    assert_eq!(code(&check(&["--model", "register"], &[&file])), Some(1), "a missing key reads as absent");
    let edn = drawn("failed-cas.edn");
    assert_eq!(code(&check(&["--model", "cas-register"], &[&edn])), Some(0), "it starts at 0 in EDN");
    assert_eq!(code(&check(&["--model", "register"], &[&edn])), Some(1), "a register starts absent");
}

#[test]
fn the_picture_holds_every_history_that_was_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.html");
    let html = out.to_str().expect("a plain path");
    let output = check(&["--html", html], &[&drawn(OK), &drawn(WRONG), &folder.path().join("missing")]);
    assert_eq!(code(&output), Some(2));
    let page = std::fs::read_to_string(&out).expect("written all the same");
    assert!(page.starts_with("<!doctype html>"));
    assert!(page.contains(OK) && page.contains(WRONG) && page.contains("\"verdict\":\"violation\""));

    let nowhere = folder.path().join("no/such/folder.html");
    let output = check(&["--html", nowhere.to_str().expect("plain")], &[&drawn(OK)]);
    assert_eq!(code(&output), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write"));
}
