//! Native gossip: the backend that needs no other software.
//!
//! Each process has one [`engine::Engine`] per cluster, whatever number of supervisors it has. The
//! engine finds the other processes (SWIM with Lifeguard), keeps the shared records of all of them
//! in step, and passes on the owned records of each. It is sans-IO: messages and time go in,
//! messages and deadlines come out, so the simulator runs it as it is. Sockets and encryption
//! stand around it, behind the feature `sockets`.
//!
//! A *peer* is one engine as the others see it; a *member* is one supervisor, which lives at a
//! peer. A peer that dies takes its members with it.

#[cfg(feature = "sockets")]
mod address;
#[cfg(feature = "sockets")]
mod config;
pub mod engine;
#[cfg(feature = "sockets")]
pub mod key;
#[cfg(feature = "sockets")]
pub mod laws;
#[cfg(feature = "sockets")]
mod membership;
pub mod message;
pub mod owned;
pub mod peer;
#[cfg(feature = "sockets")]
mod registry;
pub mod shared;
#[cfg(feature = "sockets")]
mod sockets;
pub mod swim;
pub mod timing;
#[cfg(feature = "sockets")]
mod url;
#[cfg(feature = "sockets")]
pub mod wire;

#[cfg(feature = "sockets")]
pub use self::{
    address::NoHostPort,
    config::{ConfigError, GossipConfig},
    membership::{Endpoint, GossipMembership, endpoints},
    sockets::{Refusals, Traffic},
    url::GossipOnly,
};
