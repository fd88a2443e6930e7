//! S8: a child moves only because a view changed: to a member that its holder gained since the
//! child started there, or away from one that may no longer own it; or because a cordon changed.
//!
//! So a join moves children only to the newcomer, a leave only from the leaver, and a cluster in
//! which nothing changes moves nothing.

use std::time::Duration;

use pogo_core::{
    id::BootId,
    record::{Stage, Stamp},
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{
    fact::{Fact, Started},
    picture::{Host, Instance, Picture},
};

#[derive(Debug)]
pub(super) struct BoundedMovement {
    in_flight: Duration,
    unanswered: Duration,
}

impl BoundedMovement {
    /// A start that was decided may take `in_flight` to begin, and where others may not answer up to
    /// `unanswered` more: it waits for them to have its report (R11).
    pub(super) fn new(in_flight: Duration, unanswered: Duration) -> Self {
        Self { in_flight, unanswered }
    }

    /// A cordon, the view that has it, the want and the stop each take their way through a feed.
    fn in_flight(&self, picture: &Picture) -> Duration {
        self.in_flight + picture.delay * 4
    }

    /// Whether the starter's view was the same for so long that it cannot have been the owner when
    /// it decided to start.
    fn is_stray(&self, now: Timestamp, started: &Started, picture: &Picture) -> bool {
        // Where the one start of a temporary child was taken it begins, however long its claim is
        // waited for (R5).
        let is_taken = |(stamp, _): (Stamp, bool)| stamp.stage == Stage::Spent(started.boot);
        if started.record.is_some_and(is_taken) {
            return false;
        }
        let Some(host) = picture.hosts.get(&started.host) else { return true };
        let mut in_flight = self.in_flight(picture);
        let last_gain = host.view.values().max().copied().unwrap_or_default();
        if picture.divided || picture.has_stalled() || now <= picture.disturbed + self.unanswered {
            in_flight += self.unanswered;
        }
        !started.owned && now > last_gain.max(last_cordon(picture)) + in_flight
    }

    fn is_explained(&self, started: &Started, last: &Instance, picture: &Picture) -> bool {
        if last.host == started.host || started.record.map(|(stamp, _)| stamp) != last.stamp {
            return true;
        }
        let Some(from) = picture.hosts.get(&last.host) else { return true };
        let Some(to) = picture.hosts.get(&started.host) else { return false };
        let gives_up =
            from.boot != last.boot || from.leaving || !from.view.contains_key(&last.boot);
        gives_up
            || last_cordon(picture) + self.in_flight(picture) >= last.held
            || self.gained_since(from, started.boot, last, picture)
            || self.gained_since(to, last.boot, last, picture)
    }

    /// Whether `host` does not see `other` in its view, or gained it after the instance had been
    /// decided on.
    fn gained_since(&self, host: &Host, other: BootId, last: &Instance, picture: &Picture) -> bool {
        let in_flight = self.in_flight(picture);
        host.view.get(&other).is_none_or(|since| *since + in_flight >= last.held)
    }
}

impl Law for BoundedMovement {
    fn name(&self) -> &'static str {
        "S8 bounded movement"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        let Fact::Started(started) = fact else { return Ok(()) };
        let child = Some(&started.child);
        let last = picture.last.get(&started.child);
        let restarts = picture.is_restart(&started.child, started.boot);
        if !restarts && self.is_stray(now, started, picture) {
            return self.broken(child, format_args!("{} is not its owner", started.host));
        }
        match last {
            Some(last) if !restarts && !self.is_explained(started, last, picture) => self.broken(
                child,
                format_args!("moved from {} to {} for no reason", last.host, started.host),
            ),
            _ => Ok(()),
        }
    }
}

