//! Whether two clients ever had a lock at the same time: each from when it was told so until it first asked to give it back, or else
//! until its time was over by its own clock. With clocks that differ, and logical timestamps, that may happen, for as long as they
//! differ; fencing tokens tell who is the later one.

use super::ask::held;
use super::expiries::LEASE;
use lincheck::{Action, Change, Condition, History, Operation, Update};
use std::collections::HashMap;

/// A time in which a client had a lock for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub client: u64,
    /// The end of the acquisition, in the unit of the history.
    pub from: u64,
    /// The beginning of the release, or the end of the lease, which begins when the lock is asked for.
    pub until: u64,
}

/// Two clients that had one lock at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwoHolders {
    /// The lock.
    pub key: Vec<u8>,
    /// The two, by the time at which they got it.
    pub holders: [Holder; 2],
}

/// Looks for two holders in a history of the workload `lock`, in nanoseconds, in which no two acquisitions have the same token.
#[must_use]
pub fn two_holders(history: &History) -> Option<TwoHolders> {
    for (key, chosen) in history.by_key() {
        let operations = || chosen.iter().map(|index| &history.operations[*index]);
        let mut released: HashMap<&[u8], u64> = HashMap::new();
        for operation in operations() {
            if let Some(token) = released_token(&operation.action) {
                let first = released.entry(token).or_insert(operation.invoke);
                *first = operation.invoke.min(*first);
            }
        }
        let holder = |operation: &Operation| {
            let token = acquired_token(&operation.action).filter(|_| held(&operation.action))?;
            let lease = u64::try_from(LEASE.as_nanos()).unwrap_or(u64::MAX);
            let expires = operation.invoke.saturating_add(lease);
            let until = released.get(token).map_or(expires, |released| expires.min(*released));
            Some(Holder { client: operation.client, from: operation.ret?, until })
        };
        let mut holders: Vec<Holder> = operations().filter_map(holder).collect();
        holders.sort_by_key(|holder| holder.from);
        // Equal times are not told apart, as the judge does.
        let overlap = |pair: &&[Holder]| pair[0].until > pair[1].from;
        if let Some(pair) = holders.windows(2).find(overlap) {
            return Some(TwoHolders { key: key.to_vec(), holders: [pair[0], pair[1]] });
        }
    }
    None
}

pub(super) fn acquired_token(action: &Action) -> Option<&[u8]> {
    match action {
        Action::Update(Update {
            condition: Condition::Is(None), change: Change::Set(Some(token)), ..
        }) => Some(token),
        _ => None,
    }
}

pub(super) fn released_token(action: &Action) -> Option<&[u8]> {
    match action {
        Action::Update(Update {
            condition: Condition::Is(Some(token)), change: Change::Set(None), ..
        }) => Some(token),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(client: u64, action: impl Into<Action>, invoke: u64, ret: Option<u64>) -> Operation {
        Operation { client, key: b"lock".to_vec(), action: action.into(), invoke, ret }
    }

    fn acquire(client: u64, applied: bool, invoke: u64, ret: u64) -> Operation {
        let token = client.to_string();
        operation(client, Update::set(token.as_bytes()).if_absent().applied(applied), invoke, Some(ret))
    }

    fn release(client: u64, invoke: u64, ret: Option<u64>) -> Operation {
        operation(client, Update::delete().if_equal(client.to_string().as_bytes()), invoke, ret)
    }

    #[test]
    fn one_after_the_other_is_right() {
        let history = History::new(vec![
            acquire(1, true, 0, 10),
            acquire(2, false, 5, 15),
            release(1, 20, None),
            release(1, 40, Some(50)),
            acquire(3, true, 15, 20),
            release(3, 60, Some(70)),
            acquire(4, true, 55, 65),
        ]);
        assert_eq!(two_holders(&history), None);
    }

    #[test]
    fn two_at_a_time_are_named() {
        let lease = u64::try_from(LEASE.as_nanos()).unwrap();
        for released in [Some(40), None] {
            let mut history = History::new(vec![acquire(2, true, 25, 30), acquire(1, true, 0, 10)]);
            history.operations.extend(released.map(|released| release(1, released, Some(50))));
            let found = two_holders(&history).unwrap();
            assert_eq!(found.key, b"lock");
            let first = Holder { client: 1, from: 10, until: released.unwrap_or(lease) };
            assert_eq!(found.holders, [first, Holder { client: 2, from: 30, until: 25 + lease }]);
            // Other keys are other locks.
            history.operations[0].key = b"other".to_vec();
            assert_eq!(two_holders(&history), None);
        }
        let later = History::new(vec![acquire(1, true, 0, 10), acquire(2, true, lease, lease + 10)]);
        assert_eq!(two_holders(&later), None, "it has expired");
    }
}
