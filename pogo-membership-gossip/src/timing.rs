//! How fast a cluster notices what happens to it: three presets.

use std::time::Duration;

/// The periods and patiences of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Pause between two probes by one peer, before Lifeguard stretches it.
    pub probe_interval: Duration,
    /// How long a probed peer may take to answer before others are asked to probe it.
    pub probe_timeout: Duration,
    /// How many others are asked.
    pub indirect_probes: usize,
    /// How long a suspicion lasts at least before it is a death.
    pub suspicion: Duration,
    /// Pause between two rounds of gossip while there is news.
    pub gossip_interval: Duration,
    /// How many peers hear each round.
    pub gossip_fanout: usize,
    /// The longest time from a peer's silence to its death at the others; a promise.
    pub detection: Duration,
    /// How long a change of the view settles at most (R6).
    pub view_settle: Duration,
    /// The longest pause between dials of a peer that is down.
    pub redial: Duration,
    /// Pause between two comparisons of shared and owned records with some other peer.
    pub compare_interval: Duration,
    /// Whether a closed link with a refused fresh dial proves a death.
    pub refusal_is_death: bool,
}

impl Timing {
    /// How long a suspicion lasts at most, in good health: together with the time to the next probe
    /// and its failure, and some time for the news to spread, it keeps the promise of `detection`.
    pub fn longest_suspicion(&self) -> Duration {
        let noticing = self.probe_interval * 2 + self.detection / 20;
        self.detection.saturating_sub(noticing).max(self.suspicion)
    }

    /// One machine, or a quiet local network: a silent peer is noticed within 1 s.
    pub const LOCAL: Self = Self {
        probe_interval: Duration::from_millis(250),
        probe_timeout: Duration::from_millis(80),
        indirect_probes: 3,
        suspicion: Duration::from_millis(350),
        gossip_interval: Duration::from_millis(50),
        gossip_fanout: 3,
        detection: Duration::from_secs(1),
        view_settle: Duration::from_secs(1),
        redial: Duration::from_millis(50),
        compare_interval: Duration::from_secs(1),
        refusal_is_death: true,
    };

    /// A local network or one region: a silent peer is noticed within 5 s.
    pub const LAN: Self = Self {
        probe_interval: Duration::from_millis(500),
        probe_timeout: Duration::from_millis(150),
        indirect_probes: 3,
        suspicion: Duration::from_secs(3),
        gossip_interval: Duration::from_millis(200),
        gossip_fanout: 3,
        detection: Duration::from_secs(5),
        view_settle: Duration::from_secs(1),
        redial: Duration::from_secs(1),
        compare_interval: Duration::from_secs(1),
        refusal_is_death: true,
    };

    /// Between regions: a silent peer is noticed within 15 s.
    pub const WAN: Self = Self {
        probe_interval: Duration::from_millis(1500),
        probe_timeout: Duration::from_millis(500),
        indirect_probes: 3,
        suspicion: Duration::from_secs(9),
        gossip_interval: Duration::from_millis(500),
        gossip_fanout: 4,
        detection: Duration::from_secs(15),
        view_settle: Duration::from_secs(2),
        redial: Duration::from_secs(5),
        compare_interval: Duration::from_secs(2),
        refusal_is_death: false,
    };
}
