//! Reading, adding and printing, with what glibc and the processor make of the same.

use super::*;
use proptest::prelude::*;

fn sum(one: &str, other: &str) -> Option<String> {
    Some(Extended::parse(one.as_bytes())?.add(Extended::parse(other.as_bytes())?)?.print())
}

#[test]
fn sums_are_those_of_the_processor() {
    let cases = [
        ("3", "0", "3"),
        ("0.1", "0.2", "0.3"),
        ("1.1", "2.2", "3.3"),
        ("-0", "-0", "0"),
        ("1", "-1", "0"),
        ("+1", "1.", "2"),
        (".5", "-.25", "0.25"),
        ("3.0e3", "-1E-1", "2999.89999999999999991"),
        ("17179869184", "0.00000000000000001", "17179869184"),
        ("0.00000000000000001", "0", "0.00000000000000001"),
        // Halves of the last digit, as near to them as the numbers are.
        ("0x1p-57", "0", "0.00000000000000001"),
        ("0.0000000000000000049", "0", "0"),
        ("-0.0000000000000000049", "0", "0"),
        ("0.5", "0.00000000000000001", "0.50000000000000001"),
        // Above 2^63 and 2^64 numbers lie apart; the even one of two is taken.
        ("9223372036854775807", "0.5", "9223372036854775807.5"),
        ("18446744073709551615", "1", "18446744073709551616"),
        ("18446744073709551616", "1", "18446744073709551616"),
        ("18446744073709551617", "0", "18446744073709551616"),
        ("18446744073709551619", "0", "18446744073709551620"),
        ("18446744073709551616", "1.00000000000000001", "18446744073709551618"),
        ("18446744073709551618", "1", "18446744073709551620"),
        ("36893488147419103232", "-1", "36893488147419103232"),
        ("0x10", "0x.8", "16.5"),
        ("0X1.8p1", "-0xAp-1", "-2"),
        ("1e30", "0", "1000000000000000000024696061952"),
        ("1e-4940", "0", "0"),
        ("0e99999999999999999999", "-0x0p99999", "0"),
    ];
    for (one, other, expected) in cases {
        assert_eq!(sum(one, other).as_deref(), Some(expected), "{one} + {other}");
        assert_eq!(sum(other, one).as_deref(), Some(expected), "{other} + {one}");
    }
}

#[test]
fn what_strtold_does_not_read_whole_is_no_number() {
    let none = [
        "",
        " 1",
        "1 ",
        "\t1",
        "1\n",
        "1\0",
        "+",
        "-",
        "--1",
        "+-1",
        ".",
        "e5",
        "1e",
        "1e+",
        "1e5.5",
        "1.2.3",
        "1,5",
        "1_0",
        "0x",
        "0x.p1",
        "0xg",
        "0x1p",
        "0x1p-",
        "nan",
        "-nan",
        "nan(1)",
        "NaN",
        "infinit",
        "infx",
        "1e4933",
        "1.19e4932",
        "-1e5000",
        "1e99999999999999999999",
        "1e-4951",
        "1.8e-4951",
        "1e-99999999999999999999",
        "0x1p16384",
        "0x1p-16446",
        "0x1.ffffffffffffffffp16383",
    ];
    for text in none {
        assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
    }
    for text in ["inf", "INF", "+inf", "-Infinity"] {
        let number = Extended::parse(text.as_bytes()).unwrap();
        assert!(!number.is_finite() && number.add(Extended::ZERO).is_none(), "{text}");
    }
    // As long as the buffer, and one longer.
    assert!(Extended::parse("0".repeat(5119).as_bytes()).is_some());
    assert_eq!(Extended::parse("0".repeat(5120).as_bytes()), None);
}

#[test]
fn the_ends_of_the_range() {
    let bytes = |text: &str| Extended::parse(text.as_bytes()).map(Extended::to_bytes);
    let largest = *b"\x7f\xfe\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_eq!(bytes("1.18973149535723176502e4932"), Some(largest));
    assert_eq!(bytes("0x1.fffffffffffffffep16383"), Some(largest));
    // The smallest number, and what is more than half of it; then the smallest normal one.
    let smallest = *b"\0\0\0\0\0\0\0\0\0\x01";
    assert_eq!(bytes("3.6e-4951"), Some(smallest));
    assert_eq!(bytes("1.9e-4951"), Some(smallest));
    assert_eq!(bytes("0x1.1p-16446"), Some(smallest));
    assert_eq!(bytes("0x1p-16382"), Some(*b"\0\x01\x80\0\0\0\0\0\0\0"));
    assert_eq!(bytes("0x0.ffffffffffffffffp-16382"), Some(*b"\0\x01\x80\0\0\0\0\0\0\0"));
    let largest = Extended::from_bytes(&largest).unwrap();
    assert_eq!(largest.add(largest), None);
    let text = largest.print();
    assert!(text.starts_with("118973149535723176502") && text.len() == 4933, "{text}");
    assert_eq!(Extended::parse(text.as_bytes()), Some(largest));
    let smallest = Extended::from_bytes(&smallest).unwrap();
    assert_eq!(largest.add(smallest), Some(largest));
    assert_eq!(smallest.add(smallest).map(Extended::to_bytes), Some(*b"\0\0\0\0\0\0\0\0\0\x02"));
}

/// Any finite number.
fn number() -> impl Strategy<Value = Extended> {
    let exponent = prop_oneof![Just(0), 16_000..17_000_u16, 1..INFINITE];
    (any::<bool>(), exponent, any::<u64>()).prop_map(|(negative, exponent, significand)| {
        let top = u64::from(exponent > 0) << 63;
        Extended { negative, exponent, significand: significand & !(1 << 63) | top }
    })
}

proptest! {
    #[test]
    fn bytes_come_back(number in number()) {
        prop_assert_eq!(Extended::from_bytes(&number.to_bytes()), Some(number));
    }

    #[test]
    fn sums_of_integers_are_exact_while_they_have_room(one in -(1_i64 << 62)..1 << 62, other in -(1_i64 << 62)..1 << 62) {
        use std::string::ToString;
        prop_assert_eq!(sum(&one.to_string(), &other.to_string()), Some((one + other).to_string()));
    }

    /// A `double` has fewer bits: what it is said to be exactly is read exactly.
    #[test]
    fn hexadecimal_and_decimal_text_of_a_number_say_the_same(bits in 0..1_u64 << 53, places in 0..60_i32) {
        let decimal = std::format!("{:.60}", bits as f64 / 2_f64.powi(places));
        let hexadecimal = std::format!("0x{bits:x}p-{places}");
        prop_assert_eq!(Extended::parse(decimal.as_bytes()), Extended::parse(hexadecimal.as_bytes()));
    }

    #[test]
    fn addition_commutes_and_takes_back_what_it_added(one in number(), other in number()) {
        prop_assert_eq!(one.add(other), other.add(one));
        let minus = Extended { negative: !one.negative, ..one };
        prop_assert_eq!(one.add(minus), Some(Extended::ZERO));
    }
}
