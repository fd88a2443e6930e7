//! Pogo's membership over etcd: `etcd://HOST1,HOST2:2379/CLUSTER`.
//!
//! A member is a leased key; what it reports stands under the same lease, as a log of changes; what
//! outlives members are plain keys, written by compare-and-set; a claim is a leased key that is
//! created once, and its create revision the fencing token (R18). One watch over the scope's keys
//! tells what happens. See `keys.rs` for the layout, `life.rs` for what happens when the store loses
//! data, and `link.rs` for how a connection breaks and comes back.

mod claims;
mod codec;
mod config;
mod connect;
mod error;
mod feed;
mod joining;
mod keys;
mod lease;
mod life;
mod link;
mod membership;
mod naming;
mod owned;
mod presence;
mod records;
mod session;
mod snapshot;
mod stream;
mod url;

pub use self::{
    config::{EtcdConfig, EtcdConfigError, Tls},
    life::{Epoch, EpochError},
    membership::EtcdMembership,
    url::EtcdOnly,
};

/// The backend's name for people.
const NAME: &str = "etcd";
