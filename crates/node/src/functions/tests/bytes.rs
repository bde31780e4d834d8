//! Encodings.

use super::super::{FunctionAnswer, FunctionError};
use super::*;
use alloc::string::ToString;
use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just(Condition::Always),
        Just(Condition::Absent),
        Just(Condition::Present),
        bytes().prop_map(Condition::Equals),
        bytes().prop_map(Condition::Differs),
        (0..3_u64).prop_map(|time| Condition::Version(if time == 0 { Version::MIN } else { version(time) })),
    ]
}

fn list() -> impl Strategy<Value = Vec<Bytes>> {
    prop::collection::vec(bytes(), 0..4)
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Never),
        Just(Expiry::Keep),
        any::<u64>().prop_map(|deadline| Expiry::At(Deadline(deadline))),
    ]
}

fn increment() -> impl Strategy<Value = BoundedIncrement> {
    let float =
        || (-1000..1000_i64).prop_map(|number| Extended::parse(number.to_string().as_bytes()).unwrap());
    let integers =
        any::<[i64; 3]>().prop_map(|[by, lower, upper]| Step::Integer(Bounded { by, lower, upper }));
    let floats =
        [float(), float(), float()].prop_map(|[by, lower, upper]| Step::Float(Bounded { by, lower, upper }));
    let step = prop_oneof![integers, floats];
    (step, expiry(), any::<[bool; 2]>()).prop_map(|(step, expiry, [saturates, only_if_none])| {
        BoundedIncrement { step, saturates, expiry, only_if_none }
    })
}

fn function() -> impl Strategy<Value = Function> {
    let number = "-?[0-9]{1,20}(\\.[0-9]{1,20})?(e-?[0-9]{1,3})?";
    prop_oneof![
        (bytes(), expiry(), condition(), any::<bool>(), any::<bool>()).prop_map(
            |(value, expiry, condition, get, wants_version)| Function::Set {
                value,
                expiry,
                condition,
                get,
                wants_version
            }
        ),
        (any::<u64>(), any::<[bool; 4]>()).prop_map(|(deadline, [none, some, earlier, later])| {
            Function::Expire {
                deadline: Deadline(deadline),
                replaces: Replaces { none, some, earlier, later },
            }
        }),
        expiry().prop_map(Function::GetExpire),
        increment().prop_map(Function::IncrementWithin),
        Just(Function::Persist),
        any::<bool>().prop_map(|wants_version| Function::Read { wants_version }),
        (1..9_u64).prop_map(|time| Function::Guard(version(time))),
        [bytes(), bytes()].prop_map(|[from, to]| Function::Configure { from, to }),
        (bytes(), [list(), list()], any::<[bool; 2]>()).prop_map(
            |(source, [keys, arguments], [read_only, resp3])| {
                Function::Script(Script { source, keys, arguments, read_only, resp3 })
            }
        ),
        (condition(), any::<bool>()).prop_map(|(condition, get)| Function::Delete { condition, get }),
        any::<i64>().prop_map(Function::Increment),
        number.prop_filter_map("in range", |text| Extended::parse(text.as_bytes())
            .map(Function::IncrementFloat)),
        bytes().prop_map(Function::Append),
        (any::<u64>(), bytes()).prop_map(|(offset, value)| Function::SetRange { offset, value }),
    ]
}

