//! Processes that stand still, are slow, or have strict runs whose lease ends meanwhile.
//!
//! Whatever a process has to do comes through [`World::give`], so there is one place at which it is
//! done later. A backend's part of a process that stands still is told of it, too.

use std::{collections::VecDeque, time::Duration};

use pogo_core::{id::MemberName, node::ExitReason, node::Input, time::Timestamp};

use super::{
    World,
    agenda::{Happening, Process},
    clients::{Ask, Want},
};
use crate::{fact::Fact, plan::Stop};

/// A lease's margin is at least this, or a tenth of the lease (R16).
const LEAST_MARGIN: Duration = Duration::from_millis(250);

/// What keeps a process from handling things at once.
#[derive(Debug, Default)]
pub(super) struct Stall {
    /// Until when it stands still.
    until: Option<Timestamp>,
    /// What it will find then.
    held: VecDeque<Happening>,
    /// How much later it handles everything.
    by: Duration,
    /// When it will have handled what has come so far.
    busy_until: Timestamp,
    /// Whether its deadline is among that.
    is_waking: bool,
}

impl Stall {
    pub(super) const fn is_paused(&self) -> bool {
        self.until.is_some()
    }
}

impl World {
    /// Lets something happen, or notes that the process which it concerns does it later.
    pub(super) fn give(&mut self, happening: Happening) {
        let Some(process) = happening.process().cloned() else { return self.happen(happening) };
        let Some(up) = self.current(&process) else { return };
        let stall = &mut up.stall;
        // What comes while a process catches up waits for its turn, too.
        if stall.is_paused() || !stall.held.is_empty() {
            // The deadline is looked up again.
            if matches!(happening, Happening::Wake(_)) {
                up.wakes_at = None;
            } else {
                stall.held.push_back(happening);
            }
            return;
        }
        self.pass_on(&process, happening);
    }

    /// Lets a process that does not stand still do something, at once or, if it is slow, later.
    fn pass_on(&mut self, process: &Process, happening: Happening) {
        let now = self.now;
        let Some(up) = self.current(process) else { return };
        let stall = &mut up.stall;
        let is_wake = matches!(happening, Happening::Wake(_));
        let is_late = matches!(happening, Happening::Late(..) | Happening::Fence(_));
        if is_late || (stall.by.is_zero() && stall.busy_until <= now) {
            return self.happen(happening);
        }
        if is_wake && std::mem::replace(&mut stall.is_waking, true) {
            return;
        }
        stall.busy_until = stall.busy_until.max(now + stall.by);
        let due = stall.busy_until;
        self.agenda.add(due, Happening::Late(process.clone(), Box::new(happening)));
    }

    pub(super) fn late(&mut self, process: &Process, happening: Happening) {
        if matches!(happening, Happening::Wake(_)) {
            if let Some(up) = self.current(process) {
                up.stall.is_waking = false;
                up.wakes_at = None;
            }
            self.handle(&process.host, "timeout", Input::Timeout);
        } else {
            self.happen(happening);
        }
    }

    pub(super) fn pause(&mut self, name: &MemberName, lasts: Duration) {
        let (now, clock) = (self.now, self.true_clock());
        let Some((process, up)) = self.process_mut(name) else { return };
        let until = now + lasts;
        let was_paused = up.stall.is_paused();
        up.stall.until = up.stall.until.max(Some(until));
        if !was_paused {
            self.backend.pause(clock, &process);
            self.see(Fact::Paused { host: name.clone() });
        }
        self.agenda.add(until, Happening::Resume(process));
    }

    /// A process may go on; strict runs that are past their time go before anything else.
    pub(super) fn resume(&mut self, process: &Process) {
        let now = self.now;
        let Some(up) = self.current(process) else { return };
        if up.stall.until.is_some_and(|until| until <= now) {
            self.end_pause(process);
        }
    }

    pub(super) fn end_pause(&mut self, process: &Process) {
        let clock = self.true_clock();
        let Some(up) = self.current(process).filter(|up| up.stall.is_paused()) else { return };
        up.stall.until = None;
        self.see(Fact::Resumed { host: process.host.clone() });
        self.fence(process);
        self.backend.resume(clock, process);
        // What came first is found first: the backend may have more for it at once.
        while let Some(happening) = self.take_held(process) {
            self.pass_on(process, happening);
        }
        self.rewake(&process.host);
    }

