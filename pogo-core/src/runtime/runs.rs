//! The driver's table of runs, and the alarms that bound their end.
//!
//! An alarm lives on the driver's thread, so a child that blocks every thread of its own runtime
//! is still noticed (R24).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{runtime::Handle, sync::mpsc::UnboundedSender};

use super::{
    deadline::{KILL, enforce, outlive_driver},
    fence::Fence,
    kind::Kinds,
    run::{Notice, Run},
};
use crate::{
    id::{MemberName, RunId},
    node::{Input, StartChild, StopReason},
    spec::Shutdown,
    time::Timestamp,
};

/// How long an aborted run may take before it counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// The runs that have not exited.
#[derive(Debug)]
pub(super) struct Runs {
    kinds: Kinds,
    runtime: Handle,
    notices: UnboundedSender<Notice>,
    /// Whether the process ends where a strict run is still there past its deadline.
    abort_past_deadline: bool,
    live: BTreeMap<RunId, Live>,
    alarms: BTreeSet<(Timestamp, RunId)>,
}

#[derive(Debug)]
struct Live {
    run: Arc<Run>,
    alarm: Option<(Timestamp, Alarm)>,
    /// Once it was told to stop: when its grace is over.
    stops_until: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    Abort,
    Stuck,
    /// It is stuck, and its deadline may have come (R16).
    Deadline,
}

impl Runs {
    pub(super) const fn new(
        kinds: Kinds,
        runtime: Handle,
        notices: UnboundedSender<Notice>,
    ) -> Self {
        Self {
            kinds,
            runtime,
            notices,
            abort_past_deadline: false,
            live: BTreeMap::new(),
            alarms: BTreeSet::new(),
        }
    }

    pub(super) const fn abort_past_deadline(mut self, abort: bool) -> Self {
        self.abort_past_deadline = abort;
        self
    }

    pub(super) fn start(&mut self, member: MemberName, start: StartChild, fence: Option<Fence>) {
        let id = start.run;
        let code = self.kinds.code(&start.spec.kind);
        let run = Run::new(start, member, fence, self.runtime.clone(), self.notices.clone());
        run.launch(code);
        self.live.insert(id, Live { run, alarm: None, stops_until: Timestamp::MAX });
    }

