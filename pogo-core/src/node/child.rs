//! A child in a node: what is desired of it, who reports it, and this member's own instance.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{
    local::{Former, Local},
    pools::PoolId,
    strikes::Strikes,
    wire::{Report, ReportPhase, SpecRecord},
};
use crate::{
    id::{BootId, ChildId, FencingToken, Lineage, MemberName},
    placement::ChildKey,
    record::{Stage, Stamp, Version},
    spec::{ChildSpec, Restart},
    time::{Timestamp, WallTime},
};

/// Transitions kept for `explain`.
const HISTORY: usize = 10;

/// Everything that a node knows of one child.
#[derive(Debug, Clone)]
pub(super) struct Child {
    pub(super) key: ChildKey,
    /// The spec record, tombstones and completed ones too.
    pub(super) desired: Option<Desired>,
    /// Who else reports it; few, so a list.
    pub(super) reports: Vec<Seen>,
    /// This member's instance, or what is left of it.
    pub(super) local: Option<Local>,
    /// Failures of a dropped instance of this member, which its next one is charged with.
    pub(super) former: Option<Box<Former>>,
    /// Where the members that may own it are listed; none while it is not wanted.
    pub(super) pool: Option<PoolId>,
    /// The member that placement names.
    pub(super) owner: Option<BootId>,
    /// A handed-over state that no instance has used yet, by the feed.
    pub(super) state: Option<Lineage>,
    pub(super) state_stamp: Option<Stamp>,
    /// The highest lineage seen, so that the next is newer.
    pub(super) last_lineage: Lineage,
    pub(super) strikes: Strikes,
    /// Its crashed member is waited for until then (R14).
    pub(super) not_before: Option<Timestamp>,
    /// Who was released it last by a report that is gone, and since when (R7).
    pub(super) passed_on: Option<Box<(BootId, Timestamp)>>,
    /// The member that holds its claim, when asked last.
    pub(super) claim_held_by: Option<MemberName>,
    /// The token of the claim, while this member holds it.
    pub(super) claim: Option<FencingToken>,
    /// Whether it is being given back; it must not be asked for before that is done.
    pub(super) claim_releasing: bool,
    /// Whether this member asks for it (R7).
    pub(super) wanted_here: bool,
    pub(super) history: VecDeque<(WallTime, &'static str)>,
    /// Its deadline in the table, while it has one.
    pub(super) due: Option<Timestamp>,
    pub(super) queued: Queued,
}

/// What a child waits for in the queues of [`super::children::Children`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Queued {
    /// To be reconciled.
    pub(super) dirty: bool,
    /// To be told to observers.
    pub(super) changed: bool,
}

/// The spec record of a child.
#[derive(Debug, Clone)]
pub(super) struct Desired {
    pub(super) stamp: Stamp,
    /// The value; `None` is a tombstone.
    pub(super) value: Option<(Arc<ChildSpec>, SpecRecordHead)>,
    /// The bytes, to put the record back where a store lost it (R15).
    pub(super) bytes: Option<Bytes>,
}

/// A spec record without its spec.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpecRecordHead {
    pub(super) generation: crate::id::Generation,
    pub(super) restarts_asked: u64,
    pub(super) over: Option<Version>,
}

impl Desired {
    pub(super) fn new(stamp: Stamp, record: Option<SpecRecord>, bytes: Option<Bytes>) -> Self {
        let value = record.map(|record| {
            let head = SpecRecordHead {
                generation: record.generation,
                restarts_asked: record.restarts_asked,
                over: record.over,
            };
            (Arc::new(record.spec), head)
        });
        Self { stamp, value, bytes }
    }

    /// The spec, where it stands and is not complete.
    pub(super) fn spec(&self) -> Option<&Arc<ChildSpec>> {
        match (self.stamp.stage, &self.value) {
            (Stage::Live | Stage::Spent(_), Some((spec, _))) => Some(spec),
            (Stage::Done, _) | (_, None) => None,
        }
    }

