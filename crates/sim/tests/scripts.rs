//! The scripts in `scripts/`: the honest protocol follows each to the letter, and every mutant that a script names in
//! its preface (`# mutant: NAME …`) fails it. The file is named after the rule that it is about.

use sim::mutant::{self, Lies, mutants};
use sim::script::{Script, perform};
use std::collections::BTreeSet;
use std::path::Path;

fn scripts() -> Vec<(String, Script)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut found: Vec<(String, Script)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let script = std::fs::read_to_string(&path).unwrap().parse();
            (name.clone(), script.unwrap_or_else(|why| panic!("{name}: {why}")))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn mutants_of(script: &Script) -> Vec<&str> {
    let named = script.preface.iter().filter_map(|line| line.strip_prefix("mutant:"));
    named.flat_map(str::split_whitespace).collect()
}

#[test]
fn the_honest_protocol_follows_every_script() {
    for (name, script) in scripts() {
        let performance = perform(&script, Lies::default(), true);
        if let Some((line, why)) = &performance.failed {
            panic!("{name}, line {line}: {why}\n{}", performance.report.trace);
        }
        assert!(performance.passed(), "{name}: {}\n{}", performance.report.verdict, performance.report.trace);
    }
}

#[test]
fn every_script_is_failed_by_the_mutants_of_its_rule() {
    for (name, script) in scripts() {
        let mutants = mutants_of(&script);
        assert!(!mutants.is_empty(), "{name} names no mutant");
        for mutant in mutants {
            let mutant =
                mutant::find(mutant).unwrap_or_else(|| panic!("{name}: there is no mutant {mutant}"));
            let performance = perform(&script, mutant.lies, false);
            assert!(!performance.passed(), "{} passes {name}\n{}", mutant.name, performance.report.trace);
        }
    }
}

#[test]
fn every_rule_and_every_mutant_has_a_script() {
    let scripts = scripts();
    let named: BTreeSet<&str> = scripts.iter().flat_map(|(_, script)| mutants_of(script)).collect();
    let missing: Vec<&str> =
        mutants().map(|mutant| mutant.name).filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "no script for {missing:?}");
    for rule in [
        "V1", "V2", "P1", "P2", "P3", "P4", "P5", "P7", "S1", "S2", "S3", "R1", "R2", "T1", "T2", "G1", "M1",
        "D1", "B1", "A1", "E1", "E3", "E4", "C1", "C2", "C3",
    ] {
        assert!(scripts.iter().any(|(name, _)| name.starts_with(rule)), "no script for {rule}");
    }
}

/// `docs/TESTING.md` cannot go stale quietly.
#[test]
fn the_document_names_every_script_and_every_mutant() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/TESTING.md");
    let document = std::fs::read_to_string(path).unwrap();
    let scripts = scripts();
    let names = scripts.iter().map(|(name, _)| name.trim_end_matches(".script"));
    for name in names.chain(mutants().map(|mutant| mutant.name)) {
        assert!(document.contains(&format!("`{name}`")), "docs/TESTING.md does not name {name}");
    }
}

#[test]
fn a_performance_is_the_same_every_time() {
    for (name, script) in scripts() {
        let trace = || perform(&script, Lies::default(), true).report.trace.to_string();
        assert_eq!(trace(), trace(), "{name}");
    }
}
