//! S4: an accepted change is never lost: at rest every member knows a record at or above the one
//! that was accepted, and a child that must be present is.

use pogo_core::{id::ChildId, time::Timestamp};

use super::{Law, Violation};
use crate::{
    oracle::{Expected, Outcome},
    rest::Rest,
};

#[derive(Debug, Default)]
pub(super) struct NoLostChange;

impl NoLostChange {
    fn judge(&self, child: &ChildId, rest: &Rest<'_>) -> Result<(), Violation> {
        let accepted =
            rest.oracle.changes(child).iter().filter_map(|change| match change.outcome {
                Outcome::Accepted { stamp, .. } => stamp,
                Outcome::Refused | Outcome::Unknown => None,
            });
        let highest = accepted.max();
        let must_be_there = matches!(rest.oracle.expected(child), Expected::Present(_));
        for (host, node) in &rest.nodes {
            let record = node.known.get(child).and_then(|known| known.record);
            if record.map(|(stamp, _)| stamp) < highest {
                return self.broken(
                    Some(child),
                    format_args!("{host} knows {record:?}, accepted was {highest:?}"),
                );
            }
            let live = record.is_some_and(|(_, live)| live);
            if must_be_there && !live {
                return self.broken(
                    Some(child),
                    format_args!("its start was accepted, {host} knows {record:?}"),
                );
            }
        }
        Ok(())
    }
}

impl Law for NoLostChange {
    fn name(&self) -> &'static str {
        "S4 no lost change"
    }

    fn at_rest(&mut self, _now: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        rest.oracle.children().try_for_each(|child| self.judge(child, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};
    use crate::plan::ChildPlan;

    #[test]
    fn record_below_the_accepted_one_breaks_it() {
        let mut world = World::of(NoLostChange, &["a", "b"]);
        world.accepts(Some(ChildPlan::default()), stamp(5));
        world.all_know(Some((stamp(5), true)), "a");
        world.rests().unwrap();
        world.nodes.get_mut(&name("b")).unwrap().known.clear();
        assert!(world.rests().is_err());
        world.all_know(Some((stamp(4), true)), "a");
        assert!(world.rests().is_err());
        world.all_know(Some((stamp(6), true)), "a");
        world.rests().unwrap();
    }

    #[test]
    fn accepted_start_that_ends_absent_breaks_it() {
        let mut world = World::of(NoLostChange, &["a"]);
        world.accepts(Some(ChildPlan::default()), stamp(5));
        world.all_know(Some((stamp(7), false)), "a");
        assert!(world.rests().is_err());
        world.at(2);
        world.accepts(None, stamp(7));
        world.rests().unwrap();
    }
}
