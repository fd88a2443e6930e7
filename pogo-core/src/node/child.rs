//! A child in a node: what is desired of it, who reports it, and this member's own instance.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    config::RestartPolicy,
    output::StopReason,
    pools::PoolId,
    wire::{Report, ReportPhase, SpecRecord, StrikesRecord},
};
use crate::{
    id::{BootId, ChildId, FencingToken, Lineage, MemberName, RunId},
    membership::Backoff,
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

/// Processes that died while a child started (R11).
#[derive(Debug, Clone, Default)]
pub(super) struct Strikes {
    /// The write that they died of: a new one starts afresh.
    version: Option<Version>,
    /// Those that this member saw die.
    seen: BTreeSet<BootId>,
    /// Those in the shared record.
    recorded: BTreeSet<BootId>,
    stamp: Option<Stamp>,
}

impl Strikes {
    /// Counts a death that this member saw.
    pub(super) fn add(&mut self, version: Version, boot: BootId) {
        self.begin(version);
        self.seen.insert(boot);
    }

    /// Takes the shared record, unless a newer one was taken.
    pub(super) fn merge(&mut self, stamp: Stamp, record: Option<StrikesRecord>) {
        if self.stamp >= Some(stamp) {
            return;
        }
        self.stamp = Some(stamp);
        match record {
            Some(record) => {
                self.begin(record.version);
                self.recorded = record.boots;
            }
            None => self.clear(),
        }
    }

    fn begin(&mut self, version: Version) {
        if self.version != Some(version) {
            self.version = Some(version);
            self.clear();
        }
    }

    /// What the shared record should say.
    pub(super) fn to_record(&self) -> Option<StrikesRecord> {
        let boots: BTreeSet<_> = self.seen.union(&self.recorded).copied().collect();
        let version = self.version.filter(|_| !boots.is_empty())?;
        Some(StrikesRecord { version, boots })
    }

    /// A process that is seen again did not die; answers whether the record says that it did.
    pub(super) fn absolve(&mut self, boot: BootId) -> bool {
        self.seen.remove(&boot);
        self.recorded.remove(&boot)
    }

    pub(super) fn clear(&mut self) {
        self.seen.clear();
        self.recorded.clear();
    }

    /// How many bear on this write.
    pub(super) fn against(&self, version: Version) -> usize {
        if self.version == Some(version) { self.seen.union(&self.recorded).count() } else { 0 }
    }

    pub(super) fn is_recorded(&self) -> bool {
        self.seen.is_subset(&self.recorded)
    }

    pub(super) fn names(&self, boot: BootId) -> bool {
        self.seen.contains(&boot) || self.recorded.contains(&boot)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.recorded.is_empty()
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

    pub(super) const fn is_running(&self) -> bool {
        matches!(self.report.phase, ReportPhase::Running)
    }
}

/// This member's instance of a child.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub(super) version: Version,
    pub(super) spec: Arc<ChildSpec>,
    pub(super) phase: Phase,
    /// The run that exists, if one does.
    pub(super) run: Option<RunId>,
    pub(super) attempt: u32,
    pub(super) endpoint: Option<String>,
    /// State for every attempt until the first `ready` (R9).
    pub(super) inherited: Option<Bytes>,
    pub(super) was_ready: bool,
    pub(super) failures: Failures,
}

/// What an instance does.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// Reported as starting; the run begins once nothing is needed any more.
    Preparing(Needs),
    Starting {
        since: Timestamp,
    },
    Running {
        since: Timestamp,
    },
    Stopping {
        cause: StopCause,
    },
    /// Its run ended; its state is being written.
    Exporting {
        then: AfterExport,
        lineage: Lineage,
    },
    /// Its run ended; its claim is being released.
    Unclaiming {
        to: BootId,
        lineage: Option<Lineage>,
    },
    Backoff {
        until: Timestamp,
    },
    Quarantined {
        until: Timestamp,
    },
    /// Given up for `to`, until that reports it or the time is over (R7).
    Released {
        to: BootId,
        lineage: Option<Lineage>,
        until: Timestamp,
    },
    /// Complete; reported until 60 s after the mark is acknowledged (R4).
    Done {
        until: Option<Timestamp>,
    },
    /// Aborted without effect; without a cause it ended of itself, and something of it blocks.
    Stuck {
        cause: Option<StopCause>,
    },
}

/// What an instance waits for before its run begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set: each need is met on its own")]
pub(super) struct Needs {
    /// Its `Starting` report is not yet with the backend (R11: a child that kills its member must
    /// have been seen starting).
    pub(super) report: bool,
    /// Its one start is not yet marked as taken (R5).
    pub(super) spent: bool,
    /// Its claim is not yet held.
    pub(super) claim: bool,
    /// Its state is not yet read.
    pub(super) state: bool,
    /// New strikes are not yet recorded.
    pub(super) strikes: bool,
}

impl Needs {
    pub(super) const fn is_met(self) -> bool {
        !(self.report || self.spent || self.claim || self.state || self.strikes)
    }
}

/// Why a run was told to stop, and so what follows its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StopCause {
    Terminated,
    Replaced,
    RestartAsked,
    StartTimeout,
    Moving { to: BootId },
    NobodyEligible,
    Superseded { by: BootId },
    OwnershipLost,
    SupervisorStopped,
}

