//! S9: a child that fails is restarted no more often than its policy says, later and later; one
//! that fails for ever ends in quarantine; a start that hangs is given up in time (R10, R11).
//!
//! Restarts of one version on one process are counted, from its first start there or from the last
//! change of that process' view: whoever takes a child over counts afresh.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use pogo_core::{
    id::{BootId, ChildId, RunId},
    node::{RestartPolicy, Status},
    record::Stamp,
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{
    fact::{Fact, Started},
    picture::{Instance, Picture},
    rest::Rest,
};

/// The restarts of a child on a process.
#[derive(Debug, Default)]
struct Chain {
    stamp: Option<Stamp>,
    /// Restarts that may count against it.
    starts: VecDeque<Timestamp>,
    /// Ends that count against it.
    ends: VecDeque<Timestamp>,
    /// Restarts since it was last well for a window.
    tries: u32,
}

#[derive(Debug)]
pub(super) struct RestartIntensity {
    policy: RestartPolicy,
    start_within: Duration,
    chains: BTreeMap<(BootId, ChildId), Chain>,
    /// Starts that must be ready, or told to stop, by then.
    due: BTreeMap<(Timestamp, ChildId), (BootId, RunId)>,
}

impl RestartIntensity {
    /// Children of this policy that are ready or told to stop `start_within` their start.
    pub(super) fn new(policy: RestartPolicy, start_within: Duration) -> Self {
        // Clocks that count durations differ a little.
        let start_within = start_within.mul_f64(1.01);
        Self { policy, start_within, chains: BTreeMap::new(), due: BTreeMap::new() }
    }

    fn on_start(
        &mut self,
        now: Timestamp,
        started: &Started,
        picture: &Picture,
    ) -> Result<(), Violation> {
        let Started { child, boot, run, .. } = started;
        self.due.insert((now + self.start_within, child.clone()), (*boot, *run));
        let stamp = started.record.map(|(stamp, _)| stamp);
        let key = (*boot, child.clone());
        let elsewhere = picture.last.get(child).is_some_and(|last| last.boot != *boot);
        let chain = self.chains.entry(key.clone()).or_default();
        if chain.stamp != stamp || elsewhere || !picture.is_restart(child, *boot) {
            *chain = Chain { stamp, ..Chain::default() };
            return Ok(());
        }
        let Some(end) = chain.ends.back() else { return Ok(()) };
        let waited = now.since(*end);
        if waited >= self.policy.quarantine_retry {
            chain.starts.clear();
            return Ok(());
        }
        let doubled = self.policy.first_delay.saturating_mul(1 << chain.tries.min(20));
        // Clocks that count durations differ a little.
        let least = doubled.min(self.policy.longest_delay).mul_f64(0.495);
        chain.tries += 1;
        chain.starts.push_back(now);
        // A restart comes up to the longest delay after the failure that is counted.
        let window = self.policy.window.saturating_sub(self.policy.longest_delay);
        chain.starts.retain(|at| now.since(*at) < window);
        let (restarts, tries) = (chain.starts.len(), chain.tries);
        if restarts > self.policy.intensity as usize {
            return self.broken(Some(child), format_args!("{restarts} restarts within {window:?}"));
        }
        if waited < least {
            return self.broken(
                Some(child),
                format_args!("restart {tries} came after {waited:?}, not {least:?}"),
            );
        }
        Ok(())
    }

    fn on_end(&mut self, now: Timestamp, child: &ChildId, ended: &Instance) {
        let Some(chain) = self.chains.get_mut(&(ended.boot, child.clone())) else { return };
        if ended.ready.is_some_and(|ready| now.since(ready) >= self.policy.window) {
            chain.tries = 0;
            chain.ends.clear();
        }
        let failed = match ended.stopping {
            None => true,
            // It was not ready in time; a restart that was asked for is another version.
            Some("restarted") => ended.ready.is_none(),
            Some(_) => false,
        };
        if failed {
            chain.ends.push_back(now);
        } else {
            *chain = Chain::default();
        }
        chain.ends.retain(|at| now.since(*at) < self.policy.window);
    }

    fn judge_due(&mut self, now: Timestamp, picture: &Picture) -> Result<(), Violation> {
        while let Some(entry) = self.due.first_entry().filter(|it| it.key().0 < now) {
            let ((_, child), (boot, run)) = entry.remove_entry();
            let mut all = picture.of(&child).iter();
            let hangs = all.find(|one| {
                one.boot == boot && one.run == run && one.ready.is_none() && one.stopping.is_none()
            });
            let Some(hangs) = hangs else { continue };
            if picture.is_stalled(&hangs.host, now, self.start_within * 2) {
                self.due.insert((now + self.start_within, child), (boot, run));
            } else {
                let within = self.start_within;
                return self.broken(
                    Some(&child),
                    format_args!("is neither ready nor told to stop after {within:?}"),
                );
            }
        }
        Ok(())
    }
}

