//! L2: duplicates made while the cluster was divided are gone within R8's bound: detection, one
//! second, and the child's own shutdown, counted from the end of the division, or from when one of
//! them first runs, whichever is later. One of them stays: none gives way but to one that has been
//! ready, and no two to each other.
//!
//! Who gives way goes by a report, and that of an instance which has ended meanwhile may still be
//! heard: as long as it takes to notice an end, and for longer while a division holds it back. Both
//! of two may give way to such a third one; R6 then starts the child again as after any end (R8 b).

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{BootId, ChildId},
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{
    fact::Fact,
    picture::{Instance, Picture},
};

/// How long a report is on its way, beside what the feed takes.
const WAY: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct DuplicatesEnd {
    bound: Duration,
    /// When each duplicate must have ended.
    due: BTreeMap<ChildId, Timestamp>,
    stale: Stale,
    /// When an instance of each child last gave way to another, and whose.
    yielded: BTreeMap<ChildId, (BootId, Timestamp)>,
    /// When an instance of each child last ended otherwise, or any member.
    ended: BTreeMap<ChildId, Timestamp>,
    left: Timestamp,
    /// When instances of each child ended that had been ready, by their processes.
    were_ready: BTreeMap<ChildId, BTreeMap<BootId, Timestamp>>,
    /// The last division: since when, and until when if it has ended.
    division: Option<(Timestamp, Option<Timestamp>)>,
}

/// Whose deadlines the last fact may have moved; they are looked at with the next one, when the
/// picture has it.
#[derive(Debug)]
enum Stale {
    Nobodys,
    Of(ChildId),
    All,
}

impl DuplicatesEnd {
    /// Duplicates end within `bound` and their own shutdown.
    pub(super) fn new(bound: Duration) -> Self {
        Self {
            bound,
            due: BTreeMap::new(),
            stale: Stale::Nobodys,
            yielded: BTreeMap::new(),
            ended: BTreeMap::new(),
            left: Timestamp::ZERO,
            were_ready: BTreeMap::new(),
            division: None,
        }
    }

    fn note_division(&mut self, now: Timestamp, picture: &Picture) {
        self.division = match (self.division, picture.divided) {
            (None, false) => None,
            (None, true) => Some((now, None)),
            // Words may be under way for so long after the end of one.
            (Some((_, Some(until))), true) if until + self.bound < now => Some((now, None)),
            (Some((since, _)), true) => Some((since, None)),
            (Some((since, until)), false) => Some((since, until.or(Some(now)))),
        };
    }

    /// Whether a division holds back what was said at a moment, or did until lately.
    fn was_held_back(&self, at: Timestamp, now: Timestamp) -> bool {
        self.division.is_some_and(|(since, until)| {
            since <= at + self.bound && now <= until.unwrap_or(now) + self.bound
        })
    }

    /// Whether the report of an instance that ran and has ended may only now be heard.
    fn heard_late(&self, now: Timestamp, child: &ChildId, but: [BootId; 2]) -> bool {
        let mut ended = self.were_ready.get(child).into_iter().flatten();
        ended.any(|(boot, at)| !but.contains(boot) && self.was_held_back(*at, now))
    }

    fn note_end(&mut self, now: Timestamp, child: &ChildId, one: &Instance) {
        if one.ready.is_some() {
            self.were_ready.entry(child.clone()).or_default().insert(one.boot, now);
        }
    }

    fn deadline(&self, instances: &[Instance], picture: &Picture) -> Option<Timestamp> {
        // What blocks its thread was told to end, and nothing but its process can end it.
        let blocked = instances.iter().filter(|one| one.is_blocked()).count();
        if picture.divided || picture.has_stalled() || instances.len() - blocked < 2 {
            return None;
        }
        let first_ready = instances.iter().filter_map(|instance| instance.ready).min()?;
        let youngest = instances.iter().map(|instance| instance.since).max()?;
        let grace = instances.iter().map(|instance| instance.plan.grace).max()?;
        let from = picture.disturbed.max(first_ready).max(youngest);
        Some(from + self.bound + grace)
    }

    /// An instance gives way only to one that has been ready, and that does not give way to it.
    fn judge_yield(
        &mut self,
        now: Timestamp,
        child: &ChildId,
        boot: BootId,
        picture: &Picture,
    ) -> Result<(), Violation> {
        let others = || picture.of(child).iter().filter(|one| one.boot != boot);
        let was_ready = |one: &Instance| one.ready.is_some();
        let before = self.yielded.insert(child.clone(), (boot, now));
        // Who stands still, or did, reads late what it reads.
        let late = picture.has_stalled() || now <= picture.disturbed + self.bound;
        let is_heard = |at: Timestamp| {
            late || now <= at + picture.delay * 4 + self.bound || self.was_held_back(at, now)
        };
        let had_one =
            self.were_ready.get(child).is_some_and(|all| all.values().any(|at| is_heard(*at)));
        if !others().any(was_ready) && !had_one {
            return self.broken(Some(child), format_args!("it gave way to none that runs"));
        }
        let way = picture.delay * 4 + WAY;
        let recent = |at: Timestamp| now <= at + way;
        let ended = self.ended.get(child).is_some_and(|at| recent(*at)) || recent(self.left);
        match before {
            Some((other, at))
                if other != boot
                    && recent(at)
                    && !ended
                    && !self.heard_late(now, child, [boot, other])
                    && !others().any(Instance::is_running) =>
            {
                self.broken(Some(child), format_args!("two instances gave way to each other"))
            }
            _ => Ok(()),
        }
    }

    fn look_at(&mut self, child: &ChildId, picture: &Picture) {
        let instances = picture.of(child);
        let due = if instances.len() > 1 { self.deadline(instances, picture) } else { None };
        match due {
            Some(due) => self.due.insert(child.clone(), due),
            None => self.due.remove(child),
        };
    }

