//! S3: a strict instance is told to stop in time to be gone by its deadline, by its node's own
//! clock (R16): whoever watches the deadline for the node never has to end one that was not told,
//! nor one before it had the time that it may take.
//!
//! A process that stood still, is slow, or whose clock jumped is excused: that is what the watcher is
//! for.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{ChildId, MemberName, RunId},
    spec::Exclusivity,
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{
    fact::Fact,
    picture::{Instance, Picture},
};

/// A strict child may take at most this part of the lease to stop.
const PART: u32 = 5;

#[derive(Debug)]
pub(super) struct SelfFence {
    ttl: Duration,
    /// When strict instances were told to stop for want of a lease.
    told: BTreeMap<(MemberName, ChildId, RunId), Timestamp>,
    /// When each member's clock last jumped, or its process last stood still or was slow.
    stalled: BTreeMap<MemberName, Timestamp>,
}

impl SelfFence {
    /// Leases last for `ttl`.
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, told: BTreeMap::new(), stalled: BTreeMap::new() }
    }

    fn on_abort(
        &self,
        now: Timestamp,
        child: &ChildId,
        one: &Instance,
        told: Option<Timestamp>,
        picture: &Picture,
    ) -> Result<(), Violation> {
        let host = &one.host;
        let stalled = self.stalled.get(host).is_some_and(|at| now <= *at + self.ttl);
        let slow = picture.hosts.get(host).is_some_and(|host| !host.slow.is_zero());
        if one.exclusivity != Exclusivity::Strict || stalled || slow {
            return Ok(());
        }
        if one.stopping.is_none() {
            return self.broken(Some(child), format_args!("{host} did not stop it in time"));
        }
        // Clocks that count durations differ a little.
        let given = one.plan.grace.min(self.ttl / PART).mul_f64(0.99);
        match told {
            Some(told) if now.since(told) < given => {
                let had = now.since(told);
                self.broken(Some(child), format_args!("{host} gave it {had:?}, not {given:?}"))
            }
            _ => Ok(()),
        }
    }
}

impl Law for SelfFence {
    fn name(&self) -> &'static str {
        "S3 self-fence"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        match fact {
            Fact::Paused { host }
            | Fact::Resumed { host }
            | Fact::Slowed { host, .. }
            | Fact::Jumped { host, .. } => drop(self.stalled.insert(host.clone(), now)),
            Fact::StopAsked { host, child, run, reason: "ownership lost" } => {
                self.told.insert((host.clone(), child.clone(), *run), now);
            }
            Fact::Exited { host, child, run, how, .. } => {
                let told = if self.told.is_empty() {
                    None
                } else {
                    self.told.remove(&(host.clone(), child.clone(), *run))
                };
                let mut all = picture.of(child).iter();
                let one = all.find(|one| one.host == *host && one.run == *run);
                if let Some(one) = one.filter(|_| how == "aborted") {
                    return self.on_abort(now, child, one, told, picture);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn world() -> World<SelfFence> {
        let mut world = World::of(SelfFence::new(Duration::from_secs(5)), &["a"]);
        let mut started = World::<SelfFence>::start_of("a", 1);
        started.exclusivity = Exclusivity::Strict;
        started.plan.grace = Duration::from_secs(9);
        world.see(&Fact::Started(started)).unwrap();
        world.at(20);
        world
    }

    fn aborted(world: &mut World<SelfFence>) -> Result<(), Violation> {
        let (host, child, run) = (name("a"), child(), RunId::new(1));
        world.see(&Fact::Exited { host, child, run, how: "aborted".to_owned(), exported: None })
    }

    fn told(world: &mut World<SelfFence>) {
        let (host, child, run) = (name("a"), child(), RunId::new(1));
        world.see(&Fact::StopAsked { host, child, run, reason: "ownership lost" }).unwrap();
    }

    #[test]
    fn instance_that_nobody_told_to_stop_before_its_deadline_breaks_it() {
        assert!(aborted(&mut world()).is_err());
    }

    #[test]
    fn instance_has_its_time_to_stop_before_the_deadline() {
        let mut world = world();
        told(&mut world);
        assert!(aborted(&mut world).is_err());
        let mut world = self::world();
        told(&mut world);
        world.at(21);
        aborted(&mut world).unwrap();
    }

    #[test]
    fn process_that_stood_still_is_excused() {
        let mut world = world();
        world.see(&Fact::Paused { host: name("a") }).unwrap();
        world.at(40);
        world.see(&Fact::Resumed { host: name("a") }).unwrap();
        aborted(&mut world).unwrap();
    }
}
