//! What goes wrong with processes and with the ways between them.

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{id::MemberName, time::Timestamp};
use pogo_membership_gossip::engine::Input;

use super::{Endpoint, HostClock, Net, Place, Process};

impl<E: Endpoint> Net<E> {
    pub(in crate::world) fn set_cut(
        &mut self,
        now: Timestamp,
        from: &BTreeSet<MemberName>,
        to: &BTreeSet<MemberName>,
        cut: bool,
    ) {
        self.now = now;
        for (from, to) in self.lines_of(from, to) {
            self.lines.set_cut(from, to, cut);
        }
        self.resend_all();
    }

    pub(in crate::world) fn clog(
        &mut self,
        from: &BTreeSet<MemberName>,
        to: &BTreeSet<MemberName>,
        by: Duration,
    ) {
        for (from, to) in self.lines_of(from, to) {
            self.lines.set_delay(from, to, by);
        }
    }

    /// From now on no message takes unusually long, and none is lost for lack of room.
    pub(in crate::world) const fn calm(&mut self) {
        self.ways.tail = 0;
        self.lines.most = 0;
    }

    /// Ends whatever is wrong between two machines.
    pub(in crate::world) fn heal_links(&mut self, now: Timestamp) {
        self.now = now;
        if self.lines.heal() {
            self.resend_all();
        }
    }

    fn lines_of(
        &self,
        from: &BTreeSet<MemberName>,
        to: &BTreeSet<MemberName>,
    ) -> Vec<(Place, Place)> {
        let places = |names: &BTreeSet<MemberName>| -> Vec<Place> {
            names.iter().filter_map(|name| self.place(name)).collect()
        };
        let to = places(to);
        places(from).into_iter().flat_map(|one| to.iter().map(move |other| (one, *other))).collect()
    }

    pub(in crate::world) fn pause(&mut self, now: Timestamp, process: &Process) {
        self.now = now;
        if let Some(running) = self.running_mut(process) {
            running.lag.pause();
        }
    }

    /// A process goes on: its system has kept what came meanwhile, and its deadline has passed. It
    /// sees to either first.
    pub(in crate::world) fn resume(&mut self, now: Timestamp, process: &Process) {
        self.now = now;
        let Some(place) = self.running_at(process) else { return };
        let Some(running) = self.running_mut(process) else { return };
        let mut held = running.lag.resume();
        if self.ways.is_timeout_first(place) {
            held.insert(0, Input::Timeout);
        } else {
            held.push(Input::Timeout);
        }
        for input in held {
            self.handle(place, input);
        }
    }

    pub(in crate::world) fn slow(&mut self, process: &Process, by: Duration) {
        if let Some(running) = self.running_mut(process) {
            running.lag.slow(by);
        }
    }

    pub(in crate::world) fn set_clock(
        &mut self,
        now: Timestamp,
        process: &Process,
        clock: HostClock,
    ) {
        self.now = now;
        let Some(place) = self.running_at(process) else { return };
        if let Some(running) = self.running_mut(process) {
            running.clock = clock;
        }
        self.handle(place, Input::Timeout);
    }
}
