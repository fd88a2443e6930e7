//! What goes wrong in a random cluster. A family composes what it needs from few operations.

use std::{collections::BTreeSet, time::Duration};

use pogo_core::id::MemberName;

use super::Cluster;
use crate::plan::{BackendKind, Op};

/// A family of faults.
pub(super) struct Family {
    /// Where it means anything.
    pub(super) fits: fn(BackendKind) -> bool,
    /// One event of it.
    pub(super) events: fn(&mut Cluster),
}

const fn anywhere(events: fn(&mut Cluster)) -> Family {
    Family { fits: |_| true, events }
}

const fn between_members(events: fn(&mut Cluster)) -> Family {
    Family { fits: |backend| matches!(backend, BackendKind::Gossip), events }
}

const fn in_one_place(events: fn(&mut Cluster)) -> Family {
    Family { fits: |backend| !matches!(backend, BackendKind::Gossip), events }
}

/// The families of faults.
pub(super) const FAMILIES: &[Family] = &[
    anywhere(crash),
    anywhere(crash_twice),
    anywhere(leave),
    anywhere(roll),
    anywhere(pause),
    anywhere(slow),
    anywhere(twin),
    anywhere(jump),
    anywhere(step),
    anywhere(cut),
    anywhere(isolate),
    anywhere(flap),
    anywhere(delay),
    anywhere(cordon),
    anywhere(fail),
    in_one_place(evict),
    between_members(one_way),
    between_members(bridge),
    between_members(ring),
    between_members(clog),
    between_members(swizzle),
];

impl Cluster {
    fn crash(&mut self, member: &MemberName) {
        let silent = self.script.chance(500);
        self.script.op(Op::Crash { member: member.clone(), silent });
    }

    /// A member comes back at once, before anybody noticed, or after that.
    fn reboot(&mut self, member: MemberName) {
        let detection = self.detection();
        match self.script.below(3) {
            0 => self.script.wait(0, 50),
            1 => self.script.wait(50, detection.max(100)),
            _ => self.script.wait(detection, detection * 2 + 2_000),
        }
        self.script.op(Op::Boot(member));
    }

    fn detection(&self) -> u64 {
        u64::try_from(self.script.plan.options.detection.as_millis()).unwrap_or(u64::MAX)
    }

    fn lease(&self) -> u64 {
        let options = &self.script.plan.options;
        let gossips = options.backend == BackendKind::Gossip;
        let lease = if gossips { options.detection } else { options.lease_ttl };
        u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
    }

    /// Two groups that share no member.
    fn two_groups(&mut self) -> (BTreeSet<MemberName>, BTreeSet<MemberName>) {
        let near = self.some_members();
        let far = self.hosts.iter().filter(|name| !near.contains(name)).cloned().collect();
        (near.into_iter().collect(), far)
    }
}

fn crash(cluster: &mut Cluster) {
    let Some(member) = cluster.any_member() else { return };
    cluster.crash(&member);
    cluster.reboot(member);
}

/// A member dies again while it comes back.
fn crash_twice(cluster: &mut Cluster) {
    let Some(member) = cluster.any_member() else { return };
    cluster.crash(&member);
    cluster.script.wait(0, 1_000);
    cluster.script.op(Op::Boot(member.clone()));
    cluster.script.wait(0, 1_000);
    cluster.crash(&member);
    cluster.reboot(member);
}

fn leave(cluster: &mut Cluster) {
    let Some(member) = cluster.any_member() else { return };
    let deadline = cluster.script.duration(1, 20_000);
    let drains = cluster.script.chance(500);
    cluster.script.op(if drains {
        Op::Drain { member: member.clone(), deadline }
    } else {
        Op::Shutdown(member.clone())
    });
    cluster.script.wait(0, 10_000);
    cluster.script.op(Op::Boot(member));
}

/// Every member is replaced, one after another, or nearly so.
fn roll(cluster: &mut Cluster) {
    let pause = 500 + cluster.script.below(5_000);
    for member in cluster.hosts.clone() {
        cluster.script.op(Op::Shutdown(member.clone()));
        cluster.script.wait(pause, pause * 2);
        cluster.script.op(Op::Boot(member));
        cluster.script.wait(pause, pause * 2);
    }
}

/// A tenth of a lease to four of them.
fn pause(cluster: &mut Cluster) {
    let Some(member) = cluster.any_member() else { return };
    let lease = cluster.lease();
    let lasts = cluster.script.duration(lease / 10, lease * 4);
    cluster.script.op(Op::Pause { member, lasts });
}

fn slow(cluster: &mut Cluster) {
    let Some(member) = cluster.any_member() else { return };
    let by = cluster.script.duration(1, 1_000);
    cluster.script.op(Op::Slow { member: member.clone(), by });
    cluster.script.wait(1_000, 20_000);
    cluster.script.op(Op::Slow { member, by: Duration::ZERO });
}

fn twin(cluster: &mut Cluster) {
    let (Some(name), Ok(host)) =
        (cluster.any_member(), format!("twin{}", cluster.twins).parse::<MemberName>())
    else {
        return;
    };
    cluster.twins += 1;
    cluster.script.op(Op::Twin { host: host.clone(), name: name.clone() });
    if cluster.script.chance(500) {
        cluster.script.wait(0, 3_000);
        cluster.crash(&name);
        cluster.reboot(name);
    }
    cluster.script.wait(0, 5_000);
    cluster.script.op(Op::Crash { member: host, silent: false });
}

