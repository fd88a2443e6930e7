//! Real children in a world, in the place of modelled ones.

use std::{
    fmt::{self, Debug},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use pogo_core::{
    id::{MemberName, RunId},
    membership::MemberMetadata,
    node::{Input, StartChild, StopReason},
    spec::Shutdown,
    time::Timestamp,
};

use super::World;
use crate::{fact::Fact, invariant::Violation, picture::Picture, plan::Plan};

/// Runs the children of one process.
pub(crate) trait Executor: Debug {
    fn start(&mut self, member: &MemberName, start: StartChild);
    fn stop(&mut self, now: Timestamp, run: RunId, reason: StopReason, shutdown: Shutdown);
    fn absorb(&mut self, run: RunId, state: Bytes);
    fn next_alarm(&self) -> Option<Timestamp>;
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()>;
    fn take_inputs(&mut self, now: Timestamp) -> Vec<Input>;
}

/// Makes the executor of a process of this member.
type Make = Box<dyn FnMut(&MemberName) -> Box<dyn Executor>>;

/// Where executors come from, and what members that have them bring.
pub(crate) struct Workshop {
    pub(crate) metadata: MemberMetadata,
    pub(crate) make: Make,
}

impl Debug for Workshop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workshop").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

impl World {
    /// Members that boot from now on run real children.
    pub(crate) fn employ(&mut self, workshop: Workshop) {
        self.workshop = Some(workshop);
    }

    pub(super) fn start_real(&mut self, host: &MemberName, start: &StartChild) -> bool {
        let Some(real) = self.real(host) else { return false };
        real.start(host, start.clone());
        true
    }

    pub(super) fn stop_real(
        &mut self,
        host: &MemberName,
        run: RunId,
        reason: &StopReason,
        shutdown: Shutdown,
    ) -> bool {
        let now = self.now;
        let Some(real) = self.real(host) else { return false };
        real.stop(now, run, reason.clone(), shutdown);
        true
    }

    pub(super) fn absorb(&mut self, host: &MemberName, run: RunId, state: Bytes) {
        if let Some(real) = self.real(host) {
            real.absorb(run, state);
        }
    }

    fn real(&mut self, host: &MemberName) -> Option<&mut Box<dyn Executor>> {
        self.up(host)?.real.as_mut()
    }

    /// Ready once a run has something to tell.
    pub(crate) fn poll_real(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let ups = self.hosts.values_mut().filter_map(|host| host.up.as_mut()?.real.as_mut());
        let told = ups.map(|real| real.poll(context)).filter(Poll::is_ready).count();
        if told > 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes what runs have told.
    pub(crate) fn take_real(&mut self) {
        let now = self.now;
        let names: Vec<MemberName> = self.hosts.keys().cloned().collect();
        for host in names {
            let inputs = self.real(&host).map(|real| real.take_inputs(now)).unwrap_or_default();
            for input in inputs {
                self.take_input(&host, input);
            }
        }
    }

    fn take_input(&mut self, host: &MemberName, input: Input) {
        let name = host.clone();
        let label = match &input {
            Input::ChildReady { child, run, .. } => {
                self.see(Fact::Ready { host: name, child: child.clone(), run: *run });
                "ready"
            }
            Input::ChildExited { child, run, end } => {
                if let Some(up) = self.up(host) {
                    up.runs.remove(&(child.clone(), *run));
                }
                let how = end.reason.to_string();
                self.see(Fact::Exited {
                    host: name,
                    child: child.clone(),
                    run: *run,
                    how,
                    exported: None,
                });
                "exited"
            }
            Input::ChildStuck { child, run } => {
                self.see(Fact::Stuck { host: name, child: child.clone(), run: *run });
                "stuck"
            }
            _ => return,
        };
        self.handle(host, label, input);
    }

    /// Puts the plan on the agenda.
    pub(crate) fn begin(&mut self, plan: &Plan) {
        self.take_plan(plan);
        self.see(Fact::Phase("run"));
    }

    pub(crate) const fn time(&self) -> Timestamp {
        self.now
    }

    /// How long it may take to come to rest.
    pub(crate) const fn patience(&self) -> Duration {
        self.options.settle
    }

    pub(crate) const fn picture(&self) -> &Picture {
        &self.picture
    }

    pub(crate) fn trace(&self) -> &[(Timestamp, Fact)] {
        &self.trace
    }

    pub(crate) fn broken(&self) -> Option<(Timestamp, &Violation)> {
        self.violation.as_ref().map(|(at, violation)| (*at, violation))
    }

    pub(crate) fn has_open_requests(&self) -> bool {
        self.clients.is_open() || self.clients.is_retrying()
    }

    /// Why the last start was refused, if it was.
    pub(crate) fn take_refusal(&mut self) -> Option<String> {
        self.clients.take_refusal()
    }

    /// When something happens next that no child brings about.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        let steps = self.backend.next_step_at();
        let ups = self.hosts.values().filter_map(|host| host.up.as_ref()?.real.as_ref());
        let alarms = ups.filter_map(|real| real.next_alarm());
        self.agenda.next_at().into_iter().chain(steps).chain(alarms).min()
    }
}
