//! The program `pogo` on several machines: network namespaces that can be cut off from each other, and containers.
//!
//! Apart from the other tests because of what it takes: `scripts/test.sh --help` says what that is.
#![cfg(target_os = "linux")]

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod compose;
#[cfg(test)]
mod http;
#[cfg(test)]
mod lan;
#[cfg(test)]
mod namespace;
#[cfg(test)]
mod netsplit;
#[cfg(test)]
mod spans;
#[cfg(test)]
mod wait;
