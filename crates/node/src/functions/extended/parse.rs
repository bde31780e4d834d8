//! What `strtold` makes of text, in the locale `C`, and what Redis takes of that.

use super::natural::Natural;
use super::{Extended, INFINITE};
use alloc::vec::Vec;

/// Redis copies the text into a buffer of 5 KiB, with a zero behind it.
const LONGEST: usize = 5 * 1024 - 1;
/// Beyond this an exponent decides alone, whatever the digits are.
const FARTHEST: i64 = 1_000_000;
/// All numbers, and half of the smallest one, lie between these powers of ten.
const LARGEST_POWER: i64 = 4_933;
const SMALLEST_POWER: i64 = -4_951;

pub(super) fn parse(text: &[u8]) -> Option<Extended> {
    if text.len() > LONGEST {
        return None;
    }
    let (negative, amount) = match text {
        [b'-', amount @ ..] => (true, amount),
        [b'+', amount @ ..] => (false, amount),
        amount => (false, amount),
    };
    if amount.eq_ignore_ascii_case(b"inf") || amount.eq_ignore_ascii_case(b"infinity") {
        return Some(Extended::infinite(negative));
    }
    let number = match amount {
        [b'0', b'x' | b'X', digits @ ..] => hexadecimal(negative, digits),
        digits => decimal(negative, digits),
    }?;
    number.is_finite().then_some(number)
}

/// Digits, whose value tells what they are; how many of them stand behind the point; the exponent.
struct Parts {
    digits: Vec<u8>,
    behind: i64,
    exponent: i64,
}

/// All of the text: digits with at most one point, and an exponent behind one of the `marks`.
fn parts(text: &[u8], radix: u32, marks: [u8; 2]) -> Option<Parts> {
    let end = text.iter().position(|byte| marks.contains(byte)).unwrap_or(text.len());
    let (number, exponent) = text.split_at(end);
    let mut parts = Parts { digits: Vec::with_capacity(number.len()), behind: 0, exponent: 0 };
    let mut has_point = false;
    for &byte in number {
        match char::from(byte).to_digit(radix) {
            Some(digit) => {
                parts.digits.extend(u8::try_from(digit));
                parts.behind += i64::from(has_point);
            }
            None if byte == b'.' && !has_point => has_point = true,
            None => return None,
        }
    }
    if parts.digits.is_empty() {
        return None;
    }
    if let [_mark, exponent @ ..] = exponent {
        parts.exponent = signed(exponent)?;
    }
    // Zeros in front would be counted as digits.
    let zeros = parts.digits.iter().take_while(|&&digit| digit == 0).count();
    parts.digits.drain(..zeros);
    Some(parts)
}

/// Decimal digits with a sign or without; kept within what matters.
fn signed(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(FARTHEST));
    Some(if negative { -amount } else { amount })
}

fn decimal(negative: bool, text: &[u8]) -> Option<Extended> {
    let Parts { digits, behind, exponent } = parts(text, 10, [b'e', b'E'])?;
    if digits.is_empty() {
        return Some(Extended::zero(negative));
    }
    let power = exponent - behind;
    let above = i64::try_from(digits.len()).ok()? + power;
    if above > LARGEST_POWER || above <= SMALLEST_POWER {
        return None;
    }
    let mut number = Natural::of_digits(&digits);
    // 10^power is 5^power * 2^power.
    let scale = i32::try_from(power).ok()?;
    let fives = scale.unsigned_abs() as usize;
    let (significand, more) = if scale >= 0 {
        number.multiply_by_power_of_five(fives);
        let (top, scale) = number.top();
        (top, i32::try_from(scale).ok()?)
    } else {
        let mut divisor = Natural::from(1);
        divisor.multiply_by_power_of_five(fives);
        number.divide(divisor)
    };
    not_vanished(Extended::rounded(negative, significand, scale + more))
}

fn hexadecimal(negative: bool, text: &[u8]) -> Option<Extended> {
    let Parts { digits, behind, exponent } = parts(text, 16, [b'p', b'P'])?;
    if digits.is_empty() {
        return Some(Extended::zero(negative));
    }
    let mut number = Natural::from(0);
    digits.iter().for_each(|&digit| number.multiply_add(16, digit.into()));
    let (top, scale) = number.top();
    let scale = i64::try_from(scale).ok()? + exponent - 4 * behind;
    not_vanished(Extended::rounded(negative, top, i32::try_from(scale).ok()?))
}

/// What was not zero and has become it is out of range.
fn not_vanished(number: Extended) -> Option<Extended> {
    (!number.is_zero() && number.exponent != INFINITE).then_some(number)
}