    /// Tells a run to stop; told again, the tighter bound holds. A strict run is bound by its lease, too
    /// (R16).
    pub(super) fn stop(
        &mut self,
        now: Timestamp,
        id: RunId,
        reason: StopReason,
        shutdown: Shutdown,
    ) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.run.tell(|control| {
            control.stop.get_or_insert(reason);
        });
        match shutdown {
            Shutdown::Grace(grace) => live.stops_until = live.stops_until.min(now + grace),
            Shutdown::Immediate => return self.abort(now, id),
            Shutdown::Unbounded => {}
        }
        self.bound(now, id);
    }

    /// Aborts a run that was told to stop and may go on no longer, or looks again when that may be so.
    fn bound(&mut self, now: Timestamp, id: RunId) {
        let Some(live) = self.live.get(&id) else { return };
        match live.bound() {
            Timestamp::MAX => {}
            bound if bound <= now => self.abort(now, id),
            bound => self.set_alarm(id, bound, Alarm::Abort),
        }
    }

    /// Gives a run the state of an instance that it outlived.
    pub(super) fn absorb(&self, id: RunId, state: Bytes) {
        if let Some(live) = self.live.get(&id) {
            live.run.tell(|control| control.absorbed.push_back(state));
        }
    }

    /// Takes a notice; returns what the node is to be told.
    pub(super) fn notice(&mut self, now: Timestamp, notice: Notice) -> Option<Input> {
        match notice {
            Notice::Ready(run, endpoint) => {
                let child = self.live.get(&run)?.run.start.child.clone();
                Some(Input::ChildReady { child, run, endpoint })
            }
            Notice::Ending(run) => {
                let patience = self.live.get(&run)?.patience(now);
                self.set_alarm(run, now + patience, Alarm::Stuck);
                None
            }
            Notice::Exited(run, end) => {
                let live = self.live.remove(&run)?;
                if let Some((at, _)) = live.alarm {
                    self.alarms.remove(&(at, run));
                }
                Some(Input::ChildExited { child: live.run.start.child.clone(), run, end })
            }
        }
    }

    /// When [`ring`](Self::ring) has something to do.
    pub(super) fn next_alarm(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Acts on the alarms that are due; returns what the node is to be told.
    pub(super) fn ring(&mut self, now: Timestamp) -> Vec<Input> {
        let mut stuck = Vec::new();
        while let Some(&(_, run)) = self.alarms.first().filter(|(at, _)| *at <= now) {
            self.alarms.pop_first();
            let Some(live) = self.live.get_mut(&run) else { continue };
            match live.alarm.take() {
                Some((_, Alarm::Abort)) => self.bound(now, run),
                // That it has ended is on its way here.
                Some((_, Alarm::Stuck)) if live.run.is_over() => {}
                Some((_, Alarm::Stuck)) => {
                    let child = live.run.start.child.clone();
                    self.watch_deadline(run);
                    stuck.push(Input::ChildStuck { child, run });
                }
                Some((_, Alarm::Deadline)) => self.watch_deadline(run),
                None => {}
            }
        }
        stuck
    }

    fn abort(&mut self, now: Timestamp, id: RunId) {
        let Some(live) = self.live.get(&id) else { return };
        if live.run.control().abort {
            return;
        }
        live.run.tell(|control| control.abort = true);
        let patience = live.patience(now);
        self.set_alarm(id, now + patience, Alarm::Stuck);
    }

    /// Ends this process where that was chosen and a stuck run is past its deadline; looks again when
    /// that may be so. Renewals put the deadline off, also while the run is stuck.
    fn watch_deadline(&mut self, id: RunId) {
        if !self.abort_past_deadline {
            return;
        }
        if let Some(deadline) = self.live.get(&id).and_then(|live| enforce(&live.run)) {
            self.set_alarm(id, deadline, Alarm::Deadline);
        }
    }

    /// Sets the alarm of a run; the watch on an abort is never undone, and a bound never grows.
    fn set_alarm(&mut self, id: RunId, at: Timestamp, alarm: Alarm) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let keep = match live.alarm {
            Some((_, Alarm::Stuck | Alarm::Deadline)) => true,
            Some((set, Alarm::Abort)) => alarm == Alarm::Abort && set <= at,
            None => false,
        };
        if keep {
            return;
        }
        if let Some((set, _)) = live.alarm.replace((at, alarm)) {
            self.alarms.remove(&(set, id));
        }
        self.alarms.insert((at, id));
    }
}

impl Live {
    /// When it is to be aborted, once it was told to stop: its grace may outlast its lease, which
    /// renewals put off.
    fn bound(&self) -> Timestamp {
        let fence = self.run.fence.as_ref();
        let deadline = fence.map_or(Timestamp::MAX, |it| it.deadline().earlier_by(KILL));
        self.stops_until.min(deadline)
    }

    /// How long it may take to be gone once it is aborted or has ended.
    fn patience(&self, now: Timestamp) -> Duration {
        let fence = self.run.fence.as_ref();
        fence.map_or(STUCK_AFTER, |fence| fence.deadline().since(now).clamp(KILL, STUCK_AFTER))
    }
}

impl Drop for Runs {
    /// Without its driver no instance may run on unsupervised.
    fn drop(&mut self) {
        for live in self.live.values() {
            live.run.tell(|control| control.abort = true);
        }
        let strict = |live: &Live| live.run.fence.is_some().then(|| Arc::clone(&live.run));
        let strict: Vec<_> = self.live.values().filter_map(strict).collect();
        if self.abort_past_deadline && !strict.is_empty() {
            outlive_driver(strict);
        }
    }
}