fn jump(cluster: &mut Cluster) {
    let Some(member) = cluster.any_member() else { return };
    let lease = cluster.lease();
    let by = cluster.script.duration(1, lease * 10);
    cluster.script.op(Op::Jump { member, by });
}

fn step(cluster: &mut Cluster) {
    let Some(member) = cluster.any_member() else { return };
    let by = cluster.script.duration(1, 120_000);
    let millis = i64::try_from(by.as_millis()).unwrap_or(0);
    let millis = if cluster.script.chance(500) { millis } else { -millis };
    cluster.script.op(Op::Step { member, millis });
}

fn cut(cluster: &mut Cluster) {
    let (near, far) = cluster.two_groups();
    cluster.script.op(Op::Cut(vec![near, far]));
    heal_later(cluster);
}

fn isolate(cluster: &mut Cluster) {
    let Some(member) = cluster.any_member() else { return };
    cluster.script.op(Op::Cut(vec![[member].into()]));
    heal_later(cluster);
}

/// The same division comes and goes.
fn flap(cluster: &mut Cluster) {
    let (near, far) = cluster.two_groups();
    let period = 200 + cluster.script.below(2_800);
    for _ in 0..2 + cluster.script.below(8) {
        cluster.script.op(Op::Cut(vec![near.clone(), far.clone()]));
        cluster.script.wait(period / 2, period);
        cluster.script.op(Op::Heal);
        cluster.script.wait(period / 2, period);
    }
}

fn delay(cluster: &mut Cluster) {
    let usual = cluster.script.plan.options.delay;
    let delay = cluster.script.duration(1, 300);
    cluster.script.op(Op::Delay(delay));
    cluster.script.wait(1_000, 10_000);
    cluster.script.op(Op::Delay(usual));
}

fn cordon(cluster: &mut Cluster) {
    let (Some(via), Some(member)) = (cluster.any_member(), cluster.any_member()) else { return };
    cluster.script.op(Op::Cordon { via, member: member.clone() });
    cluster.script.wait(500, 10_000);
    if let Some(via) = cluster.any_member().filter(|_| cluster.script.chance(750)) {
        cluster.script.op(Op::Uncordon { via, member });
    }
}

fn fail(cluster: &mut Cluster) {
    if let Some(child) = cluster.any_child() {
        cluster.script.op(Op::Fail(child));
    }
}

fn evict(cluster: &mut Cluster) {
    if let Some(member) = cluster.any_member() {
        cluster.script.op(Op::Evict(member));
    }
}

/// Nothing goes from some to the others, but everything back.
fn one_way(cluster: &mut Cluster) {
    let (from, to) = cluster.two_groups();
    cluster.script.op(Op::CutLinks { from: from.clone(), to: to.clone() });
    cluster.script.wait(500, 12_000);
    cluster.script.op(Op::HealLinks { from, to });
}

/// Two sides that one member sees both of.
fn bridge(cluster: &mut Cluster) {
    let Some(bridge) = cluster.any_member() else { return };
    let (mut one, mut other) = cluster.two_groups();
    one.remove(&bridge);
    other.remove(&bridge);
    if one.is_empty() || other.is_empty() {
        return;
    }
    let sides = [(one.clone(), other.clone()), (other, one)];
    for (from, to) in sides.clone() {
        cluster.script.op(Op::CutLinks { from, to });
    }
    cluster.script.wait(500, 12_000);
    for (from, to) in sides {
        cluster.script.op(Op::HealLinks { from, to });
    }
}

/// Each member reaches two others only.
fn ring(cluster: &mut Cluster) {
    let count = cluster.hosts.len();
    let mut cuts = Vec::new();
    for (at, member) in cluster.hosts.iter().enumerate() {
        let far = cluster.hosts.iter().enumerate().filter(|(other, _)| {
            let apart = (count + other - at) % count;
            (2..count - 1).contains(&apart)
        });
        let to: BTreeSet<MemberName> = far.map(|(_, name)| name.clone()).collect();
        if !to.is_empty() {
            cuts.push(([member.clone()].into(), to));
        }
    }
    for (from, to) in cuts.clone() {
        cluster.script.op(Op::CutLinks { from, to });
    }
    cluster.script.wait(500, 12_000);
    for (from, to) in cuts {
        cluster.script.op(Op::HealLinks { from, to });
    }
}

/// Everything takes longer one way.
fn clog(cluster: &mut Cluster) {
    let (from, to) = cluster.two_groups();
    let by = cluster.script.duration(50, 5_000);
    cluster.script.op(Op::Clog { from: from.clone(), to: to.clone(), by });
    cluster.script.wait(500, 12_000);
    cluster.script.op(Op::Clog { from, to, by: Duration::ZERO });
}

/// Some members fall silent one by one, and speak again in another order.
fn swizzle(cluster: &mut Cluster) {
    let mut silenced = cluster.some_members();
    let links = |cluster: &Cluster, member: &MemberName| {
        let to = cluster.hosts.iter().filter(|other| *other != member).cloned().collect();
        (BTreeSet::from([member.clone()]), to)
    };
    for member in silenced.clone() {
        let (from, to) = links(cluster, &member);
        cluster.script.op(Op::Clog { from, to, by: Duration::from_secs(5) });
        cluster.script.wait(0, 1_000);
    }
    let count = silenced.len();
    for member in cluster.script.take(&mut silenced, count) {
        cluster.script.wait(0, 3_000);
        let (from, to) = links(cluster, &member);
        cluster.script.op(Op::Clog { from, to, by: Duration::ZERO });
    }
}

fn heal_later(cluster: &mut Cluster) {
    cluster.script.wait(0, 15_000);
    cluster.script.op(Op::Heal);
}
