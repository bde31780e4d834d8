//! Natural numbers of any size, with what the exact reading and printing of floating-point numbers needs of them.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

const LIMB_BITS: usize = 32;
/// The largest power of ten in a limb, and its zeros.
const CHUNK: u32 = 1_000_000_000;
const CHUNK_DIGITS: usize = 9;

/// Limbs, the lowest first; the highest is not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural(Vec<u32>);

impl From<u64> for Natural {
    fn from(number: u64) -> Self {
        let mut natural = Self(vec![low(number), low(number >> LIMB_BITS)]);
        natural.trim();
        natural
    }
}

/// The lowest limb of a number.
#[allow(clippy::cast_possible_truncation, reason = "this is what it is for")]
fn low(number: u64) -> u32 {
    number as u32
}

impl Natural {
    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// Of decimal digits, each from 0 to 9.
    pub(super) fn of_digits(digits: &[u8]) -> Self {
        let mut natural = Self(Vec::new());
        for chunk in digits.chunks(CHUNK_DIGITS) {
            let (mut power, mut sum) = (1, 0);
            for &digit in chunk {
                (power, sum) = (power * 10, sum * 10 + u32::from(digit));
            }
            natural.multiply_add(power, sum);
        }
        natural
    }

    /// `self * factor + summand`.
    pub(super) fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for limb in &mut self.0 {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            (*limb, carry) = (low(product), product >> LIMB_BITS);
        }
        if carry > 0 {
            self.0.push(low(carry));
        }
    }

    /// `self * 5^exponent`.
    pub(super) fn multiply_by_power_of_five(&mut self, exponent: usize) {
        const LARGEST: usize = 13;
        for _ in 0..exponent / LARGEST {
            self.multiply_add(5_u32.pow(13), 0);
        }
        for _ in 0..exponent % LARGEST {
            self.multiply_add(5, 0);
        }
    }

    pub(super) fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| self.0.len() * LIMB_BITS - top.leading_zeros() as usize)
    }

    fn bit(&self, place: usize) -> bool {
        self.0.get(place / LIMB_BITS).is_some_and(|limb| limb >> (place % LIMB_BITS) & 1 == 1)
    }

    pub(super) fn shift_left(&mut self, places: usize) {
        let (limbs, bits) = (places / LIMB_BITS, places % LIMB_BITS);
        self.multiply_add(1 << bits, 0);
        self.0.splice(0..0, vec![0; limbs]);
        self.trim();
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for limb in self.0.iter_mut().rev() {
            (*limb, carry) = (*limb >> 1 | carry, *limb << (LIMB_BITS - 1));
        }
        self.trim();
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// `self - other`, which is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        let others = other.0.iter().copied().chain(core::iter::repeat(0));
        for (limb, other) in self.0.iter_mut().zip(others) {
            let (less, first) = limb.overflowing_sub(other);
            let (less, second) = less.overflowing_sub(u32::from(borrow));
            (*limb, borrow) = (less, first || second);
        }
        assert!(!borrow, "what is taken away is not larger");
        self.trim();
    }

    /// The highest 127 bits, or fewer, and the power of two of the lowest one, which is set if any below it is.
    pub(super) fn top(&self) -> (u128, usize) {
        let scale = self.bits().saturating_sub(127);
        let mut top = 0;
        for place in (scale..self.bits()).rev() {
            top = top << 1 | u128::from(self.bit(place));
        }
        let has_more = (0..scale).any(|place| self.bit(place));
        (top | u128::from(has_more), scale)
    }

    /// The quotient to 66 or 67 bits and the power of two of its lowest one, which is set if it is not exact. The divisor is
    /// not zero.
    pub(super) fn divide(mut self, mut divisor: Self) -> (u128, i32) {
        const WANTED: usize = 66;
        let (bits, others) = (self.bits(), divisor.bits());
        // As many bits in the quotient as are wanted, or one more.
        let scale = if bits < others + WANTED {
            let places = others + WANTED - bits;
            self.shift_left(places);
            -i32::try_from(places).unwrap_or(i32::MAX)
        } else {
            let places = bits - others - WANTED;
            divisor.shift_left(places);
            i32::try_from(places).unwrap_or(i32::MAX)
        };
        divisor.shift_left(WANTED);
        let mut quotient = 0;
        for _ in 0..=WANTED {
            let fits = self.compare(&divisor).is_ge();
            if fits {
                self.subtract(&divisor);
            }
            quotient = quotient << 1 | u128::from(fits);
            divisor.halve();
        }
        (quotient | u128::from(!self.is_zero()), scale)
    }

    /// Its decimal digits, none for zero.
    pub(super) fn into_digits(mut self) -> Vec<u8> {
        let mut digits = Vec::new();
        while !self.is_zero() {
            let mut rest = 0;
            for limb in self.0.iter_mut().rev() {
                let part = rest << LIMB_BITS | u64::from(*limb);
                (*limb, rest) = (low(part / u64::from(CHUNK)), part % u64::from(CHUNK));
            }
            self.trim();
            for _ in 0..CHUNK_DIGITS {
                digits.extend(u8::try_from(rest % 10));
                rest /= 10;
            }
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        digits.reverse();
        digits
    }
}
