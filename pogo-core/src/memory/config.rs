//! What a hub promises and how fast it is.

use std::{ops::RangeInclusive, time::Duration};

use crate::membership::{Capabilities, Durability, Guarantee};

/// Settings of a [`super::Hub`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// Whether claims are offered.
    pub claims: bool,
    /// Whether `Expect::Absent` and `Expect::Exactly` are kept; without, they act as `Newer`.
    pub compare_and_set: bool,
    /// The longest time from a silent death or a cut to `MemberDown` at the others.
    pub detection: Duration,
    /// How long a claim outlives the contact with its holder.
    pub lease_ttl: Duration,
    /// How long an addition to the view settles at most (R6).
    pub view_settle: Duration,
    /// Bounds of the time from a change to its event, drawn for each event and reader.
    pub delay: RangeInclusive<Duration>,
    /// The largest value of a record, in bytes.
    pub max_value_bytes: usize,
    /// Where the delays are drawn from.
    pub seed: u64,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            claims: true,
            compare_and_set: true,
            detection: Duration::from_secs(1),
            lease_ttl: Duration::from_secs(10),
            // As for a store: agreement ends the wait long before, unless a member is starved.
            view_settle: Duration::from_secs(1),
            delay: Duration::ZERO..=Duration::ZERO,
            max_value_bytes: 1024 * 1024 + 64 * 1024,
            seed: 0,
        }
    }
}

impl HubConfig {
    /// What it promises, as the seam says it.
    pub const fn capabilities(&self) -> Capabilities {
        Capabilities {
            durability: Durability::Server,
            compare_and_set: guarantee(self.compare_and_set),
            claims: guarantee(self.claims),
            max_value_bytes: self.max_value_bytes,
            detection: self.detection,
            view_settle: self.view_settle,
            // The hub renews nothing else than the right to claims.
            lease_ttl: if self.claims { Some(self.lease_ttl) } else { None },
            contacts: false,
        }
    }
}

const fn guarantee(offered: bool) -> Guarantee {
    if offered { Guarantee::Linearizable } else { Guarantee::None }
}
