//! Versions as clients see them: `GETVER`, and what `IFVER` and `WITHVER` have in common.

use super::{CAT_READ, FIRST, KEY, READ};
use crate::hex::hex;
use crate::resp::command::{Call, Command, Plan, Planned};
use crate::resp::outcomes::{Outcomes, read_of, version_of};
use crate::resp::response::Response;
use abd::{Operation, Version};
use alloc::format;
use alloc::string::String;
use alloc::vec;

pub(super) const COMMANDS: &[Command] =
    &[Command::new("string", "getver", 2, getver, "Returns the value of a key and its version.")
        .since("0.1.0")
        .flags(READ, CAT_READ)
        .keys(FIRST, &["RO", "access"])
        .args(KEY)];

/// Hexadecimal digits of a version.
const DIGITS: usize = 2 * Version::LEN;

fn getver(mut call: Call<'_>) -> Planned {
    let read = Operation::Get { key: call.take(1) };
    Plan::one(read, |outcomes| with_version(outcomes, read_of)).map(Plan::tell_version)
}

/// What is answered without the version, and the version that the key has; an error alone.
pub(super) fn with_version(outcomes: Outcomes, answer: fn(Outcomes) -> Response) -> Response {
    let version = print_version(version_of(&outcomes));
    match answer(outcomes) {
        Response::Error(text) => Response::Error(text),
        answer => Response::Array(vec![answer, Response::text(version)]),
    }
}

/// 48 hexadecimal digits, whose order as text is the order of versions.
fn print_version(version: Version) -> String {
    hex(&version.to_bytes())
}

/// The version that a client names.
pub(super) fn parse_version(text: &[u8]) -> Result<Version, Response> {
    let wrong = || Response::error(format!("ERR a version has {DIGITS} hexadecimal digits"));
    let mut bytes = [0; Version::LEN];
    if text.len() != DIGITS {
        return Err(wrong());
    }
    for (byte, digits) in bytes.iter_mut().zip(text.chunks(2)) {
        for &digit in digits {
            let value = char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            *byte = *byte << 4 | value.ok_or_else(wrong)?;
        }
    }
    Version::from_bytes(&bytes).map_err(|why| Response::error(format!("ERR no key has this version: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::Timestamp;

    #[test]
    fn the_text_of_a_version_comes_back_and_has_its_order() {
        let version = |time, rmwc| Version { timestamp: Timestamp { time, node: 3, boot: 0x1_0002 }, rmwc };
        let versions =
            [Version::MIN, version(9, 0), version(9, 10), version(10, 0), version(abd::TIME_CEILING, 255)];
        let texts = versions.map(print_version);
        assert_eq!(texts[0], "0".repeat(48));
        assert_eq!(texts[2], "0000000000000009000000030001000200000000000000 0a".replace(' ', ""));
        assert!(texts.is_sorted());
        for (version, text) in versions.iter().zip(&texts) {
            assert_eq!(parse_version(text.as_bytes()), Ok(*version));
            assert_eq!(parse_version(text.to_ascii_uppercase().as_bytes()), Ok(*version));
        }
    }

    #[test]
    fn other_text_is_no_version() {
        let zeros = "0".repeat(47);
        for text in [
            "",
            "0",
            &zeros,
            &format!("{zeros}00"),
            &format!("{zeros}g"),
            &format!("+{zeros}"),
            &format!("{zeros} "),
        ] {
            assert_eq!(
                parse_version(text.as_bytes()),
                Err(Response::error("ERR a version has 48 hexadecimal digits"))
            );
        }
        let Err(Response::Error(why)) = parse_version("f".repeat(48).as_bytes()) else {
            panic!("above the ceiling")
        };
        assert!(why.starts_with("ERR no key has this version: "), "{why}");
    }
}
