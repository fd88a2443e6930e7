//! S16: an instance is given the state that the last one handed over, or the loss was told; never
//! an older one after a newer one, and never one that an instance has already made its own by
//! becoming ready before it was told to stop (R9).
//!
//! An instance that was terminated, or that ended because it was no longer its member's to run, hands
//! nothing over, whatever it says at its end: another may run elsewhere by then. What it was given
//! stays good for the next attempt where it was never ready; what it said is given to nobody.
//!
//! Where members cannot reach each other, or one has crashed with what it had, none of this can be
//! promised: only what was handed over since the last such trouble is held against them. Nor can it
//! where the successor holds a slow member to be dead that lives: that one still writes.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{BootId, ChildId, MemberName},
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{
    fact::{Fact, Started},
    picture::{Host, Instance, Picture},
};

/// A state that was handed over.
#[derive(Debug)]
struct State {
    number: u64,
    at: Timestamp,
    /// By whom.
    by: BootId,
    /// An instance that was given it became ready then.
    used: Option<Timestamp>,
}

/// The states of a child.
#[derive(Debug, Default)]
struct Lineage {
    states: Vec<State>,
    /// The next start must be given this.
    owed: Option<(u64, Timestamp, BootId)>,
    /// When it was last asked to be terminated.
    terminated: Option<Timestamp>,
    /// Who was given which.
    given: Vec<(Instance, u64)>,
}

#[derive(Debug)]
pub(super) struct HandedOver {
    known_after: Duration,
    lineages: BTreeMap<ChildId, Lineage>,
}

impl HandedOver {
    /// What went wrong bears on states for so long.
    pub(super) fn new(known_after: Duration) -> Self {
        Self { known_after, lineages: BTreeMap::new() }
    }

    fn on_start(
        &mut self,
        now: Timestamp,
        started: &Started,
        picture: &Picture,
    ) -> Result<(), Violation> {
        let child = Some(&started.child);
        let host = &started.host;
        let lineage = self.lineages.entry(started.child.clone()).or_default();
        let owed = lineage.owed.take();
        let is_calm =
            |since: Timestamp| !picture.divided && picture.disturbed + self.known_after < since;
        let Some(number) = started.inherited else {
            return match owed {
                Some((owed, at, by)) if is_calm(at) && !is_held_dead(picture, host, by) => {
                    self.broken(child, format_args!("{host} starts it without state {owed}"))
                }
                _ => Ok(()),
            };
        };
        let Some(at) = lineage.states.iter().position(|state| state.number == number) else {
            return self.broken(child, format_args!("{host} invents its state {number}"));
        };
        let newer = lineage.states.last().filter(|state| state.number > number);
        let newer = newer.map(|state| (state.number, state.at, state.by));
        let used = lineage.states.get(at).and_then(|state| state.used);
        lineage.given.push((Instance::new(now, started), number));
        let newer = newer.filter(|(_, at, by)| is_calm(*at) && !is_held_dead(picture, host, *by));
        if let Some((newer, ..)) = newer {
            return self
                .broken(child, format_args!("{host} is given state {number}, {newer} is newer"));
        }
        match used {
            Some(used) if is_calm(used) => self.broken(
                child,
                format_args!("{host} is given state {number}, which was used at {used:?}"),
            ),
            _ => Ok(()),
        }
    }

    fn on_end(&mut self, now: Timestamp, child: &ChildId, ended: &Instance, state: Option<u64>) {
        let lineage = self.lineages.entry(child.clone()).or_default();
        lineage.given.retain(|(one, _)| one.boot != ended.boot || one.run != ended.run);
        lineage.owed = None;
        let told = ended.stopping.unwrap_or_default();
        let kept_back = matches!(told, "ownership lost" | "terminated");
        let Some(number) = state.filter(|_| !kept_back) else { return };
        lineage.states.push(State { number, at: now, by: ended.boot, used: None });
        // Who ends it may know of that, or not yet.
        if lineage.terminated.is_some_and(|at| now <= at + self.known_after) {
            return;
        }
        if matches!(told, "moving" | "replaced" | "supervisor stopped" | "draining" | "restarted") {
            lineage.owed = Some((number, now, ended.boot));
        }
    }
}

/// Whether a member does not see a process that runs on, too slow to be seen. (Nor does it see one
/// that has left in order and has not ended yet; of those that are not slow that is no excuse.)
fn is_held_dead(picture: &Picture, holds: &MemberName, boot: BootId) -> bool {
    let runs_slowly = |host: &Host| host.boot == boot && !host.slow.is_zero();
    picture.hosts.values().any(runs_slowly)
        && picture.hosts.get(holds).is_some_and(|host| !host.sees.contains_key(&boot))
}

