//! Small histories drawn by hand. The first line of each says what the judge must say, and why.

use lincheck::{DEFAULT_LIMIT, Verdict, judge, read};

#[test]
fn every_drawn_history_gets_the_verdict_it_names() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let mut judged = 0;
    for entry in std::fs::read_dir(folder).expect("the folder belongs to this crate") {
        let path = entry.expect("it can be listed").path();
        let text = std::fs::read_to_string(&path).expect("it is text");
        let expected = text.lines().next().and_then(|line| line.split_once(':')).expect("a verdict first").0;
        let recording = read::read(text.as_bytes()).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let model = recording.model(recording.likely_model());
        let judgement = judge(&model, &recording.history, DEFAULT_LIMIT);
        let said = match &judgement.verdict {
            Verdict::Linearizable => "linearizable".to_owned(),
            Verdict::Violation(violation) => format!("violation, window {}", violation.window.len()),
            Verdict::Unknown(_) => "unknown".to_owned(),
        };
        assert!(expected.ends_with(&said), "{} says {said}: {:?}", path.display(), judgement.verdict);
        assert_eq!(judgement.orders.len() + judgement.violations.len(), recording.history.by_key().len());
        judged += 1;
    }
    assert_eq!(judged, 15);
}

#[test]
fn a_violation_is_drawn_in_text() {
    let text = include_str!("histories/new-old-inversion.jsonl");
    let recording = read::read(text.as_bytes()).expect("well formed");
    let verdict =
        judge(&recording.model(recording.likely_model()), &recording.history, DEFAULT_LIMIT).verdict;
    let expected = r#"not linearizable: key ""
  client 1  write "old"  |---|
  client 1  write "new"          |-------------------|
  client 2  read "new"               |---|
  client 3  read "old"                       |---|
"#;
    assert_eq!(verdict.to_string(), expected);
}
