//! Numbers as C prints and reads them.

/// Without the fraction, as a cast in C on the machines that Redis runs on: what does not fit is the smallest number.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit is dealt with")]
pub(crate) fn to_i64(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// The low 32 bits of the same, as where C has an `int`.
#[expect(clippy::cast_possible_truncation, reason = "as in C")]
pub(crate) fn to_i32(number: f64) -> i32 {
    to_i64(number) as i32
}

/// As `%.{precision}g` prints it. The precision is 1 or more.
pub(crate) fn print(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        let sign = if number.is_sign_negative() { "-" } else { "" };
        return format!("{sign}{}", if number.is_nan() { "nan" } else { "inf" });
    }
    let scientific = format!("{number:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits_max = i32::try_from(precision).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= digits_max {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.unsigned_abs());
    }
    let decimals = usize::try_from(digits_max - 1 - exponent).unwrap_or(0);
    without_zeros(&format!("{number:.decimals$}")).to_owned()
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// Reads a number at the beginning of a text as `strtod` does, and tells its length; nothing if there is none.
pub(crate) fn read(text: &[u8]) -> Option<(f64, usize)> {
    let signed = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let negative = text.first() == Some(&b'-');
    let body = &text[signed..];
    let (value, length) =
        read_word(body).or_else(|| read_hexadecimal(body)).or_else(|| read_decimal(body))?;
    Some((if negative { -value } else { value }, signed + length))
}

fn read_word(text: &[u8]) -> Option<(f64, usize)> {
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    [(&b"infinity"[..], f64::INFINITY), (b"inf", f64::INFINITY), (b"nan", f64::NAN)]
        .into_iter()
        .find(|(word, _)| begins(word))
        .map(|(word, value)| (value, word.len()))
}

fn read_hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    let begins = text.len() > 2 && text[0] == b'0' && text[1].eq_ignore_ascii_case(&b'x');
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if !begins || digits(2) == 0 {
        return None;
    }
    let (mut value, mut at) = (0.0, 2);
    for digit in &text[2..2 + digits(2)] {
        value = value * 16.0 + f64::from(char::from(*digit).to_digit(16).unwrap_or(0));
        at += 1;
    }
    if text.get(at) == Some(&b'.') {
        let mut unit = 1.0;
        for digit in &text[at + 1..at + 1 + digits(at + 1)] {
            unit /= 16.0;
            value += unit * f64::from(char::from(*digit).to_digit(16).unwrap_or(0));
        }
        at += 1 + digits(at + 1);
    }
    if let Some(exponent) = read_exponent(&text[at..], b'p') {
        value *= f64::from(exponent.0).exp2();
        at += exponent.1;
    }
    Some((value, at))
}

fn read_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let digits = |from: usize| {
        text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let whole = digits(0);
    let mut at = whole;
    if text.get(at) == Some(&b'.') && whole + digits(at + 1) > 0 {
        at += 1 + digits(at + 1);
    }
    if at == 0 {
        return None;
    }
    at += read_exponent(&text[at..], b'e').map_or(0, |exponent| exponent.1);
    let number = core::str::from_utf8(&text[..at]).ok()?.parse().ok()?;
    Some((number, at))
}

/// An exponent and its length, with the letter in front; nothing if it has no digits.
fn read_exponent(text: &[u8], letter: u8) -> Option<(i32, usize)> {
    if !text.first()?.eq_ignore_ascii_case(&letter) {
        return None;
    }
    let signed = usize::from(matches!(text.get(1), Some(b'+' | b'-')));
    let digits = text[1 + signed..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let mut exponent = 0_i32;
    for digit in &text[1 + signed..1 + signed + digits] {
        exponent = exponent.saturating_mul(10).saturating_add(i32::from(digit - b'0'));
    }
    Some((if text[1] == b'-' { -exponent } else { exponent }, 1 + signed + digits))
}

#[cfg(test)]
mod tests {
    use super::{print, read, to_i64};

    #[test]
    fn prints_as_c_does() {
        for (number, precision, text) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (1.0, 14, "1"),
            (3.1, 17, "3.1000000000000001"),
            (100_000.0, 14, "100000"),
            (1e14, 14, "1e+14"),
            (1e20, 17, "1e+20"),
            (0.0001, 14, "0.0001"),
            (0.00001, 14, "1e-05"),
            (123_456_789.125, 14, "123456789.125"),
            (2.5, 1, "2"),
            (f64::INFINITY, 17, "inf"),
            (f64::NEG_INFINITY, 17, "-inf"),
        ] {
            assert_eq!(print(number, precision), text, "{number}");
        }
    }

    #[test]
    fn reads_as_c_does() {
        for (text, number, length) in [
            (&b"12]"[..], 12.0, 2),
            (b"-1.5e3,", -1500.0, 6),
            (b"1.e", 1.0, 2),
            (b"1e+", 1.0, 1),
            (b".5", 0.5, 2),
            (b"0x1fz", 31.0, 4),
            (b"0x.8", 0.0, 1),
            (b"0x1.8p1", 3.0, 7),
            (b"-Infinity", f64::NEG_INFINITY, 9),
        ] {
            assert_eq!(read(text), Some((number, length)), "{}", text.escape_ascii());
        }
        assert_eq!(read(b"-"), None);
        assert_eq!(read(b"."), None);
    }

    #[test]
    fn casts_as_c_does() {
        assert_eq!(to_i64(-3.9), -3);
        assert_eq!(to_i64(9.9e30), i64::MIN);
        assert_eq!(to_i64(f64::NAN), i64::MIN);
        assert_eq!(to_i64(9_007_199_254_740_993.0), 9_007_199_254_740_992);
    }
}
