//! How a simulated cluster is set up; printed in full with every plan.

use std::{collections::BTreeSet, fmt, num::NonZeroU32, str::FromStr, time::Duration};

use pogo_core::{id::MemberName, spec::Exclusivity};
use pogo_membership_gossip::timing::Timing;

use super::{PlanError, millis, parse_millis, parse_word};
use crate::store::Strength;

macro_rules! options {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $default:expr, $key:literal;)*) => {
        /// How a simulated cluster is set up.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Options {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Default for Options {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Options {
            /// Reads one `key=value`.
            pub(super) fn set(&mut self, text: &str) -> Result<(), PlanError> {
                let (key, value) = text.split_once('=').ok_or_else(|| PlanError::word(text))?;
                match key {
                    $($key => self.$field = Setting::read(value)?,)*
                    _ => return Err(PlanError::word(text)),
                }
                Ok(())
            }
        }

        impl fmt::Display for Options {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "set {}={}", $key, self.$field.text())?;)*
                Ok(())
            }
        }
    };
}

options! {
    /// What the members share.
    backend: BackendKind = BackendKind::Hub, "backend";
    /// Mean time from a membership request to its answer, or on gossip from one member to another
    /// and back; half of it passes before it is applied.
    latency: Duration = Duration::from_millis(2), "latency";
    /// Requests in 1,000 that are applied but answered as ambiguous.
    lost_replies: u32 = 0, "lost-replies";
    /// Datagrams in 1,000 that are lost; what is lost of a stream comes later (gossip).
    loss: u32 = 0, "loss";
    /// Datagrams in 1,000 that come twice (gossip).
    copies: u32 = 0, "copies";
    /// Whether messages between members go through their binary form (gossip).
    encoded: bool = false, "encoded";
    /// How many of the first members each member has as its seeds; 0 is all (gossip).
    seeds: u32 = 0, "seeds";
    /// How long a join looks for others before it forms a cluster alone (gossip).
    join_within: Duration = Duration::from_secs(2), "join-within";
    /// How long the backend's feed takes from a change to its readers; on gossip, what is added
    /// to the way from one member to another.
    delay: Duration = Duration::from_millis(2), "delay";
    /// How long the backend takes to notice a silent crash or a division.
    detection: Duration = Duration::from_secs(5), "detection";
    /// What the backend promises (store).
    strength: Strength = Strength::Linearizable, "strength";
    /// How long additions to the view settle at most (R6).
    view_settle: Duration = Duration::from_millis(500), "view-settle";
    /// Largest distance of a member's wall clock from the true time, either way.
    clock_skew: Duration = Duration::from_millis(500), "clock-skew";
    /// Largest deviation of a member's monotonic clock, either way, in parts per million.
    drift: u32 = 0, "drift";
    /// Messages in 1,000 that take 200 ms to 5 s longer (gossip).
    tail: u32 = 0, "tail";
    /// Datagrams under way from one member to another before more are lost; 0 is any number
    /// (gossip).
    in_flight: u32 = 0, "in-flight";
    /// How many instances there may be of children that do not say themselves.
    mode: Exclusivity = Exclusivity::Available, "mode";
    /// How long a lease lasts from its last renewal (R16; hub and store). A store takes a second
    /// more to notice a silent crash.
    lease_ttl: Duration = Duration::from_secs(10), "lease-ttl";
    /// How long a crashed member is waited for (R14).
    failover_delay: Duration = Duration::ZERO, "failover-delay";
    /// The members that are healed at the end, the others being left as they are or worse; nobody
    /// named is everybody.
    core: BTreeSet<MemberName> = BTreeSet::new(), "core";
    /// Members to be seen before children start (R12).
    min_members: NonZeroU32 = NonZeroU32::MIN, "min-members";
    /// How long a start may take (R10).
    start_timeout: Duration = Duration::from_secs(5), "start-timeout";
    /// How long a released child waits for its successor (R7).
    handover_timeout: Duration = Duration::from_secs(10), "handover-timeout";
    /// How long a client's request is tried.
    request_timeout: Duration = Duration::from_secs(5), "request-timeout";
    /// Time between a node's slow full passes.
    sync_interval: Duration = Duration::from_secs(5), "sync-interval";
    /// Moves towards one member at once (R7).
    max_moves: NonZeroU32 = NonZeroU32::MIN.saturating_add(255), "max-moves";
    /// How long the cluster may take to come to rest after everything has healed.
    settle: Duration = Duration::from_secs(60), "settle";
    /// How long the cluster must then stay at rest.
    quiet: Duration = Duration::from_secs(10), "quiet";
}

/// What the members of a simulated cluster share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// The hub of `memory://`: one model of a store for all.
    Hub,
    /// A real engine of the gossip backend in each process, and a network between them.
    Gossip,
    /// A store such as etcd or Redis, and an adapter in each process.
    Store,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hub => "hub",
            Self::Gossip => "gossip",
            Self::Store => "store",
        })
    }
}

