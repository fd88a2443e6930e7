//! The scenarios: what one trial does and reads.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use pogo::{
    Args, ChildId, ChildSpec, Kind, MemberName, SpecError,
    placement::{Candidate, ChildKey, owner},
};
use tokio::time::{sleep, timeout};

use super::{
    BenchError,
    options::Scenario,
    report::{Figures, ms, rounded},
    traffic::Meter,
};
use crate::{
    fleet::{Fleet, Member, Template, Usage},
    ledger::Ledger,
};

/// What every trial of a bench is given.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) scenario: Scenario,
    pub(super) template: Template,
    pub(super) nodes: u16,
    pub(super) children: u32,
    pub(super) looks: Duration,
    /// Who counts the traffic of `idle`.
    pub(super) meter: Option<Meter>,
    /// What the names of the clusters of this bench have in them, and no other bench's.
    pub(super) mark: u128,
}

/// One trial's cluster.
#[derive(Debug)]
struct Trial {
    names: Vec<String>,
    fleet: Fleet,
    ledger: Ledger,
    specs: Vec<ChildSpec>,
    children: BTreeSet<String>,
}

/// After this a child that does not run counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// A cluster in which no run begins for this long has settled.
const QUIET: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How often an agent is asked for the time that a list takes.
const LISTS: usize = 5;

impl Plan {
    /// Runs one trial, the `number`th.
    pub(super) async fn run(&self, number: u32) -> Result<Figures, BenchError> {
        let ledger = Ledger::default();
        let template = self.template.apart(&format!("{}-{number}", self.mark));
        let fleet = Fleet::new(template, ledger.clone())?;
        let specs = specs(self.children)?;
        let children = specs.iter().map(|spec| spec.id.to_string()).collect();
        let names = (1..=self.nodes).map(|n| format!("pogo-{n}")).collect();
        let mut trial = Trial { names, fleet, ledger, specs, children };
        let figures = match self.scenario {
            Scenario::Start => trial.start().await,
            Scenario::Failover => trial.fail_over(number).await,
            Scenario::Join => trial.join().await,
            Scenario::Idle => match &self.meter {
                Some(meter) => trial.idle(self.looks, meter).await,
                None => Err(BenchError::NoMeter { scheme: self.template.scheme().to_owned() }),
            },
            Scenario::Acknowledged => trial.acknowledged(number).await,
            Scenario::Heal => Err(BenchError::Heal),
        }?;
        trial.fleet.read_spans()?;
        let figures = Figures {
            lost: Some(trial.children.len() - trial.ledger.standing(&trial.children).running),
            duplicates: Some(trial.ledger.overlaps()),
            ..figures
        };
        trial.fleet.kill_all().await?;
        Ok(figures)
    }
}

impl Trial {
    async fn start(&mut self) -> Result<Figures, BenchError> {
        let begun = self.ask_for_all(self.names.len()).await?;
        let all_running = self.ledger.standing(&self.children).last_began_at.checked_sub(begun);
        let visible_at = self.all_visible().await?;
        let list_ms = match self.fleet.members().first() {
            Some(member) => Some(list_ms(member).await?),
            None => None,
        };
        Ok(Figures {
            all_running_ms: all_running.map(ms),
            all_visible_ms: Some(ms(visible_at.saturating_sub(begun))),
            list_ms,
            ..Figures::default()
        })
    }

    async fn fail_over(&mut self, number: u32) -> Result<Figures, BenchError> {
        self.ask_for_all(self.names.len()).await?;
        self.all_visible().await?;
        self.settle().await;
        let victim = self.turn(number);
        self.survive(&victim).await
    }

    async fn acknowledged(&mut self, number: u32) -> Result<Figures, BenchError> {
        self.fleet.start_all(&self.names).await?;
        let victim = self.turn(number);
        let member = self.fleet.member(&victim).ok_or(BenchError::NoMember)?;
        member.client.start_children(&self.specs).await?;
        // Others may still be at their first starts.
        Ok(Figures { restarting_ms: None, ..self.survive(&victim).await? })
    }

