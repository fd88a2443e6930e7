//! A tree of hashes over all records: 65,536 leaves, 16 children to a node, four levels.
//!
//! A node's hash is the wrapping sum of what lies below it, so a write changes one path by one
//! difference, whatever else is there. Nodes come to be when first written below.

use pogo_core::record::{Stage, Stamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::ScopedKey;

/// Levels of nodes: the root is at depth 0, and those at `LEVELS - 1` hold leaves.
pub(super) const LEVELS: u8 = 4;

/// The hashes of the 16 parts below a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[[u8; 8]; 16]", into = "[[u8; 8]; 16]")]
pub struct Hashes(pub [u64; 16]);

/// Hashes are random: a fixed width is shorter than a variable one.
impl From<[[u8; 8]; 16]> for Hashes {
    fn from(wire: [[u8; 8]; 16]) -> Self {
        Self(wire.map(u64::from_le_bytes))
    }
}

impl From<Hashes> for [[u8; 8]; 16] {
    fn from(hashes: Hashes) -> Self {
        hashes.0.map(u64::to_le_bytes)
    }
}

impl Hashes {
    /// The places at which the two differ.
    pub(super) fn differing(self, other: Self) -> impl Iterator<Item = u16> {
        (0..16).zip(self.0).zip(other.0).filter(|((_, a), b)| a != b).map(|((place, _), _)| place)
    }
}

/// Where a record is in the tree, and what it adds to the hashes above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u64);

impl Place {
    pub(super) fn of(key: &ScopedKey) -> Self {
        let scope = xxh3_64(key.scope.as_str().as_bytes());
        Self(xxh3_64_with_seed(key.key.as_str().as_bytes(), scope))
    }

    pub(super) const fn leaf(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The hash of the key with `stamp`.
    pub(super) fn hash(self, stamp: &Stamp) -> u64 {
        let (stage, spent_by) = match stamp.stage {
            Stage::Live => (0, 0),
            Stage::Spent(boot) => (1, boot.bits()),
            Stage::Done => (2, 0),
        };
        let hlc = stamp.version.hlc.to_le_bytes();
        let author = stamp.version.author.bits().to_le_bytes();
        let value = stamp.version.hash.to_le_bytes();
        let all = hlc.into_iter().chain(author).chain(value).chain([stage]);
        let mut bytes = [0_u8; 49];
        for (to, from) in bytes.iter_mut().zip(all.chain(u128::to_le_bytes(spent_by))) {
            *to = from;
        }
        xxh3_64_with_seed(&bytes, self.0)
    }
}

/// A node and all below it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    sums: [u64; 16],
    below: [Option<Box<Self>>; 16],
}

impl Tree {
    /// The hash of everything.
    pub(super) fn root(&self) -> u64 {
        self.sums.iter().fold(0, |sum, part| sum.wrapping_add(*part))
    }

    /// Changes the hash of `leaf`, and of all above it, by `difference`.
    pub(super) fn add(&mut self, leaf: u16, difference: u64) {
        let mut node = self;
        for level in (0..LEVELS).rev() {
            let place = digit(leaf, level);
            if let Some(sum) = node.sums.get_mut(place) {
                *sum = sum.wrapping_add(difference);
            }
            if level == 0 {
                return;
            }
            let Some(below) = node.below.get_mut(place) else { return };
            node = below.get_or_insert_default();
        }
    }

    /// The hashes below the node that is `index` among those at `depth`.
    pub(super) fn below(&self, depth: u8, index: u16) -> Hashes {
        let mut node = self;
        for level in (0..depth).rev() {
            let below = node.below.get(digit(index, level)).and_then(Option::as_deref);
            let Some(below) = below else { return Hashes::default() };
            node = below;
        }
        Hashes(node.sums)
    }
}

/// The `level`-th hexadecimal digit of `number`, from the right.
fn digit(number: u16, level: u8) -> usize {
    usize::from(number >> (4 * level)) & 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_sums_up_to_the_root() {
        let mut tree = Tree::default();
        for leaf in [0, 1, 15, 16, 0x1234, 0x1235, 0xffff] {
            tree.add(leaf, u64::from(leaf).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        }
        for depth in 0..LEVELS {
            let sum = (0..1_u32 << (4 * depth))
                .flat_map(|index| tree.below(depth, u16::try_from(index).unwrap()).0)
                .fold(0_u64, u64::wrapping_add);
            assert_eq!(sum, tree.root(), "depth {depth}");
        }
        assert_ne!(tree.below(3, 0x123).0[4], 0);
        assert_eq!(tree.below(3, 0x124), Hashes::default());
    }

    #[test]
    fn taking_away_what_was_added_leaves_nothing() {
        let mut tree = Tree::default();
        tree.add(7, 99);
        tree.add(7, 99_u64.wrapping_neg());
        assert_eq!(tree.root(), 0);
        assert_eq!(tree.below(0, 0), Hashes::default());
    }
}
