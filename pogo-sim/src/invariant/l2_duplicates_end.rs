//! L2: duplicates made while the cluster was divided are gone within R8's bound: detection, one
//! second, and the child's own shutdown, counted from the end of the division, or from when one of
//! them first runs, whichever is later.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{id::ChildId, time::Timestamp};

use super::{Law, Violation};
use crate::{
    fact::Fact,
    picture::{Instance, Picture},
};

#[derive(Debug)]
pub(super) struct DuplicatesEnd {
    bound: Duration,
    overdue: BTreeMap<ChildId, Timestamp>,
}

impl DuplicatesEnd {
    /// Duplicates end within `bound` and their own shutdown.
    pub(super) fn new(bound: Duration) -> Self {
        Self { bound, overdue: BTreeMap::new() }
    }

    fn deadline(&self, instances: &[Instance], picture: &Picture) -> Option<Timestamp> {
        if picture.divided {
            return None;
        }
        let first_ready = instances.iter().filter_map(|instance| instance.ready).min()?;
        let youngest = instances.iter().map(|instance| instance.since).max()?;
        let grace = instances.iter().map(|instance| instance.plan.grace).max()?;
        let from = picture.disturbed.max(first_ready).max(youngest);
        Some(from + self.bound + grace)
    }
}

impl Law for DuplicatesEnd {
    fn name(&self) -> &'static str {
        "L2 duplicates end"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        if matches!(fact, Fact::Handled { .. }) && !self.overdue.values().any(|end| *end < now) {
            return Ok(());
        }
        self.on_picture(now, picture)
    }

    fn on_picture(&mut self, now: Timestamp, picture: &Picture) -> Result<(), Violation> {
        let deadlines: BTreeMap<_, _> = picture
            .doubled()
            .filter_map(|(child, all)| Some((child.clone(), self.deadline(all, picture)?)))
            .collect();
        self.overdue = deadlines;
        match self.overdue.iter().find(|(_, end)| **end < now) {
            Some((child, end)) => {
                let hosts: Vec<_> =
                    picture.of(child).iter().map(|instance| instance.host.as_str()).collect();
                self.broken(
                    Some(child),
                    format_args!("{} had to be one since {end:?}", hosts.join(" and ")),
                )
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    #[test]
    fn duplicate_that_outlives_the_bound_breaks_it() {
        let law = DuplicatesEnd::new(Duration::from_secs(5));
        let mut world = World::of(law, &["a", "b"]);
        world.see(&Fact::Cut(Vec::new())).unwrap();
        world.starts("a", 1).unwrap();
        world.readies("a", 1).unwrap();
        world.starts("b", 1).unwrap();
        world.at(100);
        world.see(&Fact::Healed).unwrap();
        world.at(106);
        world.readies("b", 1).unwrap();
        world.see(&Fact::Joined { host: name("b") }).unwrap();
        world.at(107);
        let handled = Fact::Handled { host: name("a"), input: "x", outputs: 0, next: None };
        assert!(world.see(&handled).is_err());
        world.exits("b", 1).unwrap_err();
        world.picture.instances.clear();
        world.see(&handled).unwrap();
    }
}
