//! What probes and gossip say.

use serde::{Deserialize, Serialize};

use crate::peer::{PeerId, Update};

/// A message of the failure detector: a datagram, or a frame of a link where datagrams fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// The sender.
    pub from: PeerId,
    /// What it wants.
    pub body: Body,
    /// News of peers, as many as fit.
    pub updates: Vec<Update>,
}

/// What a packet wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Answer me. Whoever is not `to` stays silent: an address may have a new peer.
    Ping {
        /// Whom it is meant for.
        to: PeerId,
        /// Comes back in the answer.
        probe: u64,
    },
    /// The answer to `Ping` and, through others, to `PingReq`.
    Ack {
        /// Whose answer it is.
        of: PeerId,
        /// The number of the probe that asked.
        probe: u64,
    },
    /// Ping `target` for me and pass its answer on.
    PingReq {
        /// Whom.
        target: PeerId,
        /// Comes back in the answer.
        probe: u64,
    },
    /// The target of `PingReq` did not answer in time, but I am here (Lifeguard). As an answer to
    /// `Ping`: I am here, but who are you?
    Nack {
        /// The number of the probe that asked.
        probe: u64,
    },
    /// News only.
    Gossip,
}
