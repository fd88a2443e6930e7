//! Carrying out the step that a plan names.

use std::collections::BTreeSet;

use super::{
    Event, Node, Output,
    child::Child,
    inspect::PendingReason,
    local::{Former, Phase, StopCause},
    plan::{DropWhy, Step, plan},
    timers::Timer,
};
use crate::{id::ChildId, mutant::planted, spec::Shutdown, time::Timestamp};

/// Children looked at in one slice of the slow full pass.
const SWEEP: usize = 10_000;

/// Planned moves towards this member: those asked for, and those that wait for room (R7).
#[derive(Debug, Clone, Default)]
pub(super) struct Moves {
    wanted: BTreeSet<ChildId>,
    waiting: BTreeSet<ChildId>,
}

impl Moves {
    pub(super) fn wants(&self, id: &ChildId) -> bool {
        self.wanted.contains(id)
    }

    pub(super) fn wanted(&self) -> impl Iterator<Item = &ChildId> {
        self.wanted.iter()
    }

    pub(super) fn held_back(&self) -> usize {
        self.waiting.len()
    }
}

impl Node {
    /// Looks at every child that something bore on, until nothing is left to do.
    pub(super) fn reconcile(&mut self) {
        // Each child settles in a handful of steps; more is a fault that must not hang the member.
        let mut budget = 1_000 + 16 * self.children.len();
        while let Some(id) = self.children.pop_dirty() {
            let Some(child) = self.children.get(&id) else { continue };
            let step = plan(&id, child, &self.scene());
            if !self.is_carried_out(child, &step) {
                self.apply(&id, step);
            }
            budget -= 1;
            if budget == 0 {
                self.bug("reconcile does not come to an end");
                return;
            }
        }
    }

    /// Whether carrying out `step` would change nothing: what most children are met with most of
    /// the time.
    fn is_carried_out(&self, child: &Child, step: &Step) -> bool {
        let due = match step {
            Step::Nothing => None,
            Step::WaitUntil(at) => Some(*at),
            Step::Blocked(_)
            | Step::Prepare
            | Step::Launch
            | Step::Retry
            | Step::Want
            | Step::MarkDone
            | Step::Stop(_)
            | Step::Release { .. }
            | Step::Drop(_)
            | Step::ClearFailures => return false,
        };
        child.due == due
            && !child.wanted_here
            && self.moves.waiting.is_empty()
            && (child.claim.is_none() || self.rests_on_its_claim(child))
            && !child.is_blank()
    }

    /// The safety net: looks at a slice of all children, whether or not anything bears on them.
    pub(super) fn sweep(&mut self) {
        let scene = self.scene();
        let (slice, next) = self.children.slice(SWEEP);
        let off: Vec<ChildId> = slice
            .filter(|(id, child)| !self.is_carried_out(child, &plan(id, child, &scene)))
            .map(|(id, _)| id.clone())
            .collect();
        self.children.sweep_next(next);
        for id in off {
            self.children.revisit(&id);
        }
    }

    fn apply(&mut self, id: &ChildId, step: Step) {
        self.apply_want(id, step == Step::Want);
        match step {
            Step::Nothing => self.wait_until(id, None),
            Step::Want => {}
            Step::WaitUntil(at) => self.wait_until(id, Some(at)),
            Step::Blocked(reason) => self.wait_for_gate(id, &reason),
            Step::Prepare => self.prepare(id),
            Step::Launch => self.launch(id),
            Step::Retry => self.prepare_again(id),
            Step::MarkDone => self.complete(id),
            Step::Stop(cause) => self.stop(id, cause),
            Step::Release { to } => {
                // What no attempt has used yet goes with it.
                let unused = self.children.get(id).and_then(|child| child.state);
                self.begin_release(id, to, unused);
            }
            Step::Drop(why) => self.apply_drop(id, why),
            Step::ClearFailures => self.clear_failures(id),
        }
        self.apply_claim(id);
        self.children.forget_blank(id);
    }

    /// Looks again when a gate opens. `ClaimFree` tells of claims; a feed may have missed it.
    fn wait_for_gate(&mut self, id: &ChildId, gate: &PendingReason) {
        self.children.block(id);
        let waits = self.children.get(id).is_some_and(|child| child.due.is_some());
        if !waits && matches!(gate, PendingReason::ClaimHeld { .. }) {
            self.wait_until(id, Some(self.now.mono + self.config.sync_interval));
        }
        if matches!(gate, PendingReason::LeaseLapsed | PendingReason::NoQuorum { .. }) {
            self.await_tenure();
        }
    }

    /// Asks for the child, or asks no more.
    fn apply_want(&mut self, id: &ChildId, want: bool) {
        if want == self.moves.wanted.contains(id) {
            self.moves.waiting.remove(id);
            return;
        }
        if want && self.moves.wanted.len() >= self.config.max_moves.get() as usize {
            self.moves.waiting.insert(id.clone());
            return;
        }
        self.moves.waiting.remove(id);
        if want {
            self.moves.wanted.insert(id.clone());
        } else {
            if planted("want is never taken back") {
                return;
            }
            self.moves.wanted.remove(id);
            if let Some(next) = self.moves.waiting.pop_first() {
                self.children.revisit(&next);
            }
        }
        if let Some(child) = self.children.get_mut(id) {
            child.wanted_here = want;
        }
        self.publisher.want_changed(id);
    }

