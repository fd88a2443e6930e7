//! The state of a cluster as the facts tell it: what laws look at, and what a test of a law makes
//! by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use pogo_core::{
    id::{BootId, ChildId, FencingToken, MemberName, RunId},
    membership::MemberStatus,
    record::Stamp,
    spec::Exclusivity,
    time::Timestamp,
};

use crate::{
    fact::{Fact, Started},
    plan::{ChildPlan, Stop},
};

/// The state of a cluster as the facts tell it.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// The processes that run.
    pub hosts: BTreeMap<MemberName, Host>,
    /// The instances that have started and not exited, by child, oldest first.
    pub instances: BTreeMap<ChildId, Vec<Instance>>,
    /// The last instance of each child that exited or died with its member.
    pub last: BTreeMap<ChildId, Instance>,
    /// How the last instance of a child on a process ended.
    pub ended: BTreeMap<(ChildId, BootId), Ended>,
    /// How long after it became ready a child may be to blame for the crash of its member (R11).
    pub strike_within: Duration,
    /// How often each child failed or was restarted, as it was not ready in time.
    pub failures: BTreeMap<ChildId, u32>,
    /// The processes that ended, or may seem to have, while a child started or shortly after (R11).
    pub strikes: BTreeMap<ChildId, BTreeSet<BootId>>,
    /// Young instances of processes that others hold to be dead, until they are back.
    pub doubtful: BTreeSet<(ChildId, BootId)>,
    /// Whether the cluster is divided, or anybody's way to anybody else is cut or clogged.
    pub divided: bool,
    /// Whether the division is one into groups.
    pub cut: bool,
    /// The ways on which nothing arrives.
    pub unlinked: BTreeSet<(MemberName, MemberName)>,
    /// The ways on which everything is late.
    pub clogged: BTreeSet<(MemberName, MemberName)>,
    /// How long events of the feed take at most.
    pub delay: Duration,
    /// When the cordon of each member last changed.
    pub cordoned: BTreeMap<MemberName, Timestamp>,
    /// When something last went wrong or ended going wrong.
    pub disturbed: Timestamp,
}

/// A process.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its start.
    pub boot: BootId,
    /// Whether it has a session.
    pub joined: bool,
    /// Whether it has read a snapshot.
    pub synced: bool,
    /// Whether it drains or stops, and knows it.
    pub leaving: bool,
    /// What its feed told it of members.
    pub sees: BTreeMap<BootId, MemberStatus>,
    /// The snapshot that its feed is telling.
    pub reading: Option<BTreeMap<BootId, MemberStatus>>,
    /// Its view, each member with the time since when it is there.
    pub view: BTreeMap<BootId, Timestamp>,
    /// When its feed last told it of a member that it had not seen.
    pub gained: Timestamp,
    /// Since when it stands still, if it does.
    pub paused: Option<Timestamp>,
    /// When it last went on after it had stood still.
    pub resumed: Option<Timestamp>,
    /// How much later it handles everything.
    pub slow: Duration,
}

/// How a process' last instance of a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Why it was told to stop, if it was.
    pub stopping: Option<&'static str>,
    /// Since when its process had the child.
    pub held: Timestamp,
}

/// An execution of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Where.
    pub host: MemberName,
    /// That member's process start.
    pub boot: BootId,
    /// Its number there.
    pub run: RunId,
    /// How it behaves.
    pub plan: ChildPlan,
    /// How many instances there may be.
    pub exclusivity: Exclusivity,
    /// Its fencing token, where it has one.
    pub token: Option<FencingToken>,
    /// The record that it was started from.
    pub stamp: Option<Stamp>,
    /// When it started.
    pub since: Timestamp,
    /// Since when its process has had the child, restarts in place included.
    pub held: Timestamp,
    /// When it became ready.
    pub ready: Option<Timestamp>,
    /// Why it was told to stop, once it was.
    pub stopping: Option<&'static str>,
    /// Whether it was aborted and does not end.
    pub stuck: bool,
}

impl Instance {
    /// Whether it blocks its thread though it was told to stop: only the end of its process is sure to
    /// end it.
    pub const fn is_blocked(&self) -> bool {
        self.stuck || (self.stopping.is_some() && matches!(self.plan.stop, Stop::Blocks(_)))
    }

