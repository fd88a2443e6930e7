//! Weights without floats: the logarithm that makes shares follow weights.
//!
//! A member of weight `w` gets its share of the children when the lowest `-log(u) / w` wins, `u` being the score
//! as a fraction of its range. Floats would not give every machine the same last bit, so the logarithm is a table
//! of 4,096 steps with a straight line between two of them, in fixed point: Q48, 48 bits after the point.

use std::{array, sync::LazyLock};

/// Steps of the table between 1 and 2.
const STEPS: usize = 4096;
/// Bits after the point of a cost.
const FRACTION_BITS: u32 = 48;

/// `log2(1 + i / 4096)` in Q48, rounded down.
static LOG2: LazyLock<[u64; STEPS + 1]> = LazyLock::new(|| {
    array::from_fn(|step| if step == STEPS { 1 << FRACTION_BITS } else { log2(step as u64) })
});

/// What a score costs, before it is divided by the weight: `-log2((score + 1) / 2^32)` in Q48.
///
/// It strictly falls as the score rises, so members of equal weight stand in the order of their scores.
/// The highest cost is `32 << 48`.
pub fn cost(score: u32) -> u64 {
    let fraction = u64::from(score) + 1;
    let halvings = fraction.leading_zeros() - 31;
    let offset = (fraction << halvings) & u64::from(u32::MAX);
    (u64::from(halvings) << FRACTION_BITS) - log2_between(offset)
}

/// `log2(1 + offset / 2^32)` in Q48 for an offset below `2^32`: the table at its upper 12 bits, a line over the rest.
#[expect(clippy::indexing_slicing, reason = "a step is below 4,096, the table has one more")]
fn log2_between(offset: u64) -> u64 {
    let step = (offset >> 20) as usize & (STEPS - 1);
    let (below, above) = (LOG2[step], LOG2[step + 1]);
    below + (((above - below) * (offset & 0xF_FFFF)) >> 20)
}

/// `log2(1 + step / 4096)` in Q48 for a step below 4,096: each squaring of the number in Q62 gives one bit.
#[expect(clippy::cast_possible_truncation, reason = "the square of a number below 2 is below 4")]
fn log2(step: u64) -> u64 {
    let mut number = (4096 + step) << 50;
    let mut bits = 0;
    for _ in 0..FRACTION_BITS {
        number = ((u128::from(number) * u128::from(number)) >> 62) as u64;
        let bit = number >> 63;
        number >>= bit;
        bits = bits << 1 | bit;
    }
    bits
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    #[test]
    fn table_matches_its_hash() {
        let bytes: Vec<u8> = LOG2.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        assert_eq!(bytes.len(), 4097 * 8);
        assert_eq!(xxh3_64(&bytes), 0xa32f_75d6_972e_b72e);
    }

    #[test]
    fn costs_match_the_vectors() {
        assert_eq!(cost(0x0000_0001), 0x001f_0000_0000_0000);
        assert_eq!(cost(0x8000_0000), 0x0000_ffff_fffd_1d6f);
        assert_eq!(cost(0xc000_0000), 0x0000_6a3f_e5c4_17c4);
        assert_eq!(cost(0xffff_fffe), 0x1715b);
        assert_eq!(cost(0xffff_ffff), 0);
    }

    #[test]
    fn halving_the_fraction_costs_exactly_one() {
        for halvings in 0..=32_u32 {
            let score = u32::try_from((1_u64 << (32 - halvings)) - 1).unwrap();
            assert_eq!(cost(score), u64::from(halvings) << 48);
        }
    }

    #[test]
    fn cost_falls_at_every_step_of_the_table() {
        for step in 0..4096_u32 {
            let score = 0x8000_0000 + (step << 19);
            assert!(cost(score - 1) > cost(score), "before {score:08x}");
            assert!(cost(score) > cost(score + 1), "after {score:08x}");
        }
    }
}
