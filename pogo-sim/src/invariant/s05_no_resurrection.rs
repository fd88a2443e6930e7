//! S5: what was removed stays removed: no member starts a child from a record that is not live or
//! is older than one it has acted on, none starts a temporary child that was started, and at rest a
//! terminated child is gone.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{BootId, ChildId},
    record::{Stamp, Version},
    spec::Restart,
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{
    fact::{Fact, Started},
    oracle::Expected,
    picture::Picture,
    rest::Rest,
};

#[derive(Debug, Default)]
pub(super) struct NoResurrection {
    acted_on: BTreeMap<(BootId, ChildId), Stamp>,
    known_after: Duration,
    /// The one start of each write of a temporary child.
    spent: BTreeMap<(ChildId, Version), (BootId, Timestamp)>,
    /// When members last began or ended being apart.
    apart: Timestamp,
}

impl NoResurrection {
    /// What one side of a division did is known to all `known_after` its end.
    pub(super) fn new(known_after: Duration) -> Self {
        Self { known_after, ..Self::default() }
    }

    /// A temporary child runs once, whatever becomes of its member (R5); two sides of a division may
    /// each run it.
    fn judge_spent(
        &mut self,
        now: Timestamp,
        started: &Started,
        version: Version,
        picture: &Picture,
    ) -> Result<(), Violation> {
        let key = (started.child.clone(), version);
        let Some((boot, at)) = self.spent.insert(key, (started.boot, now)) else { return Ok(()) };
        if picture.divided || at <= self.apart + self.known_after {
            return Ok(());
        }
        let host = &started.host;
        let what = format_args!("{host} starts it again, {boot:?} did at {at:?}");
        self.broken(Some(&started.child), what)
    }
}

impl Law for NoResurrection {
    fn name(&self) -> &'static str {
        "S5 no resurrection"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        if fact.is_about_links() {
            self.apart = now;
        }
        let Fact::Started(started) = fact else { return Ok(()) };
        let child = Some(&started.child);
        let host = &started.host;
        let Some((stamp, true)) = started.record else {
            return self.broken(child, format_args!("{host} starts it from {:?}", started.record));
        };
        if started.plan.restart == Restart::Temporary {
            self.judge_spent(now, started, stamp.version, picture)?;
        }
        let before = self.acted_on.insert((started.boot, started.child.clone()), stamp);
        match before {
            Some(before) if stamp < before => self.broken(
                child,
                format_args!("{host} starts it from {stamp:?} after it had acted on {before:?}"),
            ),
            _ => Ok(()),
        }
    }

    fn at_rest(&mut self, _now: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        for child in rest.oracle.children() {
            if rest.oracle.expected(child) != Expected::Absent {
                continue;
            }
            if let Some(instance) = rest.picture.of(child).first() {
                return self.broken(Some(child), format_args!("it runs on {}", instance.host));
            }
            for (host, node) in &rest.nodes {
                let record = node.known.get(child).and_then(|known| known.record);
                if record.is_some_and(|(_, live)| live) || node.children.contains_key(child) {
                    return self.broken(Some(child), format_args!("{host} knows {record:?}"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn start(record: Option<(Stamp, bool)>) -> Fact {
        let started = World::<NoResurrection>::start_of("a", 1);
        Fact::Started(Started { record, ..started })
    }

    #[test]
    fn start_without_a_live_record_breaks_it() {
        let mut world = World::of(NoResurrection::default(), &["a"]);
        assert!(world.see(&start(None)).is_err());
        assert!(world.see(&start(Some((stamp(5), false)))).is_err());
        world.see(&start(Some((stamp(5), true)))).unwrap();
        assert!(world.see(&start(Some((stamp(4), true)))).is_err());
        world.see(&start(Some((stamp(6), true)))).unwrap();
    }

    #[test]
    fn temporary_child_that_starts_twice_breaks_it() {
        let mut world = World::of(NoResurrection::new(Duration::from_secs(5)), &["a", "b"]);
        let temporary = |host: &str| {
            let mut started = World::<NoResurrection>::start_of(host, 1);
            started.plan.restart = Restart::Temporary;
            Fact::Started(started)
        };
        world.at(10);
        world.see(&temporary("a")).unwrap();
        assert!(world.see(&temporary("b")).is_err());
        world.see(&Fact::Cut(Vec::new())).unwrap();
        world.see(&temporary("b")).unwrap();
    }

    #[test]
    fn terminated_child_that_is_there_at_rest_breaks_it() {
        let mut world = World::of(NoResurrection::default(), &["a", "b"]);
        world.accepts(None, stamp(9));
        world.all_know(Some((stamp(9), false)), "a");
        world.rests().unwrap();
        world.all_know(Some((stamp(9), true)), "a");
        assert!(world.rests().is_err());
        world.nodes.values_mut().for_each(|node| node.children.clear());
        world.all_know(Some((stamp(9), false)), "a");
        world.starts("b", 1).unwrap();
        assert!(world.rests().is_err());
    }
}
