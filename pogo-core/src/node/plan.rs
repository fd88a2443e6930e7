//! The decision: from what is desired and what is reported to the one next step of a child.
//!
//! Pure, and level-triggered: it is given the picture and no reason, so it gives the same answer
//! however the picture came about, and running it again changes nothing.

use std::time::Duration;

use super::{
    child::{Child, Desired, Seen},
    config::Config,
    inspect::PendingReason,
    local::{Local, Phase, StopCause},
    losses::{Losses, Wait},
    members::Members,
    survivor::yields_to,
    tenure::{Bond, Tenure, bond},
    wire::ReportPhase,
};
use crate::{
    id::{BootId, ChildId},
    mutant::planted,
    record::Version,
    spec::{ChildSpec, Exclusivity, Handover, Restart},
    time::Timestamp,
};

/// What a plan may look at besides the child.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) me: BootId,
    pub(super) now: Timestamp,
    pub(super) config: &'a Config,
    pub(super) members: &'a Members,
    /// Why this member starts nothing that nobody reports, if so (R6, R12, R22).
    pub(super) orphan_gate: Option<PendingReason>,
    /// Why this member takes nothing over, if so.
    pub(super) takeover_gate: Option<PendingReason>,
    pub(super) tenure: &'a Tenure,
    pub(super) losses: &'a Losses,
    /// How long news takes to be everywhere (R6).
    pub(super) view_settle: Duration,
    pub(super) ttl: Option<Duration>,
    pub(super) leaving: Leaving,
    pub(super) cordoned: bool,
}

impl Scene<'_> {
    fn bond(&self, spec: &ChildSpec) -> Option<Bond> {
        let exclusivity = spec.exclusivity.unwrap_or(self.config.exclusivity);
        bond(exclusivity, spec.shutdown, self.ttl)
    }

    fn is_strict(&self, spec: &ChildSpec) -> bool {
        spec.exclusivity.unwrap_or(self.config.exclusivity) == Exclusivity::Strict
    }

    /// Whether a run of `spec` has to end (R16, R17).
    fn is_tenure_over(&self, spec: &ChildSpec) -> bool {
        self.bond(spec).is_some_and(|bond| self.tenure.is_over(bond, self.now, self.members))
    }

    /// Whether others may have taken the child over while this member was out of its quorum, so
    /// that what it holds of it is worth nothing (R17).
    fn may_run_elsewhere(&self, local: &Local) -> bool {
        let needs_quorum = matches!(self.bond(&local.spec), Some(Bond::Quorum { .. }));
        needs_quorum && local.returns != self.tenure.returns()
    }

    /// Whether what was released to this member may run elsewhere by now: others do not wait for a
    /// member that is out of its quorum to take a child up (R17).
    fn is_release_void(&self, spec: &ChildSpec, released: &Seen) -> bool {
        // Nor for one that some do not see as this one sees itself, as after an eviction (R6).
        matches!(self.bond(spec), Some(Bond::Quorum { .. }))
            && (released.since < self.tenure.returned() || self.settling_gate(spec).is_some())
    }

    /// Why a run of `spec` may not begin here, if so (R16, R17).
    pub(super) fn tenure_gate(&self, spec: &ChildSpec) -> Option<PendingReason> {
        let bond = self.bond(spec)?;
        // Who has not read what happened meanwhile begins nothing that must not run twice.
        let apart = self.takeover_gate.clone();
        apart.or_else(|| self.tenure.gate(bond, self.now, self.members))
    }

    /// Why no run of `spec` may begin anywhere, if so (R17).
    pub(super) fn quorum_gate(&self, spec: &ChildSpec) -> Option<PendingReason> {
        let Some(Bond::Quorum { size }) = self.bond(spec) else { return None };
        let members = self.losses.are_too_many(size, self.members)?;
        Some(PendingReason::QuorumTooSmall { members, size })
    }

    /// Why an orphan of `spec` waits, where that is for views to settle: for a quorum child until
    /// they agree, as members that only waited may both take it for theirs (R6, R17).
    pub(super) fn settling_gate(&self, spec: &ChildSpec) -> Option<PendingReason> {
        let apart = matches!(self.bond(spec), Some(Bond::Quorum { .. }))
            && !self.members.have_agreed()
            && !self.members.are_many();
        let gate = self.orphan_gate.clone();
        gate.or_else(|| apart.then_some(PendingReason::ViewSettling))
    }

    /// Why an orphan of `spec` waits, where that is for those who may still run it.
    pub(super) fn losses_gate(&self, spec: &ChildSpec) -> Option<PendingReason> {
        match self.wait_for_losses(spec) {
            Wait::Blocked(reason) => Some(reason),
            Wait::Until(at) if at > self.now => Some(PendingReason::HolderStops),
            Wait::None | Wait::Until(_) => None,
        }
    }

    /// How long those are waited for that may still run a quorum child.
    fn wait_for_losses(&self, spec: &ChildSpec) -> Wait {
        let Some(Bond::Quorum { size }) = self.bond(spec) else { return Wait::None };
        // More there cannot be; and they answer, so that what is seen of them is no old picture.
        let all = size.saturating_add(size.get() - 1);
        let all_are_here = self.members.have_agreed()
            && self.members.len() >= all.get() as usize
            && self.tenure.until(Bond::Quorum { size: all }, self.members) > self.now;
        self.losses.wait(size, spec.shutdown, self.tenure.window(), all_are_here)
    }
}

