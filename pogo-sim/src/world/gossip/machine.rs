//! A machine and the process that runs there, if any.

use std::{
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use pogo_core::{
    id::MemberName,
    time::{Now, Timestamp},
};
use pogo_membership_gossip::engine::{Config, Engine, Input, Output};

use super::Place;
use crate::world::host::HostClock;

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
}

impl<E> Machine<E> {
    pub(super) fn new(name: &MemberName, place: Place) -> Self {
        let host = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1);
        let ip = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits().saturating_add(host));
        Self {
            name: name.clone(),
            addr: SocketAddr::new(IpAddr::V4(ip), 7946),
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
