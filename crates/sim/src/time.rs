//! Virtual time in nanoseconds, and how it is written.

/// One microsecond.
pub const US: u64 = 1_000;
/// One millisecond.
pub const MS: u64 = 1_000_000;
/// One second.
pub const S: u64 = 1_000_000_000;

/// True time when a run begins, in nanoseconds since the Unix epoch. Any number would do.
pub const EPOCH: u64 = 1_800_000_000 * S;

/// A duration in the largest unit that leaves no more than three decimals.
pub fn text(nanos: u64) -> String {
    let (unit, name) = match nanos {
        0 => return "0".to_owned(),
        n if n >= S => (S, "s"),
        n if n >= MS => (MS, "ms"),
        n if n >= US => (US, "us"),
        _ => (1, "ns"),
    };
    let (whole, rest) = (nanos / unit, nanos % unit);
    if rest == 0 {
        return format!("{whole}{name}");
    }
    let decimals = format!(
        "{rest:0width$}",
        width = if unit == S {
            9
        } else if unit == MS {
            6
        } else {
            3
        }
    );
    let shown = decimals.trim_end_matches('0');
    format!("{whole}.{shown}{name}")
}

/// The inverse of [`text`].
pub fn parse(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ns" => 1,
        "us" => US,
        "ms" => MS,
        "s" => S,
        "" if number == "0" => 1,
        _ => return None,
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let mut nanos = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in decimals.bytes() {
        place /= 10;
        nanos = nanos.checked_add(u64::from(digit - b'0').checked_mul(place)?)?;
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for nanos in [0, 1, 999, US, 1_500, 12_345_678, MS, 3 * S, 30 * S + 1, 61 * S + 500 * MS] {
            assert_eq!(parse(&text(nanos)), Some(nanos), "{}", text(nanos));
        }
        assert_eq!(parse("2.5ms"), Some(2_500_000));
        assert_eq!(parse("5"), None);
        assert_eq!(parse("x"), None);
    }
}
