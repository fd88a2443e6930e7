//! The script of a demo: start, kill, measure, start again, sum up.
//!
//! Every figure comes from the ledger, which the children write themselves, and from what the
//! surviving members see; none from polling a listing.

use std::{collections::BTreeSet, future::pending, time::Duration};

use pogo::{Batch, ChildSpec};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    DemoError,
    cluster::{Cluster, all_see_gone},
    event::{Back, Event, Failover, Killed, Millis, Ready, Spread, Summary},
    service_report::ServiceReport,
};
use crate::kinds::service_monitor::{Service, ServiceMonitor};

/// Told by the script, in the order of what happened, with the time on the ledger's clock.
pub(crate) type Told = (Duration, Event);

/// What a script needs to know.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) backend: String,
    pub(crate) members: Vec<String>,
    pub(crate) services: Vec<Service>,
    pub(crate) children: usize,
    /// `None` never kills.
    pub(crate) kill_every: Option<Duration>,
    /// `None` lasts until it is stopped.
    pub(crate) lasts: Option<Duration>,
}

/// Runs a script.
#[derive(Debug)]
pub(crate) struct Director {
    script: Script,
    cluster: Cluster,
    monitor: ServiceMonitor,
    children: BTreeSet<String>,
    failovers: Vec<Failover>,
    tell: mpsc::UnboundedSender<Told>,
}

/// After this a child that does not run counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(30);

impl Director {
    pub(crate) fn new(
        script: Script,
        cluster: Cluster,
        monitor: ServiceMonitor,
        tell: mpsc::UnboundedSender<Told>,
    ) -> Self {
        let (children, failovers) = (BTreeSet::new(), Vec::new());
        Self { script, cluster, monitor, children, failovers, tell }
    }