impl Law for RestartIntensity {
    fn name(&self) -> &'static str {
        "S9 restart intensity"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        self.judge_due(now, picture)?;
        match fact {
            Fact::Started(started) => return self.on_start(now, started, picture),
            Fact::Exited { host, child, run, .. } => {
                let mut all = picture.of(child).iter();
                if let Some(ended) = all.find(|one| one.host == *host && one.run == *run) {
                    self.on_end(now, child, ended);
                }
            }
            Fact::Views { host, .. } | Fact::Jumped { host, .. } => {
                let boot = picture.hosts.get(host).map(|host| host.boot);
                self.chains.retain(|(of, _), _| Some(*of) != boot);
            }
            _ => {}
        }
        Ok(())
    }

    fn at_rest(&mut self, now: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        for ((boot, child), chain) in &self.chains {
            // Who took it over from a process that did not release it counts afresh, and so does
            // the next process of the same member (R11).
            let had_it_last = rest.picture.last.get(child).is_some_and(|last| last.boot == *boot);
            if !had_it_last || rest.picture.hosts.values().all(|host| host.boot != *boot) {
                continue;
            }
            let fails = chain.ends.iter().filter(|at| now.since(**at) < self.policy.window).count();
            if fails <= self.policy.intensity as usize || !rest.picture.of(child).is_empty() {
                continue;
            }
            for (host, node) in &rest.nodes {
                let Some(listed) = node.children.get(child) else { continue };
                if !matches!(listed.status, Status::Quarantined { .. } | Status::Starting) {
                    return self.broken(
                        Some(child),
                        format_args!("{fails} failures, {host} lists it as {:?}", listed.status),
                    );
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn world() -> World<RestartIntensity> {
        let law = RestartIntensity::new(RestartPolicy::default(), Duration::from_secs(5));
        World::of(law, &["a", "b"])
    }

    /// Fails and is started again after so many seconds.
    fn again(world: &mut World<RestartIntensity>, run: u64, after: u64) -> Result<(), Violation> {
        world.readies("a", run).unwrap();
        world.exits("a", run).unwrap();
        let second = world.now.as_nanos() / 1_000_000_000;
        world.at(second + after);
        world.starts("a", run + 1)
    }

    #[test]
    fn sixth_restart_in_a_window_breaks_it() {
        let mut world = world();
        world.starts("a", 1).unwrap();
        for run in 1..=5 {
            again(&mut world, run, 6).unwrap();
        }
        assert!(again(&mut world, 6, 6).is_err());
    }

    #[test]
    fn quarantine_and_another_view_count_afresh() {
        let mut world = world();
        world.starts("a", 1).unwrap();
        for run in 1..=5 {
            again(&mut world, run, 6).unwrap();
        }
        again(&mut world, 6, 120).unwrap();
        for run in 7..=11 {
            world.views("a", &["a"]);
            again(&mut world, run, 6).unwrap();
        }
    }

    #[test]
    fn restart_before_its_delay_breaks_it() {
        let mut world = world();
        world.starts("a", 1).unwrap();
        assert!(again(&mut world, 1, 0).is_err());
    }

    #[test]
    fn start_that_hangs_unnoticed_breaks_it() {
        let mut world = world();
        world.starts("a", 1).unwrap();
        world.at(7);
        assert!(world.see(&Fact::Healed).is_err());
        let mut world = self::world();
        world.starts("a", 1).unwrap();
        world.at(5);
        world.stops("a", 1).unwrap();
        world.at(9);
        world.see(&Fact::Healed).unwrap();
    }

    #[test]
    fn child_that_fails_for_ever_and_is_not_said_to_be_quarantined_breaks_it() {
        let mut world = world();
        world.starts("a", 1).unwrap();
        for run in 1..=5 {
            again(&mut world, run, 6).unwrap();
        }
        world.exits("a", 6).unwrap();
        world.all_know(Some((stamp(5), true)), "a");
        assert!(world.rests().is_err());
        for node in world.nodes.values_mut() {
            node.children.get_mut(&child()).unwrap().status =
                Status::Quarantined { last: String::new() };
        }
        world.rests().unwrap();
    }

    #[test]
    fn failures_of_a_process_that_is_no_more_say_nothing_of_the_next() {
        let mut world = world();
        world.starts("a", 1).unwrap();
        for run in 1..=5 {
            again(&mut world, run, 6).unwrap();
        }
        world.exits("a", 6).unwrap();
        world.all_know(Some((stamp(5), true)), "a");
        assert!(world.rests().is_err());
        world.crashes("a");
        world.rests().unwrap();
    }
}
