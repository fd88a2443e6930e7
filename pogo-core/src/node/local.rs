//! This member's instance of a child, or what is left of it.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{
    config::RestartPolicy,
    output::StopReason,
    wire::{Report, ReportPhase},
};
use crate::{
    id::{BootId, FencingToken, Lineage, MemberName, RunId},
    membership::Backoff,
    mutant::planted,
    record::Version,
    spec::ChildSpec,
    time::Timestamp,
};

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
    pub(super) inherited: Option<(Lineage, Bytes)>,
    pub(super) was_ready: bool,
    pub(super) failures: Failures,
    /// How often this member had come into a quorum when it took the child (R17).
    pub(super) returns: u64,
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
    /// The next attempt, here: that is what a restart asks for.
    Restart,
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
        self.count() > policy.intensity && !planted("nothing is quarantined")
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

/// What still counts against a child of which nothing else is left here (R11).
#[derive(Debug, Clone)]
pub(super) struct Former {
    version: Version,
    failures: Failures,
    /// The delay or the quarantine that it was in.
    waits: Option<Phase>,
}

impl Former {
    /// What is kept of an instance that is dropped, if anything counts against it.
    pub(super) fn of(local: Local) -> Option<Box<Self>> {
        let Local { version, failures, phase, .. } = local;
        let waits = Some(phase).filter(|it| it.retries_at().is_some());
        (!failures.is_clear()).then(|| Box::new(Self { version, failures, waits }))
    }

    /// Makes it bear on the next instance; answers what that one has to wait for first.
    pub(super) fn bear_on(self, local: &mut Local, now: Timestamp) -> Option<Phase> {
        if self.version != local.version {
            return None;
        }
        local.failures = self.failures;
        self.waits.filter(|it| it.retries_at() > Some(now))
    }
}

impl Phase {
    /// When the next attempt is due, in back-off and quarantine.
    const fn retries_at(&self) -> Option<Timestamp> {
        match self {
            Self::Backoff { until } | Self::Quarantined { until } => Some(*until),
            Self::Preparing(_)
            | Self::Starting { .. }
            | Self::Running { .. }
            | Self::Stopping { .. }
            | Self::Exporting { .. }
            | Self::Unclaiming { .. }
            | Self::Released { .. }
            | Self::Done { .. }
            | Self::Stuck { .. } => None,
        }
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
            returns: 0,
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