    /// Runs the script until its time is over or `stop` becomes true.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), DemoError> {
        self.start().await?;
        let end = self.script.lasts.map(|lasts| Instant::now() + lasts);
        let mut victims = self.script.members.clone().into_iter().cycle();
        while self.is_time_to_kill(end, &mut stop).await {
            let Some(victim) = victims.next() else { break };
            self.fail_over(&victim).await?;
        }
        let summary = self.summary().await;
        self.cluster.shutdown().await;
        self.tell(Event::Summary(summary));
        Ok(())
    }

    /// Starts members and children, and waits until all of them run.
    async fn start(&mut self) -> Result<(), DemoError> {
        for member in &self.script.members {
            self.cluster.start(member).await?;
        }
        let specs = specs(&self.script.services, self.script.children)?;
        self.children = specs.iter().map(|spec| spec.id.to_string()).collect();
        let begun = self.monitor.ledger.now();
        let supervisor = self.cluster.any().ok_or(DemoError::NoMember)?;
        for started in supervisor.start_children(specs, Batch::AllOrNothing).await {
            started?;
        }
        let all_running = self.monitor.ledger.all_running(&self.children);
        let Ok(standing) = timeout(LOST_AFTER, all_running).await else {
            let running = self.monitor.ledger.standing(&self.children).running;
            return Err(DemoError::NotRunning { running, children: self.children.len() });
        };
        self.tell(Event::Ready(Ready {
            backend: self.script.backend.clone(),
            nodes: self.script.members.len(),
            services: self.script.services.len(),
            children: self.children.len(),
            all_running: Millis(standing.last_began_at.saturating_sub(begun)),
        }));
        Ok(())
    }

    /// Waits for the next kill; false where the demo ends first.
    async fn is_time_to_kill(
        &self,
        end: Option<Instant>,
        stop: &mut watch::Receiver<bool>,
    ) -> bool {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => false,
            () = maybe(end.map(sleep_until)) => false,
            () = maybe(self.script.kill_every.map(sleep)) => true,
        }
    }

    /// Kills a member, measures what follows, and starts it again.
    async fn fail_over(&mut self, victim: &str) -> Result<(), DemoError> {
        let ledger = self.monitor.ledger.clone();
        let eyes = self.cluster.others(victim).await;
        let overlaps = ledger.overlaps();
        let children = ledger.by_member().remove(victim).unwrap_or_default();
        let killed_at = ledger.now();
        let detected = async {
            all_see_gone(eyes, victim).await;
            ledger.now().saturating_sub(killed_at)
        };
        let taken_over = async {
            self.cluster.kill(victim).await;
            self.tell_at(
                killed_at,
                Event::Killed(Killed { member: victim.to_owned(), children: children.len() }),
            );
            timeout(LOST_AFTER, ledger.all_running(&self.children)).await
        };
        let (detected, taken_over) = tokio::join!(timeout(LOST_AFTER, detected), taken_over);
        let standing = ledger.standing(&children);
        let all_running = standing.last_began_at.saturating_sub(killed_at);
        let failover = Failover {
            member: victim.to_owned(),
            children: children.len(),
            detected: detected.ok().map(Millis),
            all_running: taken_over.is_ok().then_some(Millis(all_running)),
            longest_gap: Millis(standing.longest_gap),
            lost: self.children.len() - ledger.standing(&self.children).running,
            duplicates: ledger.overlaps() - overlaps,
        };
        self.failovers.push(failover.clone());
        self.tell(Event::Failover(failover));
        let after = Millis(self.cluster.start(victim).await?);
        self.tell(Event::Back(Back { member: victim.to_owned(), after }));
        Ok(())
    }

    /// How it went, once what is under way has settled.
    async fn summary(&self) -> Summary {
        let ledger = &self.monitor.ledger;
        let elapsed = Millis(ledger.now());
        // A child on its way from one member to another is not lost; one that never arrives is.
        drop(timeout(LOST_AFTER, ledger.all_running(&self.children)).await);
        let running = ledger.standing(&self.children).running;
        let times: Vec<_> = self.failovers.iter().filter_map(|f| f.all_running).collect();
        let spread = Spread::of(&times);
        let services = ServiceReport::all(&self.script.services, &self.monitor.board);
        Summary {
            elapsed,
            nodes: self.script.members.len(),
            children: self.children.len(),
            running,
            lost: self.children.len() - running,
            duplicates: ledger.overlaps(),
            kills: self.failovers.len(),
            failover_median: spread.map(|spread| spread.median),
            failover_max: spread.map(|spread| spread.longest),
            longest_gap: self.failovers.iter().map(|f| f.longest_gap).max().unwrap_or_default(),
            probes: services.iter().map(|service| service.probes).sum(),
            services,
        }
    }

    fn tell(&self, event: Event) {
        self.tell_at(self.monitor.ledger.now(), event);
    }

    fn tell_at(&self, at: Duration, event: Event) {
        // Whoever listened has gone only where the demo was interrupted.
        drop(self.tell.send((at, event)));
    }
}

/// The monitors: `children` of them, spread over the services in turn.
fn specs(services: &[Service], children: usize) -> Result<Vec<ChildSpec>, DemoError> {
    let monitors = services.iter().cycle().zip(0..children);
    monitors
        .map(|(service, at)| {
            let name = match at / services.len() {
                0 => service.name().to_owned(),
                more => format!("{}/{}", service.name(), more + 1),
            };
            Ok(ChildSpec::new::<ServiceMonitor>(name, service)?)
        })
        .collect()
}

/// What `future` gives, or nothing ever.
async fn maybe(future: Option<impl Future<Output = ()>>) {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::service_monitor::Target;

    #[test]
    fn monitors_are_spread_over_the_services_in_turn() {
        let services = ["web", "db"]
            .map(|name| Service::new(name, Target::tcp("127.0.0.1:80").unwrap()).unwrap());
        let ids = |children| {
            let specs = specs(&services, children).unwrap();
            specs.iter().map(|spec| spec.id.to_string()).collect::<Vec<_>>()
        };
        let ids = [1, 2, 5].map(ids);
        assert_eq!(ids[0], ["service_monitor/web"]);
        assert_eq!(ids[1], ["service_monitor/web", "service_monitor/db"]);
        assert_eq!(
            ids[2][2..],
            ["service_monitor/web/2", "service_monitor/db/2", "service_monitor/web/3"]
        );
    }
}
