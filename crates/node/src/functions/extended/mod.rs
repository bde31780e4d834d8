//! Numbers as `INCRBYFLOAT` knows them: the 80-bit `long double` of x86-64, exactly.
//!
//! Redis reads a number with `strtold`, adds, and prints with `"%.17Lf"`. Its replies depend on what each of these three rounds
//! away, so no other type gives the same ones: with 64 bits `0.1` and `0.2` are `0.30000000000000004`, here they are `0.3`. It is all
//! done in integers here, and so the same on every machine.

mod natural;
mod parse;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;
use natural::Natural;

/// Bits of a significand, which has no hidden one.
const PRECISION: u32 = 64;
/// The largest exponent field, that of infinity.
const INFINITE: u16 = 0x7fff;
/// The power of two that the lowest bit of a significand counts is `max(exponent, 1) - BIAS`.
const BIAS: i32 = 16_383 + 63;
/// Digits after the point that are printed.
const DECIMALS: u32 = 17;

/// A number, not NaN. A significand below 2^63 has the exponent 0; an infinite number has the significand 2^63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    exponent: u16,
    significand: u64,
}

impl Extended {
    /// Encoded size in bytes.
    pub(crate) const LEN: usize = 10;

    /// The number of an absent key.
    pub(crate) const ZERO: Self = Self::zero(false);

    /// The largest number that is not infinite.
    pub(crate) const MAX: Self = Self { negative: false, exponent: INFINITE - 1, significand: u64::MAX };

    const fn zero(negative: bool) -> Self {
        Self { negative, exponent: 0, significand: 0 }
    }

    const fn infinite(negative: bool) -> Self {
        Self { negative, exponent: INFINITE, significand: 1 << 63 }
    }

    /// The number that all of the bytes are to `strtold`. `None` for what Redis calls no valid float: also NaN, and what is too
    /// large, or too small and not zero. `inf` is a number.
    pub fn parse(text: &[u8]) -> Option<Self> {
        parse::parse(text)
    }

    /// A number of the same order: both zeros have the same.
    pub(crate) fn rank(self) -> i128 {
        let amount = i128::from(self.exponent) << 64 | i128::from(self.significand);
        if self.negative { -amount } else { amount }
    }

    /// The same amount on the other side of zero.
    pub(crate) fn negated(self) -> Self {
        Self { negative: !self.negative, ..self }
    }

    pub(crate) fn is_finite(self) -> bool {
        self.exponent != INFINITE
    }

    fn is_zero(self) -> bool {
        self.significand == 0
    }

    /// The power of two of the significand's lowest bit.
    fn scale(self) -> i32 {
        i32::from(self.exponent.max(1)) - BIAS
    }

    /// `significand * 2^scale`, rounded to the nearest number, to the even one of two. The lowest bit of more than 65 may stand for
    /// all that lie below it.
    fn rounded(negative: bool, significand: u128, scale: i32) -> Self {
        if significand == 0 {
            return Self::zero(negative);
        }
        let bits = 128 - significand.leading_zeros();
        // What goes: to have 64 bits, and as much as numbers next to zero lack.
        let normal = bits.cast_signed() - PRECISION.cast_signed();
        let shift = normal.max(1 - BIAS - scale);
        let (mut kept, mut scale) = (shifted(significand, shift), scale.saturating_add(shift));
        if kept >> PRECISION != 0 {
            (kept, scale) = (kept >> 1, scale.saturating_add(1));
        }
        let Ok(significand) = u64::try_from(kept) else { unreachable!("at most 2^64 before it was halved") };
        let exponent = if significand >> 63 == 0 { 0 } else { scale.saturating_add(BIAS) };
        match u16::try_from(exponent) {
            Ok(exponent) if exponent < INFINITE => Self { negative, exponent, significand },
            _ => Self::infinite(negative),
        }
    }

