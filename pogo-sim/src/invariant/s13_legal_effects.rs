//! S13: effects are legal: a start only without a local instance, by a member that is in the
//! cluster, has read a snapshot and is not leaving (what failed there may be started again until it
//! has moved); a stop only of a run that is there, and once.
//!
//! A temporary child whose one start was taken before its member was told to drain has no other
//! start (R5): it begins there until the drain's deadline (R23).

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{id::MemberName, record::Stage, spec::Restart, time::Timestamp};

use super::{Law, Violation};
use crate::{
    fact::{Fact, Started},
    picture::Picture,
};

/// What a member does at a deadline is seen this much later.
const LATE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct LegalEffects {
    /// Until when each member drains.
    drains: BTreeMap<MemberName, Timestamp>,
}

impl LegalEffects {
    /// Whether it is a temporary child that has spent its one start there.
    fn is_spent(&self, now: Timestamp, started: &Started) -> bool {
        let by_it = |stage| stage == Stage::Spent(started.boot);
        started.plan.restart == Restart::Temporary
            && started.record.is_some_and(|(stamp, _)| by_it(stamp.stage))
            && self.drains.get(&started.host).is_some_and(|until| now <= *until + LATE)
    }

    fn judge_start(
        &self,
        now: Timestamp,
        started: &Started,
        picture: &Picture,
    ) -> Result<(), Violation> {
        let Started { host: name, child, .. } = started;
        let child = Some(child);
        let Some(host) = picture.hosts.get(name) else {
            return self.broken(child, format_args!("started on {name}, which is down"));
        };
        if !host.synced {
            return self.broken(child, format_args!("{name} starts it before its first snapshot"));
        }
        let restarts = picture.is_restart(&started.child, started.boot);
        if host.leaving && !restarts && !self.is_spent(now, started) {
            return self.broken(child, format_args!("{name} takes it while leaving"));
        }
        if picture.of(&started.child).iter().any(|other| other.host == *name) {
            return self.broken(child, format_args!("{name} has an instance already"));
        }
        Ok(())
    }
}

impl Law for LegalEffects {
    fn name(&self) -> &'static str {
        "S13 legal effects"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        match fact {
            Fact::Started(started) => self.judge_start(now, started, picture),
            Fact::Leaving { host, deadline } => {
                match deadline {
                    Some(deadline) => self.drains.insert(host.clone(), now + *deadline),
                    None => self.drains.remove(host),
                };
                Ok(())
            }
            Fact::StopAsked { host, child, run, reason } => {
                let known = picture.of(child).iter().find(|i| i.host == *host && i.run == *run);
                match known {
                    None => self.broken(
                        Some(child),
                        format_args!("{host} stops run {run} ({reason}), which is not there"),
                    ),
                    Some(instance) if instance.stopping.is_some() => self.broken(
                        Some(child),
                        format_args!("{host} stops run {run} ({reason}) a second time"),
                    ),
                    Some(_) => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use pogo_core::id::BootId;

    use super::{super::handmade::*, *};

    #[test]
    fn second_start_on_one_member_breaks_it() {
        let mut world = World::of(LegalEffects::default(), &["a"]);
        world.starts("a", 1).unwrap();
        assert!(world.starts("a", 2).is_err());
        world.exits("a", 1).unwrap();
        world.starts("a", 2).unwrap();
    }

    #[test]
    fn start_before_the_first_snapshot_or_while_leaving_breaks_it() {
        let mut world = World::of(LegalEffects::default(), &["a"]);
        assert!(world.starts("b", 1).is_err(), "it is down");
        let boot = BootId::from_random(9);
        world.see(&Fact::Booted { host: name("b"), boot }).unwrap();
        assert!(world.starts("b", 1).is_err(), "it has read nothing");
        world.see(&Fact::Leaving { host: name("a"), deadline: None }).unwrap();
        assert!(world.starts("a", 1).is_err());
        world.picture.apply(world.now, &Fact::Started(World::<LegalEffects>::start_of("a", 1)));
        world.exits("a", 1).unwrap();
        world.starts("a", 2).unwrap();
    }

    /// The mark took as long as a division (simulation, random clusters, seed 818).
    #[test]
    fn temporary_child_whose_start_is_taken_begins_on_a_draining_member() {
        let mut world = World::of(LegalEffects::default(), &["a"]);
        let mut start = World::<LegalEffects>::start_of("a", 1);
        let deadline = Some(Duration::from_secs(5));
        world.see(&Fact::Leaving { host: name("a"), deadline }).unwrap();
        start.plan.restart = Restart::Temporary;
        assert!(world.see(&Fact::Started(start.clone())).is_err(), "it is not spent");
        let stage = Stage::Spent(boot("a"));
        start.record = Some((pogo_core::record::Stamp { stage, ..stamp(5) }, true));
        world.law.on_fact(world.now, &Fact::Started(start.clone()), &world.picture).unwrap();
        world.at(10);
        assert!(world.see(&Fact::Started(start)).is_err(), "the drain is over");
    }

    #[test]
    fn stop_of_a_run_that_is_not_there_or_stops_already_breaks_it() {
        let mut world = World::of(LegalEffects::default(), &["a"]);
        assert!(world.stops("a", 1).is_err());
        world.starts("a", 1).unwrap();
        world.stops("a", 1).unwrap();
        assert!(world.stops("a", 1).is_err());
    }
}
