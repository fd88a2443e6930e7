//! A machine and the process that runs there, if any.

use std::{
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use pogo_core::{
    id::MemberName,
    time::{Now, Timestamp},
};
use pogo_membership_gossip::engine::{Config, Engine, Input, Output};

use super::Place;
use crate::world::host::HostClock;

/// Datagrams that a system keeps for a process that does not read.
const SOCKET: usize = 256;

/// An engine, as far as the network knows it.
pub(in crate::world) trait Endpoint: Debug {
    fn new(config: Config, seed: u64, now: Now) -> Self;
    fn handle(&mut self, now: Now, input: Input);
    fn poll_output(&mut self) -> Option<Output>;
    fn poll_timeout(&self) -> Option<Timestamp>;
}

impl Endpoint for Engine {
    fn new(config: Config, seed: u64, now: Now) -> Self {
        Self::new(config, seed, now)
    }
    fn handle(&mut self, now: Now, input: Input) {
        self.handle(now, input);
    }
    fn poll_output(&mut self) -> Option<Output> {
        self.poll_output()
    }
    fn poll_timeout(&self) -> Option<Timestamp> {
        self.poll_timeout()
    }
}

/// Where a member's processes run.
#[derive(Debug)]
pub(super) struct Machine<E> {
    pub(super) name: MemberName,
    pub(super) addr: SocketAddr,
    /// Whether others are told of it.
    pub(super) is_seed: bool,
    /// Which side of a division it is on.
    pub(super) island: Option<usize>,
    /// It is off, so nothing there answers.
    pub(super) is_gone: bool,
    /// How often it was off: what it still had to send is lost with that.
    pub(super) kernel: u64,
    pub(super) running: Option<Running<E>>,
}

/// A process.
#[derive(Debug)]
pub(super) struct Running<E> {
    pub(super) start: u64,
    pub(super) engine: E,
    pub(super) clock: HostClock,
    pub(super) seeds: Vec<Place>,
    pub(super) wakes_at: Option<Timestamp>,
    pub(super) lag: Lag,
}

/// What keeps an engine from being given things at once.
#[derive(Debug, Default)]
pub(super) struct Lag {
    is_paused: bool,
    /// What has come meanwhile.
    held: Vec<Input>,
    datagrams: usize,
    /// How much later its process handles everything.
    by: Duration,
    busy_until: Timestamp,
    /// Whether its deadline is among what it has yet to handle.
    is_waking: bool,
}

impl Lag {
    /// What is to be handled and when; nothing where that is held back or known already.
    pub(super) fn admit(&mut self, now: Timestamp, input: Input) -> Option<(Timestamp, Input)> {
        if self.is_paused {
            self.hold(input);
            return None;
        }
        if self.by.is_zero() && self.busy_until <= now {
            return Some((now, input));
        }
        if matches!(input, Input::Timeout) && std::mem::replace(&mut self.is_waking, true) {
            return None;
        }
        self.busy_until = self.busy_until.max(now + self.by);
        Some((self.busy_until, input))
    }

    /// What was late is handled now, unless the process stands still.
    pub(super) fn get_round_to(&mut self, input: Input) -> Option<Input> {
        if matches!(input, Input::Timeout) {
            self.is_waking = false;
        }
        if self.is_paused {
            self.hold(input);
            return None;
        }
        Some(input)
    }

    pub(super) const fn pause(&mut self) {
        self.is_paused = true;
    }

    pub(super) fn resume(&mut self) -> Vec<Input> {
        self.is_paused = false;
        self.datagrams = 0;
        std::mem::take(&mut self.held)
    }

    pub(super) const fn slow(&mut self, by: Duration) {
        self.by = by;
    }

    /// The system keeps what comes for a process that stands still: all of its streams, and as many
    /// datagrams as there is room for. A deadline is looked up again.
    fn hold(&mut self, input: Input) {
        match &input {
            Input::Timeout => return,
            Input::Datagram { .. } if self.datagrams >= SOCKET => return,
            Input::Datagram { .. } => self.datagrams += 1,
            _ => {}
        }
        self.held.push(input);
    }
}

impl<E> Machine<E> {
    pub(super) fn new(name: &MemberName, place: Place, is_seed: bool) -> Self {
        let host = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1);
        let ip = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits().saturating_add(host));
        Self {
            name: name.clone(),
            addr: SocketAddr::new(IpAddr::V4(ip), 7946),
            is_seed,
            island: None,
            is_gone: false,
            kernel: 0,
            running: None,
        }
    }
}

impl<E: Endpoint> Running<E> {
    /// When the engine's deadline comes in the simulation's time.
    pub(super) fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let local = self.engine.poll_timeout()?;
        (local != Timestamp::MAX).then(|| self.clock.world_time(local, now))
    }
}
