//! The model of a child: its course of life is drawn from its plan, keyed by its run.

use std::time::Duration;

use bytes::Bytes;
use pogo_core::{
    id::{ChildId, MemberName, RunId},
    node::{ExitReason, Input, RunEnd, StartChild, StopReason},
    spec::Shutdown,
};

use super::{
    World,
    agenda::{ChildStep, Happening, Process},
    host::Run,
};
use crate::{
    fact::{Fact, Started},
    plan::{ChildPlan, Start, Stop, Then},
};

impl World {
    pub(super) fn start_child(&mut self, host: &MemberName, start: &StartChild) {
        let Some((process, up)) = self.process(host) else { return };
        let boot = up.boot;
        let inspect = up.node.inspect();
        let owned = inspect.owner(&start.child).is_some_and(|owner| owner.boot == boot);
        let record = inspect.record(&start.child);
        let plan = ChildPlan::of_spec(&start.spec);
        let inherited = start.inherited.as_ref().map_or(0, read_count);
        self.see(Fact::Started(Started {
            host: host.clone(),
            boot,
            child: start.child.clone(),
            run: start.run,
            plan,
            record,
            owned,
        }));
        self.stats.starts += 1;
        let run = Run { plan, count: inherited + 1, stopping: false };
        if let Some(up) = self.up(host) {
            up.runs.insert((start.child.clone(), start.run), run);
        }
        let step = match plan.start {
            Start::Ready(mean) => Some((mean, ChildStep::Ready)),
            Start::Fails(mean) => Some((mean, ChildStep::Fails)),
            Start::Kills(mean) => Some((mean, ChildStep::Kills)),
            Start::Hangs => None,
        };
        if let Some((mean, step)) = step {
            self.plan_step(process, &start.child, start.run, mean, step);
        }
    }

    pub(super) fn stop_child(
        &mut self,
        host: &MemberName,
        child: ChildId,
        run: RunId,
        reason: &StopReason,
        shutdown: Shutdown,
    ) {
        let why = stop_reason(reason);
        self.see(Fact::StopAsked { host: host.clone(), child: child.clone(), run, reason: why });
        let Some((process, up)) = self.process_mut(host) else { return };
        let Some(found) = up.runs.get_mut(&(child.clone(), run)) else { return };
        found.stopping = true;
        let manner = found.plan.stop;
        let grace = match shutdown {
            Shutdown::Grace(grace) => grace,
            Shutdown::Unbounded => Duration::MAX,
            _ => Duration::ZERO,
        };
        let obeys_in = match manner {
            Stop::After(mean) => self.run_draw("stop", &process, &child, run, mean),
            Stop::Ignored => Duration::MAX,
        };
        let (after, step) = if obeys_in < grace {
            (obeys_in, ChildStep::Obeys)
        } else {
            (grace, ChildStep::Aborted)
        };
        self.agenda.add(self.now + after, Happening::Child(process, child, run, step));
    }

    /// Every instance of the child fails.
    pub(super) fn fail_child(&mut self, child: &ChildId) {
        let instances: Vec<_> =
            self.picture.of(child).iter().map(|one| (one.host.clone(), one.run)).collect();
        for (host, run) in instances {
            if let Some((process, _)) = self.process(&host) {
                self.child_step(&process, child, run, ChildStep::Fails);
            }
        }
    }

    pub(super) fn child_step(
        &mut self,
        process: &Process,
        child: &ChildId,
        run: RunId,
        step: ChildStep,
    ) {
        let Some(up) = self.current(process) else { return };
        let Some(found) = up.runs.get(&(child.clone(), run)) else { return };
        let (plan, count) = (found.plan, found.count);
        match step {
            ChildStep::Kills => self.crash(&process.host, false),
            ChildStep::Ready => self.child_ready(process, child, run, plan),
            ChildStep::Ends => self.child_ends(process, child, run, ExitReason::Normal, None),
            ChildStep::Aborted => self.child_ends(process, child, run, ExitReason::Aborted, None),
            ChildStep::Obeys => {
                let state = Bytes::copy_from_slice(&count.to_le_bytes());
                self.child_ends(process, child, run, ExitReason::Normal, Some(state));
            }
            ChildStep::Fails => {
                let reason = ExitReason::Failed("as planned".to_owned());
                self.child_ends(process, child, run, reason, None);
            }
        }
    }

    fn child_ready(&mut self, process: &Process, child: &ChildId, run: RunId, plan: ChildPlan) {
        let host = &process.host;
        self.see(Fact::Ready { host: host.clone(), child: child.clone(), run });
        let endpoint = Some(format!("sim://{host}/{child}"));
        self.handle(host, "ready", Input::ChildReady { child: child.clone(), run, endpoint });
        match plan.then {
            Then::Runs => {}
            Then::Ends(mean) => self.plan_step(process.clone(), child, run, mean, ChildStep::Ends),
            Then::Fails(mean) => {
                self.plan_step(process.clone(), child, run, mean, ChildStep::Fails);
            }
        }
    }

    fn child_ends(
        &mut self,
        process: &Process,
        child: &ChildId,
        run: RunId,
        reason: ExitReason,
        state: Option<Bytes>,
    ) {
        let host = &process.host;
        if let Some(up) = self.up(host) {
            up.runs.remove(&(child.clone(), run));
        }
        let how = reason.to_string();
        self.see(Fact::Exited { host: host.clone(), child: child.clone(), run, how });
        let end = RunEnd { reason, finished: false, state };
        self.handle(host, "exited", Input::ChildExited { child: child.clone(), run, end });
    }

    fn plan_step(
        &mut self,
        process: Process,
        child: &ChildId,
        run: RunId,
        mean: Duration,
        step: ChildStep,
    ) {
        let purpose = if step == ChildStep::Ready { "ready" } else { "end" };
        let after = self.run_draw(purpose, &process, child, run, mean);
        self.agenda.add(self.now + after, Happening::Child(process, child.clone(), run, step));
    }

    fn run_draw(
        &self,
        purpose: &str,
        process: &Process,
        child: &ChildId,
        run: RunId,
        mean: Duration,
    ) -> Duration {
        let entity = format!("{}/{}/{child}", process.host, process.start);
        self.draws.exponential(purpose, &entity, run.get(), mean)
    }
}

fn read_count(state: &Bytes) -> u64 {
    state.as_ref().try_into().map_or(0, u64::from_le_bytes)
}

const fn stop_reason(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::Terminated => "terminated",
        StopReason::Replaced => "replaced",
        StopReason::Moving { .. } => "moving",
        StopReason::Draining => "draining",
        StopReason::OwnershipLost => "ownership lost",
        StopReason::Superseded => "superseded",
        StopReason::Restarted => "restarted",
        StopReason::SupervisorStopped => "supervisor stopped",
        _ => "other",
    }
}
