//! Integers as Redis reads them: only as it would print them.

/// The integer that all of the text is: no space, no `+`, no zero in front, no `-0`.
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    match text {
        b"0" => Some(0),
        [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] => core::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_redis_prints_is_an_integer() {
        let numbers = [
            ("0", 0),
            ("1", 1),
            ("-1", -1),
            ("10", 10),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ];
        for (text, number) in numbers {
            assert_eq!(parse_integer(text.as_bytes()), Some(number), "{text}");
        }
        let others = [
            "",
            "-",
            "+",
            "+1",
            " 1",
            "1 ",
            "01",
            "00",
            "-0",
            "-01",
            "1.0",
            "1e3",
            "0x1",
            "--1",
            "1\0",
            "1-",
            "\u{661}",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999999",
        ];
        for text in others {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text}");
        }
    }
}
