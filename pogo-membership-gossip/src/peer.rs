//! Peers: one engine each, as the others see it.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

/// One start of an engine: random 128 bits, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerId(u128);

impl PeerId {
    /// Makes it from random bits given by the caller.
    pub const fn from_random(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer:{:08x}", self.0 >> 96)
    }
}

/// What is held of a peer's life. The order is that of strength at one refutation counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Life {
    /// It answers.
    Alive,
    /// It did not answer; it is dead soon unless it refutes that.
    Suspect,
    /// It is held to be dead.
    Dead,
    /// It said that it leaves. Final: a peer that has left never returns under its id.
    Left,
}

/// News of one peer, as it spreads (SWIM, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Of whom.
    pub peer: PeerId,
    /// Where it listens, datagrams and streams alike.
    pub addr: SocketAddr,
    /// Its refutation counter: it alone raises that, to contradict its death or suspicion.
    pub refutation: u64,
    /// The number of its own last change to its owned records when it last raised the counter or
    /// joined: who has less of them does not know yet what it is.
    pub owned: u64,
    /// What is held of it.
    pub life: Life,
}
