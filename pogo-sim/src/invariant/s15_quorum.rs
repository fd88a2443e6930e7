//! S15: instances of a child that needs a quorum never overlap, on whichever sides of a division
//! they are; and the side that is too small has stopped its own in time (R17).
//!
//! Pauses excuse, and slowness: nobody stops anything while it stands still.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use pogo_core::{
    id::{BootId, ChildId, MemberName, RunId},
    spec::Exclusivity,
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{
    fact::Fact,
    picture::{Instance, Picture},
};

#[derive(Debug)]
pub(super) struct Quorum {
    window: Duration,
    slack: Duration,
    /// Instances on a side that is too small, and when they must have ended.
    due: BTreeMap<(Timestamp, ChildId), (BootId, RunId)>,
}

impl Quorum {
    /// A member counts for `window` after its last answer, and a step takes `slack`.
    pub(super) fn new(window: Duration, slack: Duration) -> Self {
        Self { window, slack, due: BTreeMap::new() }
    }

    fn is_excused(&self, one: &Instance, now: Timestamp, picture: &Picture) -> bool {
        let slow = picture.hosts.get(&one.host).is_some_and(|host| !host.slow.is_zero());
        let recently = self.window + one.plan.grace + self.slack;
        one.is_blocked() || slow || picture.is_excused(one, now, recently)
    }

    /// Who is in the minority after this cut stops within the window and its own grace.
    fn on_cut(&mut self, now: Timestamp, groups: &[BTreeSet<MemberName>], picture: &Picture) {
        self.due.clear();
        let side = |host: &MemberName| groups.iter().position(|group| group.contains(host));
        for (child, one) in
            picture.instances.iter().flat_map(|(id, all)| all.iter().map(move |one| (id, one)))
        {
            let Exclusivity::Quorum { size } = one.exclusivity else { continue };
            let mine = side(&one.host);
            let near = picture.hosts.keys().filter(|host| side(host) == mine).count();
            if near < size.get() as usize {
                let within = (self.window + one.plan.grace).mul_f64(1.01) + self.slack;
                self.due.insert((now + within, child.clone()), (one.boot, one.run));
            }
        }
    }

    fn judge_due(&mut self, now: Timestamp, picture: &Picture) -> Result<(), Violation> {
        while let Some(entry) = self.due.first_entry().filter(|it| it.key().0 < now) {
            let ((_, child), (boot, run)) = entry.remove_entry();
            let mut all = picture.of(&child).iter();
            let left = all.find(|one| one.boot == boot && one.run == run);
            if let Some(one) = left.filter(|one| !self.is_excused(one, now, picture)) {
                let host = &one.host;
                return self.broken(Some(&child), format_args!("{host} runs it out of quorum"));
            }
        }
        Ok(())
    }
}

impl Law for Quorum {
    fn name(&self) -> &'static str {
        "S15 quorum"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        self.judge_due(now, picture)?;
        match fact {
            Fact::Cut(groups) => self.on_cut(now, groups, picture),
            // What else goes wrong, or no longer does, may bring its side together again.
            Fact::Healed
            | Fact::Unlinked { .. }
            | Fact::Linked { .. }
            | Fact::Booted { .. }
            | Fact::Disturbed(_) => self.due.clear(),
            Fact::Started(started) if matches!(started.exclusivity, Exclusivity::Quorum { .. }) => {
                let mut others = picture.of(&started.child).iter();
                let other = others.find(|one| {
                    matches!(one.exclusivity, Exclusivity::Quorum { .. })
                        && !self.is_excused(one, now, picture)
                });
                if let Some(other) = other {
                    let (host, there) = (&started.host, &other.host);
                    let what = format_args!("started on {host} while {there} has it");
                    return self.broken(Some(&started.child), what);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{super::handmade::*, *};

    fn world() -> World<Quorum> {
        let second = Duration::from_secs(1);
        World::of(Quorum::new(second * 5, second), &["a", "b", "c"])
    }

    fn starts(host: &str) -> Fact {
        let mut started = World::<Quorum>::start_of(host, 1);
        started.exclusivity = Exclusivity::Quorum { size: NonZeroU32::new(2).unwrap() };
        Fact::Started(started)
    }

    fn cut(host: &str) -> Fact {
        Fact::Cut(vec![[name(host)].into()])
    }

    #[test]
    fn instances_that_overlap_break_it() {
        let mut world = world();
        world.see(&starts("a")).unwrap();
        assert!(world.see(&starts("b")).is_err());
        world.see(&Fact::Paused { host: name("a") }).unwrap();
        world.see(&starts("b")).unwrap();
    }

    #[test]
    fn minority_that_does_not_stop_in_time_breaks_it() {
        let mut world = world();
        world.see(&starts("a")).unwrap();
        world.see(&cut("a")).unwrap();
        world.at(5);
        world.see(&Fact::Evicted { host: name("a") }).unwrap();
        world.at(10);
        assert!(world.see(&Fact::Evicted { host: name("a") }).is_err());
    }

    #[test]
    fn majority_and_a_minority_that_is_whole_again_run_on() {
        let mut world = world();
        world.see(&starts("a")).unwrap();
        world.see(&cut("b")).unwrap();
        world.at(20);
        world.see(&cut("a")).unwrap();
        world.at(22);
        world.see(&Fact::Healed).unwrap();
        world.at(50);
        world.see(&Fact::Evicted { host: name("a") }).unwrap();
    }
}