    /// Kills an agent and waits until all children run without it.
    async fn survive(&mut self, victim: &str) -> Result<Figures, BenchError> {
        let killed = self.fleet.kill(victim).await?.ok_or(BenchError::NoMember)?;
        let killed_at = self.ledger.at(killed.at);
        let came_back = timeout(LOST_AFTER, self.ledger.all_running(&self.children)).await.is_ok();
        let restarts = self.ledger.changes_since(killed_at);
        self.settle().await;
        let since = |at: Duration| ms(at.saturating_sub(killed_at));
        let was_needed = !restarts.began.is_empty();
        let all_back = was_needed && came_back;
        let restarting = restarts.last_began_at.saturating_sub(restarts.first_began_at);
        Ok(Figures {
            detected_ms: was_needed.then_some(since(restarts.first_began_at)),
            all_running_ms: all_back.then_some(since(restarts.last_began_at)),
            restarting_ms: all_back.then_some(ms(restarting)),
            max_gap_ms: Some(ms(restarts.longest_gap)),
            ..Figures::default()
        })
    }

    async fn join(&mut self) -> Result<Figures, BenchError> {
        self.ask_for_all(self.names.len() - 1).await?;
        self.all_visible().await?;
        self.settle().await;
        let newcomer = self.names.last().cloned().unwrap_or_default();
        let expected = placed_on(&newcomer, &self.names, &self.children)?;
        let begun = self.ledger.now();
        self.fleet.start(&newcomer).await?;
        let deadline = Instant::now() + LOST_AFTER;
        while self.ledger.by_member().get(&newcomer).map_or(0, BTreeSet::len) < expected
            && Instant::now() < deadline
        {
            sleep(LOOK_EVERY).await;
        }
        drop(timeout(LOST_AFTER, self.ledger.all_running(&self.children)).await);
        self.settle().await;
        let changes = self.ledger.changes_since(begun);
        Ok(Figures {
            all_running_ms: Some(ms(changes.last_began_at.saturating_sub(begun))),
            moved: Some(changes.began.len()),
            moved_minimum: Some(expected),
            max_gap_ms: Some(ms(changes.longest_gap)),
            ..Figures::default()
        })
    }

