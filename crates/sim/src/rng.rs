//! Chance from a seed: one small generator, exact ratios, no floating point. The same seed gives the same numbers on
//! every machine and in every release of the compiler.

/// `num` times out of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// How often.
    pub num: u32,
    /// Out of how many.
    pub of: u32,
}

impl Ratio {
    /// Never.
    pub const ZERO: Self = Self { num: 0, of: 1 };

    /// So many out of a thousand.
    pub const fn per_mille(num: u32) -> Self {
        Self { num, of: 1000 }
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.num, self.of)
    }
}

/// Spreads the bits of a number over all of its places (the finalizer of Steele, Lea and Flood, *Fast Splittable
/// Pseudorandom Number Generators*, 2014).
pub fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A generator (xoshiro256++ of Blackman and Vigna, 2019).
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A stream of its own for every pair of numbers.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut word = mix(seed) ^ mix(stream.wrapping_mul(0x5851_f42d_4c95_7f2d));
        let state = [0; 4].map(|_: u64| {
            word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(word)
        });
        Self { state }
    }

    /// 64 random bits.
    pub fn word(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.word()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or_default()
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A number from `low` (at least 1) to `high` whose magnitude is uniform: short times as often as long ones.
    pub fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let (short, long) = (u64::from(low.max(1).ilog2()), u64::from(high.max(1).ilog2()));
        let power = 1u64 << self.between(short, long);
        (power + self.below(power)).clamp(low, high)
    }

    /// An index below `count`, which is not zero.
    pub fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap_or_default()
    }

    /// A member below `count`.
    pub fn node(&mut self, count: u32) -> u32 {
        u32::try_from(self.below(u64::from(count))).unwrap_or_default()
    }

    /// Whether something of this probability happens now.
    pub fn chance(&mut self, ratio: Ratio) -> bool {
        ratio.num > 0 && self.below(u64::from(ratio.of)) < u64::from(ratio.num)
    }

    /// One in `count`.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// Brings a list into random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            [0; 4].map(|_: u64| rng.word())
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn numbers_stay_in_their_bounds_and_reach_them() {
        let mut rng = Rng::new(1, 0);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            let number = rng.between(3, 7);
            seen[usize::try_from(number - 3).unwrap()] = true;
            assert!((5..=90).contains(&rng.magnitude(5, 90)));
        }
        assert_eq!(seen, [true; 5]);
        let hits = (0..10_000).filter(|_| rng.chance(Ratio::per_mille(250))).count();
        assert!((2_200..2_800).contains(&hits), "{hits}");
    }
}
