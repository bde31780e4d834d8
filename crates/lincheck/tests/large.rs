//! Histories as large as an hour of a busy cluster leaves behind.

mod workload;

use std::time::Instant;

use lincheck::register::{RegisterOp, RegisterOpKind, history};
use lincheck::{Action, DEFAULT_LIMIT, History, Model, Operation, Update, Verdict, judge};

/// Sixteen clients on one register. Operation `i` takes effect at time `10 i`; what a client sees is what that order
/// leaves. With `values` as large as the history every value is written once.
fn busy_register(operations: u64, values: u64) -> Vec<RegisterOp> {
    let mut current = None;
    let operation = |i: u64| {
        let kind = if i.is_multiple_of(3) {
            let value = (i % values).to_be_bytes().to_vec();
            current = Some(value.clone());
            RegisterOpKind::Write(value)
        } else {
            RegisterOpKind::Read(current.clone())
        };
        let (instant, early, late) = (10 * i + 200, i * 7919 % 75, i * 104_729 % 75);
        let ret = (!i.is_multiple_of(97)).then_some(instant + late);
        RegisterOp { client: i % 16, key: b"x".to_vec(), kind, invoke: instant - early, ret }
    };
    (0..operations).map(operation).collect()
}

/// Judges the history, and once more with a lie at its end. How long that takes is printed; what is asserted is the
/// work: the search must get through with a few positions an operation.
fn judged_with_little_work(mut operations: Vec<RegisterOp>) {
    let limit = 8 * operations.len();
    let began = Instant::now();
    let verdict = judge(&Model::register(), &history(&operations), limit).verdict;
    assert!(verdict.is_linearizable(), "{verdict}");
    eprintln!("{} operations linearizable in {:?}", operations.len(), began.elapsed());

    let last = operations.len() as u64;
    operations.push(RegisterOp {
        client: 99,
        key: b"x".to_vec(),
        kind: RegisterOpKind::Read(Some(b"never written".to_vec())),
        invoke: 10 * last,
        ret: Some(10 * last + 5),
    });
    let began = Instant::now();
    let verdict = judge(&Model::register(), &history(&operations), limit).verdict;
    assert_eq!(verdict.violation().map(|violation| violation.window.len()), Some(1), "{verdict}");
    eprintln!("{} operations convicted in {:?}", operations.len(), began.elapsed());
}

#[test]
fn a_hundred_thousand_distinct_writes() {
    judged_with_little_work(busy_register(100_000, u64::MAX));
}

#[test]
fn a_hundred_thousand_writes_of_few_values() {
    judged_with_little_work(busy_register(if cfg!(debug_assertions) { 10_000 } else { 100_000 }, 7));
}

fn operation(client: u64, action: Action, invoke: u64, ret: u64) -> Operation {
    Operation { client, key: Vec::new(), action, invoke, ret: Some(ret) }
}

/// Nobody knows a fast way through two thousand swaps at the same time. The judge has to say so, and soon.
#[test]
fn a_hopeless_history_is_unknown_rather_than_endless() {
    let swap = |i: u64| {
        let (from, to) = ((i % 11).to_string(), (((i * 2_654_435_761) >> 7) % 11).to_string());
        Update::cas(Some(from.as_bytes()), to.as_bytes(), true).into()
    };
    let operations = (0..2_000).map(|i| operation(i, swap(i), 0, 10)).collect();
    let model = Model::cas_register(Some(b"0".to_vec()));
    let judgement = judge(&model, &History::new(operations), DEFAULT_LIMIT);
    assert!(matches!(judgement.verdict, Verdict::Unknown(_)), "{:?}", judgement.verdict);
    assert_eq!(judgement.undecided.len(), 1);
}

/// Put together, these values would take five gigabytes.
#[test]
fn many_appends_are_judged_without_making_their_values() {
    let count = 50_000;
    let piece = |i: u64| format!("{i:04}").into_bytes();
    let mut operations: Vec<Operation> = (0..count)
        .map(|i| operation(i % 5, Update::append(&piece(i % 10_000)).into(), 10 * i, 10 * i + 15))
        .collect();
    let whole: Vec<u8> = (0..count).flat_map(|i| piece(i % 10_000)).collect();
    operations.push(operation(9, Action::Read(Some(whole)), 10 * count + 10, 10 * count + 20));
    let verdict = judge(&Model::kv(), &History::new(operations), DEFAULT_LIMIT).verdict;
    assert!(verdict.is_linearizable(), "{verdict:?}");
}

/// The search may not take a step here: the check of append histories decides alone.
#[test]
fn append_workloads_are_judged_without_search() {
    let operations = if cfg!(debug_assertions) { 10_000 } else { 100_000 };
    for mix in workload::mixes() {
        let mut history = workload::history(mix, operations);
        let verdict = judge(&Model::register_with_updates(), &history, 0).verdict;
        assert!(verdict.is_linearizable(), "{}: {verdict}", mix.name);
        workload::break_it(&mut history);
        let verdict = judge(&Model::register_with_updates(), &history, 0).verdict;
        let window = verdict.violation().map(|violation| violation.window.len());
        assert!(window.is_some_and(|window| window <= 8), "{}: {window:?}", mix.name);
    }
}
