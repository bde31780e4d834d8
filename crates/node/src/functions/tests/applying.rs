//! What each function answers and leaves behind.

use super::super::{FunctionAnswer as Answer, FunctionError as Error};
use super::*;

const MAX: usize = 64;

/// Applies a function; returns the answer, and what the key holds if it has changed.
fn apply(function: &Function, mut held: Held) -> (Answer, Option<(Content, Deadline)>) {
    let before = held.clone();
    let (answer, changes) = function.apply(&mut held, circumstances(MAX));
    assert_eq!(changes, held.version.is_none(), "{function:?}: what has changed has no version");
    if !changes {
        assert_eq!(held, before, "{function:?}");
    }
    (answer, changes.then_some((held.content, held.deadline)))
}

fn value(text: &'static str) -> Answer {
    Answer::Value(text.into())
}

/// The key holds this, with the deadline that it had.
fn kept(text: &'static str) -> Option<(Content, Deadline)> {
    Some((Content::Value(text.into()), Deadline(77)))
}

/// The key holds this, and never expires.
fn fresh(text: &'static str) -> Option<(Content, Deadline)> {
    Some((Content::Value(text.into()), Deadline::NONE))
}

#[test]
fn conditions_of_set_and_delete() {
    let other = version(6);
    // The condition; whether it holds where "v" is, and where nothing is.
    let cases = [
        (Condition::Always, true, true),
        (Condition::Absent, false, true),
        (Condition::Present, true, false),
        (Condition::Equals("v".into()), true, false),
        (Condition::Equals("".into()), false, false),
        (Condition::Differs("v".into()), false, true),
        (Condition::Differs("w".into()), true, true),
        (Condition::Version(version(5)), true, false),
        (Condition::Version(Version::MIN), false, true),
        (Condition::Version(other), false, false),
    ];
    for (condition, if_held, if_absent) in cases {
        for (held, holds, before) in
            [(holding("v"), if_held, value("v")), (absent(), if_absent, Answer::Null)]
        {
            let is_there = held.content.is_value();
            let set = |get| Function::Set {
                value: "new".into(),
                expiry: Expiry::Never,
                condition: condition.clone(),
                get,
                wants_version: false,
            };
            let plain = if holds { Answer::Ok } else { Answer::Null };
            let after = if holds { fresh("new") } else { None };
            assert_eq!(apply(&set(false), held.clone()), (plain, after.clone()), "{condition:?}");
            assert_eq!(apply(&set(true), held.clone()), (before.clone(), after), "{condition:?}");
            // Nothing is deleted twice.
            let after = (holds && is_there).then_some((Content::Tombstone, Deadline::NONE));
            let count = Answer::Integer(after.is_some().into());
            let delete = |get| Function::Delete { condition: condition.clone(), get };
            assert_eq!(apply(&delete(false), held.clone()), (count, after.clone()), "{condition:?}");
            assert_eq!(apply(&delete(true), held), (before, after), "{condition:?}");
        }
    }
}

#[test]
fn increments_of_integers() {
    let cases = [
        ("5", 3, Ok("8")),
        ("5", -10, Ok("-5")),
        ("0", 0, Ok("0")),
        ("9223372036854775806", 1, Ok("9223372036854775807")),
        ("9223372036854775807", 1, Err(Error::Overflow)),
        ("-9223372036854775808", -1, Err(Error::Overflow)),
        ("-9223372036854775808", i64::MAX, Ok("-1")),
        ("-1", i64::MIN, Err(Error::Overflow)),
        ("9223372036854775808", 1, Err(Error::NotAnInteger)),
        ("", 1, Err(Error::NotAnInteger)),
        ("+1", 1, Err(Error::NotAnInteger)),
        (" 1", 1, Err(Error::NotAnInteger)),
        ("1 ", 1, Err(Error::NotAnInteger)),
        ("01", 1, Err(Error::NotAnInteger)),
        ("-0", 1, Err(Error::NotAnInteger)),
        ("1.0", 1, Err(Error::NotAnInteger)),
        ("v", 1, Err(Error::NotAnInteger)),
    ];
    for (from, by, sum) in cases {
        let expected = match sum {
            Ok(sum) => (Answer::Integer(sum.parse().unwrap()), kept(sum)),
            Err(error) => (Answer::Error(error), None),
        };
        assert_eq!(apply(&Function::Increment(by), holding(from)), expected, "{from} + {by}");
    }
    assert_eq!(apply(&Function::Increment(-3), absent()), (Answer::Integer(-3), fresh("-3")));
    assert_eq!(apply(&Function::Increment(i64::MIN), absent()).0, Answer::Integer(i64::MIN));
}

