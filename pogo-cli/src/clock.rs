//! The one clock that every process of a machine reads alike.

use std::time::Duration;

/// The machine's monotonic clock. Times that different processes read can be compared.
#[cfg(unix)]
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Both fields are never negative on this clock.
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// The time of day, where there is no clock that can be compared: a clock that is set meanwhile
/// spoils a figure and nothing else.
#[cfg(not(unix))]
pub fn monotonic() -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default()
}

/// How long the present thread was on a processor so far.
#[cfg(unix)]
pub fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// The time that passes, where nothing tells the other: a thread that waits for a processor counts
/// that, too.
#[cfg(not(unix))]
pub fn thread_cpu() -> Duration {
    monotonic()
}
