//! How a simulated cluster is set up; printed in full with every plan.

use std::{fmt, num::NonZeroU32, time::Duration};

use super::{PlanError, millis, parse_millis, parse_word};

macro_rules! options {
    ($($(#[$doc:meta])* $field:ident: $type:ident = $default:expr, $key:literal;)*) => {
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
    /// Mean time from a membership request to its answer; half of it passes before it is applied.
    latency: Duration = Duration::from_millis(2), "latency";
    /// Requests in 1,000 that are applied but answered as ambiguous.
    lost_replies: u32 = 0, "lost-replies";
    /// How long the backend's feed takes from a change to its readers.
    delay: Duration = Duration::from_millis(2), "delay";
    /// How long the backend takes to notice a silent crash or a division.
    detection: Duration = Duration::from_secs(5), "detection";
    /// How long additions to the view settle at most (R6).
    view_settle: Duration = Duration::from_millis(500), "view-settle";
    /// Largest distance of a member's wall clock from the true time, either way.
    clock_skew: Duration = Duration::from_millis(500), "clock-skew";
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