    fn look_at_all(&mut self, picture: &Picture) {
        self.due = picture
            .doubled()
            .filter_map(|(child, all)| Some((child.clone(), self.deadline(all, picture)?)))
            .collect();
    }

    fn judge(&self, now: Timestamp, picture: &Picture) -> Result<(), Violation> {
        match self.due.iter().find(|(_, end)| **end < now) {
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

impl Law for DuplicatesEnd {
    fn name(&self) -> &'static str {
        "L2 duplicates end"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        self.note_division(now, picture);
        match fact {
            Fact::StopAsked { host, child, reason: "superseded", .. } => {
                let boot = picture.hosts.get(host).map(|host| host.boot);
                self.judge_yield(now, child, boot.unwrap_or(BootId::from_random(0)), picture)?;
            }
            Fact::StopAsked { child, .. } => drop(self.ended.insert(child.clone(), now)),
            Fact::Exited { host, child, run, .. } => {
                let mut all = picture.of(child).iter();
                let told = all.find(|one| one.host == *host && one.run == *run);
                if let Some(told) = told {
                    if told.stopping != Some("superseded") {
                        self.ended.insert(child.clone(), now);
                    }
                    self.note_end(now, child, told);
                }
            }
            Fact::Crashed { host, .. } | Fact::Stopped { host } | Fact::Abandoned { host, .. } => {
                self.left = now;
                for (child, all) in &picture.instances {
                    all.iter()
                        .filter(|one| one.host == *host)
                        .for_each(|one| self.note_end(now, child, one));
                }
            }
            _ => {}
        }
        match std::mem::replace(&mut self.stale, Stale::Nobodys) {
            Stale::Nobodys => {}
            Stale::Of(child) => self.look_at(&child, picture),
            Stale::All => self.look_at_all(picture),
        }
        self.stale = match fact.child() {
            Some(child) => Stale::Of(child.clone()),
            None if fact.is_trouble() => Stale::All,
            None => Stale::Nobodys,
        };
        self.judge(now, picture)
    }

    fn on_picture(&mut self, now: Timestamp, picture: &Picture) -> Result<(), Violation> {
        self.stale = Stale::Nobodys;
        self.look_at_all(picture);
        self.judge(now, picture)
    }
}

#[cfg(test)]
mod tests {
    use pogo_core::id::RunId;

    use super::{super::handmade::*, *};

    fn gives_way(world: &mut World<DuplicatesEnd>, host: &str) -> Result<(), Violation> {
        let (host, child, run) = (name(host), child(), RunId::new(1));
        world.see(&Fact::StopAsked { host, child, run, reason: "superseded" })
    }

    #[test]
    fn instance_that_gives_way_to_none_that_runs_breaks_it() {
        let mut world = World::of(DuplicatesEnd::new(Duration::from_secs(5)), &["a", "b"]);
        world.at(10);
        world.starts("a", 1).unwrap();
        world.readies("a", 1).unwrap();
        world.starts("b", 1).unwrap();
        assert!(gives_way(&mut world, "a").is_err(), "the other only starts");
        world.readies("b", 1).unwrap();
        gives_way(&mut world, "a").unwrap();
        assert!(gives_way(&mut world, "b").is_err(), "both give way");
    }

    /// What a member said before it ended came out of a division that healed (simulation, random
    /// clusters, seed 242), and the report of one that moves was still under way (1442).
    #[test]
    fn one_that_has_ended_is_heard_of_late() {
        let law = DuplicatesEnd::new(Duration::from_secs(5));
        let mut world = World::of(law, &["a", "b", "c"]);
        for host in ["a", "b"] {
            world.starts(host, 1).unwrap();
        }
        world.starts("c", 1).unwrap();
        world.readies("c", 1).unwrap();
        world.stops("c", 1).unwrap();
        world.exits("c", 1).unwrap();
        gives_way(&mut world, "a").unwrap();
        world.at(10);
        assert!(gives_way(&mut world, "b").is_err(), "all know that it has ended");
    }

    #[test]
    fn one_that_has_ended_in_a_division_is_heard_of_after_it() {
        for is_divided in [true, false] {
            let law = DuplicatesEnd::new(Duration::from_secs(5));
            let mut world = World::of(law, &["a", "b", "c"]);
            let runs = |world: &mut World<DuplicatesEnd>, host| {
                world.starts(host, 1).unwrap();
                world.readies(host, 1).unwrap();
            };
            runs(&mut world, "c");
            if is_divided {
                world.see(&Fact::Cut(Vec::new())).unwrap();
            }
            world.stops("c", 1).unwrap();
            world.exits("c", 1).unwrap();
            world.at(100);
            runs(&mut world, "a");
            runs(&mut world, "b");
            world.see(&Fact::Healed).unwrap();
            gives_way(&mut world, "a").unwrap();
            assert_eq!(gives_way(&mut world, "b").is_ok(), is_divided);
        }
    }

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
        world.law.on_picture(world.now, &world.picture).unwrap();
        world.see(&handled).unwrap();
    }

    #[test]
    fn duplicate_that_blocks_its_thread_is_not_waited_for() {
        let mut world = World::of(DuplicatesEnd::new(Duration::from_secs(5)), &["a", "b"]);
        for host in ["a", "b"] {
            world.starts(host, 1).unwrap();
            world.readies(host, 1).unwrap();
        }
        let stuck = Fact::Stuck { host: name("b"), child: child(), run: RunId::new(1) };
        world.see(&stuck).unwrap();
        world.at(100);
        let handled = Fact::Handled { host: name("a"), input: "x", outputs: 0, next: None };
        world.see(&handled).unwrap();
    }
}
