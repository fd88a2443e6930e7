//! The last result of every monitor in this process, for whoever looks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    probe::{Probe, Trouble},
    service::Service,
};

/// What a monitor has counted; it travels with the child on a planned move.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Probes since the last start from nothing: a crash loses the count.
    pub probes: u64,
    /// How many of them found trouble.
    pub failures: u64,
    /// How many in a row did, up to the last one.
    pub consecutive_failures: u64,
}

impl Tally {
    /// Counts `probe`.
    pub fn count(&mut self, probe: &Probe) {
        self.probes += 1;
        if probe.outcome.is_ok() {
            self.consecutive_failures = 0;
        } else {
            self.failures += 1;
            self.consecutive_failures += 1;
        }
    }
}

/// A monitor's last result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The service's name.
    pub service: String,
    /// When the probe ended.
    pub at: Instant,
    /// How long it took.
    pub latency: Duration,
    /// What it found.
    pub outcome: Result<(), Trouble>,
    /// The counts up to it.
    pub tally: Tally,
}

impl Reading {
    /// The reading of a probe that has just ended.
    pub fn of(service: &Service, probe: Probe, tally: &Tally) -> Self {
        Self {
            service: service.name().to_owned(),
            at: Instant::now(),
            latency: probe.latency,
            outcome: probe.outcome,
            tally: tally.clone(),
        }
    }
}

/// The last reading of each monitor, and what all of them found; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Board {
    notes: Arc<Mutex<Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    readings: BTreeMap<String, Reading>,
    totals: BTreeMap<String, Totals>,
}

/// Probes of a service in this process, whichever monitors made them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// All of them.
    pub probes: u64,
    /// Those that found trouble.
    pub failures: u64,
}

impl Board {
    /// Puts up the last reading of the monitor `child`.
    pub fn post(&self, child: &str, reading: Reading) {
        let mut notes = self.notes();
        let totals = notes.totals.entry(reading.service.clone()).or_default();
        totals.probes += 1;
        totals.failures += u64::from(reading.outcome.is_err());
        notes.readings.insert(child.to_owned(), reading);
    }

    /// All readings, by child.
    pub fn readings(&self) -> BTreeMap<String, Reading> {
        self.notes().readings.clone()
    }

    /// What all probes of a service found.
    pub fn totals(&self, service: &str) -> Totals {
        self.notes().totals.get(service).copied().unwrap_or_default()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
