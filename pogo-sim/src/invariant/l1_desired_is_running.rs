//! L1: at rest what is desired runs: each present child once, ready, on its owner, and every
//! member lists exactly that.
//!
//! A child that fails by its own doing is only held to at most one instance; a temporary one is
//! not moved and may run on any member; a cordoned member keeps what it has, and where all are
//! cordoned nobody starts anything. So it is with a quorum child where there are fewer members than
//! its quorum needs.

use pogo_core::{id::ChildId, node::Status, spec::Restart, time::Timestamp};

use super::{Law, Violation};
use crate::{
    picture::Instance,
    rest::{NodeView, Rest},
};

#[derive(Debug, Default)]
pub(super) struct DesiredIsRunning;

impl DesiredIsRunning {
    fn judge(&self, child: &ChildId, rest: &Rest<'_>) -> Result<(), Violation> {
        let instances = rest.picture.of(child);
        if instances.len() > 1 {
            return self.broken(Some(child), format_args!("{} instances", instances.len()));
        }
        match (rest.is_present(child), instances.first()) {
            (None, _) => self.broken(Some(child), format_args!("some hold it to be present")),
            (Some(_), _) if !rest.is_healthy(child) => Ok(()),
            (Some(true), None) => self.judge_missing(child, rest),
            (Some(false), Some(instance)) => {
                self.broken(Some(child), format_args!("{} runs it, unwanted", instance.host))
            }
            (Some(false), None) => self.judge_unlisted(child, rest),
            (Some(true), Some(instance)) => self.judge_running(child, instance, rest),
        }
    }

    /// Nobody runs it, which is right where nobody may; else says where it should be and what is said of it.
    fn judge_missing(&self, child: &ChildId, rest: &Rest<'_>) -> Result<(), Violation> {
        if rest.nobody_may_run(child) {
            return Ok(());
        }
        if rest.is_short_of_members(child) {
            return Ok(());
        }
        if rest.is_spent(child) {
            return self.judge_unlisted(child, rest);
        }
        let said = rest.nodes.iter().map(|(host, node)| {
            let owner = node.known.get(child).and_then(|known| known.owner.as_ref());
            let status = node.children.get(child).map(|listed| &listed.status);
            format!("{host} says owner {owner:?}, {status:?}")
        });
        let said: Vec<String> = said.collect();
        self.broken(Some(child), format_args!("nobody runs it: {}", said.join("; ")))
    }

    fn judge_unlisted(&self, child: &ChildId, rest: &Rest<'_>) -> Result<(), Violation> {
        match rest.nodes.iter().find(|(_, node)| node.children.contains_key(child)) {
            Some((host, _)) => self.broken(Some(child), format_args!("{host} lists it, unwanted")),
            None => Ok(()),
        }
    }

    fn judge_running(
        &self,
        child: &ChildId,
        instance: &Instance,
        rest: &Rest<'_>,
    ) -> Result<(), Violation> {
        if !instance.is_running() {
            return self
                .broken(Some(child), format_args!("on {} it starts or stops", instance.host));
        }
        for (host, node) in &rest.nodes {
            let owner = node.known.get(child).and_then(|known| known.owner.as_ref());
            let placed = owner == Some(&instance.host) || node.cordoned.contains(&instance.boot);
            if !placed && instance.plan.restart != Restart::Temporary {
                return self.broken(
                    Some(child),
                    format_args!("{} runs it, its owner by {host} is {owner:?}", instance.host),
                );
            }
            self.judge_listing(child, instance, host.as_str(), node)?;
        }
        Ok(())
    }

    fn judge_listing(
        &self,
        child: &ChildId,
        instance: &Instance,
        host: &str,
        node: &NodeView,
    ) -> Result<(), Violation> {
        match node.children.get(child) {
            Some(listed)
                if listed.status == Status::Running
                    && listed.member.as_ref() == Some(&instance.host) =>
            {
                Ok(())
            }
            listed => self.broken(
                Some(child),
                format_args!("{} runs it, {host} lists {listed:?}", instance.host),
            ),
        }
    }
}

