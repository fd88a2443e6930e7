//! What is wrong with the way from one machine to another: cut, clogged, or full.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Place;
use crate::plan::Options;

/// The directed ways between machines, as far as something is wrong with them.
#[derive(Debug)]
pub(super) struct Lines {
    cut: BTreeSet<(Place, Place)>,
    clogs: BTreeMap<(Place, Place), Duration>,
    /// Datagrams under way.
    in_flight: BTreeMap<(Place, Place), u32>,
    /// More of them than this are lost; 0 is any number.
    pub(super) most: u32,
}

impl Lines {
    pub(super) const fn new(options: &Options) -> Self {
        Self {
            cut: BTreeSet::new(),
            clogs: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            most: options.in_flight,
        }
    }

    pub(super) fn is_cut(&self, from: Place, to: Place) -> bool {
        self.cut.contains(&(from, to))
    }

    /// How much longer everything takes on this way.
    pub(super) fn delay(&self, from: Place, to: Place) -> Duration {
        self.clogs.get(&(from, to)).copied().unwrap_or_default()
    }

    pub(super) fn set_cut(&mut self, from: Place, to: Place, cut: bool) {
        if cut {
            self.cut.insert((from, to));
        } else {
            self.cut.remove(&(from, to));
        }
    }

    pub(super) fn set_delay(&mut self, from: Place, to: Place, by: Duration) {
        if by.is_zero() {
            self.clogs.remove(&(from, to));
        } else {
            self.clogs.insert((from, to), by);
        }
    }

    /// Ends whatever is wrong; whether anything was.
    pub(super) fn heal(&mut self) -> bool {
        let was_bad = !self.cut.is_empty() || !self.clogs.is_empty();
        self.cut.clear();
        self.clogs.clear();
        was_bad
    }

    /// A datagram sets out; false where there is no room for it.
    pub(super) fn depart(&mut self, from: Place, to: Place) -> bool {
        if self.most == 0 {
            return true;
        }
        let in_flight = self.in_flight.entry((from, to)).or_default();
        let fits = *in_flight < self.most;
        *in_flight += u32::from(fits);
        fits
    }

    /// A datagram has come through, or would have.
    pub(super) fn arrive(&mut self, from: Place, to: Place) {
        if let Some(in_flight) = self.in_flight.get_mut(&(from, to)) {
            *in_flight = in_flight.saturating_sub(1);
        }
    }
}
