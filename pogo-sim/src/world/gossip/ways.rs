//! How long things take on the network and what becomes of them on the way, by keyed draws.

use std::time::Duration;

use super::{Place, Process};
use crate::{
    draw::Draws,
    plan::{Options, RESEND, TAIL},
};

/// Nothing is faster.
const SHORTEST: Duration = Duration::from_micros(50);
/// What takes unusually long takes at least so much longer.
const SHORTEST_TAIL: Duration = Duration::from_millis(200);

/// Draws for the network. Each machine's draws are counted, so that they do not depend on what
/// other machines do meanwhile.
#[derive(Debug)]
pub(super) struct Ways {
    draws: Draws,
    latency: Duration,
    loss: u32,
    copies: u32,
    pub(super) tail: u32,
    pub(super) delay: Duration,
    drawn: Vec<u64>,
}

impl Ways {
    pub(super) fn new(seed: u64, options: &Options) -> Self {
        Self {
            draws: Draws::new(seed),
            latency: options.latency / 2,
            loss: options.loss,
            copies: options.copies,
            tail: options.tail,
            delay: options.delay,
            drawn: Vec::new(),
        }
    }

    /// A process' peer id and the seed of its engine.
    pub(super) fn identity(&self, process: &Process) -> (u128, u64) {
        let bits = |what| self.draws.bits(what, process.host.as_str(), process.start);
        let id = u128::from(bits("peer")) << 64 | u128::from(bits("peer, low half"));
        (id, bits("engine"))
    }

    /// How long something takes from this machine to another.
    pub(super) fn one_way(&mut self, from: Place) -> Duration {
        let counter = self.count(from);
        let way = self.draws.exponential("way", "", counter, self.latency);
        SHORTEST + way + self.below("delay", counter, self.delay * 2) + self.tail(from)
    }

    /// What few things take beyond that.
    fn tail(&mut self, from: Place) -> Duration {
        if self.tail == 0 {
            return Duration::ZERO;
        }
        let counter = self.count(from);
        if !self.draws.chance("tail", "", counter, self.tail) {
            return Duration::ZERO;
        }
        SHORTEST_TAIL + self.below("how late", counter, TAIL.saturating_sub(SHORTEST_TAIL))
    }

    /// Whether a process that goes on sees to its deadline before what has come meanwhile.
    pub(super) fn is_timeout_first(&mut self, place: Place) -> bool {
        let counter = self.count(place);
        self.draws.chance("timeout first", "", counter, 500)
    }

    /// The same for a part of a stream, which comes whatever happens on the way.
    pub(super) fn one_way_for_certain(&mut self, from: Place) -> Duration {
        let way = self.one_way(from);
        if self.loses(from) { way + RESEND } else { way }
    }

    /// How often a datagram from this machine arrives.
    pub(super) fn arrivals(&mut self, from: Place) -> u32 {
        if self.loses(from) {
            return 0;
        }
        let counter = self.count(from);
        if self.draws.chance("copy", "", counter, self.copies) { 2 } else { 1 }
    }

    /// How long a system sends again what nobody acknowledges before it gives the stream up. Some
    /// hold out longer than any division.
    pub(super) fn patience(&mut self, from: Place) -> Duration {
        let counter = self.count(from);
        let (least, most) = if self.draws.chance("patience", "", counter, 500) {
            (Duration::from_millis(500), Duration::from_secs(8))
        } else {
            (Duration::from_secs(60), Duration::from_secs(300))
        };
        least + self.below("how patient", counter, most)
    }

    /// After which time what waited is sent again, once it can arrive.
    pub(super) fn pause(&mut self, from: Place) -> Duration {
        let counter = self.count(from);
        self.below("pause", counter, Duration::from_secs(1))
    }

    /// Whether the streams of a killed process end with all that was sent, or at once.
    pub(super) fn ends_orderly(&mut self, from: Place) -> bool {
        let counter = self.count(from);
        self.draws.chance("ends orderly", "", counter, 500)
    }

    fn loses(&mut self, from: Place) -> bool {
        if self.loss == 0 {
            return false;
        }
        let counter = self.count(from);
        self.draws.chance("loss", "", counter, self.loss)
    }

    fn below(&self, what: &str, counter: u64, bound: Duration) -> Duration {
        let bound = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.draws.below(what, "", counter, bound))
    }

    fn count(&mut self, from: Place) -> u64 {
        if self.drawn.len() <= from {
            self.drawn.resize(from + 1, 0);
        }
        let Some(drawn) = self.drawn.get_mut(from) else { return 0 };
        *drawn += 1;
        u64::try_from(from).unwrap_or(0) << 40 | *drawn
    }
}
