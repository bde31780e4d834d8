//! Locks whose holders are gone expire. That is an event like any other, by nobody: the judge is told of it, as no client is.

use super::holders::{acquired_token, released_token};
use lincheck::{Action, Answer, History, Operation, Update};
use std::collections::BTreeSet;
use std::time::Duration;

/// For how long a lock is held that nobody gives back, as the command has it: in milliseconds.
pub(super) const LEASE_MS: &[u8] = b"500";

/// The same.
pub(super) const LEASE: Duration = Duration::from_millis(500);

/// Adds what must have happened, and what may have, to the history of locks: that those expired which nobody gave back for certain.
///
/// A token never comes back. So whoever finds another one, or none, after it was there has come after its expiry: that is known to be
/// over by then. `nobody` is the client in whose name it is recorded.
pub(super) fn add_expiries(history: &mut History, nobody: u64) {
    let mut expiries = Vec::new();
    for (key, chosen) in history.by_key() {
        let mut operations: Vec<&Operation> =
            chosen.iter().map(|index| &history.operations[*index]).collect();
        operations.sort_by_key(|operation| operation.invoke);
        let given_back: BTreeSet<&[u8]> = operations
            .iter()
            .filter(|release| is_applied(release))
            .filter_map(|o| released_token(&o.action))
            .collect();
        for acquired in &operations {
            let Some(token) = acquired_token(&acquired.action) else { continue };
            // One that was refused holds nothing.
            if given_back.contains(token) || acquired.ret.is_some() && !is_applied(acquired) {
                continue;
            }
            let over = acquired.ret.and_then(|held| first_without(&operations, token, held));
            let update = Update::delete().if_equal(token);
            let update = if over.is_some() { update.applied(true) } else { update };
            expiries.push(Operation {
                client: nobody,
                key: key.to_vec(),
                action: update.into(),
                invoke: acquired.invoke,
                ret: over,
            });
        }
    }
    history.operations.extend(expiries);
}

/// When the first operation after `held` ended that has found the lock without the token.
fn first_without(operations: &[&Operation], token: &[u8], held: u64) -> Option<u64> {
    let mut first: Option<u64> = None;
    let after = operations.partition_point(|operation| operation.invoke < held);
    for operation in &operations[after..] {
        if first.is_some_and(|first| operation.invoke > first) {
            break;
        }
        if let Some(ret) = operation.ret.filter(|_| is_without(&operation.action, token)) {
            first = Some(first.map_or(ret, |first| first.min(ret)));
        }
    }
    first
}

/// Whether an answer shows that the token is not there.
fn is_without(action: &Action, token: &[u8]) -> bool {
    match action {
        Action::Read(found) => found.as_deref() != Some(token),
        Action::Update(Update { answer: Answer::Applied(true), .. }) => acquired_token(action).is_some(),
        Action::Update(Update { answer: Answer::Applied(false), .. }) => {
            released_token(action) == Some(token)
        }
        _ => false,
    }
}

fn is_applied(operation: &Operation) -> bool {
    operation.ret.is_some() && super::ask::held(&operation.action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lincheck::{DEFAULT_LIMIT, Model, judge};

    fn operation(client: u64, action: impl Into<Action>, invoke: u64, ret: Option<u64>) -> Operation {
        Operation { client, key: b"lock".to_vec(), action: action.into(), invoke, ret }
    }

    fn acquire(client: u64, applied: bool, invoke: u64, ret: u64) -> Operation {
        let token = client.to_string();
        operation(client, Update::set(token.as_bytes()).if_absent().applied(applied), invoke, Some(ret))
    }

    fn release(client: u64, applied: bool, invoke: u64, ret: u64) -> Operation {
        let token = client.to_string();
        operation(client, Update::delete().if_equal(token.as_bytes()).applied(applied), invoke, Some(ret))
    }

    /// Whether it is linearizable, and the times of the expiries.
    fn judged(operations: Vec<Operation>) -> (bool, Vec<(u64, Option<u64>)>) {
        let mut history = History::new(operations);
        add_expiries(&mut history, 9);
        let verdict = judge(&Model::register_with_updates(), &history, DEFAULT_LIMIT).verdict;
        let expiries = history.operations.iter().filter(|operation| operation.client == 9);
        (verdict.is_linearizable(), expiries.map(|expiry| (expiry.invoke, expiry.ret)).collect())
    }

    #[test]
    fn a_lock_expires_once_and_only_if_nobody_has_given_it_back() {
        let next = || acquire(2, true, 60, 70);
        assert_eq!(judged(vec![acquire(1, true, 0, 10), next()]), (true, vec![(0, Some(70)), (60, None)]));
        let given_back = vec![acquire(1, true, 0, 10), release(1, true, 20, 30), next()];
        assert_eq!(judged(given_back), (true, vec![(60, None)]));
        let found_gone = vec![acquire(1, true, 0, 10), release(1, false, 20, 30), next()];
        assert_eq!(judged(found_gone), (true, vec![(0, Some(30)), (60, None)]));
    }

    #[test]
    fn what_has_expired_does_not_come_back() {
        let look = |found: Option<&str>, invoke, ret| {
            operation(3, Action::Read(found.map(|found| found.as_bytes().to_vec())), invoke, Some(ret))
        };
        let history = vec![acquire(1, true, 0, 10), look(None, 20, 30), look(Some("1"), 40, 50)];
        assert!(!judged(history).0);
        let refused = vec![acquire(1, true, 0, 10), look(None, 20, 30), acquire(2, false, 40, 50)];
        assert!(!judged(refused).0);
    }
}
