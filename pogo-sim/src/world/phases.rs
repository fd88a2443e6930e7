//! The phases of a run: the plan, then healing, coming to rest, staying at rest, and serving.
//!
//! All but the first belong to the harness: whatever a plan did, once its faults are off the
//! cluster must come to rest as clients were promised, and still do what it is asked to.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{BootId, ChildId, MemberName},
    membership::MemberStatus,
    node::{Listing, StartMode, Status},
    time::Timestamp,
};

use super::{World, clients::Want};
use crate::{
    fact::Fact,
    invariant::Violation,
    plan::{ChildPlan, Plan},
    rest::{Known, Listed, NodeView, Rest, is_healthy},
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

    fn heal_all(&mut self) {
        self.see(Fact::Phase("heal"));
        self.heal();
        self.delay(self.options.delay);
        let someone_lives = self.hosts.values().any(|host| host.up.is_some());
        if let Some(name) = self.hosts.keys().next().cloned().filter(|_| !someone_lives) {
            self.boot(&name);
        }
    }

    /// Runs until the cluster is at rest, or breaks the law that it cannot come to keep.
    fn settle(&mut self) {
        self.see(Fact::Phase("settle"));
        let deadline = self.now + self.options.settle;
        while self.violation.is_none() {
            self.run_until(self.now + LOOK);
            let judged = self.judge_rest();
            match judged {
                Ok(()) => return,
                Err(violation) if self.now >= deadline => {
                    self.violation.get_or_insert((self.now, violation));
                }
                Err(_) => {}
            }
        }
    }

    fn judge_rest(&mut self) -> Result<(), Violation> {
        if let Some((id, host)) = self.clients.open() {
            let what = format!("request {id} to {host} has no answer");
            return Err(Violation { law: "L6 answers", child: None, what });
        }
        if self.clients.is_retrying() {
            let what = "a client still asks".to_owned();
            return Err(Violation { law: "L6 answers", child: None, what });
        }
        if let Some((name, _)) = self.picture.hosts.iter().find(|(_, host)| host.leaving) {
            let what = format!("{name} does not end its leave");
            return Err(Violation { law: "S14 drain", child: None, what });
        }
        self.judge_movement()?;
        let rest = Rest {
            picture: &self.picture,
            oracle: &self.oracle,
            nodes: self.hosts.keys().filter_map(|name| self.node_view(name)).collect(),
        };
        self.laws.at_rest(self.now, &rest)
    }

    /// A healthy child that starts or stops is seen without asking every node.
    fn judge_movement(&self) -> Result<(), Violation> {
        let moving = self.picture.instances.iter().find(|(child, all)| {
            all.iter().any(|one| !one.is_running())
                && is_healthy(child, &self.picture, &self.oracle)
        });
        match moving {
            Some((child, all)) => {
                let hosts: Vec<&str> = all.iter().map(|one| one.host.as_str()).collect();
                let what = format!("on {} it does not come to rest", hosts.join(" and "));
                Err(Violation { law: "L3 agreement", child: Some(child.clone()), what })
            }
            None => Ok(()),
        }
    }

    fn node_view(&self, name: &MemberName) -> Option<(MemberName, NodeView)> {
        let (_, up) = self.process(name)?;
        let inspect = up.node.inspect();
        let members = inspect.members();
        let active = members.iter().filter(|member| member.status == MemberStatus::Active);
        let children = inspect.children(Listing::Global).into_iter().map(|info| {
            let running = info.status == Status::Running;
            let status = format!("{:?}", info.status);
            (info.id, Listed { member: info.member, running, status })
        });
        let known = self.oracle.children().map(|child| {
            let owner = inspect.owner(child).map(|owner| owner.name.clone());
            (child.clone(), Known { record: inspect.record(child), owner })
        });
        let view = NodeView {
            cordoned: active.clone().filter(|it| it.cordoned).map(|it| it.id.boot).collect(),
            members: active.map(|member| member.id.boot).collect(),
            view: inspect.view().digest,
            specs: inspect.specs_digest(),
            children: children.collect(),
            known: known.collect(),
        };
        Some((name.clone(), view))
    }

    /// A cluster at rest stays as it is.
    fn stay_quiet(&mut self) {
        if self.violation.is_some() {
            return;
        }
        self.see(Fact::Phase("quiet"));
        let before = self.healthy_runs();
        self.run_until(self.now + self.options.quiet);
        self.check_all_nodes();
        let after = self.healthy_runs();
        if self.violation.is_none() && before != after {
            let child = after.iter().find(|(child, runs)| before.get(*child) != Some(*runs));
            let violation = Violation {
                law: "L5 quiet",
                child: child.map(|(child, _)| child.clone()),
                what: "a cluster at rest did not stay as it was".to_owned(),
            };
            self.violation = Some((self.now, violation));
        }
    }

    fn healthy_runs(&self) -> BTreeMap<ChildId, Vec<(BootId, u64)>> {
        let instances = self.picture.instances.iter();
        let healthy = instances.filter(|(child, _)| is_healthy(child, &self.picture, &self.oracle));
        healthy
            .map(|(child, all)| {
                (child.clone(), all.iter().map(|one| (one.boot, one.run.get())).collect())
            })
            .collect()
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
        let names: Vec<MemberName> = self.hosts.keys().cloned().collect();
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