    /// The sum, as the processor rounds it. `None` for what is no finite number.
    pub(crate) fn add(self, other: Self) -> Option<Self> {
        if !self.is_finite() || !other.is_finite() {
            return None;
        }
        if self.is_zero() && other.is_zero() {
            return Some(Self::zero(self.negative && other.negative));
        }
        let (high, low) = if self.scale() >= other.scale() { (self, other) } else { (other, self) };
        // 63 bits below the higher one's lowest: what the lower one loses there decides no rounding but by not being nothing.
        let below = PRECISION - 1;
        let apart = (high.scale() - low.scale()).unsigned_abs();
        let (mine, theirs) =
            (u128::from(high.significand) << below, squeezed(u128::from(low.significand) << below, apart));
        let scale = high.scale() - below.cast_signed();
        let sum = if high.negative == low.negative {
            Self::rounded(high.negative, mine + theirs, scale)
        } else {
            match mine.cmp(&theirs) {
                Ordering::Equal => Self::zero(false),
                Ordering::Greater => Self::rounded(high.negative, mine - theirs, scale),
                Ordering::Less => Self::rounded(low.negative, theirs - mine, scale),
            }
        };
        sum.is_finite().then_some(sum)
    }

    /// As Redis prints it: with 17 digits after the point, without zeros at the end. `-0` is `0`.
    ///
    /// # Panics
    /// When it is infinite.
    pub(crate) fn print(self) -> String {
        assert!(self.is_finite(), "an infinite number is never stored");
        let mut digits = self.digits();
        let decimals = DECIMALS as usize;
        let trailing = digits.iter().rev().take(decimals).take_while(|&&digit| digit == 0).count();
        digits.truncate(digits.len() - trailing);
        let whole = digits.len() + trailing - decimals;
        let mut text = String::with_capacity(digits.len() + 2);
        if self.negative && digits.iter().any(|&digit| digit != 0) {
            text.push('-');
        }
        for (place, digit) in digits.iter().enumerate() {
            if place == whole {
                text.push('.');
            }
            text.push(char::from(b'0' + digit));
        }
        text
    }

    /// The decimal digits of its amount, the last 17 of them behind the point and at least one before it.
    fn digits(self) -> Vec<u8> {
        let power = 10_u128.pow(DECIMALS);
        let mut digits = if self.scale() >= 0 {
            let mut whole = Natural::from(self.significand);
            whole.shift_left(self.scale().unsigned_abs() as usize);
            let mut digits = whole.into_digits();
            digits.extend(vec![0; DECIMALS as usize]);
            digits
        } else {
            // Below 2^64 * 10^17 < 2^121.
            let scaled = shifted(u128::from(self.significand) * power, -self.scale());
            let mut digits = Vec::new();
            let mut rest = scaled;
            while rest > 0 {
                digits.extend(u8::try_from(rest % 10));
                rest /= 10;
            }
            digits.reverse();
            digits
        };
        let missing = (DECIMALS as usize + 1).saturating_sub(digits.len());
        digits.splice(0..0, vec![0; missing]);
        digits
    }

    /// Sign and exponent, then the significand, big-endian.
    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..2].copy_from_slice(&(u16::from(self.negative) << 15 | self.exponent).to_be_bytes());
        bytes[2..].copy_from_slice(&self.significand.to_be_bytes());
        bytes
    }

    /// The inverse of [`to_bytes`](Self::to_bytes); `None` for what that never writes.
    pub(crate) fn from_bytes(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let [high, low, significand @ ..] = *bytes;
        let head = u16::from_be_bytes([high, low]);
        let number = Self {
            negative: head >> 15 == 1,
            exponent: head & INFINITE,
            significand: u64::from_be_bytes(significand),
        };
        let is_normal = number.significand >> 63 == 1;
        let is_known = match number.exponent {
            0 => !is_normal,
            INFINITE => number.significand == 1 << 63,
            _ => is_normal,
        };
        is_known.then_some(number)
    }
}

/// `number / 2^shift`, rounded to the nearest integer, to the even one of two; a negative shift multiplies.
fn shifted(number: u128, shift: i32) -> u128 {
    let places = shift.unsigned_abs();
    if shift <= 0 {
        return number << places;
    }
    if places > 128 {
        return 0;
    }
    let whole = number.checked_shr(places).unwrap_or(0);
    let (half, rest) = (1 << (places - 1), number - whole.checked_shl(places).unwrap_or(0));
    whole + u128::from(rest > half || rest == half && whole % 2 == 1)
}

/// `number / 2^places`, of which the lowest bit is set if anything was lost.
fn squeezed(number: u128, places: u32) -> u128 {
    let whole = number.checked_shr(places).unwrap_or(0);
    whole | u128::from(whole.checked_shl(places).unwrap_or(0) != number)
}

#[cfg(test)]
mod tests;
