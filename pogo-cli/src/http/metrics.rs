//! `/metrics`: what a member knows, in the text format of Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use pogo::{
    ChildInfo, DownReason, Event, EventItem, Events, ExitReason, Health, Listing, MemberStatus,
    MemberView, Status, StopReason,
    gossip::{Endpoint, Traffic},
};

use super::{Api, error::ApiError};

/// Counts what happens on this member; a cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    started: AtomicU64,
    restarted: AtomicU64,
    moved_away: AtomicU64,
    superseded: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    members_lost: AtomicU64,
    unhealthy: AtomicU64,
    missed: AtomicU64,
}

impl Tally {
    /// Counts until the supervisor stops.
    pub(super) async fn keep(self, mut events: Events) {
        while let Some(item) = events.next().await {
            match &item {
                EventItem::Snapshot(snapshot) => self.note_health(&snapshot.health),
                EventItem::Lagged { missed } => add(&self.0.missed, *missed),
                EventItem::Event(event) => self.count(event),
                _ => {}
            }
        }
    }

    fn count(&self, event: &Event) {
        let counts = &self.0;
        if let Event::RunStarted { attempt, .. } = event {
            add(&counts.started, 1);
            add(&counts.restarted, u64::from(*attempt > 1));
        } else if let Event::RunStopping { reason: StopReason::Moving { .. }, .. } = event {
            add(&counts.moved_away, 1);
        } else if let Event::RunExited { reason, .. } = event {
            let is_well = *reason == ExitReason::Normal;
            add(if is_well { &counts.ended } else { &counts.failed }, 1);
        } else if let Event::Superseded { .. } = event {
            add(&counts.superseded, 1);
        } else if let Event::MemberGone { reason: DownReason::Failed, .. } = event {
            add(&counts.members_lost, 1);
        } else if let Event::Health { health } = event {
            self.note_health(health);
        }
    }

    fn note_health(&self, health: &Health) {
        let unhealthy = u64::from(*health != Health::Healthy);
        self.0.unhealthy.store(unhealthy, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

pub(super) async fn show(State(api): State<Api>) -> Result<Response, ApiError> {
    let supervisor = api.supervisor()?;
    let members = supervisor.members().await?;
    let children = supervisor.which_children(Listing::Global).await?;
    let local = supervisor.which_children(Listing::Local).await?;
    let text = write(&members, &children, local.len(), &api.inner.tally.0);
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn write(members: &[MemberView], children: &[ChildInfo], local: usize, counts: &Counts) -> String {
    let mut page = Page::default();
    let mut by_status: BTreeMap<String, usize> = BTreeMap::new();
    for status in [MemberStatus::Joining, MemberStatus::Active, MemberStatus::Draining] {
        let count = members.iter().filter(|member| member.status == status).count();
        by_status.insert(status.to_string(), count);
    }
    page.by_status("pogo_members", "Members of the cluster as this one sees it.", &by_status);

    let mut by_status: BTreeMap<String, usize> =
        STATUSES.iter().map(|name| ((*name).to_owned(), 0)).collect();
    for child in children {
        *by_status.entry(name(&child.status).to_owned()).or_default() += 1;
    }
    page.by_status("pogo_children", "Children of the cluster as this member sees it.", &by_status);
    page.one("pogo_local_children", "gauge", "Children that this member runs.", local as u64);

    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    for (name, help, counter) in [
        ("pogo_runs_started_total", "Runs that this member started.", &counts.started),
        ("pogo_restarts_total", "Runs started after an earlier attempt here.", &counts.restarted),
        ("pogo_moves_away_total", "Runs stopped here to go on elsewhere.", &counts.moved_away),
        ("pogo_runs_ended_total", "Runs that ended here without an error.", &counts.ended),
        ("pogo_runs_failed_total", "Runs that ended here in any other way.", &counts.failed),
        ("pogo_superseded_total", "Instances here that gave way to another.", &counts.superseded),
        ("pogo_members_failed_total", "Members seen to fail.", &counts.members_lost),
        ("pogo_events_missed_total", "Events that these counters missed.", &counts.missed),
    ] {
        page.one(name, "counter", help, read(counter));
    }
    let healthy = 1_u64.saturating_sub(read(&counts.unhealthy));
    page.one("pogo_backend_healthy", "gauge", "1 where the backend works.", healthy);
    gossip(&mut page, &pogo::gossip::endpoints());
    page.0
}

/// What went over gossip's sockets, where there are some.
fn gossip(page: &mut Page, endpoints: &[Endpoint]) {
    if endpoints.is_empty() {
        return;
    }
    let sum = |count: fn(&Traffic) -> u64| endpoints.iter().map(|it| count(&it.traffic)).sum();
    for (name, kind, help, value) in [
        (
            "pogo_gossip_sent_bytes_total",
            "counter",
            "Bytes sent, without the headers of UDP and TCP.",
            sum(|it| it.bytes_sent),
        ),
        (
            "pogo_gossip_received_bytes_total",
            "counter",
            "Bytes received, without the headers of UDP and TCP.",
            sum(|it| it.bytes_received),
        ),
        (
            "pogo_gossip_refused_datagrams_total",
            "counter",
            "Datagrams that were dropped: of another key, cluster or format, or broken.",
            sum(|it| it.refused_datagrams.total()),
        ),
        (
            "pogo_gossip_refused_streams_total",
            "counter",
            "Connections that were closed for what came over them.",
            sum(|it| it.refused_streams.total()),
        ),
        ("pogo_gossip_links", "gauge", "Connections with other peers.", sum(|it| it.links)),
    ] {
        page.one(name, kind, help, value);
    }
}

/// Every status that a child may have, so that one without children shows 0.
const STATUSES: [&str; 8] =
    ["pending", "starting", "running", "stopping", "moving", "backoff", "quarantined", "stuck"];

const fn name(status: &Status) -> &'static str {
    match status {
        Status::Pending { .. } => "pending",
        Status::Starting => "starting",
        Status::Running => "running",
        Status::Stopping => "stopping",
        Status::Moving { .. } => "moving",
        Status::Backoff { .. } => "backoff",
        Status::Quarantined { .. } => "quarantined",
        Status::Stuck => "stuck",
        _ => "other",
    }
}

#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn head(&mut self, metric: &str, kind: &str, help: &str) {
        // Writing to a text does not fail, here and below.
        let _ = writeln!(self.0, "# HELP {metric} {help}\n# TYPE {metric} {kind}");
    }

    fn one(&mut self, metric: &str, kind: &str, help: &str, value: u64) {
        self.head(metric, kind, help);
        let _ = writeln!(self.0, "{metric} {value}");
    }

    fn by_status(&mut self, metric: &str, help: &str, counts: &BTreeMap<String, usize>) {
        self.head(metric, "gauge", help);
        for (status, count) in counts {
            let _ = writeln!(self.0, "{metric}{{status=\"{status}\"}} {count}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_help_type_and_a_number() {
        let text = write(&[], &[], 3, &Counts::default());
        assert!(text.contains("\npogo_local_children 3\n"), "{text}");
        assert!(text.contains("pogo_children{status=\"running\"} 0\n"), "{text}");
        let mut seen = 0;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (metric, number) = line.rsplit_once(' ').unwrap();
            let metric = metric.split('{').next().unwrap();
            assert!(number.parse::<u64>().is_ok(), "{line}");
            assert!(text.contains(&format!("# TYPE {metric} ")), "{line}");
            seen += 1;
        }
        assert!(seen > 15, "{text}");
    }
}