impl Law for HandedOver {
    fn name(&self) -> &'static str {
        "S16 handover"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        match fact {
            Fact::Started(started) => return self.on_start(now, started, picture),
            Fact::Exited { host, child, run, exported, .. } => {
                let mut all = picture.of(child).iter();
                if let Some(ended) = all.find(|one| one.host == *host && one.run == *run) {
                    self.on_end(now, child, ended, *exported);
                }
            }
            Fact::Ready { host, child, run } => {
                let mut all = picture.of(child).iter();
                let told = all.find(|one| one.host == *host && one.run == *run);
                if told.is_some_and(|one| one.stopping.is_some()) {
                    return Ok(());
                }
                let Some(lineage) = self.lineages.get_mut(child) else { return Ok(()) };
                let mut given = lineage.given.iter();
                let given = given.find(|(one, _)| one.host == *host && one.run == *run);
                let number = given.map(|(_, number)| *number);
                let mut states = lineage.states.iter_mut();
                if let Some(state) = states.find(|state| Some(state.number) == number) {
                    state.used = Some(now);
                }
            }
            Fact::HandoverLost { child, .. } => {
                if let Some(lineage) = self.lineages.get_mut(child) {
                    lineage.owed = None;
                }
            }
            // Terminated and started anew, a child begins with nothing.
            Fact::Asked { changes, .. } => {
                for (child, _) in changes.iter().filter(|(_, wanted)| wanted.is_none()) {
                    let lineage = self.lineages.entry(child.clone()).or_default();
                    (lineage.owed, lineage.terminated) = (None, Some(now));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn world() -> World<HandedOver> {
        let mut world = World::of(HandedOver::new(Duration::from_secs(5)), &["a", "b"]);
        world.at(10);
        world.starts("a", 1).unwrap();
        world
    }

    /// Moves away from a member with this state.
    fn hands_over(world: &mut World<HandedOver>, host: &str, run: u64, state: u64) {
        world.stops(host, run).unwrap();
        let (host, child, run) = (name(host), child(), pogo_core::id::RunId::new(run));
        let how = "ended normally".to_owned();
        world.see(&Fact::Exited { host, child, run, how, exported: Some(state) }).unwrap();
    }

    fn begins(
        world: &mut World<HandedOver>,
        host: &str,
        run: u64,
        state: Option<u64>,
    ) -> Result<(), Violation> {
        let started = World::<HandedOver>::start_of(host, run);
        world.see(&Fact::Started(Started { inherited: state, ..started }))
    }

    #[test]
    fn successor_without_the_state_breaks_it() {
        let mut world = world();
        hands_over(&mut world, "a", 1, 7);
        assert!(begins(&mut world, "b", 1, None).is_err());
        let mut world = self::world();
        hands_over(&mut world, "a", 1, 7);
        begins(&mut world, "b", 1, Some(7)).unwrap();
    }

    /// A slow member was held to be dead while it stopped its children (random clusters over gossip,
    /// seeds 326 and 422).
    #[test]
    fn successor_that_holds_a_slow_member_to_be_dead_need_not_have_its_state() {
        let slow = |millis| Fact::Slowed { host: name("a"), by: Duration::from_millis(millis) };
        let mut world = world();
        world.see(&slow(400)).unwrap();
        world.at(20);
        hands_over(&mut world, "a", 1, 7);
        world.loses("b", "a");
        begins(&mut world, "b", 1, None).unwrap();
        let mut world = self::world();
        world.see(&slow(400)).unwrap();
        world.at(20);
        hands_over(&mut world, "a", 1, 7);
        assert!(begins(&mut world, "b", 1, None).is_err(), "it is seen");
        let mut world = self::world();
        hands_over(&mut world, "a", 1, 7);
        world.loses("b", "a");
        assert!(begins(&mut world, "b", 1, None).is_err(), "it left in order");
    }

    #[test]
    fn loss_that_was_told_and_a_new_beginning_owe_nothing() {
        let mut world = world();
        hands_over(&mut world, "a", 1, 7);
        world.see(&Fact::HandoverLost { host: name("a"), child: child() }).unwrap();
        begins(&mut world, "b", 1, None).unwrap();
        hands_over(&mut world, "b", 1, 8);
        world.asks(None).unwrap();
        begins(&mut world, "a", 2, None).unwrap();
    }

    #[test]
    fn state_that_nobody_handed_over_breaks_it() {
        let mut world = world();
        world.exits("a", 1).unwrap();
        assert!(begins(&mut world, "b", 1, Some(9)).is_err());
    }

    #[test]
    fn older_state_after_a_newer_one_breaks_it() {
        let mut world = world();
        hands_over(&mut world, "a", 1, 7);
        begins(&mut world, "b", 1, Some(7)).unwrap();
        hands_over(&mut world, "b", 1, 8);
        assert!(begins(&mut world, "a", 2, Some(7)).is_err());
    }

    #[test]
    fn instance_that_lost_its_ground_hands_nothing_over() {
        let ended = |world: &mut World<HandedOver>| {
            hands_over(world, "a", 1, 7);
            begins(world, "b", 1, Some(7)).unwrap();
            let run = pogo_core::id::RunId::new(1);
            let told =
                Fact::StopAsked { host: name("b"), child: child(), run, reason: "ownership lost" };
            world.see(&told).unwrap();
            let how = "ended normally".to_owned();
            let exited =
                Fact::Exited { host: name("b"), child: child(), run, how, exported: Some(8) };
            world.see(&exited).unwrap();
        };
        let mut world = world();
        ended(&mut world);
        begins(&mut world, "a", 2, Some(7)).unwrap();
        let mut world = self::world();
        ended(&mut world);
        assert!(begins(&mut world, "a", 2, Some(8)).is_err(), "it was handed over by nobody");
    }

    #[test]
    fn state_that_was_used_is_not_given_again() {
        let mut world = world();
        hands_over(&mut world, "a", 1, 7);
        begins(&mut world, "b", 1, Some(7)).unwrap();
        world.exits("b", 1).unwrap();
        begins(&mut world, "b", 2, Some(7)).unwrap();
        world.readies("b", 2).unwrap();
        world.exits("b", 2).unwrap();
        assert!(begins(&mut world, "b", 3, Some(7)).is_err());
    }

    #[test]
    fn trouble_excuses_what_was_handed_over_before_it() {
        let mut world = world();
        hands_over(&mut world, "a", 1, 7);
        world.crashes("a");
        begins(&mut world, "b", 1, None).unwrap();
    }
}
