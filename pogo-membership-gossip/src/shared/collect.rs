//! When tombstones go (R19), and how replicas know a deletion of which no trace is left.
//!
//! Each record has an arrival number at each replica. When two replicas are found equal, each
//! notes its own last number and the other's: whatever arrived here up to `mine` the peer had,
//! too, and whatever arrived there up to `theirs` was here. A listing carries the sender's
//! `theirs`. So whoever reads that a record is absent there, one that arrived here no later, knows
//! that it was deleted since: what is absent and newer was never there. As the number travels with
//! the listing, it cannot matter how late that comes.
//!
//! These numbers rise only when roots were equal, never by what was merely sent: what was sent may
//! have been lost on the way.

use pogo_core::time::WallTime;

use super::{ScopedKey, SharedStore};
use crate::peer::PeerId;

/// Tombstones younger than this stay (milliseconds).
const KEEP: u64 = 24 * 60 * 60 * 1000;

/// Tombstones older than this go whoever has not seen them (milliseconds).
const KEEP_AT_MOST: u64 = 7 * KEEP;

/// How far two replicas were in step when last found equal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Common {
    /// My records up to this arrival number were at the peer.
    pub(super) mine: u64,
    /// The peer's records up to this arrival number of its own were here.
    pub(super) theirs: u64,
}

impl SharedStore {
    /// Drops the tombstones that R19 lets go; answers their keys.
    ///
    /// `known` are the other peers, those that failed and are not forgotten included.
    pub fn collect(&mut self, wall: WallTime, known: &[PeerId]) -> Vec<ScopedKey> {
        let seen_by_all =
            known.iter().map(|peer| self.common_with(*peer).mine).min().unwrap_or(u64::MAX);
        let unit =
            if pogo_core::mutant::planted("tombstone dropped at GC") { 1_000_000 } else { 1 };
        let age = |hlc: u64| wall.as_millis().saturating_sub(hlc).saturating_mul(unit);
        let gone: Vec<ScopedKey> = self
            .tombstones
            .iter()
            .take_while(|(hlc, _)| age(*hlc) > KEEP)
            .filter(|(hlc, key)| {
                age(*hlc) > KEEP_AT_MOST
                    || self.entry(key).is_some_and(|it| it.arrival <= seen_by_all)
            })
            .map(|(_, key)| key.clone())
            .collect();
        for key in &gone {
            self.erase(key);
        }
        gone
    }

    /// Forgets what was in step with a peer that will not return.
    pub fn forget(&mut self, peer: PeerId) {
        self.common.remove(&peer);
    }

    pub(super) fn common_with(&self, peer: PeerId) -> Common {
        self.common.get(&peer).copied().unwrap_or_default()
    }

    /// Notes that replicas were equal when these numbers were the last.
    pub(super) fn found_equal(&mut self, peer: PeerId, mine: u64, theirs: u64) {
        let common = self.common.entry(peer).or_default();
        common.mine = common.mine.max(mine);
        common.theirs = common.theirs.max(theirs);
    }
}