impl StopCause {
    pub(super) fn reason(&self, name_of: impl Fn(BootId) -> Option<MemberName>) -> StopReason {
        match self {
            Self::Terminated => StopReason::Terminated,
            Self::Replaced => StopReason::Replaced,
            Self::RestartAsked | Self::StartTimeout => StopReason::Restarted,
            Self::Moving { to } => match name_of(*to) {
                Some(to) => StopReason::Moving { to },
                None => StopReason::Draining,
            },
            Self::NobodyEligible => StopReason::Draining,
            Self::Superseded { .. } => StopReason::Superseded,
            Self::OwnershipLost => StopReason::OwnershipLost,
            Self::SupervisorStopped => StopReason::SupervisorStopped,
        }
    }
}

/// What follows an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterExport {
    /// The successor may take the child.
    Release { to: BootId },
    /// Nothing more: the state is for the next start, wherever that is.
    Drop,
    /// Nothing more: the state is for the instance that survives.
    Absorb { by: BootId },
}

/// Failures that still count against a child (R11).
#[derive(Debug, Clone)]
pub(super) struct Failures {
    pub(super) backoff: Backoff,
    pub(super) recent: VecDeque<Timestamp>,
    pub(super) restarts: u32,
    pub(super) last: String,
}

impl Failures {
    pub(super) const fn new(policy: &RestartPolicy) -> Self {
        Self {
            backoff: Backoff::new(policy.first_delay, policy.longest_delay),
            recent: VecDeque::new(),
            restarts: 0,
            last: String::new(),
        }
    }

    /// Takes over the counters that came with a released child.
    pub(super) fn inherit(&mut self, report: &Report, now: Timestamp) {
        self.restarts = report.restarts;
        self.recent = (0..report.failures.min(1_000)).map(|_| now).collect();
    }

    /// Counts a failure; answers whether the child has had too many.
    pub(super) fn record(&mut self, policy: &RestartPolicy, now: Timestamp, last: String) -> bool {
        self.recent.retain(|at| now.since(*at) < policy.window);
        self.recent.push_back(now);
        self.last = last;
        self.is_excessive(policy)
    }

    pub(super) fn is_excessive(&self, policy: &RestartPolicy) -> bool {
        self.count() > policy.intensity
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.recent.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn is_clear(&self) -> bool {
        self.recent.is_empty() && self.backoff.tries() == 0
    }

    /// Forgets after a stretch of health.
    pub(super) fn clear(&mut self) {
        self.recent.clear();
        self.backoff.reset();
    }
}

impl Local {
    pub(super) fn new(version: Version, spec: Arc<ChildSpec>, policy: &RestartPolicy) -> Self {
        Self {
            version,
            spec,
            phase: Phase::Preparing(Needs::default()),
            run: None,
            attempt: 0,
            endpoint: None,
            inherited: None,
            was_ready: false,
            failures: Failures::new(policy),
        }
    }

    /// What this member reports of it.
    pub(super) fn to_report(&self, token: Option<FencingToken>, to: Option<MemberName>) -> Report {
        let phase = match &self.phase {
            Phase::Preparing(_) | Phase::Starting { .. } => ReportPhase::Starting,
            Phase::Running { .. } => ReportPhase::Running,
            Phase::Stopping { .. } | Phase::Exporting { .. } | Phase::Unclaiming { .. } => {
                to.map_or(ReportPhase::Stopping, |to| ReportPhase::Moving { to })
            }
            Phase::Backoff { .. } => ReportPhase::Backoff { last: self.failures.last.clone() },
            Phase::Quarantined { .. } => {
                ReportPhase::Quarantined { last: self.failures.last.clone() }
            }
            Phase::Released { to, lineage, .. } => {
                ReportPhase::Released { to: *to, lineage: *lineage }
            }
            Phase::Done { .. } => ReportPhase::Done,
            Phase::Stuck { .. } => ReportPhase::Stuck,
        };
        Report {
            version: self.version,
            phase,
            restarts: self.failures.restarts,
            failures: self.failures.count(),
            token,
            endpoint: self.endpoint.clone(),
        }
    }

    /// The member that it moves to, while it does.
    pub(super) const fn moving_to(&self) -> Option<BootId> {
        match &self.phase {
            Phase::Stopping { cause: StopCause::Moving { to } }
            | Phase::Exporting { then: AfterExport::Release { to }, .. }
            | Phase::Unclaiming { to, .. } => Some(*to),
            Phase::Preparing(_)
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Stopping { .. }
            | Phase::Exporting { .. }
            | Phase::Backoff { .. }
            | Phase::Quarantined { .. }
            | Phase::Released { .. }
            | Phase::Done { .. }
            | Phase::Stuck { .. } => None,
        }
    }

    /// Whether it is an instance, as against what is left of one.
    pub(super) const fn is_instance(&self) -> bool {
        !matches!(self.phase, Phase::Released { .. } | Phase::Done { .. })
    }
}

impl Child {
    pub(super) fn new(id: &ChildId) -> Self {
        Self {
            key: ChildKey::new(id.as_str()),
            desired: None,
            reports: Vec::new(),
            local: None,
            pool: None,
            owner: None,
            state: None,
            state_stamp: None,
            last_lineage: Lineage::default(),
            strikes: Strikes::default(),
            not_before: None,
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