/// Whether this member is about to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// Its children move away (R23).
    Drain,
    /// Its children stop.
    Now,
}

/// The one next step of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// All is as it should be.
    Nothing,
    /// Look again then.
    WaitUntil(Timestamp),
    /// A gate is closed; look again when it opens.
    Blocked(PendingReason),
    /// Begin an instance.
    Prepare,
    /// Its run may begin.
    Launch,
    /// Its delay is over: begin another attempt.
    Retry,
    /// Ask its holder for it (R7).
    Want,
    /// Its temporary run is over (R5).
    MarkDone,
    /// Tell its run to stop.
    Stop(StopCause),
    /// Give it up, no run being there (R7).
    Release { to: BootId },
    /// Drop what is left of it here.
    Drop(DropWhy),
    /// It has been healthy long enough (R11).
    ClearFailures,
}

/// Why what is left of an instance is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DropWhy {
    NotWanted,
    OtherVersion,
    TakenUp,
    NotTakenUp,
    Superseded,
    QuorumLost,
    NobodyEligible,
    Leaving,
    DoneTold,
}

/// The next step of `child`.
pub(super) fn plan(id: &ChildId, child: &Child, scene: &Scene<'_>) -> Step {
    match (child.wanted(), &child.local) {
        (None, None) => Step::Nothing,
        (None, Some(local)) => plan_unwanted(local, scene),
        (Some((_, version)), Some(local)) if local.version != version => {
            plan_other_version(child, local, scene)
        }
        (Some((spec, _)), Some(local)) => plan_local(id, child, spec, local, scene),
        (Some((spec, version)), None) => plan_absent(child, spec, version, scene),
    }
}

/// It was terminated, is complete, or its record is gone.
fn plan_unwanted(local: &Local, scene: &Scene<'_>) -> Step {
    match &local.phase {
        Phase::Running { .. } if planted("termination stops nothing") => Step::Nothing,
        Phase::Starting { .. } | Phase::Running { .. } => Step::Stop(StopCause::Terminated),
        Phase::Stopping { .. }
        | Phase::Exporting { .. }
        | Phase::Unclaiming { .. }
        | Phase::Stuck { .. }
        | Phase::Done { until: None } => Step::Nothing,
        Phase::Done { until: Some(until) } if *until > scene.now => Step::WaitUntil(*until),
        Phase::Done { .. } => Step::Drop(DropWhy::DoneTold),
        Phase::Preparing(_)
        | Phase::Backoff { .. }
        | Phase::Quarantined { .. }
        | Phase::Released { .. } => Step::Drop(DropWhy::NotWanted),
    }
}

