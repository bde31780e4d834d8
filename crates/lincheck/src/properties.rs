//! The two algorithms against each other and against the definition, on many small histories.

use crate::appends::{Appends, appends};
use crate::checker::judge;
use crate::compile::Key;
use crate::history::History;
use crate::model::Model;
use crate::search::{SearchResult, search};
use crate::testing::random::{Mix, Random};
use crate::testing::{brute, random};
use crate::zones::{Zones, zones};

const LIMIT: usize = 1_000_000;

/// How often the check of append histories passed, convicted and declined where zones had no answer either.
#[derive(Debug, Default)]
struct Lived {
    passed: u64,
    convicted: u64,
    declined: u64,
}

fn rounds(model: &Model, mix: Mix, count: u64) -> Lived {
    let mut lived = Lived::default();
    let mut seen = [0_u64; 2];
    for seed in 0..count {
        let operations = random::history(&mut Random(seed), mix);
        let expected = brute::linearizable(model, &operations);
        seen[usize::from(expected)] += 1;
        let all: Vec<usize> = (0..operations.len()).collect();
        let context = || format!("{mix:?} seed {seed}\n{}", crate::bars::draw(&operations));

        match search(&mut Key::new(model, &operations, &all), LIMIT).found {
            SearchResult::Order(order) => {
                assert!(expected, "search passed {}", context());
                assert_eq!(brute::explains(model, &operations, &order), Ok(()), "search {}", context());
            }
            SearchResult::Nothing { .. } => assert!(!expected, "search convicted {}", context()),
            SearchResult::GaveUp => panic!("search gave up {}", context()),
        }
        let zones = zones(&Key::new(model, &operations, &all));
        let decided = zones != Zones::NotDistinct;
        match zones {
            Zones::Order(order) => {
                assert!(expected, "zones passed {}", context());
                assert_eq!(brute::explains(model, &operations, &order), Ok(()), "zones {}", context());
            }
            Zones::Conflict(_) => assert!(!expected, "zones convicted {}", context()),
            Zones::NotDistinct => assert!(!matches!(mix, Mix::Distinct), "zones declined {}", context()),
        }
        match appends(model, &operations, &all) {
            Appends::Order(order) => {
                assert!(expected, "appends passed {}", context());
                assert_eq!(brute::explains(model, &operations, &order), Ok(()), "appends {}", context());
                lived.passed += 1;
            }
            Appends::Conflict(window) => {
                assert!(!expected, "appends convicted {}", context());
                let window: Vec<_> = window.into_iter().map(|index| operations[index].clone()).collect();
                assert!(!brute::linearizable(model, &window), "window of {}", context());
                lived.convicted += 1;
            }
            Appends::Declined if decided => {}
            Appends::Declined => {
                lived.declined += 1;
                if lived.declined < 12 {
                    eprintln!("DECL expected {expected} {}", context());
                }
            }
        }
        let verdict = judge(model, &History::new(operations.clone()), LIMIT).verdict;
        assert_eq!(verdict.is_linearizable(), expected, "{}", context());
        if let Some(violation) = verdict.violation() {
            assert!(!brute::linearizable(model, &violation.operations), "window {verdict} of {}", context());
        }
    }
    assert!(seen.iter().all(|&n| n > count / 20), "{mix:?} is lopsided: {seen:?}");
    lived
}

#[test]
fn distinct_values() {
    rounds(&Model::register(), Mix::Distinct, 20_000);
}

#[test]
fn registers() {
    rounds(&Model::register(), Mix::Register, 20_000);
}

#[test]
fn compare_and_set() {
    rounds(&Model::cas_register(None), Mix::Cas, 20_000);
}

#[test]
fn cas_register_with_a_beginning() {
    rounds(&Model::cas_register(Some(b"0".to_vec())), Mix::Cas, 20_000);
}

#[test]
fn get_put_append() {
    rounds(&Model::kv(), Mix::Kv, 20_000);
}

#[test]
fn updates() {
    rounds(&Model::register_with_updates(), Mix::Updates, 20_000);
    rounds(&Model::kv(), Mix::Updates, 10_000);
}

#[test]
fn counters() {
    rounds(&Model::register_with_updates(), Mix::Counter, 20_000);
    rounds(&Model::kv(), Mix::Counter, 10_000);
}

#[test]
fn append_histories() {
    for model in [Model::register_with_updates(), Model::kv()] {
        let lived = rounds(&model, Mix::Appends, 20_000);
        assert!(lived.passed > 4_000 && lived.convicted > 4_000 && lived.declined < 2_000, "{lived:?}");
    }
}

/// Without deletes and lengths the check never declines.
#[test]
fn plain_append_histories() {
    for model in [Model::register_with_updates(), Model::kv()] {
        let lived = rounds(&model, Mix::PlainAppends, 20_000);
        assert!(lived.passed > 4_000 && lived.convicted > 4_000 && lived.declined == 0, "{lived:?}");
    }
}