impl FromStr for BackendKind {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        match text {
            "hub" => Ok(Self::Hub),
            "gossip" => Ok(Self::Gossip),
            "store" => Ok(Self::Store),
            _ => Err(PlanError::word(text)),
        }
    }
}

/// The text of a mode: `available`, `quorum:SIZE` or `strict`.
pub(crate) fn mode_text(mode: Exclusivity) -> String {
    match mode {
        Exclusivity::Quorum { size } => format!("quorum:{size}"),
        other => other.to_string(),
    }
}

/// Reads the text of a mode.
///
/// # Errors
/// The text, where it is none.
pub fn parse_mode(text: &str) -> Result<Exclusivity, PlanError> {
    match text.split_once(':') {
        None if text == "available" => Ok(Exclusivity::Available),
        None if text == "strict" => Ok(Exclusivity::Strict),
        Some(("quorum", size)) => Ok(Exclusivity::Quorum { size: parse_word(size)? }),
        _ => Err(PlanError::word(text)),
    }
}

/// A lost part of a stream is sent again after this.
pub(crate) const RESEND: Duration = Duration::from_millis(200);
/// What is slow beyond all others takes so much longer at most.
pub(crate) const TAIL: Duration = Duration::from_secs(5);

impl Options {
    /// How long an event of the feed takes at most while everybody reaches everybody, where `delay`
    /// is the present one.
    pub(crate) fn feed_delay(&self, delay: Duration) -> Duration {
        match self.backend {
            BackendKind::Hub => delay * 2,
            // A draw of the way is at most ten times its mean, which is half of the latency.
            BackendKind::Gossip => {
                delay * 2 + self.latency * 5 + self.resend() + self.longest_tail()
            }
            // A snapshot is as old as it took to come.
            BackendKind::Store => delay * 2 + self.latency * 5,
        }
    }

    /// How much longer than its own time a step of several members may take.
    pub(crate) fn slack(&self) -> Duration {
        match self.backend {
            BackendKind::Hub | BackendKind::Store => 4 * (self.delay + self.latency * 10),
            // Members wait for 100 ms for each other's acknowledgement (R3).
            BackendKind::Gossip => 4 * self.feed_delay(self.delay) + Duration::from_millis(200),
        }
    }

    /// How long an accepted change takes at most to all members that can be reached.
    pub(crate) fn spread(&self) -> Duration {
        match self.backend {
            BackendKind::Hub | BackendKind::Store => self.delay * 4 + self.latency * 10,
            BackendKind::Gossip => self.slack() + self.timing().compare_interval,
        }
    }

    /// How long an accepted change may be unknown to the next member that is asked.
    pub(crate) fn lag(&self) -> Duration {
        match self.backend {
            BackendKind::Hub | BackendKind::Store => Duration::ZERO,
            BackendKind::Gossip => self.spread(),
        }
    }

    /// The preset of the gossip backend with this time of detection.
    pub(crate) fn timing(&self) -> Timing {
        [Timing::LOCAL, Timing::LAN]
            .into_iter()
            .find(|timing| self.detection <= timing.detection)
            .unwrap_or(Timing::WAN)
    }

    const fn longest_tail(&self) -> Duration {
        if self.tail == 0 { Duration::ZERO } else { TAIL }
    }

    const fn resend(&self) -> Duration {
        if self.loss == 0 { Duration::ZERO } else { RESEND }
    }
}

/// A value of an option and its text.
trait Setting: Sized {
    fn read(text: &str) -> Result<Self, PlanError>;
    fn text(&self) -> String;
}

impl Setting for Duration {
    fn read(text: &str) -> Result<Self, PlanError> {
        parse_millis(text)
    }
    fn text(&self) -> String {
        millis(*self)
    }
}

impl Setting for u32 {
    fn read(text: &str) -> Result<Self, PlanError> {
        parse_word(text)
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for NonZeroU32 {
    fn read(text: &str) -> Result<Self, PlanError> {
        parse_word(text)
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for bool {
    fn read(text: &str) -> Result<Self, PlanError> {
        parse_word(text)
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for BackendKind {
    fn read(text: &str) -> Result<Self, PlanError> {
        parse_word(text)
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for Exclusivity {
    fn read(text: &str) -> Result<Self, PlanError> {
        parse_mode(text)
    }
    fn text(&self) -> String {
        mode_text(*self)
    }
}

impl Setting for BTreeSet<MemberName> {
    fn read(text: &str) -> Result<Self, PlanError> {
        text.split(',').filter(|name| !name.is_empty()).map(parse_word).collect()
    }
    fn text(&self) -> String {
        let names: Vec<&str> = self.iter().map(MemberName::as_str).collect();
        names.join(",")
    }
}

impl Setting for Strength {
    fn read(text: &str) -> Result<Self, PlanError> {
        match text {
            "linearizable" => Ok(Self::Linearizable),
            "best-effort" => Ok(Self::BestEffort),
            _ => Err(PlanError::word(text)),
        }
    }
    fn text(&self) -> String {
        match self {
            Self::Linearizable => "linearizable",
            Self::BestEffort => "best-effort",
        }
        .to_owned()
    }
}