    /// Whether there is an instance that may run only while the claim is held.
    pub(super) fn rests_on_its_claim(&self, child: &Child) -> bool {
        child.local.as_ref().is_some_and(|local| self.is_strict(&local.spec))
    }

    /// A claim without an instance that rests on it is given back (R25).
    pub(super) fn apply_claim(&mut self, id: &ChildId) {
        let Some(child) = self.children.get(id) else { return };
        if child.claim.is_none() || self.rests_on_its_claim(child) || planted("claim is kept") {
            return;
        }
        if let Some(child) = self.children.get_mut(id) {
            child.claim = None;
            child.claim_releasing = true;
            self.outbox.release(id.clone());
        }
    }

    fn apply_drop(&mut self, id: &ChildId, why: DropWhy) {
        let note = match why {
            DropWhy::NotWanted => "dropped: not wanted any more",
            DropWhy::OtherVersion => "dropped: another spec version is desired",
            DropWhy::TakenUp => {
                self.departure.note_moved(id);
                "taken up by another member"
            }
            DropWhy::NotTakenUp => {
                self.departure.note_left_behind(id);
                "released, but not taken up"
            }
            DropWhy::Superseded => "dropped: another instance survives",
            DropWhy::QuorumLost => {
                "dropped: it may run elsewhere since this member lost its quorum"
            }
            DropWhy::NobodyEligible => {
                self.departure.note_stopped(id);
                "dropped: nobody may run it"
            }
            DropWhy::Leaving => "dropped: this member leaves",
            DropWhy::DoneTold => "completion told",
        };
        self.drop_local(id, note);
    }

    /// Nothing of the child is left here; whether it starts anew is decided afresh.
    pub(super) fn drop_local(&mut self, id: &ChildId, note: &'static str) {
        let wall = self.now.wall;
        if let Some(child) = self.children.edit(id) {
            child.note(wall, note);
            if let Some(local) = child.local.take() {
                child.former = Former::of(local);
            }
        }
        self.children.index_local(id);
        self.publisher.report_changed(id);
        self.wait_until(id, None);
    }

    /// Sets or removes the child's deadline.
    pub(super) fn wait_until(&mut self, id: &ChildId, at: Option<Timestamp>) {
        if let Some(child) = self.children.get_mut(id) {
            let due = std::mem::replace(&mut child.due, at);
            self.timers.shift(Timer::Child(id.clone()), due, at);
        }
    }

    /// Sets the phase of the local instance and has it reported.
    pub(super) fn set_phase(&mut self, id: &ChildId, phase: Phase, note: &'static str) {
        let wall = self.now.wall;
        let Some(child) = self.children.edit(id) else { return };
        child.note(wall, note);
        if let Some(local) = &mut child.local {
            local.phase = phase;
        }
        self.publisher.report_changed(id);
    }

    /// Tells the run to stop.
    pub(super) fn stop(&mut self, id: &ChildId, cause: StopCause) {
        let Some(child) = self.children.get(id) else { return };
        let Some(local) = &child.local else { return };
        let Some(run) = local.run else {
            return self.bug("told to stop what does not run");
        };
        let shutdown = match cause {
            StopCause::StartTimeout => Shutdown::Immediate,
            StopCause::Terminated
            | StopCause::Replaced
            | StopCause::RestartAsked
            | StopCause::Moving { .. }
            | StopCause::NobodyEligible
            | StopCause::Superseded { .. }
            | StopCause::SupervisorStopped => local.spec.shutdown,
            StopCause::OwnershipLost => self.last_grace(&local.spec),
        };
        let reason = cause.reason(|boot| self.members.name(boot).cloned());
        if let StopCause::Superseded { by } = &cause
            && let Some(by) = self.members.name(*by).cloned()
        {
            self.tell(Event::Superseded { id: id.clone(), by });
        }
        self.set_phase(id, Phase::Stopping { cause }, "told to stop");
        self.tell(Event::RunStopping { id: id.clone(), run, reason: reason.clone() });
        self.emit(Output::StopChild { child: id.clone(), run, reason, shutdown });
    }

    fn clear_failures(&mut self, id: &ChildId) {
        let Some(child) = self.children.edit(id) else { return };
        if let Some(local) = &mut child.local {
            local.failures.clear();
        }
        if !child.strikes.is_empty() {
            child.strikes.clear();
            self.put_strikes(id);
        }
        self.publisher.report_changed(id);
    }

    /// Some deadline of the child has come; the plan knows which.
    pub(super) fn on_child_due(&mut self, id: &ChildId) {
        let Some(child) = self.children.get_mut(id) else { return };
        child.due = None;
        if child.claim_held_by.is_none() && child.not_before.is_none() {
            self.children.revisit(id);
        } else if let Some(child) = self.children.edit(id) {
            // Whether its claim is still held elsewhere, only asking tells; a wait that is over is
            // told to observers.
            child.claim_held_by = None;
        }
    }
}
