//! S18: what one child does changes nothing for another: a child is told to stop only for a cause
//! that is its own (it was asked for, it was not ready in time) or the cluster's (a view or a cordon
//! changed, a member leaves, two run it).

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{id::ChildId, time::Timestamp};

use super::{Law, Violation};
use crate::{
    fact::Fact,
    picture::{Instance, Picture},
};

/// What clients asked of a child.
#[derive(Debug, Default)]
struct Asked {
    changed: bool,
    /// It was terminated, or may complete.
    may_end: bool,
    last: Timestamp,
}

#[derive(Debug)]
pub(super) struct NoHarm {
    start_timeout: Duration,
    in_flight: Duration,
    known_after: Duration,
    asked: BTreeMap<ChildId, Asked>,
    /// When any member's view, or its stay, last changed.
    shifted: Timestamp,
    /// When each child last had two instances.
    doubled: BTreeMap<ChildId, Timestamp>,
}

impl NoHarm {
    /// A step takes up to `in_flight`; what went wrong is known to all after `known_after`.
    pub(super) fn new(start_timeout: Duration, in_flight: Duration, known_after: Duration) -> Self {
        Self {
            start_timeout,
            in_flight,
            known_after,
            asked: BTreeMap::new(),
            shifted: Timestamp::ZERO,
            doubled: BTreeMap::new(),
        }
    }

    fn is_explained(
        &self,
        now: Timestamp,
        child: &ChildId,
        one: &Instance,
        reason: &str,
        picture: &Picture,
    ) -> bool {
        let asked = self.asked.get(child);
        let asked_since = asked.is_some_and(|it| one.since <= it.last + self.in_flight);
        let trouble = picture.divided
            || one.since <= picture.disturbed + self.known_after
            || now <= picture.disturbed + self.known_after;
        let cordoned = picture.cordoned.values().max().copied().unwrap_or_default();
        // A move may have to wait for others that go on (R7), and a restart in place is no new stay.
        let shifted = one.held <= self.shifted.max(cordoned) + self.in_flight;
        let leaving = picture.hosts.get(&one.host).is_some_and(|host| host.leaving);
        match reason {
            "terminated" => asked.is_some_and(|it| it.may_end),
            "replaced" => asked.is_some_and(|it| it.changed) && (asked_since || trouble),
            "restarted" => {
                // Clocks that count durations differ a little.
                let timeout = self.start_timeout.mul_f64(0.99);
                let hangs = one.ready.is_none() && one.since + timeout <= now;
                hangs || asked_since || trouble
            }
            "superseded" => trouble || shifted || self.doubled.contains_key(child),
            "supervisor stopped" => leaving,
            _ => leaving || shifted || trouble,
        }
    }
}

impl Law for NoHarm {
    fn name(&self) -> &'static str {
        "S18 no harm from one child"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        match fact {
            Fact::Asked { changes, .. } => {
                for (child, wanted) in changes {
                    let first = !self.asked.contains_key(child);
                    let asked = self.asked.entry(child.clone()).or_default();
                    asked.changed |= !first;
                    asked.may_end |= wanted.is_none_or(|plan| plan.may_complete());
                    asked.last = now;
                }
            }
            Fact::Views { .. }
            | Fact::Leaving { .. }
            | Fact::Stopped { .. }
            | Fact::Booted { .. }
            | Fact::Joined { .. } => self.shifted = now,
            Fact::Started(started) if !picture.of(&started.child).is_empty() => {
                self.doubled.insert(started.child.clone(), now);
            }
            Fact::StopAsked { host, child, run, reason } => {
                let mut all = picture.of(child).iter();
                let Some(one) = all.find(|one| one.host == *host && one.run == *run) else {
                    return Ok(());
                };
                if !self.is_explained(now, child, one, reason, picture) {
                    return self.broken(
                        Some(child),
                        format_args!("{host} stops it ({reason}) for no cause of its own"),
                    );
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
    use crate::plan::ChildPlan;

    fn world() -> World<NoHarm> {
        let second = Duration::from_secs(1);
        let mut world = World::of(NoHarm::new(second * 5, second, second * 5), &["a", "b"]);
        world.at(8);
        world.asks(Some(ChildPlan::default())).unwrap();
        world.at(10);
        world.starts("a", 1).unwrap();
        world.at(20);
        world
    }

    fn told(reason: &'static str) -> Fact {
        let (host, child, run) = (name("a"), child(), pogo_core::id::RunId::new(1));
        Fact::StopAsked { host, child, run, reason }
    }

    #[test]
    fn stop_without_a_cause_breaks_it() {
        let mut world = world();
        world.readies("a", 1).unwrap();
        for reason in ["terminated", "replaced", "restarted", "moving", "superseded", "draining"] {
            assert!(world.see(&told(reason)).is_err(), "{reason}");
        }
    }

    #[test]
    fn causes_of_its_own_explain_a_stop() {
        let mut world = world();
        world.see(&told("restarted")).unwrap();
        world.asks(None).unwrap();
        world.see(&told("terminated")).unwrap();
        world.asks(Some(ChildPlan { value: 1, ..ChildPlan::default() })).unwrap();
        world.see(&told("replaced")).unwrap();
    }

    /// Its move had to wait for another one, and its start failed meanwhile (random clusters on a
    /// store, seed 3178).
    #[test]
    fn restart_in_place_leaves_a_move_its_cause() {
        let mut world = world();
        world.views("a", &["a", "b", "c"]);
        world.exits("a", 1).unwrap();
        world.at(60);
        world.starts("a", 2).unwrap();
        world.at(70);
        world.stops("a", 2).unwrap();
    }

    #[test]
    fn causes_of_the_cluster_explain_a_stop() {
        let mut world = world();
        world.views("a", &["a", "b", "c"]);
        world.see(&told("moving")).unwrap();
        let mut world = self::world();
        world.see(&Fact::Leaving { host: name("a"), deadline: None }).unwrap();
        world.see(&told("supervisor stopped")).unwrap();
        let mut world = self::world();
        world.starts("b", 1).unwrap();
        world.see(&told("superseded")).unwrap();
    }
}
