//! What went over the sockets, and what was turned away.

use std::sync::{Mutex, PoisonError};

use crate::wire::Refusal;

/// Counts since the transport began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes sent in datagrams and streams, without the headers of UDP and TCP.
    pub bytes_sent: u64,
    /// Bytes received in datagrams and streams, without the headers of UDP and TCP.
    pub bytes_received: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams that the system did not take, or that were too long.
    pub datagrams_unsent: u64,
    /// Datagrams received, refused ones included.
    pub datagrams_received: u64,
    /// Datagrams that were dropped.
    pub refused_datagrams: Refusals,
    /// Streams that were closed for what came over them, before or after they were links.
    pub refused_streams: Refusals,
    /// Connections that did not prove in time that they belong here.
    pub late_handshakes: u64,
    /// Connections that made way for newer ones before they proved that they belong here.
    pub crowded_out: u64,
    /// Links that were closed because they did not take what was sent.
    pub overflows: u64,
    /// Links that stand now.
    pub links: u64,
}

/// How often bytes were refused, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// Cut short.
    pub truncated: u64,
    /// Too long.
    pub oversized: u64,
    /// Another protocol.
    pub foreign: u64,
    /// Another version of the format.
    pub version: u64,
    /// Another key.
    pub key: u64,
    /// A broken seal: another cluster's, altered, or repeated.
    pub seal: u64,
    /// Sealed rightly, and no message that is known here.
    pub malformed: u64,
}

impl Refusals {
    pub(super) const fn count(&mut self, refusal: Refusal) {
        let count = match refusal {
            Refusal::Truncated => &mut self.truncated,
            Refusal::Oversized => &mut self.oversized,
            Refusal::Foreign => &mut self.foreign,
            Refusal::Version(_) => &mut self.version,
            Refusal::Key => &mut self.key,
            Refusal::Seal => &mut self.seal,
            Refusal::Malformed => &mut self.malformed,
        };
        *count += 1;
    }

    /// All of them.
    pub const fn total(&self) -> u64 {
        let Self { truncated, oversized, foreign, version, key, seal, malformed } = *self;
        truncated + oversized + foreign + version + key + seal + malformed
    }
}

/// The counts, shared by all tasks of a transport.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<Traffic>);

impl Counters {
    pub(super) fn note(&self, note: impl FnOnce(&mut Traffic)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn read(&self) -> Traffic {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
