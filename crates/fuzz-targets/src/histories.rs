use lincheck::read::{self, ModelKind};
use lincheck::{Action, History, Verdict, judge};

/// Enough for any history that fits into a fuzzer's input.
const POSITIONS: usize = 2_000;

/// What `atomic-kv check` is given: any file.
///
/// An error names a line of the file. What is read can be written as JSON lines and read again, and is judged under
/// every model; evidence names operations of the history, each once.
pub fn histories(data: &[u8]) {
    let recording = match read::read(data) {
        Ok(recording) => recording,
        Err(error) => {
            let lines = data.iter().filter(|&&byte| byte == b'\n').count() + 1;
            assert!((1..=lines).contains(&error.line), "{error} in a file of {lines} lines");
            return;
        }
    };
    let history = &recording.history;
    written_and_read(history);
    for kind in [ModelKind::Register, ModelKind::CasRegister, ModelKind::Kv] {
        let judgement = judge(&recording.model(kind), history, POSITIONS);
        let windows = judgement.violations.iter().map(|violation| &violation.window);
        for evidence in judgement.orders.iter().map(|(_, order)| order).chain(windows) {
            let mut once = evidence.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), evidence.len(), "an operation counts twice");
            assert!(once.last().is_none_or(|&last| last < history.operations.len()));
        }
        if let Verdict::Violation(violation) = &judgement.verdict {
            assert!(!violation.window.is_empty() && !violation.to_string().is_empty());
        }
    }
}

fn written_and_read(history: &History) {
    let transactions = history.operations.iter().any(|o| matches!(o.action, Action::Transaction(_)));
    if transactions || history.operations.is_empty() {
        return;
    }
    let again = read::read(read::write_json_lines(history).as_bytes());
    assert_eq!(again.map(|recording| recording.history).as_ref(), Ok(history));
}