    /// Whether it is ready and was not told to stop.
    pub const fn is_running(&self) -> bool {
        self.ready.is_some() && self.stopping.is_none()
    }
}

impl Picture {
    /// The instances of a child.
    pub fn of(&self, child: &ChildId) -> &[Instance] {
        self.instances.get(child).map_or(&[], Vec::as_slice)
    }

    /// Whether somebody stands still or is slow, so that nobody can rely on an answer in time.
    pub fn has_stalled(&self) -> bool {
        self.hosts.values().any(|host| host.paused.is_some() || !host.slow.is_zero())
    }

    /// Whether a start of the child by this process is a restart in place: its last instance there
    /// ended by itself, or was stopped to be started again.
    pub fn is_restart(&self, child: &ChildId, boot: BootId) -> bool {
        self.ended
            .get(&(child.clone(), boot))
            .is_some_and(|it| matches!(it.stopping, None | Some("restarted" | "replaced")))
    }

    /// Whether an instance is excused for what leases and quorums promise: its process stands still, or
    /// went on less than `kill` ago.
    pub fn is_excused(&self, one: &Instance, now: Timestamp, kill: Duration) -> bool {
        let host = self.hosts.get(&one.host).filter(|host| host.boot == one.boot);
        host.is_some_and(|host| {
            host.paused.is_some() || host.resumed.is_some_and(|at| now <= at + kill)
        })
    }

    /// Whether a process stands still or is slow, or did so less than `lately` ago.
    pub fn is_stalled(&self, host: &MemberName, now: Timestamp, lately: Duration) -> bool {
        self.hosts.get(host).is_some_and(|host| {
            host.paused.is_some()
                || !host.slow.is_zero()
                || host.resumed.is_some_and(|at| now <= at + lately)
        })
    }

    /// The children that have more than one instance.
    pub fn doubled(&self) -> impl Iterator<Item = (&ChildId, &[Instance])> {
        self.instances
            .iter()
            .filter(|(_, instances)| instances.len() > 1)
            .map(|(child, instances)| (child, instances.as_slice()))
    }

    /// Takes a fact in.
    pub fn apply(&mut self, now: Timestamp, fact: &Fact) {
        self.apply_to_cluster(now, fact);
        self.apply_to_network(now, fact);
        self.apply_to_process(now, fact);
        self.apply_to_feed(now, fact);
        self.apply_to_instance(now, fact);
    }

    fn apply_to_cluster(&mut self, now: Timestamp, fact: &Fact) {
        match fact {
            Fact::Booted { host, boot } => {
                self.hosts.insert(host.clone(), Host::new(*boot));
            }
            Fact::Joined { host } => self.join(host),
            Fact::Leaving { host, .. } => self.with_host(host, |host| host.leaving = true),
            Fact::Crashed { host, .. } | Fact::Abandoned { host, .. } => {
                self.disturbed = now;
                self.doubt(now, Some(host));
                self.end_host(host);
            }
            Fact::Stopped { host } => self.end_host(host),
            Fact::Evicted { host } => {
                self.disturbed = now;
                self.doubt(now, Some(host));
                self.with_host(host, |host| host.joined = false);
            }
            Fact::Disturbed(_) | Fact::Twin { .. } | Fact::DataLost { .. } => self.disturbed = now,
            Fact::Delayed(delay) => {
                self.delay = *delay;
                self.disturbed = now;
            }
            Fact::Cordon(member) => drop(self.cordoned.insert(member.clone(), now)),
            _ => {}
        }
    }

