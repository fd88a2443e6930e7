//! S14: a member that leaves has nothing left when it is gone, says truly what became of its
//! children, and takes no longer than it was given. Time counts for a process only while it goes on:
//! one that stands still ends nothing; and of one that is left for good nothing more is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use pogo_core::{
    id::{ChildId, MemberName},
    spec::Restart,
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{
    fact::Fact,
    oracle::Oracle,
    picture::{Instance, Picture},
};

/// What follows the end of the last child: its last writes, and the leave itself.
const LAST_WORDS: Duration = Duration::from_secs(7);

/// A member that leaves.
#[derive(Debug)]
struct Leaver {
    since: Timestamp,
    until: Timestamp,
    /// What it ran when it began and nobody has changed since.
    ran: BTreeSet<ChildId>,
}

#[derive(Debug)]
pub(super) struct Drain {
    handover: Duration,
    slack: Duration,
    leavers: BTreeMap<MemberName, Leaver>,
}

impl Drain {
    /// Last writes of children that stop are waited for `handover` long.
    pub(super) fn new(handover: Duration, slack: Duration) -> Self {
        Self { handover, slack, leavers: BTreeMap::new() }
    }

    fn begin(
        &mut self,
        now: Timestamp,
        host: &MemberName,
        deadline: Option<Duration>,
        picture: &Picture,
    ) {
        let here: Vec<_> = on(host, picture).collect();
        let longest = here.iter().map(|(_, one)| one.plan.grace).max().unwrap_or_default();
        let given = deadline.unwrap_or_default() + longest * 2 + self.handover;
        let until = now + given + LAST_WORDS + self.slack;
        let alone = here.iter().filter(|(child, one)| {
            picture.of(child).len() == 1 && one.is_running() && one.plan.is_healthy()
        });
        let ran = alone
            .filter(|(_, one)| one.plan.restart == Restart::Permanent)
            .map(|(child, _)| (*child).clone())
            .collect();
        self.leavers.insert(host.clone(), Leaver { since: now, until, ran });
    }

    /// The time for which it stood still does not count.
    fn resume(&mut self, now: Timestamp, host: &MemberName, picture: &Picture) {
        let paused = picture.hosts.get(host).and_then(|host| host.paused);
        if let (Some(leaver), Some(paused)) = (self.leavers.get_mut(host), paused) {
            leaver.until = leaver.until + now.since(paused.max(leaver.since));
        }
    }

    fn judge_drained(
        &self,
        host: &MemberName,
        named: [&[ChildId]; 3],
        picture: &Picture,
    ) -> Result<(), Violation> {
        if let Some((child, _)) = on(host, picture).next() {
            return self.broken(Some(child), format_args!("{host} is drained and still runs it"));
        }
        let Some(leaver) = self.leavers.get(host) else { return Ok(()) };
        if picture.divided || picture.disturbed >= leaver.since {
            return Ok(());
        }
        let boot = picture.hosts.get(host).map(|host| host.boot);
        let gave_up = |child: &ChildId| {
            let ended = boot.and_then(|boot| picture.ended.get(&(child.clone(), boot)));
            let told = ended.and_then(|it| it.stopping);
            matches!(told, Some("moving" | "draining" | "supervisor stopped"))
        };
        let named = named.concat();
        let mut hidden = leaver.ran.iter().filter(|child| gave_up(child) && !named.contains(child));
        match hidden.next() {
            Some(child) => self.broken(Some(child), format_args!("{host} hides what became of it")),
            None => Ok(()),
        }
    }
}

