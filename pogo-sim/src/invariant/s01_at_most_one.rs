//! S1: a strict child has at most one instance, starting and stopping ones included.
//!
//! An instance whose process stands still, or went on a moment ago, does not count: no lease can
//! stop what does not run, and fencing tokens are for that (S2). Nor does one that blocks its thread
//! and is reported to be stuck (R16), nor one that was begun under another mode (R25).

use std::time::Duration;

use pogo_core::{id::ChildId, spec::Exclusivity, time::Timestamp};

use super::{Law, Violation};
use crate::{
    fact::Fact,
    picture::{Instance, Picture},
};

#[derive(Debug)]
pub(super) struct AtMostOne {
    kill: Duration,
    /// When a process that went on must be rid of what it may not run any more.
    due: Option<Timestamp>,
}

impl AtMostOne {
    /// A process that goes on after a pause has `kill` to end its instances.
    pub(super) fn new(kill: Duration) -> Self {
        Self { kill, due: None }
    }

    fn judge(
        &self,
        now: Timestamp,
        child: &ChildId,
        instances: &[Instance],
        picture: &Picture,
    ) -> Result<(), Violation> {
        let counts = |one: &&Instance| {
            one.exclusivity == Exclusivity::Strict
                && !one.is_blocked()
                && !picture.is_excused(one, now, self.kill)
        };
        let hosts: Vec<&str> =
            instances.iter().filter(counts).map(|one| one.host.as_str()).collect();
        if hosts.len() > 1 {
            let what = format_args!("{} have it at once", hosts.join(" and "));
            return self.broken(Some(child), what);
        }
        Ok(())
    }
}

impl Law for AtMostOne {
    fn name(&self) -> &'static str {
        "S1 at most one"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        if self.due.is_some_and(|due| due < now) {
            self.due = None;
            self.on_picture(now, picture)?;
        }
        match fact {
            Fact::Resumed { .. } => self.due = self.due.max(Some(now + self.kill)),
            Fact::Started(started) if !picture.of(&started.child).is_empty() => {
                let mut instances = picture.of(&started.child).to_vec();
                instances.push(Instance::new(now, started));
                return self.judge(now, &started.child, &instances, picture);
            }
            _ => {}
        }
        Ok(())
    }

    fn on_picture(&mut self, now: Timestamp, picture: &Picture) -> Result<(), Violation> {
        let mut doubled = picture.doubled();
        doubled.try_for_each(|(child, instances)| self.judge(now, child, instances, picture))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn world() -> World<AtMostOne> {
        World::of(AtMostOne::new(Duration::from_secs(1)), &["a", "b"])
    }

    fn strict(host: &str, run: u64) -> Fact {
        let mut started = World::<AtMostOne>::start_of(host, run);
        started.exclusivity = Exclusivity::Strict;
        Fact::Started(started)
    }

    #[test]
    fn second_instance_of_a_strict_child_breaks_it() {
        let mut world = world();
        world.see(&strict("a", 1)).unwrap();
        world.stops("a", 1).unwrap();
        assert!(world.see(&strict("b", 1)).is_err(), "a stopping instance counts");
        world.exits("a", 1).unwrap();
        world.see(&strict("b", 1)).unwrap();
        world.law.on_picture(world.now, &world.picture).unwrap();
    }

    #[test]
    fn paused_instance_counts_again_a_while_after_it_went_on() {
        let mut world = world();
        world.see(&strict("a", 1)).unwrap();
        world.see(&Fact::Paused { host: name("a") }).unwrap();
        world.see(&strict("b", 1)).unwrap();
        world.at(20);
        world.law.on_picture(world.now, &world.picture).unwrap();
        world.see(&Fact::Resumed { host: name("a") }).unwrap();
        world.law.on_picture(world.now, &world.picture).unwrap();
        world.at(22);
        assert!(world.see(&Fact::Healed).is_err());
        world.exits("a", 1).unwrap();
        world.law.on_picture(world.now, &world.picture).unwrap();
    }

    #[test]
    fn instance_that_is_said_to_be_stuck_does_not_count() {
        let mut world = world();
        world.see(&strict("a", 1)).unwrap();
        let run = pogo_core::id::RunId::new(1);
        world.see(&Fact::Stuck { host: name("a"), child: child(), run }).unwrap();
        world.see(&strict("b", 1)).unwrap();
    }

    #[test]
    fn full_recount_finds_what_was_missed_on_the_way() {
        let mut world = world();
        world.picture.apply(world.now, &strict("a", 1));
        world.picture.apply(world.now, &strict("b", 1));
        assert!(world.law.on_picture(world.now, &world.picture).is_err());
    }

    #[test]
    fn available_children_are_not_its_business() {
        let mut world = world();
        world.starts("a", 1).unwrap();
        world.starts("b", 1).unwrap();
        world.law.on_picture(world.now, &world.picture).unwrap();
    }
}
