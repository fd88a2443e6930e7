//! L5: a cluster at rest stays as it is: no view changes, no child that can be expected to run
//! begins, stops or ends, and nobody says more than what each child may still have to say once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use pogo_core::{
    id::{ChildId, MemberName},
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{fact::Fact, oracle::Oracle, picture::Picture, rest::Rest};

/// Effects of a node at rest in a second, and of each child it knows over all the time of rest:
/// that it is well again, or that its completion need not be told any more.
const EACH_SECOND: u64 = 2;
const EACH_CHILD: u64 = 8;
const ONCE: u64 = 32;

#[derive(Debug, Default)]
pub(super) struct Quiet {
    spread: Duration,
    alarm: Duration,
    /// When somebody last asked for something, or was answered, or a fault ended.
    stirred: Timestamp,
    /// The children that can be expected to run, when the cluster came to rest.
    healthy: BTreeSet<ChildId>,
    /// Whether every child is one of them.
    all_healthy: bool,
    since: Option<Timestamp>,
    effects: BTreeMap<MemberName, u64>,
}

impl Quiet {
    /// What was asked of one member is known to all after `spread`, before which nothing is at rest;
    /// what went wrong is known to all after `alarm`, and until then a view may still change.
    pub(super) fn new(spread: Duration, alarm: Duration) -> Self {
        Self { spread, alarm, ..Self::default() }
    }

    fn count(
        &mut self,
        now: Timestamp,
        host: &MemberName,
        outputs: usize,
    ) -> Result<(), Violation> {
        let Some(since) = self.since.filter(|_| self.all_healthy && outputs > 0) else {
            return Ok(());
        };
        let effects = self.effects.entry(host.clone()).or_default();
        *effects += outputs as u64;
        let seconds = now.since(since).as_secs();
        let children = self.healthy.len() as u64;
        let effects = *effects;
        if effects > ONCE + EACH_SECOND * seconds + EACH_CHILD * children {
            return self.broken(None, format_args!("{host} had {effects} effects at rest"));
        }
        Ok(())
    }
}

impl Law for Quiet {
    fn name(&self) -> &'static str {
        "L5 quiet"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, _: &Picture) -> Result<(), Violation> {
        if matches!(fact, Fact::Asked { .. } | Fact::Replied { .. } | Fact::Joined { .. })
            || fact.is_trouble()
        {
            self.stirred = now;
        }
        // A child that kills its member is tried again from time to time (R11).
        if matches!(fact, Fact::Crashed { .. }) {
            self.since = None;
        }
        if let Fact::Phase(phase) = fact {
            self.since = (*phase == "quiet").then_some(now);
            self.effects.clear();
        }
        if self.since.is_none() {
            return Ok(());
        }
        match fact {
            Fact::Handled { host, outputs, .. } => self.count(now, host, *outputs),
            Fact::Views { host, .. } if now > self.stirred + self.alarm => {
                self.broken(None, format_args!("the view of {host} changed at rest"))
            }
            Fact::Started(_) | Fact::StopAsked { .. } | Fact::Exited { .. } => match fact.child() {
                Some(child) if self.healthy.contains(child) => {
                    self.broken(Some(child), format_args!("it did not stay as it was"))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn may_rest(&mut self, now: Timestamp, _: &Picture, _: &Oracle) -> Result<(), Violation> {
        if now < self.stirred + self.spread {
            return self.broken(None, format_args!("it is not at rest"));
        }
        Ok(())
    }

    fn at_rest(&mut self, _: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        let children: BTreeSet<_> =
            rest.oracle.children().chain(rest.picture.instances.keys()).collect();
        let healthy = children.iter().filter(|child| rest.is_healthy(child));
        self.healthy = healthy.map(|child| (*child).clone()).collect();
        self.all_healthy = self.healthy.len() == children.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};
    use crate::plan::{ChildPlan, Then};

    fn quiet(plan: ChildPlan) -> World<Quiet> {
        let mut world =
            World::of(Quiet::new(Duration::from_secs(1), Duration::from_secs(5)), &["a"]);
        world.accepts(Some(plan), stamp(5));
        world.starts("a", 1).unwrap();
        world.readies("a", 1).unwrap();
        world.rests().unwrap();
        world.see(&Fact::Phase("quiet")).unwrap();
        world
    }

    #[test]
    fn change_at_rest_breaks_it() {
        let mut world = quiet(ChildPlan::default());
        assert!(world.exits("a", 1).is_err());
        assert!(world.stops("a", 1).is_err());
        let views = Fact::Views { host: name("a"), members: vec![boot("a")] };
        world.see(&views).unwrap();
        world.at(20);
        assert!(world.see(&views).is_err());
        world.see(&Fact::Phase("serve")).unwrap();
        world.exits("a", 1).unwrap();
    }

    #[test]
    fn nothing_is_at_rest_while_a_change_is_on_its_way() {
        let mut world =
            World::of(Quiet::new(Duration::from_secs(1), Duration::from_secs(5)), &["a"]);
        world.asks(None).unwrap();
        assert!(world.rests().is_err());
        world.at(2);
        world.rests().unwrap();
    }

    #[test]
    fn failing_child_may_go_on_failing() {
        let then = Then::Fails(Duration::from_millis(1));
        let mut world = quiet(ChildPlan { then, ..ChildPlan::default() });
        world.exits("a", 1).unwrap();
        world.starts("a", 2).unwrap();
    }

    #[test]
    fn node_that_has_more_and_more_to_say_breaks_it() {
        let mut world = quiet(ChildPlan::default());
        let says = Fact::Handled { host: name("a"), input: "timeout", outputs: 3, next: None };
        let talks = |world: &mut World<Quiet>| {
            (1..100).try_for_each(|second| {
                world.at(1 + second);
                world.see(&says)
            })
        };
        assert!(talks(&mut world).is_err());
    }
}
