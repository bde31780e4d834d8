//! Other people's histories with known verdicts.

use std::path::PathBuf;

use lincheck::read::{self, ModelKind};
use lincheck::{DEFAULT_LIMIT, Verdict, judge};

fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("ATOMIC_KV_HISTORIES") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/histories"),
    };
    if folder.join("VERDICTS.tsv").is_file() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no recorded histories at {}; set ATOMIC_KV_HISTORIES", folder.display());
    None
}

#[test]
fn every_recorded_history_gets_its_verdict() {
    let Some(folder) = folder() else { return };
    let verdicts =
        std::fs::read_to_string(folder.join("VERDICTS.tsv")).expect("it is a file, we just looked");
    let mut judged = 0;
    let mut wrong = Vec::new();
    for line in verdicts.lines().filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [file, model, expected] = fields[..] else { panic!("a line of three fields: {line}") };
        if !matches!(expected, "linearizable" | "not-linearizable") {
            continue;
        }
        let bytes = std::fs::read(folder.join(file)).expect("listed files exist");
        let recording = read::read(&bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
        let kind = if model.starts_with("kv") { ModelKind::Kv } else { ModelKind::CasRegister };
        assert_eq!(recording.likely_model(), kind, "{file}");
        let began = std::time::Instant::now();
        let verdict = judge(&recording.model(kind), &recording.history, DEFAULT_LIMIT).verdict;
        if began.elapsed().as_millis() > 100 {
            eprintln!("{file} took {:?}", began.elapsed());
        }
        let said = match &verdict {
            Verdict::Linearizable => "linearizable",
            Verdict::Violation(_) => "not-linearizable",
            Verdict::Unknown(_) => "unknown",
        };
        if said != expected {
            wrong.push(format!("{file} is {expected}, judged {verdict:?}"));
        }
        judged += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(judged, 230);
}
