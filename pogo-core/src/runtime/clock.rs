//! The only place of the core that reads clocks; backends with clocks of their own use it too.
//!
//! Deadlines must run through suspend (R16): on Linux the monotonic side is `CLOCK_BOOTTIME`,
//! elsewhere the standard library's clock.

use std::time::Duration;

use crate::time::{Clock, Now, Timestamp, WallTime};

/// The machine's clocks: time since [`start_now`](Self::start_now), and wall time.
#[derive(Debug)]
pub struct SystemClock {
    start: Reading,
}

impl SystemClock {
    /// A clock whose monotonic side is zero now.
    pub fn start_now() -> Self {
        Self { start: read() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { mono: Timestamp::from_start(since(self.start)), wall: wall() }
    }
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the driver is where time comes from"
)]
fn wall() -> WallTime {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    WallTime::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod reading {
    use super::Duration;

    pub(super) type Reading = Duration;

    pub(super) fn read() -> Reading {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    pub(super) fn since(start: Reading) -> Duration {
        read().saturating_sub(start)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the driver is where time comes from"
)]
mod reading {
    use super::Duration;

    pub(super) type Reading = std::time::Instant;

    pub(super) fn read() -> Reading {
        std::time::Instant::now()
    }

    pub(super) fn since(start: Reading) -> Duration {
        start.elapsed()
    }
}

use reading::{Reading, read, since};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_since_start_grows_and_begins_near_zero() {
        let clock = SystemClock::start_now();
        let first = clock.now();
        assert!(first.mono.since(Timestamp::ZERO) < Duration::from_secs(60));
        assert!(clock.now().mono >= first.mono);
        assert!(first.wall > WallTime::from_millis(1_700_000_000_000));
    }
}
