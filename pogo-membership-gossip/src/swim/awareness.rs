//! How far a peer trusts its own eyes (Lifeguard's local health multiplier).
//!
//! A peer whose probes fail while its helpers are silent too, whose own loop is late, or whom others
//! suspect, is probably slow itself. It then probes less often and waits longer before it holds
//! others to be dead.

use std::time::Duration;

/// A score from 0, healthy, to [`Awareness::WORST`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Awareness(u32);

impl Awareness {
    const WORST: u32 = 8;

    pub(super) fn worsen(&mut self, by: usize) {
        let by = u32::try_from(by).unwrap_or(Self::WORST);
        self.0 = self.0.saturating_add(by).min(Self::WORST);
    }

    pub(super) const fn improve(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    pub(super) const fn is_best(self) -> bool {
        self.0 == 0
    }

    /// A patience, stretched by the score.
    pub(super) fn stretch(self, patience: Duration) -> Duration {
        patience.saturating_mul(self.0 + 1)
    }
}
