//! What a trial found: a JSON object, a line of a table, and what many come to.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;

/// One trial. A figure that its scenario does not give is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) scenario: String,
    pub(super) backend: String,
    pub(super) nodes: u16,
    pub(super) children: u32,
    pub(super) trial: u32,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Until the last child that this is about began to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) all_running_ms: Option<f64>,
    /// Until every agent lists all children as running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) all_visible_ms: Option<f64>,
    /// Until the first child of a killed agent ran again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detected_ms: Option<f64>,
    /// From the first child of a killed agent that ran again to the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restarting_ms: Option<f64>,
    /// Children that began a run because of the join, wherever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) moved: Option<usize>,
    /// Children that placement gives to the newcomer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) moved_minimum: Option<usize>,
    /// Children that do not run at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<usize>,
    /// Runs that began while another run of the same child was under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duplicates: Option<u64>,
    /// An agent's own time to list all children of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) list_ms: Option<f64>,
    /// The longest time that a child was away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_gap_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_percent_per_node: Option<f64>,
    /// In millions of bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rss_mb_per_node: Option<f64>,
    /// Sent, without the headers of the transport.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes_per_s_per_node: Option<f64>,
    /// Received, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) received_bytes_per_s_per_node: Option<f64>,
    /// Requests and renewals sent to a store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) messages_per_s_per_node: Option<f64>,
}

impl Figures {
    /// Whether no child was lost or ran twice.
    pub(super) fn is_clean(&self) -> bool {
        self.lost.unwrap_or(0) == 0 && self.duplicates.unwrap_or(0) == 0
    }

    /// Those that apply, by name and in their order.
    fn all(&self) -> Vec<(&'static str, f64)> {
        let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let doubled = self.duplicates.and_then(|number| usize::try_from(number).ok());
        let all = [
            ("all_running_ms", self.all_running_ms),
            ("all_visible_ms", self.all_visible_ms),
            ("detected_ms", self.detected_ms),
            ("restarting_ms", self.restarting_ms),
            ("moved", self.moved.map(count)),
            ("moved_minimum", self.moved_minimum.map(count)),
            ("lost", self.lost.map(count)),
            ("duplicates", doubled.map(count)),
            ("list_ms", self.list_ms),
            ("max_gap_ms", self.max_gap_ms),
            ("cpu_percent_per_node", self.cpu_percent_per_node),
            ("rss_mb_per_node", self.rss_mb_per_node),
            ("bytes_per_s_per_node", self.bytes_per_s_per_node),
            ("received_bytes_per_s_per_node", self.received_bytes_per_s_per_node),
            ("messages_per_s_per_node", self.messages_per_s_per_node),
        ];
        all.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect()
    }
}

/// Milliseconds, to the microsecond.
pub(super) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// `number` with two digits after the point.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Prints trials as they end.
#[derive(Debug)]
pub(super) struct Printer {
    json: bool,
    trials: Vec<Row>,
}

impl Printer {
    pub(super) const fn new(json: bool) -> Self {
        Self { json, trials: Vec::new() }
    }

    /// Prints a trial.
    pub(super) fn add(&mut self, trial: Row) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, &trial)?;
            writeln!(out)?;
        } else {
            if self.trials.is_empty() {
                writeln!(
                    out,
                    "{} on {}: {} agents, {} children",
                    trial.scenario, trial.backend, trial.nodes, trial.children
                )?;
                let names = trial.figures.all().into_iter().map(|(name, _)| name);
                let cells = names.map(|name| (name.len(), name.to_owned()));
                writeln!(out, "{}", line("trial", cells))?;
            }
            let figures = trial.figures.all();
            let cells = figures.iter().map(|(name, value)| (name.len(), value.to_string()));
            writeln!(out, "{}", line(&trial.trial.to_string(), cells))?;
        }
        out.flush()?;
        self.trials.push(trial);
        Ok(())
    }

    /// Prints what the trials come to, for people.
    pub(super) fn close(&self) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        for (what, pick) in [("median", median as fn(&[f64]) -> Option<f64>), ("worst", worst)] {
            let figures = self.trials.first().map(|trial| trial.figures.all()).unwrap_or_default();
            let cells = figures.into_iter().map(|(name, _)| {
                let found = pick(&self.column(name)).map(|number| number.to_string());
                (name.len(), found.unwrap_or_default())
            });
            writeln!(out, "{}", line(what, cells))?;
        }
        out.flush()
    }

    fn column(&self, name: &str) -> Vec<f64> {
        let number = |trial: &Row| {
            let figures = trial.figures.all();
            figures.into_iter().find(|(other, _)| *other == name).map(|(_, figure)| figure)
        };
        let mut numbers: Vec<_> = self.trials.iter().filter_map(number).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        numbers
    }
}

fn line(head: &str, cells: impl Iterator<Item = (usize, String)>) -> String {
    let cells = cells.map(|(width, text)| format!("  {text:>width$}"));
    format!("{head:>6}{}", cells.collect::<String>())
}

/// The middle one of sorted numbers; of two the lower.
fn median(numbers: &[f64]) -> Option<f64> {
    numbers.get(numbers.len().saturating_sub(1) / 2).copied()
}

fn worst(numbers: &[f64]) -> Option<f64> {
    numbers.last().copied()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn object_of_a_trial_has_only_what_applies() {
        let figures = Figures {
            all_running_ms: Some(ms(Duration::from_nanos(12_345_678))),
            lost: Some(0),
            ..Figures::default()
        };
        let (scenario, backend) = ("start".to_owned(), "gossip".to_owned());
        let trial = Row { scenario, backend, nodes: 3, children: 10, trial: 1, figures };
        assert_eq!(
            serde_json::to_value(&trial).unwrap(),
            json!({
                "scenario": "start", "backend": "gossip", "nodes": 3, "children": 10, "trial": 1,
                "all_running_ms": 12.346, "lost": 0,
            })
        );
        assert!(trial.figures.is_clean());
        assert!(!Figures { duplicates: Some(1), ..trial.figures }.is_clean());
    }

    #[test]
    fn medians_are_of_all_trials() {
        let mut printer = Printer::new(true);
        for all_running in [9.0, 1.0, 5.0] {
            let figures = Figures { all_running_ms: Some(all_running), ..Figures::default() };
            printer.trials.push(Row { figures, ..Row::default() });
        }
        let column = printer.column("all_running_ms");
        assert_eq!((median(&column), worst(&column)), (Some(5.0), Some(9.0)));
        assert_eq!(median(&printer.column("lost")), None);
    }
}