fn answer() -> impl Strategy<Value = FunctionAnswer> {
    let errors = [
        FunctionError::NotAnInteger,
        FunctionError::Overflow,
        FunctionError::NotAFloat,
        FunctionError::NotFinite,
        FunctionError::TooLarge,
        FunctionError::Unknown,
        FunctionError::Infinite,
        FunctionError::AddedOverflow,
        FunctionError::AddedInfinity,
        FunctionError::NotASuccessor,
    ];
    prop_oneof![
        Just(FunctionAnswer::Ok),
        Just(FunctionAnswer::Null),
        any::<i64>().prop_map(FunctionAnswer::Integer),
        any::<(i64, i64)>().prop_map(|(sum, by)| FunctionAnswer::Added { sum, by }),
        (bytes(), bytes()).prop_map(|(sum, by)| FunctionAnswer::AddedFloat { sum, by }),
        bytes().prop_map(FunctionAnswer::Value),
        prop::sample::select(errors.to_vec()).prop_map(FunctionAnswer::Error),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(function in function(), answer in answer()) {
        prop_assert_eq!(Function::decode(&function.to_bytes()).unwrap(), function);
        prop_assert_eq!(FunctionAnswer::decode(&answer.encode()).unwrap(), answer);
    }

    #[test]
    fn nothing_is_missing_and_nothing_too_much(function in function(), more in any::<u8>()) {
        let bytes = function.to_bytes();
        for end in 0..bytes.len() {
            prop_assert!(Function::decode(&bytes.slice(..end)).is_err());
        }
        let longer = Bytes::from([&bytes[..], &[more]].concat());
        prop_assert!(Function::decode(&longer).is_err());
    }

    #[test]
    fn other_bytes_are_an_error_or_one_function(bytes in prop::collection::vec(0..32_u8, 0..40)) {
        let bytes = Bytes::from(bytes);
        if let Ok(function) = Function::decode(&bytes) {
            prop_assert_eq!(function.to_bytes(), bytes.clone());
        }
        if let Ok(answer) = FunctionAnswer::decode(&bytes) {
            prop_assert_eq!(answer.encode(), bytes);
        }
    }
}

/// They may lie on disks and be on their way between versions.
#[test]
fn the_bytes_stay_what_they_are() {
    let set = |condition, get, wants_version| Function::Set {
        value: "v".into(),
        expiry: Expiry::Never,
        condition,
        get,
        wants_version,
    };
    let pinned = Condition::Version(version(2));
    let cases: [(Function, &[u8]); 12] = [
        (set(Condition::Always, false, false), b"\x01\x00\0\0\0\x01v"),
        (set(Condition::Absent, true, false), b"\x01\x09\0\0\0\x01v"),
        (set(Condition::Present, false, true), b"\x01\x12\0\0\0\x01v"),
        (set(Condition::Equals("ab".into()), false, false), b"\x01\x03\0\0\0\x02ab\0\0\0\x01v"),
        (set(Condition::Differs("".into()), false, false), b"\x01\x04\0\0\0\0\0\0\0\x01v"),
        (
            Function::Delete { condition: pinned, get: false },
            b"\x02\x05\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0",
        ),
        (Function::Delete { condition: Condition::Always, get: true }, b"\x02\x08"),
        (Function::Increment(-2), b"\x03\xff\xff\xff\xff\xff\xff\xff\xfe"),
        (Function::IncrementFloat(float("-1.5")), b"\x04\xbf\xff\xc0\0\0\0\0\0\0\0"),
        (Function::Append("a".into()), b"\x05\0\0\0\x01a"),
        (Function::SetRange { offset: 258, value: "a".into() }, b"\x06\0\0\0\0\0\0\x01\x02\0\0\0\x01a"),
        (Function::Configure { from: "ab".into(), to: "c".into() }, b"\x0f\0\0\0\x02ab\0\0\0\x01c"),
    ];
    for (function, bytes) in cases {
        assert_eq!(function.to_bytes(), bytes, "{function:?}");
    }
    let answers: [(FunctionAnswer, &[u8]); 7] = [
        (FunctionAnswer::Ok, b"\x00"),
        (FunctionAnswer::Null, b"\x01"),
        (FunctionAnswer::Integer(-1), b"\x02\xff\xff\xff\xff\xff\xff\xff\xff"),
        (FunctionAnswer::Value("v".into()), b"\x03v"),
        (FunctionAnswer::Error(FunctionError::NotAnInteger), b"\x04\x01"),
        (FunctionAnswer::Error(FunctionError::Unknown), b"\x04\x06"),
        (FunctionAnswer::Error(FunctionError::NotASuccessor), b"\x04\x0b"),
    ];
    for (answer, bytes) in answers {
        assert_eq!(answer.encode(), bytes, "{answer:?}");
    }
}

#[test]
fn what_nobody_writes_is_refused() {
    let refused: [&[u8]; 9] = [
        b"",
        b"\x00",
        b"\x07",
        b"\x01\x06\0\0\0\0",
        b"\x01\x20\0\0\0\0",
        b"\x02\x10",
        // A number without its highest bit, NaN, and infinity with a fraction.
        b"\x04\x3f\xff\x40\0\0\0\0\0\0\0",
        b"\x04\x7f\xff\xc0\0\0\0\0\0\0\0",
        b"\x04\x7f\xff\0\0\0\0\0\0\0\0",
    ];
    for bytes in refused {
        assert!(Function::decode(&Bytes::from_static(bytes)).is_err(), "{bytes:?}");
    }
    for bytes in [&b""[..], b"\x00\x00", b"\x02\0", b"\x04\0", b"\x04\x0c", b"\x05"] {
        assert!(FunctionAnswer::decode(&Bytes::from_static(bytes)).is_err(), "{bytes:?}");
    }
}
