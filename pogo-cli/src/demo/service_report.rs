//! What the monitors of one service found last, summed up.

use std::fmt;

use serde::Serialize;

use super::event::Millis;
use crate::kinds::service_monitor::{Board, Reading, Service, Totals};

/// One service as its monitors see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ServiceReport {
    pub(crate) name: String,
    pub(crate) target: String,
    /// Monitors that have reported.
    pub(crate) monitors: usize,
    /// Those whose last probe was good.
    pub(crate) ok: usize,
    /// Of the last probe of all.
    #[serde(rename = "last_latency_ms")]
    pub(crate) last_latency: Option<Millis>,
    /// What the last probe of all found wrong.
    pub(crate) trouble: Option<String>,
    /// The most failures in a row that a monitor has now.
    pub(crate) consecutive_failures: u64,
    /// Probes of all monitors.
    pub(crate) probes: u64,
    /// Those that found trouble.
    pub(crate) failures: u64,
}

impl ServiceReport {
    /// The reports of `services`, in their order.
    pub(crate) fn all(services: &[Service], board: &Board) -> Vec<Self> {
        let readings = board.readings();
        services
            .iter()
            .map(|service| {
                let of_service = readings.values().filter(|r| r.service == service.name());
                Self::of(service, &of_service.collect::<Vec<_>>(), board.totals(service.name()))
            })
            .collect()
    }

    fn of(service: &Service, readings: &[&Reading], totals: Totals) -> Self {
        let last = readings.iter().max_by_key(|reading| reading.at);
        let most = readings.iter().map(|reading| reading.tally.consecutive_failures).max();
        Self {
            name: service.name().to_owned(),
            target: service.target().to_string(),
            monitors: readings.len(),
            ok: readings.iter().filter(|reading| reading.outcome.is_ok()).count(),
            last_latency: last.map(|reading| Millis(reading.latency)),
            trouble: last
                .and_then(|reading| reading.outcome.as_ref().err())
                .map(ToString::to_string),
            consecutive_failures: most.unwrap_or(0),
            probes: totals.probes,
            failures: totals.failures,
        }
    }

    /// The last result in a word or two.
    pub(crate) fn last(&self) -> &str {
        match (&self.trouble, self.last_latency) {
            (Some(trouble), _) => trouble,
            (None, Some(_)) => "ok",
            (None, None) => "not probed yet",
        }
    }
}

impl fmt::Display for ServiceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12} {}", self.name, self.last())?;
        if let Some(latency) = self.last_latency {
            write!(f, " in {latency}")?;
        }
        write!(f, ", {} of {} probes failed", self.failures, self.probes)?;
        match self.consecutive_failures {
            0 => Ok(()),
            failures => write!(f, ", {failures} in a row up to now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::kinds::service_monitor::{Tally, Target, Trouble};

    #[test]
    fn service_is_summed_up_over_its_monitors() {
        let services = ["web", "idle"]
            .map(|name| Service::new(name, Target::tcp("127.0.0.1:80").unwrap()).unwrap());
        let board = Board::default();
        let now = Instant::now();
        let reading = |ms: u64, outcome, consecutive_failures| Reading {
            service: "web".to_owned(),
            at: now + Duration::from_millis(ms),
            latency: Duration::from_millis(ms),
            outcome,
            tally: Tally { probes: 10, failures: 4, consecutive_failures },
        };
        board.post("web/2", reading(7, Err(Trouble::Refused), 3));
        board.post("web/1", reading(5, Ok(()), 0));
        let [web, idle] = <[_; 2]>::try_from(ServiceReport::all(&services, &board)).unwrap();
        assert_eq!((web.monitors, web.ok, web.consecutive_failures), (2, 1, 3));
        assert_eq!(
            web.to_string(),
            "web          refused in 7 ms, 1 of 2 probes failed, 3 in a row up to now"
        );
        assert_eq!((idle.monitors, idle.last()), (0, "not probed yet"));
    }
}