    fn apply_to_network(&mut self, now: Timestamp, fact: &Fact) {
        match fact {
            Fact::Cut(_) => self.cut = true,
            Fact::Unlinked { from, to } => self.unlinked.extend(links(from, to)),
            Fact::Linked { from, to } => {
                self.unlinked.retain(|(a, b)| !(from.contains(a) && to.contains(b)));
            }
            Fact::Clogged { from, to, by } if by.is_zero() => {
                self.clogged.retain(|(a, b)| !(from.contains(a) && to.contains(b)));
            }
            Fact::Clogged { from, to, .. } => self.clogged.extend(links(from, to)),
            Fact::Healed => {
                self.cut = false;
                self.unlinked.clear();
                self.clogged.clear();
            }
            _ => return,
        }
        self.disturbed = now;
        self.divided = self.cut || !self.unlinked.is_empty() || !self.clogged.is_empty();
        if self.divided {
            self.doubt(now, None);
        } else {
            self.doubtful.clear();
            self.renew_cordons(now);
        }
    }

    /// What was said of a cordon while somebody could not hear it may take effect only now.
    fn renew_cordons(&mut self, now: Timestamp) {
        self.cordoned.values_mut().for_each(|changed| *changed = now);
    }

    fn apply_to_process(&mut self, now: Timestamp, fact: &Fact) {
        match fact {
            Fact::Paused { host } => {
                self.doubt(now, Some(host));
                self.with_host(host, |host| host.paused = Some(now));
            }
            Fact::Resumed { host } => {
                self.with_host(host, |host| (host.paused, host.resumed) = (None, Some(now)));
                self.renew_cordons(now);
            }
            Fact::Slowed { host, by } => {
                self.doubt(now, Some(host));
                self.renew_cordons(now);
                self.with_host(host, |host| host.slow = *by);
            }
            Fact::Jumped { .. } | Fact::Stepped { .. } => {}
            _ => return,
        }
        self.disturbed = now;
    }

    fn apply_to_feed(&mut self, now: Timestamp, fact: &Fact) {
        match fact {
            Fact::SnapshotBegan { host } => {
                self.with_host(host, |host| host.reading = Some(BTreeMap::new()));
            }
            Fact::Synced { host } => self.with_host(host, |host| {
                host.synced = true;
                if let Some(read) = host.reading.take() {
                    if read.keys().any(|boot| !host.sees.contains_key(boot)) {
                        host.gained = now;
                    }
                    host.sees = read;
                }
            }),
            Fact::Sees { host, boot, status, .. } => {
                self.with_host(host, |host| host.see(now, *boot, *status));
            }
            Fact::Views { host, members } => self.with_host(host, |host| {
                let old = std::mem::take(&mut host.view);
                host.view = members
                    .iter()
                    .map(|boot| (*boot, old.get(boot).copied().unwrap_or(now)))
                    .collect();
            }),
            _ => {}
        }
    }

    fn apply_to_instance(&mut self, now: Timestamp, fact: &Fact) {
        match fact {
            Fact::Started(started) => {
                if self.divided {
                    self.doubtful.insert((started.child.clone(), started.boot));
                }
                let mut instance = Instance::new(now, started);
                let before = self.ended.get(&(started.child.clone(), started.boot));
                let is_restart = self.is_restart(&started.child, started.boot);
                if let Some(before) = before.filter(|_| is_restart) {
                    instance.held = before.held;
                }
                self.instances.entry(started.child.clone()).or_default().push(instance);
            }
            Fact::Ready { host, child, run } => {
                self.with_instance(host, child, *run, |instance| instance.ready = Some(now));
            }
            Fact::StopAsked { host, child, run, reason } => {
                if *reason == "restarted" {
                    *self.failures.entry(child.clone()).or_default() += 1;
                }
                self.with_instance(host, child, *run, |one| one.stopping = Some(*reason));
            }
            Fact::Stuck { host, child, run } => {
                self.with_instance(host, child, *run, |one| one.stuck = true);
            }
            Fact::Exited { host, child, run, how, .. } => {
                if is_failure(self.of(child), *run, how) {
                    *self.failures.entry(child.clone()).or_default() += 1;
                }
                self.end_instances(child, |instance| {
                    instance.host == *host && instance.run == *run
                });
            }
            _ => {}
        }
    }

    fn with_host(&mut self, name: &MemberName, change: impl FnOnce(&mut Host)) {
        if let Some(host) = self.hosts.get_mut(name) {
            change(host);
        }
    }