/// The instance runs another version than the one desired.
fn plan_other_version(child: &Child, local: &Local, scene: &Scene<'_>) -> Step {
    match &local.phase {
        Phase::Starting { .. } | Phase::Running { .. } => {
            let same_spec = child.wanted().is_some_and(|(spec, _)| **spec == *local.spec);
            Step::Stop(if same_spec { StopCause::RestartAsked } else { StopCause::Replaced })
        }
        Phase::Stopping { .. }
        | Phase::Exporting { .. }
        | Phase::Unclaiming { .. }
        | Phase::Stuck { .. } => Step::Nothing,
        // Whoever it was released to may be about to begin it, cordoned or not, and its state is still
        // good (R7, R9).
        Phase::Released { to, until, .. }
            if child.owner == Some(*to) || may_run_alike(child, local) =>
        {
            plan_released(child, *to, *until, scene)
        }
        Phase::Preparing(_)
        | Phase::Backoff { .. }
        | Phase::Quarantined { .. }
        | Phase::Released { .. }
        | Phase::Done { .. } => Step::Drop(DropWhy::OtherVersion),
    }
}

/// Whether the version desired may run wherever that of an instance might.
fn may_run_alike(child: &Child, local: &Local) -> bool {
    let alike =
        |spec: &ChildSpec| spec.kind == local.spec.kind && spec.placement == local.spec.placement;
    child.wanted().is_some_and(|(spec, _)| alike(spec))
}

/// The instance runs the desired version.
fn plan_local(
    id: &ChildId,
    child: &Child,
    spec: &ChildSpec,
    local: &Local,
    scene: &Scene<'_>,
) -> Step {
    match &local.phase {
        Phase::Stopping { .. }
        | Phase::Exporting { .. }
        | Phase::Unclaiming { .. }
        | Phase::Stuck { .. }
        | Phase::Done { .. } => return Step::Nothing,
        Phase::Released { to, until, .. } => {
            return plan_released(child, *to, *until, scene);
        }
        Phase::Preparing(_)
        | Phase::Starting { .. }
        | Phase::Running { .. }
        | Phase::Backoff { .. }
        | Phase::Quarantined { .. } => {}
    }
    let runs = matches!(local.phase, Phase::Starting { .. } | Phase::Running { .. });
    if runs && scene.is_tenure_over(&local.spec) {
        return Step::Stop(StopCause::OwnershipLost);
    }
    if local.run.is_none() && scene.may_run_elsewhere(local) {
        return Step::Drop(DropWhy::QuorumLost);
    }
    if scene.leaving == Leaving::Now {
        return plan_leave(local);
    }
    let spent_by = child.desired.as_ref().and_then(Desired::spent_by);
    if matches!(local.phase, Phase::Preparing(_)) && spent_by.is_some_and(|by| by != scene.me) {
        return Step::Drop(DropWhy::Superseded);
    }
    if let Some(better) = yields_to(child, local, scene) {
        return plan_yield(child, spec, local, better);
    }
    if let Some(step) = plan_move(id, child, spec, local, scene) {
        return step;
    }
    plan_due(child, local, scene)
}

fn plan_leave(local: &Local) -> Step {
    match local.run {
        Some(_) => Step::Stop(StopCause::SupervisorStopped),
        None => Step::Drop(DropWhy::Leaving),
    }
}

fn plan_released(child: &Child, to: BootId, until: Timestamp, scene: &Scene<'_>) -> Step {
    let taken_up = child.report_by(to).is_some_and(Seen::is_holder);
    if taken_up {
        Step::Drop(DropWhy::TakenUp)
    } else if until <= scene.now || !scene.members.is_live(to) {
        Step::Drop(DropWhy::NotTakenUp)
    } else {
        Step::WaitUntil(until)
    }
}

/// Another instance survives (R8); in a start-first move that is how the old one ends (R7).
fn plan_yield(child: &Child, spec: &ChildSpec, local: &Local, better: &Seen) -> Step {
    if local.run.is_none() {
        return Step::Drop(DropWhy::Superseded);
    }
    let newer = better.report.version > local.version;
    let is_move = spec.handover == Handover::StartFirst && child.owner == Some(better.by);
    Step::Stop(match (newer, is_move) {
        (true, _) => StopCause::Replaced,
        (false, true) => StopCause::Moving { to: better.by },
        (false, false) => StopCause::Superseded { by: better.by },
    })
}