    /// The process that took the one start of a temporary child (R5).
    pub(super) const fn spent_by(&self) -> Option<BootId> {
        match self.stamp.stage {
            Stage::Spent(boot) => Some(boot),
            Stage::Live | Stage::Done => None,
        }
    }
}

/// Another member's report, and since when it says so.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) by: BootId,
    pub(super) report: Report,
    /// Since when its phase is this one, here.
    pub(super) since: Timestamp,
    /// Whether this member saw it become ready: a report learnt anew is not a young run (R11).
    pub(super) saw_ready: bool,
}

impl Seen {
    /// Whether it names an instance, as against a release or a completion.
    pub(super) const fn is_holder(&self) -> bool {
        !matches!(self.report.phase, ReportPhase::Released { .. } | ReportPhase::Done)
    }

    /// Whether it names an instance that was told to stop.
    pub(super) const fn is_ending(&self) -> bool {
        matches!(self.report.phase, ReportPhase::Stopping | ReportPhase::Moving { .. })
    }

    /// Whether it names an instance that was aborted and does not end.
    pub(super) const fn is_stuck(&self) -> bool {
        matches!(self.report.phase, ReportPhase::Stuck)
    }

    pub(super) const fn is_running(&self) -> bool {
        matches!(self.report.phase, ReportPhase::Running)
    }
}

impl Child {
    pub(super) fn new(id: &ChildId) -> Self {
        Self {
            key: ChildKey::new(id.as_str()),
            desired: None,
            reports: Vec::new(),
            local: None,
            former: None,
            pool: None,
            owner: None,
            state: None,
            state_stamp: None,
            last_lineage: Lineage::default(),
            strikes: Strikes::default(),
            not_before: None,
            passed_on: None,
            claim_held_by: None,
            claim: None,
            claim_releasing: false,
            wanted_here: false,
            history: VecDeque::new(),
            due: None,
            queued: Queued::default(),
        }
    }

    /// The spec that should run, and its version.
    pub(super) fn wanted(&self) -> Option<(&Arc<ChildSpec>, Version)> {
        let desired = self.desired.as_ref()?;
        desired.spec().map(|spec| (spec, desired.stamp.version))
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.wanted().is_some_and(|(spec, _)| spec.restart == Restart::Temporary)
    }

    pub(super) fn report_by(&self, boot: BootId) -> Option<&Seen> {
        self.reports.iter().find(|seen| seen.by == boot)
    }

    /// Sets or removes another member's report.
    pub(super) fn set_report(&mut self, by: BootId, report: Option<Report>, now: Timestamp) {
        let at = self.reports.iter().position(|seen| seen.by == by);
        if let Some(to) = at.and_then(|at| self.reports.get(at)?.report.released_to())
            && report.as_ref().and_then(Report::released_to) != Some(to)
            && self.report_by(to).is_none()
        {
            self.passed_on = Some(Box::new((to, now)));
        } else if report.is_some() && self.passed_on.as_ref().is_some_and(|it| it.0 == by) {
            self.passed_on = None;
        }
        match (at.and_then(|at| self.reports.get_mut(at)), report) {
            (Some(seen), Some(report)) => {
                if seen.report.phase != report.phase || seen.report.version != report.version {
                    seen.since = now;
                    seen.saw_ready = seen.report.phase == ReportPhase::Starting
                        && report.phase == ReportPhase::Running;
                }
                seen.report = report;
            }
            (None, Some(report)) => {
                // Nearly always the only one.
                self.reports.reserve_exact(1);
                self.reports.push(Seen { by, report, since: now, saw_ready: false });
                self.reports.sort_unstable_by_key(|seen| seen.by);
            }
            (_, None) => self.reports.retain(|seen| seen.by != by),
        }
    }

    pub(super) fn note(&mut self, wall: WallTime, what: &'static str) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((wall, what));
    }

    /// Whether nothing is known of it that is worth keeping.
    pub(super) fn is_blank(&self) -> bool {
        self.desired.is_none()
            && self.reports.is_empty()
            && self.local.is_none()
            && self.claim.is_none()
            && !self.claim_releasing
            && self.state.is_none()
            && self.strikes.is_empty()
    }
}
