//! Folds of operations.

use super::super::{FunctionAnswer as Answer, FunctionError};
use super::*;
use abd::{Evaluated, Evaluation, EvaluationId, OperationId, StampedValue};

const MAX: usize = 1 << 20;

fn fold(base: Option<&'static str>, operations: &[&[Function]]) -> Evaluated {
    let content = base.map_or(Content::Tombstone, |value| Content::Value(value.into()));
    let encoded = |functions: &&[Function]| functions.iter().map(Function::encode).collect();
    let evaluation = Evaluation {
        id: EvaluationId { operation: OperationId(1), phase: 0 },
        key: "k".into(),
        base: StampedValue { version: version(5), content, deadline: Deadline(77), update: UpdateId::NONE },
        operations: operations.iter().map(encoded).collect(),
    };
    evaluate(&evaluation, circumstances(MAX), None)
}

/// The answers of each operation that was taken, and whether it changes anything.
fn answers(evaluated: &Evaluated) -> Vec<(Vec<Answer>, bool)> {
    let decoded =
        |answers: &Vec<Bytes>| answers.iter().map(|answer| Answer::decode(answer).unwrap()).collect();
    evaluated.operations.iter().map(|operation| (decoded(&operation.answers), operation.changes)).collect()
}

fn locking(condition: Condition) -> Function {
    Function::Set { value: "lock".into(), expiry: Expiry::Never, condition, get: false, wants_version: true }
}

fn held(value: &'static str) -> Content {
    Content::Value(value.into())
}

#[test]
fn each_operation_sees_what_those_before_it_have_left() {
    let add = || Function::Increment(1);
    let evaluated = fold(
        Some("1"),
        &[
            &[add()],
            &[set("x", Condition::Absent)],
            &[add(), Function::Append("0".into())],
            &[Function::Delete { condition: Condition::Always, get: true }],
            &[add()],
        ],
    );
    let expected = [
        (vec![Answer::Integer(2)], true),
        (vec![Answer::Null], false),
        (vec![Answer::Integer(3), Answer::Integer(2)], true),
        (vec![Answer::Value("30".into())], true),
        (vec![Answer::Integer(1)], true),
    ];
    assert_eq!(answers(&evaluated), expected);
    assert_eq!((evaluated.content, evaluated.deadline), (held("1"), Deadline::NONE));
}

#[test]
fn what_changes_nothing_leaves_the_base() {
    let evaluated = fold(Some("x"), &[&[Function::Increment(1)], &[set("y", Condition::Absent)]]);
    let error = Answer::Error(FunctionError::NotAnInteger);
    assert_eq!(answers(&evaluated), [(vec![error], false), (vec![Answer::Null], false)]);
    assert_eq!((evaluated.content, evaluated.deadline), (held("x"), Deadline(77)));
}

#[test]
fn a_function_that_fails_leaves_the_others_of_its_operation_alone() {
    let add = Function::Increment(1);
    let evaluated = fold(Some("x"), &[&[add.clone(), set("4", Condition::Always), add]]);
    let error = Answer::Error(FunctionError::NotAnInteger);
    assert_eq!(answers(&evaluated), [(vec![error, Answer::Ok, Answer::Integer(5)], true)]);
    assert_eq!((evaluated.content, evaluated.deadline), (held("5"), Deadline::NONE));
}

#[test]
fn a_function_that_is_none_fails() {
    let nothing = abd::Function { encoded: "?".into(), always_changes: true };
    let mut evaluation = Evaluation {
        id: EvaluationId { operation: OperationId(1), phase: 0 },
        key: "k".into(),
        base: StampedValue::NEVER,
        operations: vec![vec![nothing]],
    };
    let error = Answer::Error(FunctionError::Unknown);
    assert_eq!(answers(&evaluate(&evaluation, circumstances(MAX), None)), [(vec![error.clone()], false)]);
    evaluation.operations[0].push(Function::Increment(7).encode());
    let evaluated = evaluate(&evaluation, circumstances(MAX), None);
    assert_eq!(answers(&evaluated), [(vec![error, Answer::Integer(7)], true)]);
    assert_eq!(evaluated.content, held("7"));
}

