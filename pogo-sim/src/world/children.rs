//! The model of a child: its course of life is drawn from its plan, keyed by its run.

use std::time::Duration;

use bytes::Bytes;
use pogo_core::{
    id::{ChildId, MemberName, RunId},
    node::{ExitReason, Input, RunEnd, StartChild, StopReason},
    spec::{Exclusivity, Shutdown, limits},
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

/// How long an aborted run may take before the driver says that it is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// A state of so many bytes cannot be handed over (R26).
const HUGE: usize = limits::STATE_BYTES + 1;

impl World {
    pub(super) fn start_child(&mut self, host: &MemberName, start: &StartChild) {
        let Some((process, up)) = self.process(host) else { return };
        let boot = up.boot;
        let inspect = up.node.inspect();
        let owned = inspect.owner(&start.child).is_some_and(|owner| owner.boot == boot);
        let record = inspect.record(&start.child);
        let plan = ChildPlan::of_spec(&start.spec);
        let exclusivity = start.spec.exclusivity.unwrap_or(self.options.mode);
        let kind = start.spec.kind.clone();
        // What real children are asked for and hand over is their own.
        let is_real = up.real.is_some();
        let exact = is_real || *start.spec == plan.spec(start.child.clone(), kind);
        let inherited = start.inherited.as_ref().filter(|_| !is_real).map(read_state);
        self.see(Fact::Started(Started {
            host: host.clone(),
            boot,
            child: start.child.clone(),
            run: start.run,
            plan,
            exclusivity,
            exact,
            inherited,
            token: start.token,
            record,
            owned,
        }));
        self.stats.starts += 1;
        let strict = exclusivity == Exclusivity::Strict;
        let run = Run { plan, strict, token: start.token, writes: 0, stopping: false };
        if let Some(up) = self.up(host) {
            up.runs.insert((start.child.clone(), start.run), run);
            if strict && !std::mem::replace(&mut up.is_fenced, true) {
                self.agenda.add(self.now, Happening::Fence(process.clone()));
            }
        }
        if self.start_real(host, start) {
            return;
        }
        self.write_later(process.clone(), &start.child, start.run);
        let step = match plan.start {
            Start::Ready(mean) => Some((mean, ChildStep::Ready)),
            Start::Fails(mean) => Some((mean, ChildStep::Fails)),
            Start::Panics(mean) => Some((mean, ChildStep::Panics)),
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
        if self.stop_real(host, run, reason, shutdown) {
            return;
        }
        let Some((process, up)) = self.process_mut(host) else { return };
        let Some(found) = up.runs.get_mut(&(child.clone(), run)) else { return };
        found.stopping = true;
        let manner = found.plan.stop;
        let grace = match shutdown {
            Shutdown::Grace(grace) => grace,
            Shutdown::Unbounded => Duration::MAX,
            _ => Duration::ZERO,
        };
        let (obeys_in, obeys) = match manner {
            Stop::After(mean) => {
                (self.run_draw("stop", &process, &child, run, mean), ChildStep::Obeys)
            }
            Stop::Fails(mean) => {
                (self.run_draw("stop", &process, &child, run, mean), ChildStep::Fails)
            }
            Stop::Ignored | Stop::Blocks(_) => (Duration::MAX, ChildStep::Obeys),
        };
        if obeys_in < grace {
            self.agenda.add(self.now + obeys_in, Happening::Child(process, child, run, obeys));
            return;
        }
        let aborted = self.now + grace;
        let Stop::Blocks(ends) = manner else {
            self.agenda.add(aborted, Happening::Child(process, child, run, ChildStep::Aborted));
            return;
        };
        let stuck = Happening::Child(process.clone(), child.clone(), run, ChildStep::Stuck);
        self.agenda.add(aborted + STUCK_AFTER, stuck);
        let ends = ends.or_else(|| self.is_healing.then_some(STUCK_AFTER * 2));
        if let Some(mean) = ends {
            let after = self.run_draw("unblock", &process, &child, run, mean);
            let ended = Happening::Child(process, child, run, ChildStep::Aborted);
            self.agenda.add(aborted + after, ended);
        }
    }

    /// What blocks a thread does so no longer.
    pub(super) fn unblock_all(&mut self) {
        self.is_healing = true;
        let mut blocked = Vec::new();
        for (name, host) in &self.hosts {
            let Some(up) = &host.up else { continue };
            let stuck = up
                .runs
                .iter()
                .filter(|(_, run)| run.stopping && run.plan.stop == Stop::Blocks(None));
            blocked.extend(stuck.map(|((child, run), found)| {
                let ends =
                    Happening::Child(host.process(name), child.clone(), *run, ChildStep::Aborted);
                (found.plan.grace, ends)
            }));
        }
        for (grace, ends) in blocked {
            self.agenda.add(self.now + grace, ends);
        }
    }

    /// Every instance of the child fails.
    pub(super) fn fail_child(&mut self, child: &ChildId) {
        let instances: Vec<_> =
            self.picture.of(child).iter().map(|one| (one.host.clone(), one.run)).collect();
        for (host, run) in instances {
            if let Some((process, _)) = self.process(&host) {
                self.give(Happening::Child(process, child.clone(), run, ChildStep::Fails));
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
        let plan = found.plan;
        let is_blocked = found.stopping && matches!(plan.stop, Stop::Blocks(_));
        match step {
            ChildStep::Kills => self.crash(&process.host, false),
            // It is not polled any more; only its thread can end it.
            ChildStep::Ready
            | ChildStep::Ends
            | ChildStep::Fails
            | ChildStep::Panics
            | ChildStep::Writes
                if is_blocked => {}
            ChildStep::Writes => self.write(process, child, run),
            ChildStep::Ready => self.child_ready(process, child, run, plan),
            ChildStep::Ends => self.child_ends(process, child, run, ExitReason::Normal, None),
            ChildStep::Aborted => self.child_ends(process, child, run, ExitReason::Aborted, None),
            ChildStep::Stuck => {
                self.see(Fact::Stuck { host: process.host.clone(), child: child.clone(), run });
                let input = Input::ChildStuck { child: child.clone(), run };
                self.handle(&process.host, "stuck", input);
            }
            ChildStep::Obeys => {
                self.exported += 1;
                self.child_ends(process, child, run, ExitReason::Normal, Some(self.exported));
            }
            ChildStep::Fails => {
                let reason = ExitReason::Failed("as planned".to_owned());
                self.child_ends(process, child, run, reason, None);
            }
            ChildStep::Panics => {
                let reason = ExitReason::Panicked("as planned".to_owned());
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
            Then::Panics(mean) => {
                self.plan_step(process.clone(), child, run, mean, ChildStep::Panics);
            }
        }
    }

    pub(super) fn child_ends(
        &mut self,
        process: &Process,
        child: &ChildId,
        run: RunId,
        reason: ExitReason,
        exported: Option<u64>,
    ) {
        let host = &process.host;
        let Some(up) = self.up(host) else { return };
        let Some(ended) = up.runs.remove(&(child.clone(), run)) else { return };
        let how = reason.to_string();
        self.see(Fact::Exited { host: host.clone(), child: child.clone(), run, how, exported });
        let state = exported.map(|number| state_of(ended.plan, number));
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

    pub(super) fn run_draw(
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

/// A state: its number, and much else where it is too large to be handed over.
fn state_of(plan: ChildPlan, number: u64) -> Bytes {
    let mut state = number.to_le_bytes().to_vec();
    if plan.huge {
        state.resize(HUGE, 0);
    }
    state.into()
}

/// The number of a state; 0, which none has, where it was garbled.
fn read_state(state: &Bytes) -> u64 {
    state.first_chunk().map_or(0, |number| u64::from_le_bytes(*number))
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
