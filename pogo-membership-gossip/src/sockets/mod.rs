//! Sockets around the engine: UDP for probes, TCP for links, on one port.
//!
//! ```text
//!   sessions --commands--> driver: engine <--inputs-- network <--- readers (one task a link)
//!            <--events----                --outputs->         ---> writers (one task a link)
//! ```
//!
//! All of it runs on one thread with a runtime of its own, whatever number of supervisors share
//! it. Everything that decides is in the engine; everything here is bounded: what waits to be
//! written to a link, what was read and not yet taken in, who has not proved yet to belong here.

mod accept;
mod bind;
mod contacts;
mod driver;
mod link;
mod network;
#[cfg(test)]
mod tests;
mod traffic;

pub(crate) use self::contacts::ContactBoard;
pub(crate) use self::driver::{Command, Joining, Settings, Transport, start};
pub use self::traffic::{Refusals, Traffic};
