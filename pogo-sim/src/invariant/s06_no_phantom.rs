//! S6: every instance goes back to a client's change of that child, with that spec to the letter.

use std::collections::BTreeMap;

use pogo_core::{id::ChildId, time::Timestamp};

use super::{Law, Violation};
use crate::{fact::Fact, oracle::Outcome, picture::Picture, plan::ChildPlan, rest::Rest};

#[derive(Debug, Default)]
pub(super) struct NoPhantom {
    asked: BTreeMap<ChildId, Vec<ChildPlan>>,
}

impl NoPhantom {
    fn note(&mut self, changes: &[(ChildId, Option<ChildPlan>)]) {
        for (child, wanted) in changes {
            let Some(plan) = wanted else { continue };
            let plans = self.asked.entry(child.clone()).or_default();
            if !plans.contains(plan) {
                plans.push(*plan);
            }
        }
    }
}

impl Law for NoPhantom {
    fn name(&self) -> &'static str {
        "S6 no phantom"
    }

    fn on_fact(
        &mut self,
        _now: Timestamp,
        fact: &Fact,
        _picture: &Picture,
    ) -> Result<(), Violation> {
        match fact {
            Fact::Asked { changes, .. } => self.note(changes),
            Fact::Started(started) => {
                let child = Some(&started.child);
                if !started.exact {
                    return self.broken(child, format_args!("its spec was changed on the way"));
                }
                let asked = self.asked.get(&started.child);
                if !asked.is_some_and(|plans| plans.contains(&started.plan)) {
                    let host = &started.host;
                    return self.broken(child, format_args!("{host} starts what nobody asked for"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn at_rest(&mut self, _now: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        for (child, instances) in &rest.picture.instances {
            let changes = rest.oracle.changes(child);
            let is_phantom = |plan: ChildPlan| {
                let mut open = changes.iter().filter(|it| it.outcome != Outcome::Refused);
                !open.any(|change| change.wanted == Some(plan))
            };
            if let Some(one) = instances.iter().find(|one| is_phantom(one.plan)) {
                let host = &one.host;
                return self.broken(Some(child), format_args!("{host} runs what was refused"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};
    use crate::fact::Started;

    #[test]
    fn start_of_what_nobody_asked_for_breaks_it() {
        let mut world = World::of(NoPhantom::default(), &["a"]);
        assert!(world.starts("a", 1).is_err());
        world.asks(Some(ChildPlan::default())).unwrap();
        world.starts("a", 1).unwrap();
        let plan = ChildPlan { value: 1, ..ChildPlan::default() };
        let other = Started { plan, ..World::<NoPhantom>::start_of("a", 2) };
        assert!(world.see(&Fact::Started(other)).is_err(), "they asked for another spec");
    }

    #[test]
    fn spec_that_was_changed_on_the_way_breaks_it() {
        let mut world = World::of(NoPhantom::default(), &["a"]);
        world.asks(Some(ChildPlan::default())).unwrap();
        let garbled = Started { exact: false, ..World::<NoPhantom>::start_of("a", 1) };
        assert!(world.see(&Fact::Started(garbled)).is_err());
    }

    #[test]
    fn refused_change_that_runs_breaks_it() {
        let mut world = World::of(NoPhantom::default(), &["a"]);
        world.asks(Some(ChildPlan::default())).unwrap();
        world.starts("a", 1).unwrap();
        let change = world.oracle.asked(world.now, &child(), boot("a"), Some(ChildPlan::default()));
        world.rests().unwrap();
        world.oracle.answered(&child(), change, Outcome::Refused);
        assert!(world.rests().is_err());
    }
}
