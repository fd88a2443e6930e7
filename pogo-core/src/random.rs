//! Randomness from the seed given at construction (`SplitMix64`, Steele, Lea and Flood 2014), for
//! delays, orders of visits and choices among equals. Nothing secret comes from it.

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The stream that belongs to this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, zero where that is zero.
    pub const fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            return 0;
        }
        // The remainder is smaller than `bound`, so it fits.
        #[expect(clippy::cast_possible_truncation, reason = "less than a usize")]
        let below = (self.next_u64() % bound as u64) as usize;
        below
    }
}