    fn take_held(&mut self, process: &Process) -> Option<Happening> {
        self.current(process)?.stall.held.pop_front()
    }

    /// Looks up a node's deadline again.
    fn rewake(&mut self, name: &MemberName) {
        let now = self.now;
        let Some((process, up)) = self.process_mut(name) else { return };
        let due = up.deadline(now);
        up.wakes_at = due;
        if let Some(due) = due {
            self.agenda.add(due, Happening::Wake(process));
        }
    }

    pub(super) fn slow(&mut self, name: &MemberName, by: Duration) {
        let Some((process, up)) = self.process_mut(name) else { return };
        if up.stall.by == by {
            return;
        }
        up.stall.by = by;
        self.backend.slow(&process, by);
        self.see(Fact::Slowed { host: name.clone(), by });
    }

    /// Whether some process has yet to handle what has come to it.
    pub(super) fn is_anybody_late(&self) -> bool {
        let is_late = |stall: &Stall| stall.is_paused() || stall.busy_until > self.now;
        self.hosts.values().filter_map(|host| host.up.as_ref()).any(|up| is_late(&up.stall))
    }

    /// Ends every pause and slowness.
    pub(super) fn unstall_all(&mut self) {
        let names: Vec<MemberName> = self.expected_hosts().cloned().collect();
        for name in names {
            self.slow(&name, Duration::ZERO);
            if let Some((process, _)) = self.process(&name) {
                self.end_pause(&process);
            }
        }
    }

    /// The monotonic clock of a host jumps forward.
    pub(super) fn jump(&mut self, name: &MemberName, by: Duration) {
        let now = self.now;
        self.set_clock(name, |clock| *clock = clock.jumping(now, by));
        self.see(Fact::Jumped { host: name.clone(), by });
        if let Some((process, _)) = self.process(name) {
            self.give(Happening::Fence(process));
        }
        self.rewake(name);
    }

    /// The wall clock of a host is set.
    pub(super) fn step(&mut self, name: &MemberName, millis: i64) {
        self.set_clock(name, |clock| {
            clock.skew_millis = clock.skew_millis.saturating_add(millis);
        });
        self.see(Fact::Stepped { host: name.clone(), millis });
    }

    fn set_clock(&mut self, name: &MemberName, change: impl Fn(&mut super::host::HostClock)) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(name) else { return };
        change(&mut host.clock);
        let process = host.process(name);
        if let Some(up) = &mut host.up {
            change(&mut up.clock);
            self.backend.set_clock(now, &process, up.clock);
        }
    }

    /// A member is told to leave.
    pub(super) fn leave(&mut self, process: &Process, drain: Option<Duration>) {
        let name = &process.host;
        if !self.begin_leaving(name, drain) {
            return;
        }
        let Some(deadline) = drain else {
            return self.handle(name, "shutdown", Input::Shutdown);
        };
        if let Some((id, request)) =
            self.open_call(name, Ask { want: Want::Drain(deadline), tries: 0 })
        {
            self.handle(name, "client", Input::Client(id, request));
        }
    }

    /// Drops the strict runs of a process whose lease is about to end, as every poll of one would
    /// (R16), and says when to look again.
    pub(super) fn fence(&mut self, process: &Process) {
        let now = self.now;
        let Some(up) = self.current(process) else { return };
        up.is_fenced = false;
        let (clock, session) = (up.clock, up.session);
        // A blocked thread drops nothing.
        let strict: Vec<_> = up
            .runs
            .iter()
            .filter(|(_, run)| run.strict)
            .filter(|(_, run)| !(run.stopping && matches!(run.plan.stop, Stop::Blocks(_))))
            .map(|(key, _)| key.clone())
            .collect();
        let lease = session.and_then(|session| self.backend.contact(now, session, clock).lease);
        let Some(lease) = lease.filter(|_| !strict.is_empty()) else { return };
        let margin = LEAST_MARGIN.max(self.options.lease_ttl / 10);
        let deadline = lease.earlier_by(margin);
        if clock.local_time(now) < deadline {
            if let Some(up) = self.current(process) {
                up.is_fenced = true;
            }
            let due = clock.world_time(deadline, now);
            self.agenda.add(due, Happening::Fence(process.clone()));
            return;
        }
        for (child, run) in strict {
            self.child_ends(process, &child, run, ExitReason::Aborted, None);
        }
    }
}
