//! The script of a demo: start, kill, measure, start again, sum up.
//!
//! Every figure comes from the ledger, which the children write themselves; none from polling a
//! listing.

use std::{collections::BTreeSet, future::pending, time::Duration};

use pogo::ChildSpec;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    DemoError,
    cast::Cast,
    event::{Event, Failover, Killed, Millis, Ready, Spread, Summary, Up},
    service_report::ServiceReport,
};
use crate::{
    kinds::service_monitor::{Board, Service, ServiceMonitor},
    ledger::Ledger,
};

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
pub(crate) struct Director<C> {
    script: Script,
    cast: C,
    ledger: Ledger,
    /// What the monitors found, where they run in this process.
    board: Option<Board>,
    children: BTreeSet<String>,
    failovers: Vec<Failover>,
    tell: mpsc::UnboundedSender<Told>,
}

/// After this a child that does not run counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(30);

impl<C: Cast> Director<C> {
    pub(crate) fn new(
        script: Script,
        cast: C,
        ledger: Ledger,
        board: Option<Board>,
        tell: mpsc::UnboundedSender<Told>,
    ) -> Self {
        let (children, failovers) = (BTreeSet::new(), Vec::new());
        Self { script, cast, ledger, board, children, failovers, tell }
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
        self.cast.shutdown().await;
        self.tell(Event::Summary(summary));
        Ok(())
    }

    /// Starts members and children, and waits until all of them run.
    async fn start(&mut self) -> Result<(), DemoError> {
        let begun = self.ledger.now();
        self.cast.start_all(&self.script.members).await?;
        let after = Millis(self.ledger.now().saturating_sub(begun));
        for member in &self.script.members {
            self.tell_up(member, after);
        }
        let specs = specs(&self.script.services, self.script.children)?;
        self.children = specs.iter().map(|spec| spec.id.to_string()).collect();
        let begun = self.ledger.now();
        self.cast.start_children(specs).await?;
        let all_running = self.ledger.all_running(&self.children);
        let Ok(standing) = timeout(LOST_AFTER, all_running).await else {
            let running = self.ledger.standing(&self.children).running;
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
        let ledger = self.ledger.clone();
        let overlaps = ledger.overlaps();
        let children = ledger.by_member().remove(victim).unwrap_or_default();
        let killed_at = self.cast.kill(victim).await?;
        self.tell_at(
            killed_at,
            Event::Killed(Killed { member: victim.to_owned(), children: children.len() }),
        );
        let taken_over = timeout(LOST_AFTER, ledger.all_running(&self.children)).await.is_ok();
        let standing = ledger.standing(&children);
        let since = |at: Duration| Millis(at.saturating_sub(killed_at));
        let failover = Failover {
            member: victim.to_owned(),
            children: children.len(),
            detected: (standing.running > 0).then_some(since(standing.first_began_at)),
            all_running: taken_over.then_some(since(standing.last_began_at)),
            longest_gap: Millis(standing.longest_gap),
            lost: self.children.len() - ledger.standing(&self.children).running,
            duplicates: ledger.overlaps() - overlaps,
        };
        self.failovers.push(failover.clone());
        self.tell(Event::Failover(failover));
        let after = Millis(self.cast.start(victim).await?);
        self.tell_up(victim, after);
        Ok(())
    }

    /// How it went, once what is under way has settled.
    async fn summary(&self) -> Summary {
        let ledger = &self.ledger;
        let elapsed = Millis(ledger.now());
        // A child on its way from one member to another is not lost; one that never arrives is.
        drop(timeout(LOST_AFTER, ledger.all_running(&self.children)).await);
        let running = ledger.standing(&self.children).running;
        let times: Vec<_> = self.failovers.iter().filter_map(|f| f.all_running).collect();
        let spread = Spread::of(&times);
        let services =
            self.board.as_ref().map(|board| ServiceReport::all(&self.script.services, board));
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
            probes: services.as_ref().map(|all| all.iter().map(|service| service.probes).sum()),
            services,
        }
    }

    fn tell_up(&self, member: &str, after: Millis) {
        let seat = self.cast.seat(member);
        self.tell(Event::Up(Up { member: member.to_owned(), after, seat }));
    }

    fn tell(&self, event: Event) {
        self.tell_at(self.ledger.now(), event);
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