/// Each token of a lock is told to one owner.
#[test]
fn nothing_changes_behind_an_operation_that_wants_the_version() {
    let unlock = || Function::Delete { condition: Condition::Equals("lock".into()), get: false };
    let lock = || locking(Condition::Absent);
    // Taken, twice refused, released: the release is of the next fold.
    let evaluated =
        fold(None, &[&[lock()], &[lock()], &[set("x", Condition::Absent)], &[unlock()], &[lock()]]);
    let expected = [(vec![Answer::Ok], true), (vec![Answer::Null], false), (vec![Answer::Null], false)];
    assert_eq!(answers(&evaluated), expected);
    assert_eq!((evaluated.content, evaluated.deadline), (held("lock"), Deadline::NONE));
    // Released and taken by the next one in the same fold.
    let evaluated = fold(Some("lock"), &[&[unlock()], &[lock()], &[unlock()]]);
    assert_eq!(answers(&evaluated), [(vec![Answer::Integer(1)], true), (vec![Answer::Ok], true)]);
    assert_eq!(evaluated.content, held("lock"));
    // Whoever is refused is told the version that refused.
    let evaluated = fold(Some("lock"), &[&[lock()], &[lock()], &[unlock()], &[lock()]]);
    assert_eq!(answers(&evaluated), [(vec![Answer::Null], false), (vec![Answer::Null], false)]);
    assert_eq!((evaluated.content, evaluated.deadline), (held("lock"), Deadline(77)));
    // Within one operation its own functions go on.
    let evaluated = fold(None, &[&[lock(), unlock()], &[unlock()]]);
    assert_eq!(
        answers(&evaluated),
        [(vec![Answer::Ok, Answer::Integer(1)], true), (vec![Answer::Integer(0)], false)]
    );
}

#[test]
fn a_version_is_that_of_the_base_alone() {
    let pinned = || set("p", Condition::Version(version(5)));
    let evaluated = fold(Some("x"), &[&[set("y", Condition::Absent)], &[pinned()], &[pinned()]]);
    let expected = [(vec![Answer::Null], false), (vec![Answer::Ok], true), (vec![Answer::Null], false)];
    assert_eq!(answers(&evaluated), expected);
    let never = set("p", Condition::Version(Version::MIN));
    let delete = Function::Delete { condition: Condition::Always, get: false };
    let evaluated = fold(Some("x"), &[&[delete], &[never], &[pinned()]]);
    let expected =
        [(vec![Answer::Integer(1)], true), (vec![Answer::Null], false), (vec![Answer::Null], false)];
    assert_eq!(answers(&evaluated), expected, "deleted is not as if it had never been");
}

#[test]
fn appending_leaves_no_room_behind() {
    let part = Function::Append(Bytes::from(vec![b'a'; 1000]));
    let operations: Vec<&[Function]> = (0..300).map(|_| core::slice::from_ref(&part)).collect();
    let evaluated = fold(Some("b"), &operations);
    let Content::Value(value) = evaluated.content else { panic!("a value") };
    assert_eq!((value.len(), evaluated.operations.len()), (300_001, 300));
    let capacity = value.try_into_mut().unwrap().capacity();
    assert!(capacity <= 300_001 + 300_001 / 8, "{capacity}");
}

/// Reads by the thousand of a large value: all of it is refused, and nothing was done.
#[test]
fn an_operation_that_would_answer_too_much_does_nothing() {
    let read = || Function::Read { wants_version: false };
    let large = Function::Set {
        value: vec![b'v'; MAX].into(),
        expiry: Expiry::Never,
        condition: Condition::Always,
        get: false,
        wants_version: false,
    };
    let reads = |count: usize| core::iter::repeat_with(read).take(count);
    let few: Vec<_> = [large.clone()].into_iter().chain(reads(63)).collect();
    let many: Vec<_> = [large, Function::Append("w".into())].into_iter().chain(reads(65)).collect();
    let evaluated = fold(Some("1"), &[&many]);
    let refused = vec![Answer::Error(FunctionError::AnswersTooLarge); many.len()];
    assert_eq!(answers(&evaluated), [(refused, false)]);
    assert_eq!((evaluated.content, evaluated.deadline), (held("1"), Deadline(77)));
    let evaluated = fold(Some("1"), &[&few]);
    assert!(evaluated.operations[0].changes && evaluated.content.len() == MAX);
}

#[test]
fn a_guard_that_does_not_hold_stops_the_functions_behind_it_and_no_other_operation() {
    let add = || Function::Increment(1);
    let guard = |time| Function::Guard(version(time));
    let evaluated = fold(Some("1"), &[&[guard(5), add(), add()], &[guard(5), add()], &[add()]]);
    let expected = [
        (vec![Answer::Ok, Answer::Integer(2), Answer::Integer(3)], true),
        (vec![Answer::Aborted, Answer::Aborted], false),
        (vec![Answer::Integer(4)], true),
    ];
    assert_eq!(answers(&evaluated), expected);
    assert_eq!(evaluated.content, held("4"));
}