    async fn idle(&mut self, looks: Duration, meter: &Meter) -> Result<Figures, BenchError> {
        self.ask_for_all(self.names.len()).await?;
        self.all_visible().await?;
        self.settle().await;
        let members = self.fleet.members();
        let (earlier, used) = (meter.read(&members).await?, self.used()?);
        let begun = Instant::now();
        sleep(looks).await;
        let (now_used, took) = (self.used()?, begun.elapsed().as_secs_f64());
        let traffic = meter.read(&members).await?.since(earlier);
        let agents = f64::from(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        let per_s = |count: f64| rounded(count / took / agents);
        let cpu = (now_used.cpu.saturating_sub(used.cpu)).as_secs_f64();
        Ok(Figures {
            cpu_percent_per_node: Some(rounded(cpu / took / agents * 100.0)),
            rss_mb_per_node: Some(rounded(float(now_used.resident) / agents / 1e6)),
            bytes_per_s_per_node: Some(per_s(traffic.sent)),
            received_bytes_per_s_per_node: Some(per_s(traffic.received)),
            messages_per_s_per_node: traffic.messages.map(per_s),
            ..Figures::default()
        })
    }

    /// Starts `agents` agents and asks for all children; returns when it began to ask, once all run.
    async fn ask_for_all(&mut self, agents: usize) -> Result<Duration, BenchError> {
        let names: Vec<_> = self.names.iter().take(agents).cloned().collect();
        self.fleet.start_all(&names).await?;
        let members = self.fleet.members();
        let first = members.first().ok_or(BenchError::NoMember)?;
        let begun = self.ledger.now();
        first.client.start_children(&self.specs).await?;
        if timeout(LOST_AFTER, self.ledger.all_running(&self.children)).await.is_err() {
            // A file that cannot be read says more than the children that seem to be missing.
            self.fleet.read_spans()?;
            let running = self.ledger.standing(&self.children).running;
            return Err(BenchError::NotRunning { running, children: self.children.len() });
        }
        Ok(begun)
    }

    /// Waits until every agent lists every child as running; returns when the last one did.
    async fn all_visible(&self) -> Result<Duration, BenchError> {
        let members = self.fleet.members();
        let seen = members.iter().map(|member| self.visible_at(member));
        let seen = try_join_all(seen).await?;
        Ok(seen.into_iter().max().unwrap_or_default())
    }

    async fn visible_at(&self, member: &Member) -> Result<Duration, BenchError> {
        let deadline = Instant::now() + LOST_AFTER;
        loop {
            let asked = Instant::now();
            let count = member.client.count().await?;
            if count.running == self.children.len() {
                return Ok(self.ledger.at(Duration::from_nanos(count.at_ns)));
            }
            if Instant::now() > deadline {
                let (name, running) = (member.name.clone(), count.running);
                return Err(BenchError::NotVisible { name, running });
            }
            // Asking must not be what keeps the agent busy.
            sleep(LOOK_EVERY.max(asked.elapsed())).await;
        }
    }

    /// Waits until no run has begun for a while.
    async fn settle(&self) {
        while !self.ledger.changes_since(self.ledger.now().saturating_sub(QUIET)).began.is_empty() {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Each agent in turn.
    fn turn(&self, number: u32) -> String {
        let place = usize::try_from(number).unwrap_or_default() % self.names.len().max(1);
        self.names.get(place).cloned().unwrap_or_default()
    }

    fn used(&self) -> Result<Usage, BenchError> {
        let mut all = Usage { cpu: Duration::ZERO, resident: 0 };
        for member in self.fleet.members() {
            let usage = Usage::of(member.pid)?;
            all.cpu += usage.cpu;
            all.resident += usage.resident;
        }
        Ok(all)
    }
}

async fn list_ms(member: &Member) -> Result<f64, BenchError> {
    let mut times = Vec::new();
    for _ in 0..LISTS {
        times.push(member.client.count().await?.list_ms);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times.get(LISTS / 2).copied().unwrap_or_default())
}

fn specs(children: u32) -> Result<Vec<ChildSpec>, SpecError> {
    let kind = Kind::new("idle")?;
    let args = Args::new(&())?;
    let id = |n| ChildId::new(format!("idle/{n}"));
    let spec = |n| Ok(ChildSpec::of_kind(id(n)?, kind.clone(), args.clone()));
    (1..=children).map(spec).collect()
}

/// How many children placement gives to `newcomer` among `names`.
fn placed_on(
    newcomer: &str,
    names: &[String],
    children: &BTreeSet<String>,
) -> Result<usize, BenchError> {
    let names: Vec<_> =
        names.iter().map(|name| MemberName::new(name.as_str())).collect::<Result<_, _>>()?;
    let candidates: Vec<_> = names.iter().map(|name| Candidate::new(name, 1)).collect();
    let owned = |child: &&String| {
        owner(ChildKey::new(child), &candidates).is_some_and(|it| it.name().as_str() == newcomer)
    };
    Ok(children.iter().filter(owned).count())
}

#[expect(clippy::cast_precision_loss, reason = "no machine has so much memory")]
const fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomer_is_due_about_its_share() {
        let names = ["pogo-1", "pogo-2", "pogo-3"].map(str::to_owned);
        let children = specs(1000).unwrap().iter().map(|spec| spec.id.to_string()).collect();
        let due = |name| placed_on(name, &names, &children).unwrap();
        assert_eq!(due("pogo-1") + due("pogo-2") + due("pogo-3"), 1000);
        assert!((250..420).contains(&due("pogo-3")), "{}", due("pogo-3"));
    }
}
