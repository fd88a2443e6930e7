//! Pogo over real stores: servers in containers, and what happens to them.
//!
//! Apart from the other tests because of what it takes: `scripts/test.sh --help` says what that is.
#![cfg(target_os = "linux")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it looks for; whatever else there is fails it or is passed over"
)]

#[cfg(test)]
mod access;
#[cfg(test)]
mod bed;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod catching_up;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod deadline;
#[cfg(test)]
mod divisions;
#[cfg(test)]
mod epoch;
#[cfg(test)]
mod etcd;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod members;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod ownership;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod society;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod wait;
