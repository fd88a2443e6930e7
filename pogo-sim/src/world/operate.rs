//! Operations of the plan, carried out.

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{
    id::MemberName,
    node::{Input, StartMode},
};

use super::{
    World,
    agenda::{Happening, Process},
    clients::{Ask, Want},
    host::{Host, Up},
};
use crate::{
    fact::Fact,
    plan::{Op, Plan},
};

impl World {
    /// Makes the hosts that a plan boots and puts its operations on the agenda.
    pub(super) fn take_plan(&mut self, plan: &Plan) {
        for (at, op) in &plan.ops {
            if let Op::Boot(name) = op {
                let skew_millis = self.skew(name);
                let host = Host { skew_millis, starts: 0, up: None };
                self.hosts.entry(name.clone()).or_insert(host);
            }
            self.agenda.add(pogo_core::time::Timestamp::from_start(*at), Happening::Op(op.clone()));
        }
    }

    fn skew(&self, name: &MemberName) -> i64 {
        let most = u64::try_from(self.options.clock_skew.as_millis()).unwrap_or(u64::MAX);
        let drawn = self.draws.below("skew", name.as_str(), 0, most.saturating_mul(2) + 1);
        i64::try_from(drawn).unwrap_or(0) - i64::try_from(most).unwrap_or(0)
    }

    pub(super) fn operate(&mut self, op: Op) {
        match op {
            Op::Boot(member) => self.boot(&member),
            Op::Crash { member, silent } => self.crash(&member, silent),
            Op::Drain { member, deadline } => self.drain(&member, deadline),
            Op::Shutdown(member) => {
                if self.begin_leaving(&member) {
                    self.handle(&member, "shutdown", Input::Shutdown);
                }
            }
            Op::Evict(member) => self.evict(&member),
            Op::Cut(groups) => self.cut(groups),
            Op::Heal => self.heal(),
            Op::Delay(delay) => self.delay(delay),
            Op::Fail(child) => self.fail_child(&child),
            Op::Start { via, children, plan } => {
                self.want(via, Want::Start { children, plan, mode: StartMode::Start });
            }
            Op::Replace { via, child, plan } => {
                let (children, mode) = (vec![child], StartMode::StartOrReplace);
                self.want(via, Want::Start { children, plan, mode });
            }
            Op::Terminate { via, child } => self.want(via, Want::Terminate(child)),
            Op::Restart { via, child } => self.want(via, Want::Restart(child)),
            Op::Cordon { via, member } => self.want(via, Want::Cordon(member)),
            Op::Uncordon { via, member } => self.want(via, Want::Uncordon(member)),
        }
    }

    pub(super) fn want(&mut self, via: MemberName, want: Want) {
        self.ask(via, Ask { want, tries: 0 });
    }

    pub(super) fn crash(&mut self, name: &MemberName, silent: bool) {
        let clock = self.true_clock();
        let Some((process, up)) = self.end_process(name) else { return };
        self.backend.crash(clock, &process, up.session, silent);
        self.see(Fact::Crashed { host: name.clone(), silent });
        self.lose_changes();
        self.lose_calls(name);
    }

    /// A process has ended by itself; what is left of its session goes with it.
    pub(super) fn stopped(&mut self, name: &MemberName) {
        let clock = self.true_clock();
        let Some((process, up)) = self.end_process(name) else { return };
        if let Some(((child, _), _)) = up.runs.first_key_value() {
            self.break_law("S14 drain", format!("{name} has stopped with {child} on it"));
        }
        self.backend.stop(clock, &process, up.session);
        self.see(Fact::Stopped { host: name.clone() });
        self.lose_changes();
        self.lose_calls(name);
    }

    fn end_process(&mut self, name: &MemberName) -> Option<(Process, Up)> {
        let host = self.hosts.get_mut(name)?;
        Some((host.process(name), host.up.take()?))
    }

    fn drain(&mut self, name: &MemberName, deadline: Duration) {
        if self.begin_leaving(name) {
            self.ask_of(name, Ask { want: Want::Drain(deadline), tries: 0 });
        }
    }

    fn begin_leaving(&mut self, name: &MemberName) -> bool {
        let Some(host) = self.picture.hosts.get(name) else { return false };
        let begins = host.joined && !host.leaving;
        if begins {
            self.see(Fact::Leaving { host: name.clone() });
        }
        begins
    }

    fn cut(&mut self, groups: Vec<BTreeSet<MemberName>>) {
        self.backend.cut(self.true_clock(), &groups);
        self.oracle.cut(self.now);
        self.see(Fact::Cut(groups));
    }

    fn evict(&mut self, name: &MemberName) {
        self.backend.evict(self.true_clock(), name);
        self.see(Fact::Disturbed("eviction"));
    }

    pub(super) fn heal(&mut self) {
        if !self.picture.divided {
            return;
        }
        self.backend.heal(self.true_clock());
        self.oracle.healed(self.now);
        self.see(Fact::Healed);
    }

    pub(super) fn delay(&mut self, delay: Duration) {
        if self.delay == delay {
            return;
        }
        self.delay = delay;
        self.backend.delay(delay);
        self.see(Fact::Delayed(self.options.feed_delay(delay)));
    }
}