#[test]
fn increments_of_numbers() {
    let cases = [
        ("10.50", "0.1", Ok("10.6")),
        ("0.1", "0.2", Ok("0.3")),
        ("5.0e3", "2.0e2", Ok("5200")),
        ("1", "-1", Ok("0")),
        ("-0", "-0", Ok("0")),
        ("0x10", "0.5", Ok("16.5")),
        ("inf", "1", Err(Error::NotFinite)),
        ("-inf", "inf", Err(Error::NotFinite)),
        ("1", "-inf", Err(Error::NotFinite)),
        ("1e4932", "1e4932", Err(Error::NotFinite)),
        ("nan", "1", Err(Error::NotAFloat)),
        ("1e5000", "1", Err(Error::NotAFloat)),
        ("", "1", Err(Error::NotAFloat)),
        (" 1", "1", Err(Error::NotAFloat)),
        ("1 ", "1", Err(Error::NotAFloat)),
        ("1,5", "1", Err(Error::NotAFloat)),
    ];
    for (from, by, sum) in cases {
        let expected = match sum {
            Ok(sum) => (value(sum), kept(sum)),
            Err(error) => (Answer::Error(error), None),
        };
        assert_eq!(apply(&Function::IncrementFloat(float(by)), holding(from)), expected, "{from} + {by}");
    }
    assert_eq!(apply(&Function::IncrementFloat(float("1e1")), absent()), (value("10"), fresh("10")));
}

#[test]
fn parts_are_appended_and_overwritten() {
    let append = |part: &'static str| Function::Append(part.into());
    let range = |offset, part: &'static str| Function::SetRange { offset, value: part.into() };
    let cases = [
        (append("cd"), holding("ab"), 4, kept("abcd")),
        (append(""), holding("ab"), 2, None),
        (append("ab"), absent(), 2, fresh("ab")),
        (append(""), absent(), 0, fresh("")),
        (range(0, "x"), holding("abc"), 3, kept("xbc")),
        (range(2, "xyz"), holding("abc"), 5, kept("abxyz")),
        (range(5, "x"), holding("abc"), 6, kept("abc\0\0x")),
        (range(2, "x"), absent(), 3, fresh("\0\0x")),
        (range(9, ""), holding("abc"), 3, None),
        (range(u64::MAX, ""), absent(), 0, None),
    ];
    for (function, held, length, after) in cases {
        assert_eq!(apply(&function, held), (Answer::Integer(length), after), "{function:?}");
    }
}

#[test]
fn no_value_is_larger_than_it_may_be() {
    let full = || Bytes::from(vec![b'v'; MAX]);
    let (fits, refused) =
        (|length: usize| Answer::Integer(length.try_into().unwrap()), Answer::Error(Error::TooLarge));
    let answer = |function: Function, held| apply(&function, held).0;
    assert_eq!(answer(Function::Append(full()), absent()), fits(MAX));
    assert_eq!(answer(Function::Append(full()), holding("")), fits(MAX));
    assert_eq!(answer(Function::Append(full()), holding("v")), refused);
    assert_eq!(answer(Function::Append("".into()), holding(full())), fits(MAX));
    let range = |offset, value| Function::SetRange { offset, value };
    assert_eq!(answer(range(0, full()), absent()), fits(MAX));
    assert_eq!(answer(range(MAX as u64 - 1, "v".into()), absent()), fits(MAX));
    assert_eq!(answer(range(MAX as u64, "v".into()), absent()), refused);
    assert_eq!(answer(range(1, full()), absent()), refused);
    assert_eq!(answer(range(u64::MAX, "v".into()), holding("v")), refused);
    let set = |value: Bytes| Function::Set {
        value,
        expiry: Expiry::Never,
        condition: Condition::Always,
        get: false,
        wants_version: false,
    };
    assert_eq!(answer(set(full()), absent()), Answer::Ok);
    assert_eq!(answer(set(vec![b'v'; MAX + 1].into()), absent()), refused);
}
