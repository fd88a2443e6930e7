//! Shared records and their order (R2).
//!
//! Merging takes the higher [`Stamp`], nothing else, so members agree whatever the order, the
//! number of times, or the road by which records reach them (laws S4, S5).

use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{id::BootId, time::WallTime};

/// The key of a record within its scope.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

impl Key {
    /// Makes a key.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Which write a record is: the order of writes (R2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// Hybrid logical clock, milliseconds: max(wall time, highest seen + 1).
    pub hlc: u64,
    /// The process that wrote it.
    pub author: BootId,
    /// XXH3 of the value; a tombstone hashes as the empty value.
    pub hash: u64,
}

impl Version {
    /// The version of `value` written by `author` at `hlc`.
    pub fn of(hlc: u64, author: BootId, value: Option<&[u8]>) -> Self {
        Self { hlc, author, hash: xxh3_64(value.unwrap_or_default()) }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:08x}/{:04x}", self.hlc, self.author.bits() >> 96, self.hash >> 48)
    }
}

/// What became of one write; a later stage of the same write wins, a newer write beats all (R2).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Stage {
    /// The value stands.
    #[default]
    Live,
    /// A temporary child's one start was taken by this process (R5).
    Spent(BootId),
    /// The child completed (R4).
    Done,
}

/// The place of a record in R2's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Which write.
    pub version: Version,
    /// What became of it.
    pub stage: Stage,
}

/// A shared record: a value or a tombstone, and its place in the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its place in R2's order.
    pub stamp: Stamp,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
}

impl Record {
    /// Whether `self` wins over `other` when both are merged.
    pub fn supersedes(&self, other: &Self) -> bool {
        self.stamp > other.stamp
    }
}

/// The clock that stamps writes: never behind what was seen, so order follows causality whatever
/// the wall clock does (R2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hlc(u64);

impl Hlc {
    /// The next stamp for a write of one's own.
    pub fn tick(&mut self, wall: WallTime) -> u64 {
        self.0 = wall.as_millis().max(self.0.saturating_add(1));
        self.0
    }

    /// Takes note of a stamp seen elsewhere.
    pub fn observe(&mut self, hlc: u64) {
        self.0 = self.0.max(hlc);
    }

    /// The highest stamp given or seen.
    pub const fn last(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(hlc: u64, author: u128, stage: Stage) -> Stamp {
        Stamp { version: Version::of(hlc, BootId::from_random(author), Some(b"v")), stage }
    }

    #[test]
    fn later_stage_of_a_write_wins_but_never_over_a_newer_write() {
        let boot = BootId::from_random(7);
        assert!(stamp(1, 1, Stage::Spent(boot)) > stamp(1, 1, Stage::Live));
        assert!(stamp(1, 1, Stage::Done) > stamp(1, 1, Stage::Spent(boot)));
        assert!(stamp(2, 1, Stage::Live) > stamp(1, 1, Stage::Done));
        assert!(stamp(1, 2, Stage::Live) > stamp(1, 1, Stage::Done));
    }

    #[test]
    fn clock_never_goes_back_when_wall_time_does() {
        let mut clock = Hlc::default();
        assert_eq!(clock.tick(WallTime::from_millis(100)), 100);
        assert_eq!(clock.tick(WallTime::from_millis(50)), 101);
        clock.observe(500);
        assert_eq!(clock.tick(WallTime::from_millis(200)), 501);
    }
}