/// The child belongs elsewhere (R7, R23).
fn plan_move(
    id: &ChildId,
    child: &Child,
    spec: &ChildSpec,
    local: &Local,
    scene: &Scene<'_>,
) -> Option<Step> {
    let draining = scene.leaving == Leaving::Drain;
    match child.owner {
        Some(owner) if owner == scene.me => None,
        // A cordon keeps what is there.
        _ if scene.cordoned && !draining => None,
        _ if spec.restart == Restart::Temporary => None,
        // Whoever released it here keeps saying so until it has seen it held here.
        _ if matches!(&local.phase, Phase::Preparing(needs) if needs.report) => None,
        Some(to) if scene.members.wants(to, id) => {
            if local.run.is_none() {
                Some(Step::Release { to })
            } else if spec.handover == Handover::StopFirst {
                Some(Step::Stop(StopCause::Moving { to }))
            } else {
                None
            }
        }
        Some(_) => None,
        None if !draining => None,
        None if local.run.is_some() => Some(Step::Stop(StopCause::NobodyEligible)),
        None => Some(Step::Drop(DropWhy::NobodyEligible)),
    }
}

/// Whether the run may begin here. What belongs elsewhere by now waits to be wanted there: it
/// would be started only to be stopped. An instance that others tell of since the decision and
/// that is about to end, or is stuck, is waited for; what was there before a restart in place is R8's. A
/// draining member starts nothing (R23), but for a child whose one start is already taken.
fn may_launch(child: &Child, local: &Local, scene: &Scene<'_>) -> bool {
    let is_in_the_way = |seen: &Seen| seen.is_ending() || seen.is_stuck();
    if local.attempt == 0 && child.reports.iter().any(is_in_the_way) {
        return false;
    }
    let is_temporary = local.spec.restart == Restart::Temporary;
    let stays = scene.leaving == Leaving::No
        && (child.owner == Some(scene.me) || scene.cordoned || local.attempt > 0);
    is_temporary || stays
}

/// The instance stays; its own deadlines are what is left.
fn plan_due(child: &Child, local: &Local, scene: &Scene<'_>) -> Step {
    match &local.phase {
        // Its claim went while something else was waited for.
        Phase::Preparing(needs)
            if needs.is_met() && child.claim.is_none() && scene.is_strict(&local.spec) =>
        {
            Step::Retry
        }
        Phase::Preparing(needs) if needs.is_met() && may_launch(child, local, scene) => {
            scene.tenure_gate(&local.spec).map_or(Step::Launch, Step::Blocked)
        }
        Phase::Starting { since } => {
            let times = if planted("hanging start is left alone") { 100 } else { 1 };
            let until = *since + scene.config.start_timeout * times;
            if until <= scene.now {
                Step::Stop(StopCause::StartTimeout)
            } else {
                Step::WaitUntil(until)
            }
        }
        Phase::Running { .. } if local.failures.is_clear() && child.strikes.is_empty() => {
            Step::Nothing
        }
        Phase::Running { since } => {
            let stable = *since + scene.config.restart.window;
            if stable <= scene.now { Step::ClearFailures } else { Step::WaitUntil(stable) }
        }
        Phase::Backoff { until } | Phase::Quarantined { until } => {
            if *until <= scene.now {
                Step::Retry
            } else {
                Step::WaitUntil(*until)
            }
        }
        Phase::Preparing(_)
        | Phase::Stopping { .. }
        | Phase::Exporting { .. }
        | Phase::Unclaiming { .. }
        | Phase::Released { .. }
        | Phase::Done { .. }
        | Phase::Stuck { .. } => Step::Nothing,
    }
}

/// The child is desired and nothing of it is here.
fn plan_absent(child: &Child, spec: &ChildSpec, version: Version, scene: &Scene<'_>) -> Step {
    if spec.restart == Restart::Temporary
        && let Some(boot) = child.desired.as_ref().and_then(Desired::spent_by)
    {
        let ended_here = boot == scene.me && !child.reports.iter().any(Seen::is_holder);
        return if ended_here { Step::MarkDone } else { Step::Nothing };
    }
    if scene.leaving != Leaving::No && !planted("leaver takes children") {
        return Step::Nothing;
    }
    let gate = scene.tenure_gate(spec).or_else(|| scene.quorum_gate(spec));
    if child.owner != Some(scene.me) {
        if gate.is_some() {
            return Step::Nothing;
        }
        let mine = matches!(standing(child, spec, version, scene), Standing::ReleasedToMe);
        return if mine { plan_claim(child) } else { Step::Nothing };
    }
    if let Some(gate) = scene.takeover_gate.clone().or(gate) {
        return Step::Blocked(gate);
    }
    match standing(child, spec, version, scene) {
        Standing::Held(holder) => plan_held(child, spec, holder, scene),
        Standing::Completing => Step::Nothing,
        Standing::ReleasedElsewhere(until) => Step::WaitUntil(until),
        Standing::ReleasedToMe => plan_claim(child),
        Standing::Orphan => plan_orphan(child, spec, scene),
    }
}

