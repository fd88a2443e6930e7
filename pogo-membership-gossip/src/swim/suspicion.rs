//! How long a suspicion lasts before it is a death (Lifeguard, section IV-B).
//!
//! The more independent witnesses there are the shorter. A witness is a helper that was asked to
//! probe the suspect too, and answered that it heard nothing: it is in good health itself. Whoever
//! only heard of the suspicion waits longest, so that those who have evidence speak first.

use std::time::Duration;

use pogo_core::time::Timestamp;

use crate::timing::Timing;

/// One suspicion that this peer holds.
#[derive(Debug, Clone)]
pub(super) struct Suspicion {
    /// When it began, later where this loop stood still.
    pub(super) since: Timestamp,
    /// The counter at which the suspect is suspected. At another one this is no suspicion.
    pub(super) refutation: u64,
    /// What speaks for it.
    pub(super) evidence: Evidence,
    /// Whether there is nothing to do any more before it is a death.
    pub(super) checked: bool,
}

impl Suspicion {
    pub(super) fn new(now: Timestamp, refutation: u64, evidence: Evidence) -> Self {
        Self { since: now, refutation, evidence, checked: evidence != Evidence::Hearsay }
    }

    /// How long until its next step. Whoever only heard of it asks the suspect before the end, since
    /// the contradiction may have been lost.
    pub(super) fn patience(&self, timing: &Timing) -> Duration {
        if pogo_core::mutant::planted("suspicion is death") {
            return Duration::ZERO;
        }
        let whole = self.evidence.patience(timing);
        if self.checked { whole } else { whole.saturating_sub(timing.probe_timeout * 3 / 2) }
    }
}

/// What speaks for a suspicion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Others said so.
    Hearsay,
    /// A probe of ours failed.
    Probe {
        /// How many helpers were asked to probe too.
        asked: usize,
        /// How many of them answered that they heard nothing.
        witnesses: usize,
    },
}

impl Evidence {
    /// The stronger of two.
    pub(super) fn or(self, other: Self) -> Self {
        let missing = |evidence| match evidence {
            Self::Hearsay => usize::MAX,
            Self::Probe { asked, witnesses } => asked.saturating_sub(witnesses),
        };
        if missing(other) < missing(self) { other } else { self }
    }

    /// How long a suspicion on this evidence lasts.
    fn patience(self, timing: &Timing) -> Duration {
        let (shortest, longest) = (timing.suspicion, timing.longest_suspicion());
        let Self::Probe { asked, witnesses } = self else { return longest };
        if witnesses >= asked {
            return shortest;
        }
        let log = |count: usize| f64::from(u32::try_from(count + 1).unwrap_or(u32::MAX)).ln();
        let saved = longest.saturating_sub(shortest).mul_f64(log(witnesses) / log(asked));
        longest.saturating_sub(saved)
    }
}
