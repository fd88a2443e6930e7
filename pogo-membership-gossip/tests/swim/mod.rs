//! Failure detectors among themselves: a network in virtual time, under a seed.
//!
//! `POGO_SWIM_PEERS=300` (or 1000) runs the tests of large clusters at that size; a minute or two,
//! better with `--release`.

mod anything;
mod detection;
mod faults;
mod identity;
mod idle;
mod joining;
mod network;
mod partitions;

use std::time::Duration;

use self::network::Network;

/// A size for tests of large clusters.
fn large() -> usize {
    std::env::var("POGO_SWIM_PEERS").map_or(100, |size| size.parse().unwrap())
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
