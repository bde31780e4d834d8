//! C2 (docs/PROTOCOL.md): one successor of each configuration.

use super::super::{FunctionAnswer as Answer, FunctionError as Error};
use super::*;
use crate::configuration::Configuration;
use abd::{NodeId, TimestampMode};
use alloc::format;
use alloc::string::String;

fn first() -> Configuration {
    let addresses = (1..=3).map(|id| (NodeId(id), format!("host{id}:1")));
    Configuration::first(addresses, TimestampMode::Logical)
}

/// Node 1 has another address then.
fn moved(from: &Configuration, address: &str) -> Configuration {
    let mut to = from.successor().unwrap();
    to.members[0].address = String::from(address);
    to
}

fn configure(from: &Configuration, to: &Configuration) -> Function {
    Function::Configure { from: from.encoded(), to: to.encoded() }
}

/// The answer, and what the key holds if it has changed.
fn apply(function: &Function, mut held: Held) -> (Answer, Option<Bytes>) {
    // Clients may be allowed small values only; a configuration is none of theirs.
    let (answer, changes) = function.apply(&mut held, circumstances(1));
    assert_eq!(changes, held.version.is_none());
    (answer, changes.then(|| held.content.value().unwrap().clone()))
}

#[test]
fn c2_of_two_drivers_one_wins() {
    let first = first();
    let [one, other] = ["one:1", "other:1"].map(|address| moved(&first, address));
    let (answer, holds) = apply(&configure(&first, &one), holding(first.encoded()));
    assert_eq!((answer, &holds), (Answer::Ok, &Some(one.encoded())));
    // The other one is told who has won; and so is who asks again, not knowing that he has.
    for late in [configure(&first, &other), configure(&first, &one)] {
        assert_eq!(apply(&late, holding(one.encoded())), (Answer::Value(one.encoded()), None));
    }
    let second = moved(&one, "second:1");
    assert_eq!(apply(&configure(&one, &second), holding(one.encoded())).0, Answer::Ok);
}

#[test]
fn the_first_configuration_is_the_one_that_nobody_has_written() {
    let first = first();
    let second = moved(&first, "second:1");
    let (answer, holds) = apply(&configure(&first, &second), absent());
    assert_eq!((answer, holds), (Answer::Ok, Some(second.encoded())));
    let third = moved(&second, "third:1");
    assert_eq!(apply(&configure(&second, &third), absent()), (Answer::Null, None));
}

#[test]
fn c2_what_is_no_successor_is_not_decided() {
    let first = first();
    let second = moved(&first, "second:1");
    let refused = (Answer::Error(Error::NotASuccessor), None);
    let mut skips = second.clone();
    skips.scope.epoch += 1;
    let mut grows = second.clone();
    grows.members.pop();
    for to in [&first, &skips, &grows] {
        assert_eq!(apply(&configure(&first, to), holding(first.encoded())), refused, "{to:?}");
    }
    let no_bytes = Function::Configure { from: first.encoded(), to: "x".into() };
    assert_eq!(apply(&no_bytes, holding(first.encoded())), refused);
    let no_bytes = Function::Configure { from: "x".into(), to: second.encoded() };
    assert_eq!(apply(&no_bytes, holding("x")), refused);
}
