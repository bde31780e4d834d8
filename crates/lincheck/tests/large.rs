//! Histories as large as an hour of a busy cluster leaves behind.

use std::time::{Duration, Instant};

use lincheck::register::{RegisterOp, RegisterOpKind, check};

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

fn judged_in_time(mut operations: Vec<RegisterOp>) {
    // Without optimisation a minute would prove nothing but patience.
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 2 });
    let began = Instant::now();
    assert!(check(&operations).is_linearizable());
    assert!(began.elapsed() < limit, "took {:?}", began.elapsed());
    eprintln!("linearizable in {:?}", began.elapsed());

    let last = operations.len() as u64;
    operations.push(RegisterOp {
        client: 99,
        key: b"x".to_vec(),
        kind: RegisterOpKind::Read(Some(b"never written".to_vec())),
        invoke: 10 * last,
        ret: Some(10 * last + 5),
    });
    let began = Instant::now();
    assert!(check(&operations).violation().is_some());
    assert!(began.elapsed() < 2 * limit, "took {:?}", began.elapsed());
    eprintln!("convicted in {:?}", began.elapsed());
}

#[test]
fn a_hundred_thousand_distinct_writes() {
    judged_in_time(busy_register(100_000, u64::MAX));
}

#[test]
fn a_hundred_thousand_writes_of_few_values() {
    judged_in_time(busy_register(if cfg!(debug_assertions) { 10_000 } else { 100_000 }, 7));
}
