//! What a demo tells: one JSON object a line for programs, one sentence for people.

use std::{fmt, net::SocketAddr, time::Duration};

use serde::{Serialize, Serializer};

use super::service_report::ServiceReport;

/// Something that happened in the demo.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event {
    /// Every child runs for the first time.
    Ready(Ready),
    /// A member was crashed.
    Killed(Killed),
    /// What a crash did to its children.
    Failover(Failover),
    /// A member takes part, for the first time or again.
    #[serde(skip)]
    Up(Up),
    /// How the demo went.
    Summary(Summary),
}

/// Every child runs for the first time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Ready {
    pub(crate) backend: String,
    pub(crate) nodes: usize,
    pub(crate) services: usize,
    pub(crate) children: usize,
    /// From the request to start the children until the last of them ran.
    #[serde(rename = "all_running_ms")]
    pub(crate) all_running: Millis,
}

/// A member was crashed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Killed {
    pub(crate) member: String,
    /// How many children ran there.
    pub(crate) children: usize,
}

/// What a crash did to the children of a member.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Failover {
    pub(crate) member: String,
    /// How many children ran there.
    pub(crate) children: usize,
    /// From the crash until the first of the children ran again; absent where none did in time.
    #[serde(rename = "detected_ms")]
    pub(crate) detected: Option<Millis>,
    /// From the crash until the last child ran again; absent where one did not in time.
    #[serde(rename = "all_running_ms")]
    pub(crate) all_running: Option<Millis>,
    /// The longest time that one of the children did not run.
    #[serde(rename = "longest_gap_ms")]
    pub(crate) longest_gap: Millis,
    /// Children that did not run again in time.
    pub(crate) lost: usize,
    /// Runs that overlapped another run of the same child.
    pub(crate) duplicates: u64,
}

/// A member takes part.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Up {
    pub(crate) member: String,
    /// From its start until it took part.
    pub(crate) after: Millis,
    pub(crate) seat: Option<Seat>,
}

/// Where a member is to be found that has a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) pid: u32,
    pub(crate) http: SocketAddr,
}

/// How the demo went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Summary {
    #[serde(rename = "elapsed_ms")]
    pub(crate) elapsed: Millis,
    pub(crate) nodes: usize,
    pub(crate) children: usize,
    /// Children that run at the end.
    pub(crate) running: usize,
    /// Children that do not.
    pub(crate) lost: usize,
    /// Runs that overlapped another run of the same child, over the whole demo.
    pub(crate) duplicates: u64,
    pub(crate) kills: usize,
    #[serde(rename = "failover_median_ms")]
    pub(crate) failover_median: Option<Millis>,
    #[serde(rename = "failover_max_ms")]
    pub(crate) failover_max: Option<Millis>,
    /// The longest time that a child did not run in a failover.
    #[serde(rename = "longest_gap_ms")]
    pub(crate) longest_gap: Millis,
    /// What the monitors did and found, where they ran in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) services: Option<Vec<ServiceReport>>,
}

impl Summary {
    /// Whether the cluster kept its promise.
    pub(crate) const fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicates == 0
    }
}

/// The middle and the end of some times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) median: Millis,
    pub(crate) longest: Millis,
}

impl Spread {
    /// `None` where there are no times.
    pub(crate) fn of(times: &[Millis]) -> Option<Self> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        Some(Self {
            median: *sorted.get(sorted.len().saturating_sub(1) / 2)?,
            longest: *sorted.last()?,
        })
    }
}

/// A duration shown in milliseconds with as many digits as anyone reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) Duration);

impl Millis {
    fn rounded(self) -> f64 {
        let micros = self.0.as_secs_f64() * 1e6;
        let step = if micros < 10_000.0 { 10.0 } else { 1000.0 };
        (micros / step).round() * step / 1000.0
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.rounded())
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} ms", self.rounded()))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(ready) => write!(
                f,
                "ready: {} of {} on {} of {} after {}",
                count(ready.children, "child", "children"),
                count(ready.services, "service", "services"),
                count(ready.nodes, "member", "members"),
                ready.backend,
                ready.all_running
            ),
            Self::Killed(killed) => write!(
                f,
                "killed {} with {}",
                killed.member,
                count(killed.children, "child", "children")
            ),
            Self::Failover(failover) => failover.fmt(f),
            Self::Up(up) => up.fmt(f),
            Self::Summary(summary) => summary.fmt(f),
        }
    }
}

impl fmt::Display for Up {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is up after {}", self.member, self.after)?;
        match self.seat {
            Some(Seat { pid, http }) => write!(f, ": process {pid}, http://{http}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failover of {}: ", self.member)?;
        match self.detected {
            Some(detected) => write!(f, "detected in {detected}, ")?,
            None => f.write_str("not detected in time, ")?,
        }
        match self.all_running {
            Some(all_running) => write!(
                f,
                "{} running again in {all_running}",
                count(self.children, "child", "children")
            )?,
            None => write!(f, "{} lost", count(self.lost, "child", "children"))?,
        }
        match self.duplicates {
            0 => Ok(()),
            duplicates => write!(f, ", {duplicates} ran twice"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasted = humantime::format_duration(Duration::from_secs(self.elapsed.0.as_secs()));
        write!(
            f,
            "{} of {} children running on {} after {lasted}: {} lost, {} ran twice; {}",
            self.running,
            self.children,
            count(self.nodes, "member", "members"),
            self.lost,
            self.duplicates,
            count(self.kills, "member killed", "members killed")
        )?;
        if let (Some(median), Some(max)) = (self.failover_median, self.failover_max) {
            write!(f, ", failover {median} (median) to {max} (longest)")?;
        }
        for service in self.services.iter().flatten() {
            write!(f, "\n  {service}")?;
        }
        Ok(())
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{number} {noun}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failover() -> Failover {
        Failover {
            member: "pogo-1".to_owned(),
            children: 98,
            detected: Some(Millis(Duration::from_micros(234))),
            all_running: Some(Millis(Duration::from_micros(12_345))),
            longest_gap: Millis(Duration::from_micros(12_100)),
            lost: 0,
            duplicates: 0,
        }
    }

    #[test]
    fn failover_line_has_the_promised_keys() {
        assert_eq!(
            serde_json::to_value(Event::Failover(failover())).unwrap(),
            json!({
                "event": "failover", "member": "pogo-1", "children": 98, "detected_ms": 0.23,
                "all_running_ms": 12.0, "longest_gap_ms": 12.0, "lost": 0, "duplicates": 0,
            })
        );
    }

    #[test]
    fn spread_is_of_all_times() {
        let times = [9, 1, 5].map(|ms| Millis(Duration::from_millis(ms)));
        let [longest, _, median] = times;
        assert_eq!(Spread::of(&times), Some(Spread { median, longest }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn sentences_name_what_went_wrong() {
        assert_eq!(
            Event::Failover(failover()).to_string(),
            "failover of pogo-1: detected in 0.23 ms, 98 children running again in 12 ms"
        );
        let bad =
            Failover { all_running: None, detected: None, lost: 1, duplicates: 2, ..failover() };
        assert_eq!(
            bad.to_string(),
            "failover of pogo-1: not detected in time, 1 child lost, 2 ran twice"
        );
    }
}
