//! Several machines on one: network namespaces that can be cut off from each other.
//!
//! Apart from the other tests because of what it takes: `scripts/test.sh --help` says what that is.
#![cfg(target_os = "linux")]

#[cfg(test)]
mod lan;
#[cfg(test)]
mod namespace;
#[cfg(test)]
mod wait;
