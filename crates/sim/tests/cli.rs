//! The command line is a contract: names, exit codes, clear errors.

use std::path::Path;
use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("the program starts")
}

fn code(arguments: &[&str]) -> i32 {
    sim(arguments).status.code().expect("an exit code")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn one_seed_and_many() {
    let one = sim(&["--seed", "42"]);
    assert_eq!(one.status.code(), Some(0), "{}", text(&one));
    assert!(text(&one).contains("plan of seed 42"), "{}", text(&one));
    let many = sim(&["--seeds", "0..20", "--jobs", "2"]);
    assert_eq!(many.status.code(), Some(0), "{}", text(&many));
    for word in ["runs/s", "operations/s", "simulated", "no violation, no stuck run"] {
        assert!(text(&many).contains(word), "{word}: {}", text(&many));
    }
}

#[test]
fn a_convicted_mutant_is_a_success_and_tells_how_to_repeat_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (page, script) = (path("run.html"), path("naive.script"));
    let convicted = sim(&["--mutant", "naive", "--seeds", "2..100", "--html", &page, "--save", &script]);
    assert_eq!(convicted.status.code(), Some(0), "{}", text(&convicted));
    assert!(text(&convicted).contains("replay: cargo sim --seed"), "{}", text(&convicted));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("This must never happen"));
    assert!(!page.contains("src=") && !page.contains("href="), "the page works offline");
    assert_eq!(code(&["--script", &script, "--mutant", "naive"]), 0);
    assert_eq!(code(&["--script", &script]), 0, "the honest protocol gets through");
}

#[test]
fn a_mutant_that_gets_away_is_a_failure() {
    // Nothing is lost in a single run that has no amnesia in it, so it may get away.
    let away =
        (0..20).any(|seed| code(&["--mutant", "no-boot", "--seeds", &format!("{seed}..{}", seed + 1)]) == 1);
    assert!(away);
}

#[test]
fn the_mutants_are_listed() {
    let listed = text(&sim(&["--list-mutants"]));
    for mutant in sim::mutant::mutants() {
        assert!(listed.contains(mutant.name), "{listed}");
    }
}

#[test]
fn scripts_are_performed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/R1-write-back.script");
    let path = path.to_string_lossy();
    assert_eq!(code(&["--script", &path]), 0);
    assert_eq!(code(&["--script", &path, "--mutant", "no-write-back"]), 0);
    assert_eq!(code(&["--script", &path, "--mutant", "gc-newest"]), 1);
}

#[test]
fn odd_arguments_are_refused_with_a_reason() {
    for (arguments, reason) in [
        (&[][..], "say what to run"),
        (&["--seed", "x"], "invalid value"),
        (&["--seeds", "5"], "two numbers"),
        (&["--seeds", "9..9"], "no seed in this range"),
        (&["--seeds", "0..9", "--jobs", "0"], "invalid value"),
        (&["--mutant", "nobody", "--seeds", "0..9"], "no such mutant"),
        (&["--mutant", "naive"], "say what to run"),
        (&["--script", "there/is/no/such.script"], "cannot read"),
        (&["--frobnicate"], "unexpected argument"),
    ] {
        let refused = sim(arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {}", text(&refused));
        assert!(text(&refused).contains(reason), "{arguments:?}: {}", text(&refused));
    }
}

#[test]
fn a_reader_that_has_gone_away_and_an_output_without_room() {
    for arguments in [&["--list-mutants"][..], &["--seed", "42", "--trace"], &["--seeds", "0..2"]] {
        let into = |out: std::process::Stdio| {
            Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).stdout(out).output().unwrap()
        };
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = into(writer.into());
        assert!(output.status.success() && !text(&output).contains("panicked"), "{}", text(&output));
        if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
            let output = into(full.into());
            assert_eq!(output.status.code(), Some(2));
            assert!(text(&output).contains("cannot print to the standard output"), "{}", text(&output));
        }
    }
}
