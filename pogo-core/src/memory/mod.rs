//! The in-process backend: every capability, and every fault that a test may want.
//!
//! [`Hub`] is the whole cluster's store and network as plain data: time is an argument and
//! randomness a seed, so the simulator runs it under virtual time and a failure repeats exactly.
//! With the feature `runtime`, `MemoryBackend` puts the async seam before it, for supervisors of
//! one process.
//!
//! What it keeps: a write is acknowledged only once it stands (R3), each member's reports and views
//! arrive whole and in order (R6), tokens grow for ever (R18), names follow R13, and an outage of
//! the store kills nobody (R22).

#[cfg(feature = "runtime")]
mod backend;
mod claims;
mod config;
mod faults;
mod feed;
mod hub;
mod island;
mod joining;
mod liveness;
mod requests;
mod session;
#[cfg(feature = "runtime")]
mod switches;
#[cfg(test)]
mod tests;

#[cfg(feature = "runtime")]
pub use self::{backend::MemoryBackend, switches::Faults};
pub use self::{
    config::HubConfig,
    faults::Backup,
    hub::Hub,
    session::{Crash, SessionId},
};

/// The backend's name for people.
const NAME: &str = "memory";
