//! An append workload, as a cluster without faults leaves it behind.

use std::collections::HashMap;

use lincheck::{Action, History, Operation, Update};

/// How often an operation of a workload is what, in percent; the rest are reads.
#[derive(Clone, Copy)]
pub(crate) struct Mix {
    /// What is special about it.
    pub(crate) name: &'static str,
    /// How many keys there are.
    pub(crate) keys: u64,
    /// Percent of appends.
    pub(crate) appends: u64,
    /// Percent of sets.
    pub(crate) sets: u64,
    /// Percent of deletes.
    pub(crate) deletes: u64,
    /// Percent of operations whose outcome is unknown.
    pub(crate) unknown: u64,
    /// Whether appends are answered with a length.
    pub(crate) lengths: bool,
}

/// Those that the check has to be good at.
pub(crate) fn mixes() -> Vec<Mix> {
    let plain =
        Mix { name: "one key", keys: 1, appends: 60, sets: 1, deletes: 0, unknown: 0, lengths: false };
    vec![
        plain,
        Mix { name: "lengths answered", lengths: true, ..plain },
        Mix { name: "deletes", deletes: 1, ..plain },
        Mix { name: "unknown outcomes", unknown: 2, ..plain },
        Mix { name: "everything", deletes: 1, unknown: 2, lengths: true, ..plain },
        Mix { name: "everything, 1,000 keys", keys: 1_000, deletes: 1, unknown: 2, lengths: true, ..plain },
    ]
}

/// Sixteen clients. Operation `i` takes effect at time `10 i`, and what was answered is what that order leaves.
pub(crate) fn history(mix: Mix, operations: u64) -> History {
    let mut values: HashMap<u64, Vec<u8>> = HashMap::new();
    let operation = |i: u64| {
        // Any odd multiplier spreads the choices; the workload only has to be the same each time.
        let random = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let (key, dice) = (random % mix.keys, random / 1_000 % 100);
        let token = format!("{}-{i};", i % 16).into_bytes();
        let value = values.get(&key).cloned();
        let unknown = random / 100_000 % 100 < mix.unknown;
        // Half of the operations that nobody was told about did nothing.
        let happens = !unknown || i.is_multiple_of(2);
        let (action, after) = if dice < mix.appends {
            let after = [value.clone().unwrap_or_default(), token.clone()].concat();
            let append = Update::append(&token);
            let append = if mix.lengths { append.length(after.len() as u64) } else { append };
            (append.into(), Some(after))
        } else if dice < mix.appends + mix.sets {
            (Action::Write(token.clone()), Some(token))
        } else if dice < mix.appends + mix.sets + mix.deletes {
            (Action::Delete, None)
        } else {
            (Action::Read(value.clone()), value)
        };
        if let (true, Some(after)) = (happens, &after) {
            values.insert(key, after.clone());
        } else if happens {
            values.remove(&key);
        }
        let (instant, early, late) = (10 * i + 200, i * 7919 % 150, i * 104_729 % 150);
        let ret = (!unknown).then_some(instant + late);
        Operation { client: i % 16, key: key.to_be_bytes().to_vec(), action, invoke: instant - early, ret }
    };
    History::new((0..operations).map(operation).collect())
}

/// Lets the last read that saw two appends miss the latter, long after that had returned.
pub(crate) fn break_it(history: &mut History) {
    let saw_two =
        |o: &Operation| matches!(&o.action, Action::Read(Some(v)) if v.len() > 30) && o.ret.is_some();
    let last = history.operations.iter().rposition(saw_two).expect("the workload reads");
    let operation = &mut history.operations[last];
    let Action::Read(Some(value)) = &mut operation.action else { unreachable!("it is a read") };
    let before = value[..value.len() - 1].iter().rposition(|&byte| byte == b';').expect("there were two");
    value.truncate(before + 1);
    operation.invoke += 1_000;
    operation.ret = Some(operation.invoke + 1);
}