impl Law for Drain {
    fn name(&self) -> &'static str {
        "S14 drain"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        if self.leavers.is_empty() && !matches!(fact, Fact::Leaving { .. }) {
            return Ok(());
        }
        match fact {
            Fact::Leaving { host, deadline } => self.begin(now, host, *deadline, picture),
            Fact::Asked { changes, .. } => {
                for leaver in self.leavers.values_mut() {
                    leaver.ran.retain(|child| !changes.iter().any(|(changed, _)| changed == child));
                }
            }
            Fact::Crashed { host, .. } | Fact::Abandoned { host, .. } => {
                self.leavers.remove(host);
            }
            Fact::Resumed { host } => self.resume(now, host, picture),
            Fact::Drained { host, moved, stopped, left_behind } => {
                return self.judge_drained(host, [moved, stopped, left_behind], picture);
            }
            Fact::Stopped { host } => {
                self.leavers.remove(host);
                if let Some((child, _)) = on(host, picture).next() {
                    return self.broken(Some(child), format_args!("{host} left with it running"));
                }
            }
            _ => {}
        }
        let is_paused =
            |host: &MemberName| picture.hosts.get(host).is_some_and(|host| host.paused.is_some());
        let overdue = |(host, leaver): &(&_, &Leaver)| leaver.until < now && !is_paused(host);
        match self.leavers.iter().find(overdue) {
            Some((host, leaver)) => {
                self.broken(None, format_args!("{host} leaves since {:?}", leaver.since))
            }
            None => Ok(()),
        }
    }

    fn may_rest(&mut self, _: Timestamp, picture: &Picture, _: &Oracle) -> Result<(), Violation> {
        match picture.hosts.iter().find(|(_, host)| host.leaving) {
            Some((name, _)) => self.broken(None, format_args!("{name} does not end its leave")),
            None => Ok(()),
        }
    }
}

/// The instances on a member, but for those that block a thread: the end of the process ends those.
fn on<'a>(
    host: &'a MemberName,
    picture: &'a Picture,
) -> impl Iterator<Item = (&'a ChildId, &'a Instance)> {
    let all = picture.instances.iter();
    all.filter_map(move |(child, all)| {
        Some((child, all.iter().find(|one| one.host == *host && !one.is_blocked())?))
    })
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn world() -> World<Drain> {
        let law = Drain::new(Duration::from_secs(10), Duration::ZERO);
        let mut world = World::of(law, &["a", "b"]);
        world.starts("a", 1).unwrap();
        world.readies("a", 1).unwrap();
        let deadline = Some(Duration::from_secs(20));
        world.see(&Fact::Leaving { host: name("a"), deadline }).unwrap();
        world
    }

    fn drained(moved: &[ChildId]) -> Fact {
        let (moved, stopped, left_behind) = (moved.to_vec(), Vec::new(), Vec::new());
        Fact::Drained { host: name("a"), moved, stopped, left_behind }
    }

    #[test]
    fn drained_member_with_a_child_breaks_it() {
        let mut world = world();
        assert!(world.see(&drained(&[child()])).is_err());
        assert!(world.see(&Fact::Stopped { host: name("a") }).is_err());
        world.exits("a", 1).unwrap();
        world.see(&drained(&[child()])).unwrap();
        world.see(&Fact::Stopped { host: name("a") }).unwrap();
    }

    #[test]
    fn child_that_the_drain_does_not_name_breaks_it() {
        let mut world = world();
        world.stops("a", 1).unwrap();
        world.exits("a", 1).unwrap();
        assert!(world.see(&drained(&[])).is_err());
        world.asks(None).unwrap();
        world.see(&drained(&[])).unwrap();
    }

    #[test]
    fn leave_that_does_not_end_breaks_it() {
        let mut world = world();
        world.at(30);
        world.see(&Fact::Healed).unwrap();
        world.at(50);
        assert!(world.see(&Fact::Healed).is_err());
        assert!(world.rests().is_err());
    }

    #[test]
    fn time_in_which_the_leaver_stands_still_does_not_count() {
        let mut world = world();
        world.at(20);
        world.see(&Fact::Paused { host: name("a") }).unwrap();
        world.at(60);
        world.see(&Fact::Healed).unwrap();
        world.see(&Fact::Resumed { host: name("a") }).unwrap();
        world.at(70);
        world.see(&Fact::Healed).unwrap();
        world.at(90);
        assert!(world.see(&Fact::Healed).is_err());
    }

    #[test]
    fn leaver_that_is_left_for_good_owes_nothing() {
        let mut world = world();
        world.see(&Fact::Abandoned { host: name("a"), how: "paused" }).unwrap();
        world.at(90);
        world.see(&Fact::Healed).unwrap();
        world.rests().unwrap();
    }
}
