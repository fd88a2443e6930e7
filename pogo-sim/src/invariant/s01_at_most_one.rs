//! S1: a strict child has at most one instance, starting and stopping ones included.

use pogo_core::{spec::Exclusivity, time::Timestamp};

use super::{Law, Violation};
use crate::{fact::Fact, picture::Picture};

#[derive(Debug, Default)]
pub(super) struct AtMostOne;

impl Law for AtMostOne {
    fn name(&self) -> &'static str {
        "S1 at most one"
    }

    fn on_fact(
        &mut self,
        _now: Timestamp,
        fact: &Fact,
        picture: &Picture,
    ) -> Result<(), Violation> {
        let Fact::Started(started) = fact else { return Ok(()) };
        let others = picture.of(&started.child);
        let strict = started.plan.exclusivity == Exclusivity::Strict
            || others.iter().any(|other| other.plan.exclusivity == Exclusivity::Strict);
        match others.first() {
            Some(other) if strict => self.broken(
                Some(&started.child),
                format_args!("started on {} while {} has it", started.host, other.host),
            ),
            _ => Ok(()),
        }
    }

    fn on_picture(&mut self, _now: Timestamp, picture: &Picture) -> Result<(), Violation> {
        for (child, instances) in picture.doubled() {
            if instances.iter().any(|one| one.plan.exclusivity == Exclusivity::Strict) {
                return self.broken(Some(child), format_args!("{} instances", instances.len()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};
    use crate::plan::ChildPlan;

    fn strict(host: &str, run: u64) -> Fact {
        let mut started = World::<AtMostOne>::start_of(host, run);
        started.plan = ChildPlan { exclusivity: Exclusivity::Strict, ..ChildPlan::default() };
        Fact::Started(started)
    }

    #[test]
    fn second_instance_of_a_strict_child_breaks_it() {
        let mut world = World::of(AtMostOne, &["a", "b"]);
        world.see(&strict("a", 1)).unwrap();
        world.stops("a", 1).unwrap();
        assert!(world.see(&strict("b", 1)).is_err(), "a stopping instance counts");
        world.exits("a", 1).unwrap();
        world.see(&strict("b", 1)).unwrap();
        world.law.on_picture(world.now, &world.picture).unwrap();
    }

    #[test]
    fn full_recount_finds_what_was_missed_on_the_way() {
        let mut world = World::of(AtMostOne, &["a", "b"]);
        world.picture.apply(world.now, &strict("a", 1));
        world.picture.apply(world.now, &strict("b", 1));
        assert!(world.law.on_picture(world.now, &world.picture).is_err());
    }

    #[test]
    fn available_children_are_not_its_business() {
        let mut world = World::of(AtMostOne, &["a", "b"]);
        world.starts("a", 1).unwrap();
        world.starts("b", 1).unwrap();
        world.law.on_picture(world.now, &world.picture).unwrap();
    }
}