/// What the reports say of a child that is not here.
enum Standing<'a> {
    Held(&'a Seen),
    Completing,
    ReleasedElsewhere(Timestamp),
    ReleasedToMe,
    Orphan,
}

fn standing<'a>(
    child: &'a Child,
    spec: &ChildSpec,
    version: Version,
    scene: &Scene<'_>,
) -> Standing<'a> {
    let mut standing = Standing::Orphan;
    for seen in &child.reports {
        match &seen.report.phase {
            ReportPhase::Done if seen.report.version == version => return Standing::Completing,
            // The completion of a former version bears on nothing.
            ReportPhase::Done => {}
            ReportPhase::Released { to, .. } if *to == scene.me => {
                if !scene.is_release_void(spec, seen) {
                    standing = Standing::ReleasedToMe;
                }
            }
            ReportPhase::Released { to, .. } => {
                let until = seen.since + scene.config.handover_timeout;
                if scene.members.is_live(*to) && until > scene.now {
                    return Standing::ReleasedElsewhere(until);
                }
            }
            ReportPhase::Starting
            | ReportPhase::Running
            | ReportPhase::Stopping
            | ReportPhase::Moving { .. }
            | ReportPhase::Backoff { .. }
            | ReportPhase::Quarantined { .. }
            | ReportPhase::Stuck
                if planted("start without waiting for the holder") => {}
            ReportPhase::Starting
            | ReportPhase::Running
            | ReportPhase::Stopping
            | ReportPhase::Moving { .. }
            | ReportPhase::Backoff { .. }
            | ReportPhase::Quarantined { .. }
            | ReportPhase::Stuck => return Standing::Held(seen),
        }
    }
    match child.passed_on.as_deref() {
        // As far as anybody knows it was taken up: that news comes another way, and may be slower.
        Some((to, since))
            if matches!(standing, Standing::Orphan)
                && *to != scene.me
                && scene.members.is_active(*to)
                && *since + scene.view_settle > scene.now =>
        {
            Standing::ReleasedElsewhere(*since + scene.view_settle)
        }
        Some(_) | None => standing,
    }
}

fn plan_held(child: &Child, spec: &ChildSpec, holder: &Seen, scene: &Scene<'_>) -> Step {
    let member = scene.members.get(holder.by);
    let keeps = member.is_some_and(|member| {
        member.is_cordoned() && member.info.status == crate::membership::MemberStatus::Active
    });
    // Beside one that does not end nothing begins, whoever else holds the child.
    let stuck = child.reports.iter().any(Seen::is_stuck);
    if keeps || stuck || spec.restart == Restart::Temporary {
        return Step::Nothing;
    }
    // A move waits for views to settle like a start: it is a join's most common follower.
    if let Some(gate) = &scene.orphan_gate {
        return Step::Blocked(gate.clone());
    }
    if spec.handover == Handover::StartFirst && holder.is_running() {
        Step::Prepare
    } else {
        Step::Want
    }
}

fn plan_orphan(child: &Child, spec: &ChildSpec, scene: &Scene<'_>) -> Step {
    if let Some(gate) = scene.settling_gate(spec) {
        return Step::Blocked(gate);
    }
    match scene.wait_for_losses(spec) {
        Wait::Until(at) if at > scene.now => return Step::WaitUntil(at),
        Wait::Blocked(reason) => return Step::Blocked(reason),
        Wait::None | Wait::Until(_) => {}
    }
    match child.not_before {
        Some(at) if at > scene.now => return Step::WaitUntil(at),
        _ => {}
    }
    plan_claim(child)
}

/// Nothing is in the way but perhaps its claim.
fn plan_claim(child: &Child) -> Step {
    match &child.claim_held_by {
        Some(by) => Step::Blocked(PendingReason::ClaimHeld { by: by.clone() }),
        None => Step::Prepare,
    }
}
