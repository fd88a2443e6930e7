//! S7: a second instance of a child begins only where the two members' views explain it.
//!
//! Either one of them does not see the other at that moment, or saw it come back while the start or
//! the report of it was under way, or the starter gained a member, the
//! views do not agree yet (or nobody can know: the feed is slow, the cluster divided), and the time for views to settle ran
//! out (R6). Where nothing has gone
//! wrong for longer than it takes to notice, nothing explains it: planned joins, leaves and drains
//! stop the old instance first (R7).
//!
//! A restart in place begins nothing: where there were two before, R8 settles it.

use std::time::Duration;

use pogo_core::time::Timestamp;

use super::{Law, Violation};
use crate::{
    fact::{Fact, Started},
    picture::{Instance, Picture},
};

#[derive(Debug)]
pub(super) struct Overlap {
    view_settle: Duration,
    calm_after: Duration,
    in_flight: Duration,
}

impl Overlap {
    /// Views settle within `view_settle`; what went wrong is known to all after `calm_after`; a
    /// start that was decided may take `in_flight` to begin.
    pub(super) fn new(view_settle: Duration, calm_after: Duration, in_flight: Duration) -> Self {
        Self { view_settle, calm_after, in_flight }
    }

    fn is_explained(
        &self,
        now: Timestamp,
        started: &Started,
        other: &Instance,
        picture: &Picture,
    ) -> bool {
        let (Some(newer), Some(older)) =
            (picture.hosts.get(&started.host), picture.hosts.get(&other.host))
        else {
            return false;
        };
        if picture.is_restart(&started.child, started.boot) {
            return true;
        }
        // There and back again, and the wait for a publish that was under way: views that need not
        // agree for any time at all settle before anybody can have heard of them.
        let slow = picture.delay * 3 >= self.view_settle;
        // Who is slow handles the change, the answer to its report and the start itself late.
        let late = newer.slow * 3;
        let on_its_way = self.in_flight + picture.delay * 2 + late;
        let known_after = self.calm_after + picture.delay * 4;
        let trouble = picture.divided
            || picture.has_stalled()
            || slow
            || now <= picture.disturbed + known_after;

        let just_met = now <= newer.gained.max(older.gained) + on_its_way;
        // Whose cordon was taken back is its children's owner before the others know.
        let cordoned = [&started.host, &other.host];
        let cordoned = cordoned.iter().filter_map(|host| picture.cordoned.get(*host)).max();
        let cordoned = cordoned.copied().unwrap_or_default();
        let due = newer.gained.max(cordoned) + self.view_settle;
        let just_due = (slow || !late.is_zero() || picture.divided) && now <= due + on_its_way;
        let apart = !newer.view.keys().eq(older.view.keys());
        let ran_out = now >= due && (apart || just_due);
        trouble
            && (just_met
                || !newer.sees_member(other.boot)
                || !older.sees_member(started.boot)
                || ran_out)
    }
}

impl Law for Overlap {
    fn name(&self) -> &'static str {
        "S7 overlap only when allowed"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        let Fact::Started(started) = fact else { return Ok(()) };
        for other in picture.of(&started.child) {
            if other.host != started.host && !self.is_explained(now, started, other, picture) {
                return self.broken(
                    Some(&started.child),
                    format_args!("started on {} while {} has it", started.host, other.host),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn world() -> World<Overlap> {
        let law = Overlap::new(Duration::from_secs(1), Duration::from_secs(10), Duration::ZERO);
        World::of(law, &["a", "b", "c"])
    }

    #[test]
    fn overlap_in_a_calm_cluster_breaks_it() {
        let mut world = world();
        world.at(20);
        world.starts("a", 1).unwrap();
        assert!(world.starts("b", 1).is_err());
        world.stops("a", 1).unwrap();
        assert!(world.starts("b", 1).is_err(), "the old one has not ended");
        world.exits("a", 1).unwrap();
        world.starts("b", 1).unwrap();
    }

    #[test]
    fn division_explains_it_only_once_noticed() {
        let mut world = world();
        world.starts("a", 1).unwrap();
        world.see(&Fact::Cut(Vec::new())).unwrap();
        world.at(3);
        assert!(world.starts("b", 1).is_err());
        world.loses("b", "a");
        world.starts("b", 1).unwrap();
    }

    /// The taker's time for views to settle was none at all (random clusters, seed 1441).
    #[test]
    fn views_that_need_not_settle_explain_it_while_a_member_is_new() {
        let in_flight = Duration::from_secs(2);
        for (settle, is_legal) in [(0, true), (1, false)] {
            let settle = Duration::from_secs(settle);
            let law = Overlap::new(settle, Duration::from_secs(10), in_flight);
            let mut world = World::of(law, &["a", "b"]);
            world.starts("a", 1).unwrap();
            world.at(30);
            assert!(world.starts("b", 1).is_err(), "all have long agreed");
            world.boots("c");
            for host in ["a", "b"] {
                world.sees(host, "c");
                world.sees("c", host);
            }
            for host in ["a", "b", "c"] {
                world.views(host, &["a", "b", "c"]);
            }
            world.at(31);
            assert_eq!(world.starts("b", 1).is_ok(), is_legal);
        }
    }

    /// A slow member took up that it may own children again, and what others started meanwhile
    /// reached it as late (random clusters, seed 1968).
    #[test]
    fn slow_member_starts_later_by_what_it_is_late() {
        let by = Duration::from_secs(1);
        for (second, is_legal) in [(33, true), (34, false)] {
            let law = Overlap::new(Duration::ZERO, Duration::from_secs(10), Duration::ZERO);
            let mut world = World::of(law, &["a", "b"]);
            world.see(&Fact::Slowed { host: name("b"), by }).unwrap();
            world.at(30);
            world.see(&Fact::Cordon(name("b"))).unwrap();
            world.starts("a", 1).unwrap();
            world.at(second);
            assert_eq!(world.starts("b", 1).is_ok(), is_legal);
        }
    }

    /// The other one was uncordoned, and views need not settle for any time (random clusters on a
    /// store, seed 441).
    #[test]
    fn slow_member_starts_what_one_that_was_uncordoned_has_started() {
        for (uncordoned, is_legal) in [("a", true), ("c", false)] {
            let law = Overlap::new(Duration::ZERO, Duration::from_secs(10), Duration::ZERO);
            let mut world = World::of(law, &["a", "b", "c"]);
            let by = Duration::from_secs(1);
            world.see(&Fact::Slowed { host: name("b"), by }).unwrap();
            world.at(30);
            world.see(&Fact::Cordon(name(uncordoned))).unwrap();
            world.starts("a", 1).unwrap();
            world.at(33);
            assert_eq!(world.starts("b", 1).is_ok(), is_legal);
        }
    }

    #[test]
    fn long_after_the_trouble_nothing_explains_it() {
        let mut world = world();
        world.see(&Fact::Cut(Vec::new())).unwrap();
        world.see(&Fact::Healed).unwrap();
        world.starts("a", 1).unwrap();
        world.loses("b", "a");
        world.at(30);
        assert!(world.starts("b", 1).is_err());
    }

    #[test]
    fn views_that_settled_apart_explain_it() {
        let mut world = world();
        world.starts("a", 1).unwrap();
        world.crashes("c");
        world.views("b", &["a", "b"]);
        world.starts("b", 1).unwrap();
        world.stops("b", 1).unwrap();
        world.exits("b", 1).unwrap();
        world.views("a", &["a", "b"]);
        assert!(world.starts("b", 2).is_err());
    }
}
