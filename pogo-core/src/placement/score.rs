//! Keys and the score of one child on one member.
//!
//! A child and a member are each hashed once, with different seeds because the score treats both keys alike.
//! The score mixes the two in 32-bit integer steps only, so that a loop over many keys can be vectorised.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Seed of the keys of children: `child-v1` in ASCII.
const CHILD_SEED: u64 = 0x6368_696c_642d_7631;
/// Seed of the keys of members: `node--v1` in ASCII.
const MEMBER_SEED: u64 = 0x6e6f_6465_2d2d_7631;

/// What placement knows of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildKey(u64);

impl ChildKey {
    /// Hashes the child's id, or what stands in its place (`colocate`, R21).
    pub fn new(input: &str) -> Self {
        Self(xxh3_64_with_seed(input.as_bytes(), CHILD_SEED))
    }

    /// Takes a key that [`ChildKey::raw`] gave.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The hash.
    pub const fn raw(self) -> u64 {
        self.0
    }
}

/// The hash of a member's stable name: the incarnation has no part in it, so a restarted member gets
/// its children back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey(u64);

impl MemberKey {
    /// Hashes the member's name.
    pub fn new(name: &str) -> Self {
        Self(xxh3_64_with_seed(name.as_bytes(), MEMBER_SEED))
    }
}

/// The score of `child` on `member`: the higher, the rather the child belongs there. Any `u32` can come out,
/// 0 too.
#[expect(clippy::cast_possible_truncation, reason = "the two halves of the 64 bits are meant")]
pub const fn score(child: ChildKey, member: MemberKey) -> u32 {
    let difference = child.0 ^ member.0;
    let (low, high) = (difference as u32, (difference >> 32) as u32);
    let mut mixed = low.wrapping_mul(0x85EB_CA6B);
    mixed ^= mixed >> 15;
    mixed = mixed.wrapping_add(high).wrapping_mul(0xC2B2_AE35);
    mixed ^= mixed >> 13;
    mixed = mixed.wrapping_mul(0x2C1B_3C6D);
    mixed ^ (mixed >> 16)
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    const MEMBERS: [(&str, u64); 4] = [
        ("node-a", 0x5b20_1420_15de_ebc7),
        ("node-b", 0x28fd_3b4a_ec2e_c164),
        ("node-c", 0x35e1_1f19_2c86_ccb1),
        ("node-d", 0xf589_f1c4_2e04_243d),
    ];
    const CHILDREN: [(&str, u64, [u32; 4]); 3] = [
        ("a", 0x7aaf_699c_1214_d4b6, [0x697e_4aa2, 0x3a03_9f19, 0xcfbd_9827, 0x5d89_a8a5]),
        ("worker:0", 0x0151_9af1_609e_8884, [0x467b_ad34, 0x0355_b04a, 0x8266_579c, 0xe908_946c]),
        ("κόσμος", 0xd208_d232_20df_4718, [0xe49a_2f25, 0xb70b_b525, 0x2f0d_f261, 0xd10c_3b0d]),
    ];

    #[test]
    fn hash_is_xxh3_64() {
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
    }

    #[test]
    fn seeds_spell_their_purpose() {
        assert_eq!(CHILD_SEED, u64::from_be_bytes(*b"child-v1"));
        assert_eq!(MEMBER_SEED, u64::from_be_bytes(*b"node--v1"));
    }

    #[test]
    fn keys_match_the_vectors() {
        for (id, key, _) in CHILDREN {
            assert_eq!(ChildKey::new(id).raw(), key, "{id}");
        }
        for (name, key) in MEMBERS {
            assert_eq!(MemberKey::new(name), MemberKey(key), "{name}");
        }
    }

    #[test]
    fn scores_match_the_vectors() {
        let (child, member) =
            (ChildKey::from_raw(0x0123_4567_89ab_cdef), MemberKey(0xfedc_ba98_7654_3210));
        assert_eq!(score(child, member), 0x3301_0f26);
        for (id, _, scores) in CHILDREN {
            let found = MEMBERS.map(|(name, _)| score(ChildKey::new(id), MemberKey::new(name)));
            assert_eq!(found, scores, "{id}");
        }
    }

    #[test]
    fn equal_keys_score_zero() {
        assert_eq!(score(ChildKey::from_raw(7), MemberKey(7)), 0);
    }
}