impl Law for DesiredIsRunning {
    fn name(&self) -> &'static str {
        "L1 desired is running"
    }

    fn at_rest(&mut self, _now: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        if rest.nodes.is_empty() {
            return Ok(());
        }
        rest.oracle.children().try_for_each(|child| self.judge(child, rest))?;
        for child in rest.picture.instances.keys() {
            if rest.oracle.changes(child).is_empty() {
                return self.broken(Some(child), format_args!("nobody asked for it"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pogo_core::{
        node::PendingReason,
        record::{Stage, Stamp},
    };

    use super::{super::handmade::*, *};
    use crate::plan::{ChildPlan, Then};

    fn world() -> World<DesiredIsRunning> {
        let mut world = World::of(DesiredIsRunning, &["a", "b"]);
        world.accepts(Some(ChildPlan::default()), stamp(5));
        world.all_know(Some((stamp(5), true)), "a");
        world
    }

    #[test]
    fn child_that_nobody_runs_breaks_it() {
        let mut world = world();
        assert!(world.rests().is_err());
        world.starts("a", 1).unwrap();
        assert!(world.rests().is_err(), "it is not ready");
        world.readies("a", 1).unwrap();
        world.rests().unwrap();
        world.starts("b", 1).unwrap();
        assert!(world.rests().is_err(), "two run it");
    }

    #[test]
    fn nobody_need_run_it_where_all_are_cordoned() {
        let mut world = world();
        for node in world.nodes.values_mut() {
            node.known.get_mut(&child()).unwrap().owner = None;
        }
        assert!(world.rests().is_err());
        world.nodes.values_mut().for_each(|node| node.cordoned = node.members.clone());
        world.rests().unwrap();
    }

    #[test]
    fn quorum_child_need_not_run_where_there_are_too_few_members() {
        let mut world = world();
        for (size, is_short) in [(2, false), (3, true)] {
            let size = std::num::NonZeroU32::new(size).unwrap();
            for node in world.nodes.values_mut() {
                let why = PendingReason::NoQuorum { size };
                node.children.get_mut(&child()).unwrap().status = Status::Pending { why };
            }
            assert_eq!(world.rests().is_ok(), is_short);
        }
    }

    #[test]
    fn temporary_child_whose_one_start_is_over_need_not_run() {
        let mut world = world();
        assert!(world.rests().is_err());
        let spent = Stamp { stage: Stage::Spent(boot("z")), ..stamp(5) };
        world.all_know(Some((spent, true)), "a");
        assert!(world.rests().is_err(), "they still list it");
        world.nodes.values_mut().for_each(|node| node.children.clear());
        world.rests().unwrap();
    }

    #[test]
    fn child_away_from_its_owner_or_listed_wrongly_breaks_it() {
        let mut world = world();
        world.starts("b", 1).unwrap();
        world.readies("b", 1).unwrap();
        assert!(world.rests().is_err());
        world.nodes.values_mut().for_each(|node| node.cordoned = [boot("b")].into());
        assert!(world.rests().is_err(), "they list another holder");
        world.all_know(Some((stamp(5), true)), "b");
        world.rests().unwrap();
        world.nodes.get_mut(&name("a")).unwrap().children.clear();
        assert!(world.rests().is_err());
    }

    #[test]
    fn unwanted_instance_or_listing_breaks_it() {
        let mut world = world();
        world.all_know(Some((stamp(6), false)), "a");
        assert!(world.rests().is_err(), "it is still listed");
        world.nodes.values_mut().for_each(|node| node.children.clear());
        world.rests().unwrap();
        world.starts("a", 1).unwrap();
        assert!(world.rests().is_err());
    }

    #[test]
    fn failing_child_is_held_to_one_instance_only() {
        let mut world = world();
        let then = Then::Fails(std::time::Duration::from_millis(1));
        world.accepts(Some(ChildPlan { then, ..ChildPlan::default() }), stamp(5));
        world.rests().unwrap();
        world.starts("a", 1).unwrap();
        world.starts("b", 1).unwrap();
        assert!(world.rests().is_err());
    }

    #[test]
    fn child_that_nobody_asked_for_breaks_it() {
        let mut world = World::of(DesiredIsRunning, &["a"]);
        world.starts("a", 1).unwrap();
        assert!(world.rests().is_err());
    }
}
