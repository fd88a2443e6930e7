//! The phases of a run: the plan, then healing, coming to rest, staying at rest, and serving.
//!
//! All but the first belong to the harness: whatever a plan did, once its faults are off the
//! cluster must come to rest as clients were promised, and still do what it is asked to.

use std::time::Duration;

use pogo_core::{
    id::{ChildId, MemberName},
    node::StartMode,
    time::Timestamp,
};

use super::{World, clients::Want};
use crate::{
    fact::Fact,
    plan::{ChildPlan, Plan},
};

/// How often a cluster is looked at while it comes to rest.
const LOOK: Duration = Duration::from_millis(250);

impl World {
    pub(super) fn run(&mut self, plan: &Plan) {
        self.take_plan(plan);
        self.see(Fact::Phase("run"));
        let end = plan.ops.iter().map(|(at, _)| *at).max().unwrap_or_default();
        self.run_until(Timestamp::from_start(end));
        self.heal_all();
        self.settle();
        self.running = self
            .picture
            .instances
            .iter()
            .filter_map(|(child, all)| Some((child.clone(), all.first()?.host.clone())))
            .collect();
        self.stay_quiet();
        self.serve();
    }

    /// Runs until the cluster is at rest, or breaks the law that it cannot come to keep.
    fn settle(&mut self) {
        self.see(Fact::Phase("settle"));
        let deadline = self.now + self.options.settle;
        while self.violation.is_none() {
            self.run_until(self.now + LOOK);
            self.boot_enough(false);
            let judged = self.judge_rest();
            match judged {
                Ok(()) if self.now >= self.rests_from => return,
                Err(violation) if self.now >= deadline => {
                    self.violation.get_or_insert((self.now, violation));
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// A cluster at rest stays as it is.
    fn stay_quiet(&mut self) {
        if self.violation.is_some() {
            return;
        }
        // A cordon changes views with a record of its member, at which nobody looks for such a change.
        let names: Vec<MemberName> = self.hosts.keys().cloned().collect();
        for name in &names {
            self.see_view(name);
        }
        self.see(Fact::Phase("quiet"));
        self.run_until(self.now + self.options.quiet);
        self.check_all_nodes();
    }

    fn check_all_nodes(&mut self) {
        let names: Vec<MemberName> = self.hosts.keys().cloned().collect();
        for name in names {
            self.check_node(&name);
        }
    }

    /// A cluster that has come through all this still starts and stops children (L7).
    fn serve(&mut self) {
        if self.violation.is_some() {
            return;
        }
        self.see(Fact::Phase("serve"));
        let names: Vec<MemberName> = self.expected_hosts().cloned().collect();
        let fresh: Vec<(MemberName, ChildId)> = names
            .iter()
            .enumerate()
            .filter_map(|(n, name)| Some((name.clone(), ChildId::new(format!("fresh-{n}")).ok()?)))
            .collect();
        for (via, child) in &fresh {
            let (children, plan) = (vec![child.clone()], ChildPlan::default());
            self.want(via.clone(), Want::Start { children, plan, mode: StartMode::Start });
        }
        self.settle();
        let vias = fresh.iter().skip(1).chain(&fresh).map(|(via, _)| via.clone());
        let others: Vec<_> = fresh.iter().map(|(_, child)| child.clone()).zip(vias).collect();
        for (child, via) in others {
            self.want(via, Want::Terminate(child));
        }
        self.settle();
    }
}