    fn with_instance(
        &mut self,
        host: &MemberName,
        child: &ChildId,
        run: RunId,
        change: impl FnOnce(&mut Instance),
    ) {
        let mut instances = self.instances.get_mut(child).into_iter().flatten();
        if let Some(instance) = instances.find(|one| one.host == *host && one.run == run) {
            change(instance);
        }
    }

    fn end_instances(&mut self, child: &ChildId, ends: impl Fn(&Instance) -> bool) {
        let Some(instances) = self.instances.get_mut(child) else { return };
        if let Some(ended) = instances.iter().rev().find(|instance| ends(instance)) {
            self.last.insert(child.clone(), ended.clone());
            let Instance { boot, stopping, held, .. } = *ended;
            self.ended.insert((child.clone(), boot), Ended { stopping, held });
        }
        instances.retain(|instance| !ends(instance));
        if instances.is_empty() {
            self.instances.remove(child);
        }
    }

    fn join(&mut self, name: &MemberName) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.joined = true;
        let boot = host.boot;
        if !self.divided {
            self.doubtful.retain(|(_, doubted)| *doubted != boot);
        }
    }

    /// Others may come to hold this member, or any, to be dead.
    fn doubt(&mut self, now: Timestamp, name: Option<&MemberName>) {
        let young = |one: &&Instance| {
            name.is_none_or(|name| one.host == *name)
                && one.ready.is_none_or(|ready| now <= ready + self.strike_within)
        };
        for (child, instances) in &self.instances {
            let boots = instances.iter().filter(young).map(|one| (child.clone(), one.boot));
            self.doubtful.extend(boots);
        }
    }

    fn end_host(&mut self, name: &MemberName) {
        let Some(host) = self.hosts.remove(name) else { return };
        for (child, _) in self.doubtful.iter().filter(|(_, boot)| *boot == host.boot) {
            self.strikes.entry(child.clone()).or_default().insert(host.boot);
        }
        let children: Vec<ChildId> = self.instances.keys().cloned().collect();
        for child in children {
            self.end_instances(&child, |instance| instance.host == *name);
        }
    }
}

/// Whether an end counts against the child: nobody had told it to end like this.
fn is_failure(instances: &[Instance], run: RunId, how: &str) -> bool {
    let told = instances.iter().any(|one| one.run == run && one.stopping.is_some());
    how.starts_with("failed") || how.starts_with("panicked") || (how == "aborted" && !told)
}

fn links<'a>(
    from: &'a BTreeSet<MemberName>,
    to: &'a BTreeSet<MemberName>,
) -> impl Iterator<Item = (MemberName, MemberName)> + 'a {
    from.iter().flat_map(|one| to.iter().map(|other| (one.clone(), other.clone())))
}

impl Host {
    fn new(boot: BootId) -> Self {
        Self {
            boot,
            joined: false,
            synced: false,
            leaving: false,
            sees: BTreeMap::new(),
            reading: None,
            view: BTreeMap::new(),
            gained: Timestamp::ZERO,
            paused: None,
            resumed: None,
            slow: Duration::ZERO,
        }
    }

    fn see(&mut self, now: Timestamp, boot: BootId, status: Option<MemberStatus>) {
        if self.reading.is_none() && status.is_some() && !self.sees.contains_key(&boot) {
            self.gained = now;
        }
        let seen = self.reading.as_mut().unwrap_or(&mut self.sees);
        match status {
            Some(status) => {
                seen.insert(boot, status);
            }
            None => {
                seen.remove(&boot);
            }
        }
    }

    /// Whether its feed told it that this process takes part.
    pub fn sees_member(&self, boot: BootId) -> bool {
        matches!(self.sees.get(&boot), Some(MemberStatus::Active | MemberStatus::Draining))
    }
}

impl Instance {
    /// The instance that begins.
    pub(crate) fn new(now: Timestamp, started: &Started) -> Self {
        Self {
            host: started.host.clone(),
            boot: started.boot,
            run: started.run,
            plan: started.plan,
            exclusivity: started.exclusivity,
            token: started.token,
            stamp: started.record.map(|(stamp, _)| stamp),
            since: now,
            held: now,
            ready: None,
            stopping: None,
            stuck: false,
        }
    }
}
