//! Columns of numbers as short text: each number as the difference to the one before, in the base-64 digits that source maps
//! have, five bits a digit. Neighbours in a history are close, so most take one to four characters.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A column under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    text: String,
    last: i64,
}

impl Column {
    pub(super) fn push(&mut self, number: i64) {
        let difference = number.wrapping_sub(self.last);
        self.last = number;
        // The sign goes to the lowest bit.
        let mut rest = (difference << 1 ^ difference >> 63).cast_unsigned();
        loop {
            let (digit, more) = (rest & 31, rest >> 5);
            let digit = digit | if more > 0 { 32 } else { 0 };
            self.text.push(char::from(DIGITS[usize::try_from(digit).unwrap_or_default()]));
            if more == 0 {
                return;
            }
            rest = more;
        }
    }

    /// As a JSON string.
    pub(super) fn json(&self) -> String {
        format!("\"{}\"", self.text)
    }
}

/// A whole column as a JSON string.
pub(super) fn packed(numbers: impl IntoIterator<Item = i64>) -> String {
    let mut column = Column::default();
    numbers.into_iter().for_each(|number| column.push(number));
    column.json()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `unpack` in data.js does it.
    fn unpacked(text: &str) -> Vec<i64> {
        let (mut numbers, mut last, mut value, mut shift) = (Vec::new(), 0_i64, 0_u64, 0);
        for byte in text.trim_matches('"').bytes() {
            let digit = DIGITS.iter().position(|digit| *digit == byte).unwrap() as u64;
            value |= (digit & 31) << shift;
            shift += 5;
            if digit < 32 {
                last += (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
                numbers.push(last);
                (value, shift) = (0, 0);
            }
        }
        numbers
    }

    #[test]
    fn numbers_come_back_and_neighbours_are_short() {
        for numbers in [
            vec![],
            vec![0],
            vec![-2, -1, 0, 1, 15, 16, -16, -17, 1 << 52, -(1 << 52)],
            (0..1000).map(|i| 10_000 + 3 * i).collect(),
        ] {
            assert_eq!(unpacked(&packed(numbers.iter().copied())), numbers);
        }
        assert!(packed((0..1000).map(|i| 7 * i)).len() < 1010);
    }
}
