//! Operations of the plan, carried out.

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{id::MemberName, node::StartMode};

use super::{
    World,
    agenda::{Happening, Process},
    clients::{Ask, Want},
    host::{Host, HostClock, Up},
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
                let clock = self.clock_of(name);
                let host = Host { clock, starts: 0, is_abandoned: false, up: None };
                self.hosts.entry(name.clone()).or_insert(host);
            }
            self.agenda.add(pogo_core::time::Timestamp::from_start(*at), Happening::Op(op.clone()));
        }
    }

    pub(super) fn clock_of(&self, name: &MemberName) -> HostClock {
        let most = u64::try_from(self.options.clock_skew.as_millis()).unwrap_or(u64::MAX);
        let skew_millis = self.either_way("skew", name, most);
        let drift = self.either_way("drift", name, u64::from(self.options.drift));
        let drift = i32::try_from(drift).unwrap_or(0);
        HostClock { skew_millis, drift, ..HostClock::default() }
    }

    fn either_way(&self, purpose: &str, name: &MemberName, most: u64) -> i64 {
        let drawn = self.draws.below(purpose, name.as_str(), 0, most.saturating_mul(2) + 1);
        i64::try_from(drawn).unwrap_or(0) - i64::try_from(most).unwrap_or(0)
    }

    pub(crate) fn operate(&mut self, op: Op) {
        match op {
            Op::Boot(member) => self.boot(&member),
            Op::Crash { member, silent } => self.crash(&member, silent),
            Op::Drain { member, deadline } => self.tell_to_leave(&member, Some(deadline)),
            Op::Shutdown(member) => self.tell_to_leave(&member, None),
            Op::Evict(member) => self.evict(&member),
            Op::Cut(groups) => self.cut(groups),
            Op::Heal => self.heal(),
            Op::Delay(delay) => self.delay(delay),
            Op::Fail(child) => self.fail_child(&child),
            Op::Pause { member, lasts } => self.pause(&member, lasts),
            Op::Slow { member, by } => self.slow(&member, by),
            Op::Twin { host, name } => self.twin(&host, &name),
            Op::Jump { member, by } => self.jump(&member, by),
            Op::Step { member, millis } => self.step(&member, millis),
            Op::CutLinks { from, to } => self.set_link_cut(from, to, true),
            Op::HealLinks { from, to } => self.set_link_cut(from, to, false),
            Op::Clog { from, to, by } => self.clog(from, to, by),
            Op::Store(op) => self.operate_store(op),
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

    pub(crate) fn want(&mut self, via: MemberName, want: Want) {
        self.ask(via, Ask { want, tries: 0 });
    }

    pub(super) fn crash(&mut self, name: &MemberName, silent: bool) {
        let clock = self.true_clock();
        self.end_twin(name, None);
        let Some((process, up)) = self.end_process(name) else { return };
        self.backend.crash(clock, &process, up.session, silent);
        self.see(Fact::Crashed { host: name.clone(), silent });
        self.last_end = self.now;
        self.lose_changes();
        self.lose_calls(name);
    }

    /// A process has ended by itself; what is left of its session goes with it.
    pub(super) fn stopped(&mut self, name: &MemberName) {
        let clock = self.true_clock();
        let Some((process, up)) = self.end_process(name) else { return };
        self.backend.stop(clock, &process, up.session);
        self.see(Fact::Stopped { host: name.clone() });
        self.last_end = self.now;
        self.lose_changes();
        self.lose_calls(name);
    }

    fn end_process(&mut self, name: &MemberName) -> Option<(Process, Up)> {
        let host = self.hosts.get_mut(name)?;
        Some((host.process(name), host.up.take()?))
    }

    fn tell_to_leave(&mut self, name: &MemberName, drain: Option<Duration>) {
        if let Some((process, _)) = self.process(name) {
            self.give(Happening::Leave(process, drain));
        }
    }

    pub(super) fn begin_leaving(&mut self, name: &MemberName, deadline: Option<Duration>) -> bool {
        let Some(host) = self.picture.hosts.get(name) else { return false };
        let begins = host.joined && !host.leaving;
        if begins {
            self.see(Fact::Leaving { host: name.clone(), deadline });
        }
        begins
    }

    fn cut(&mut self, groups: Vec<BTreeSet<MemberName>>) {
        self.backend.cut(self.true_clock(), &groups);
        if self.has_islands() {
            self.oracle.cut(self.now);
        }
        self.see(Fact::Cut(groups));
    }

    fn set_link_cut(&mut self, from: BTreeSet<MemberName>, to: BTreeSet<MemberName>, cut: bool) {
        if !self.backend.has_links() {
            return;
        }
        self.backend.set_cut(self.now, (&from, &to), cut);
        self.see(if cut { Fact::Unlinked { from, to } } else { Fact::Linked { from, to } });
        self.note_division();
    }

    fn clog(&mut self, from: BTreeSet<MemberName>, to: BTreeSet<MemberName>, by: Duration) {
        if !self.backend.has_links() {
            return;
        }
        self.backend.clog((&from, &to), by);
        self.see(Fact::Clogged { from, to, by });
        self.note_division();
    }

    fn note_division(&mut self) {
        if !self.picture.divided {
            self.oracle.healed(self.now);
        } else if !self.oracle.is_divided() {
            self.oracle.cut(self.now);
        }
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
        let is_divided = self.backend.store().is_some_and(|store| store.is_divided());
        // Where something else still keeps a member from the store, only the groups are no more.
        self.see(if is_divided { Fact::Cut(Vec::new()) } else { Fact::Healed });
    }

    pub(super) fn delay(&mut self, delay: Duration) {
        if self.delay == delay {
            return;
        }
        self.delay = delay;
        self.backend.delay(self.now, delay);
        self.see_feed_delay();
    }
}
