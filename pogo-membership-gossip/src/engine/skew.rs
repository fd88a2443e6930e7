//! Wall clocks of other peers, as far as this one knows: a clock that is ahead must not stamp
//! records (R2).

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    membership::MembershipError,
    time::{Now, Timestamp, WallTime},
};

use crate::peer::PeerId;

/// How far a clock may be ahead of the others'.
const LIMIT: Duration = Duration::from_secs(60);

/// For each peer, what its wall clock showed when this one's monotonic clock was at zero, in
/// milliseconds.
#[derive(Debug)]
pub(super) struct Skew {
    zeros: BTreeMap<PeerId, i128>,
    /// The same of this peer's own clock when it began.
    mine: i128,
}

impl Skew {
    pub(super) fn new(now: Now) -> Self {
        Self { zeros: BTreeMap::new(), mine: zero(now.mono, now.wall) }
    }

    /// Takes what a peer says of its clock.
    pub(super) fn learn(&mut self, now: Timestamp, peer: PeerId, wall: WallTime) {
        self.zeros.insert(peer, zero(now, wall));
    }

    pub(super) fn forget(&mut self, peer: PeerId) {
        self.zeros.remove(&peer);
    }

    /// Refuses where this peer's clock is too far ahead of that of the median peer.
    pub(super) fn check(&self, now: Now) -> Result<(), MembershipError> {
        let mut zeros: Vec<i128> = self.zeros.values().copied().collect();
        zeros.sort_unstable();
        let Some(median) = zeros.get(zeros.len() / 2) else { return Ok(()) };
        let ahead = u64::try_from(zero(now.mono, now.wall) - median).unwrap_or(0);
        if Duration::from_millis(ahead) > LIMIT {
            return Err(MembershipError::ClockAhead { ahead_ms: ahead });
        }
        Ok(())
    }

    /// Refuses where this peer's clock has jumped ahead since it began, and is ahead of the others'
    /// now. Where it has not, it is the other who is behind.
    pub(super) fn check_jump(&self, now: Now) -> Result<(), MembershipError> {
        let jump = u64::try_from(zero(now.mono, now.wall) - self.mine).unwrap_or(0);
        if Duration::from_millis(jump) > LIMIT { self.check(now) } else { Ok(()) }
    }
}

fn zero(mono: Timestamp, wall: WallTime) -> i128 {
    i128::from(wall.as_millis()) - i128::from(mono.as_nanos() / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(mono_ms: u64, wall_ms: u64) -> Now {
        let mono = Timestamp::from_nanos(mono_ms * 1_000_000);
        Now { mono, wall: WallTime::from_millis(wall_ms) }
    }

    fn peer(number: u128) -> PeerId {
        PeerId::from_random(number)
    }

    #[test]
    fn clock_ahead_of_most_others_is_refused_and_one_behind_is_not() {
        let mut skew = Skew::new(now(0, 1));
        assert!(skew.check(now(0, 999_999_999)).is_ok(), "nobody to be ahead of");
        let at = now(5_000, 1_000_000);
        for (number, wall) in [(1, 1_000_000), (2, 1_000_500), (3, 900_000_000)] {
            skew.learn(at.mono, peer(number), WallTime::from_millis(wall));
        }
        assert!(skew.check(at).is_ok());
        assert!(skew.check(now(5_000, 1_000)).is_ok(), "an hour behind");
        assert!(skew.check(now(65_000, 1_060_000)).is_ok(), "a minute later");
        let Err(MembershipError::ClockAhead { ahead_ms }) = skew.check(now(6_000, 1_100_000))
        else {
            panic!("99 s ahead");
        };
        assert_eq!(ahead_ms, 98_500);
    }
}