/// When any cordon last changed.
fn last_cordon(picture: &Picture) -> Timestamp {
    picture.cordoned.values().max().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn world() -> World<BoundedMovement> {
        let law = BoundedMovement::new(Duration::from_secs(5), Duration::from_secs(10));
        World::of(law, &["a", "b"])
    }

    #[test]
    fn move_between_old_members_breaks_it() {
        let mut world = world();
        world.at(10);
        world.starts("a", 1).unwrap();
        world.at(20);
        world.boots("c");
        world.views("a", &["a", "b", "c"]);
        world.views("b", &["a", "b", "c"]);
        world.exits("a", 1).unwrap();
        assert!(world.starts("b", 1).is_err());
        world.starts("c", 1).unwrap();
    }

    #[test]
    fn leaver_and_crashed_member_give_children_up() {
        let mut world = world();
        world.starts("a", 1).unwrap();
        world.see(&Fact::Leaving { host: name("a"), deadline: None }).unwrap();
        world.exits("a", 1).unwrap();
        world.starts("b", 1).unwrap();
        world.crashes("b");
        world.boots("d");
        world.starts("d", 1).unwrap();
    }

    /// Two sides of a division tried a failing child in turns (random clusters, seed 2205).
    #[test]
    fn attempts_elsewhere_do_not_make_a_holder_a_new_one() {
        let mut world = World::of(
            BoundedMovement::new(Duration::from_secs(5), Duration::from_secs(10)),
            &["a", "b", "c"],
        );
        world.at(10);
        world.starts("a", 1).unwrap();
        world.starts("c", 1).unwrap();
        world.exits("a", 1).unwrap();
        world.at(20);
        world.boots("d");
        for host in ["a", "b", "c"] {
            world.views(host, &["a", "b", "c", "d"]);
        }
        world.exits("c", 1).unwrap();
        world.at(40);
        world.starts("a", 2).unwrap();
        world.exits("a", 2).unwrap();
        world.starts("d", 1).unwrap();
    }

    #[test]
    fn restart_in_place_is_no_move_and_a_new_spec_starts_anywhere() {
        let mut world = world();
        world.starts("a", 1).unwrap();
        world.exits("a", 1).unwrap();
        world.starts("a", 2).unwrap();
        world.exits("a", 2).unwrap();
        let started = World::<BoundedMovement>::start_of("b", 1);
        let record = Some((stamp(6), true));
        world.see(&Fact::Started(Started { record, ..started })).unwrap();
    }

    #[test]
    fn start_by_a_member_that_is_not_the_owner_breaks_it() {
        let mut world = world();
        let started = World::<BoundedMovement>::start_of("b", 1);
        let stray = Fact::Started(Started { owned: false, ..started });
        world.see(&stray).unwrap();
        world.exits("b", 1).unwrap();
        world.picture.last.clear();
        world.picture.ended.clear();
        world.at(17);
        assert!(world.see(&stray).is_err(), "its view was the same for long");
    }

    /// A strict one waited for an epoch that nobody there knew (random clusters, seed 2487).
    #[test]
    fn temporary_child_may_begin_late_where_its_one_start_was_taken() {
        for (by, is_legal) in [("b", true), ("a", false)] {
            let mut world = world();
            world.at(17);
            let record = Some((Stamp { stage: Stage::Spent(boot(by)), ..stamp(5) }, true));
            let started = World::<BoundedMovement>::start_of("b", 1);
            let late = Fact::Started(Started { owned: false, record, ..started });
            assert_eq!(world.see(&late).is_ok(), is_legal);
        }
    }

    /// It had decided before it was cordoned, and nobody answered (simulation, random clusters,
    /// seed 354).
    #[test]
    fn start_that_waits_for_an_answer_from_across_a_cut_begins_late() {
        let mut world = world();
        world.see(&Fact::Cut(Vec::new())).unwrap();
        world.at(12);
        let started = World::<BoundedMovement>::start_of("b", 1);
        let stray = Fact::Started(Started { owned: false, ..started });
        world.see(&stray).unwrap();
        world.exits("b", 1).unwrap();
        world.picture.last.clear();
        world.picture.ended.clear();
        world.at(17);
        assert!(world.see(&stray).is_err(), "who does not answer for so long is dead");
    }
}
