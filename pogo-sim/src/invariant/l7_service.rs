//! L7: a cluster that has come through all this still serves: what clients ask of it afterwards is
//! what runs.

use std::collections::BTreeMap;

use pogo_core::{id::ChildId, time::Timestamp};

use super::{Law, Violation};
use crate::{fact::Fact, picture::Picture, rest::Rest};

#[derive(Debug, Default)]
pub(super) struct Service {
    serves: bool,
    /// What was last asked for while serving: whether it is to run.
    asked: BTreeMap<ChildId, bool>,
}

impl Law for Service {
    fn name(&self) -> &'static str {
        "L7 service"
    }

    fn on_fact(&mut self, _: Timestamp, fact: &Fact, _: &Picture) -> Result<(), Violation> {
        match fact {
            Fact::Phase(phase) => self.serves |= *phase == "serve",
            Fact::Asked { changes, .. } if self.serves => {
                let asked = changes.iter().map(|(child, plan)| (child.clone(), plan.is_some()));
                self.asked.extend(asked);
            }
            _ => {}
        }
        Ok(())
    }

    fn at_rest(&mut self, _: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        for (child, wanted) in &self.asked {
            let running = rest.picture.of(child).iter().filter(|one| one.is_running()).count();
            let nobody_may = rest.nobody_may_run(child) || rest.is_short_of_members(child);
            let excused = running == 0 && nobody_may;
            if running != usize::from(*wanted) && !excused {
                let what = format_args!("{running} run, {} asked for", usize::from(*wanted));
                return self.broken(Some(child), what);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};
    use crate::plan::ChildPlan;

    #[test]
    fn what_is_asked_for_after_the_trouble_and_does_not_run_breaks_it() {
        let mut world = World::of(Service::default(), &["a"]);
        world.asks(Some(ChildPlan::default())).unwrap();
        world.rests().unwrap();
        world.see(&Fact::Phase("serve")).unwrap();
        world.asks(Some(ChildPlan::default())).unwrap();
        assert!(world.rests().is_err());
        world.starts("a", 1).unwrap();
        world.readies("a", 1).unwrap();
        world.rests().unwrap();
        world.asks(None).unwrap();
        assert!(world.rests().is_err());
    }
}
