//! What is forgotten of appends, so that the judge always decides.
//!
//! An append that no read shows was overwritten before anybody looked. Its answer, a length, says only how long the value was
//! that it lengthened. To find out which one that was is a search, and with operations of unknown outcome among them it can be a
//! long one. Without these lengths the history is judged exactly and fast. To know less can hide a fault in them; it never
//! makes one.

use lincheck::{Action, Answer, Change, History};
use std::collections::HashSet;

/// The end of a token, which occurs nowhere else in it.
pub(super) const END: u8 = b';';

/// Forgets the lengths of appends whose tokens no read shows.
pub(super) fn forget_lengths(history: &mut History) {
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    for operation in &history.operations {
        let Action::Read(Some(value)) = &operation.action else { continue };
        for token in value.split_inclusive(|byte| *byte == END) {
            if !seen.contains(token) {
                seen.insert(token.to_vec());
            }
        }
    }
    for operation in &mut history.operations {
        let Action::Update(update) = &mut operation.action else { continue };
        if matches!(&update.change, Change::Append(token) if !seen.contains(token)) {
            update.answer = Answer::Nothing;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lincheck::{Operation, Update};

    #[test]
    fn only_what_nobody_read_is_forgotten() {
        let operation = |action| Operation { client: 0, key: b"k".to_vec(), action, invoke: 0, ret: Some(1) };
        let append = |token: &str| Update::append(token.as_bytes());
        let mut history = History::new(vec![
            operation(append("1-1;").length(8).into()),
            operation(append("11-1;").length(5).into()),
            operation(append("1-2;").length(12).into()),
            operation(Action::Read(Some(b"0-1;1-1;1-2;".to_vec()))),
        ]);
        let before = history.clone();
        forget_lengths(&mut history);
        assert_eq!(history.operations[1].action, append("11-1;").into());
        history.operations[1] = before.operations[1].clone();
        assert_eq!(history, before);
    }
}
