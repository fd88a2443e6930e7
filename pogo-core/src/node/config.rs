//! Settings of a node.

use std::{num::NonZeroU32, time::Duration};

use crate::{membership::MemberMetadata, spec::Exclusivity};

/// Settings of a node; every duration says what it bounds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// What the others need to place children here.
    pub metadata: MemberMetadata,
    /// For children that do not say themselves.
    pub exclusivity: Exclusivity,
    /// Whether strict children may rest on best-effort claims.
    pub accept_best_effort_claims: bool,
    /// Members that must be seen at once, once, before children start (R12).
    pub min_members: NonZeroU32,
    /// What happens to failing children (R11).
    pub restart: RestartPolicy,
    /// Planned moves towards this member that may be under way at once (R7).
    pub max_moves: NonZeroU32,
    /// How long a crashed member is waited for (R14).
    pub failover_delay: Duration,
    /// Time between slow full passes.
    pub sync_interval: Duration,
    /// How long a start may take (R10).
    pub start_timeout: Duration,
    /// How long a released child waits for its successor (R7).
    pub handover_timeout: Duration,
    /// Overrides the backend's bound on settling after an addition (R6).
    pub view_settle: Option<Duration>,
    /// How long a user's request is tried.
    pub request_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            metadata: MemberMetadata::default(),
            exclusivity: Exclusivity::default(),
            accept_best_effort_claims: false,
            min_members: NonZeroU32::MIN,
            restart: RestartPolicy::default(),
            max_moves: NonZeroU32::MIN.saturating_add(255),
            failover_delay: Duration::ZERO,
            sync_interval: Duration::from_secs(5),
            start_timeout: Duration::from_secs(30),
            handover_timeout: Duration::from_secs(10),
            view_settle: None,
            request_timeout: Duration::from_secs(5),
        }
    }
}

/// What happens to failing children (R11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartPolicy {
    /// Restarts allowed within the window before quarantine.
    pub intensity: u32,
    /// The window, and how long a child must run to count as healthy again.
    pub window: Duration,
    /// Delay before the first restart.
    pub first_delay: Duration,
    /// Longest delay between restarts.
    pub longest_delay: Duration,
    /// Time between tries in quarantine.
    pub quarantine_retry: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            intensity: 5,
            window: Duration::from_secs(60),
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(10),
            quarantine_retry: Duration::from_secs(120),
        }
    }
}
