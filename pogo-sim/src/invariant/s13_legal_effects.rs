//! S13: effects are legal: a start only without a local instance, by a member that is in the
//! cluster, has read a snapshot and is not leaving (what failed there may be started again until it
//! has moved); a stop only of a run that is there, and once.

use pogo_core::time::Timestamp;

use super::{Law, Violation};
use crate::{
    fact::{Fact, Started},
    picture::Picture,
};

#[derive(Debug, Default)]
pub(super) struct LegalEffects;

impl LegalEffects {
    fn judge_start(&self, started: &Started, picture: &Picture) -> Result<(), Violation> {
        let Started { host: name, child, .. } = started;
        let child = Some(child);
        let Some(host) = picture.hosts.get(name) else {
            return self.broken(child, format_args!("started on {name}, which is down"));
        };
        if !host.synced {
            return self.broken(child, format_args!("{name} starts it before its first snapshot"));
        }
        if host.leaving && !picture.is_restart(&started.child, started.boot) {
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

    fn on_fact(
        &mut self,
        _now: Timestamp,
        fact: &Fact,
        picture: &Picture,
    ) -> Result<(), Violation> {
        match fact {
            Fact::Started(started) => self.judge_start(started, picture),
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
        let mut world = World::of(LegalEffects, &["a"]);
        world.starts("a", 1).unwrap();
        assert!(world.starts("a", 2).is_err());
        world.exits("a", 1).unwrap();
        world.starts("a", 2).unwrap();
    }

    #[test]
    fn start_before_the_first_snapshot_or_while_leaving_breaks_it() {
        let mut world = World::of(LegalEffects, &["a"]);
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

    #[test]
    fn stop_of_a_run_that_is_not_there_or_stops_already_breaks_it() {
        let mut world = World::of(LegalEffects, &["a"]);
        assert!(world.stops("a", 1).is_err());
        world.starts("a", 1).unwrap();
        world.stops("a", 1).unwrap();
        assert!(world.stops("a", 1).is_err());
    }
}
