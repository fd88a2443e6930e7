//! Worlds made by hand, fact by fact, for the tests of laws.

use std::collections::{BTreeMap, BTreeSet};

use pogo_core::{
    id::{BootId, ChildId, Incarnation, MemberName, RequestId, RunId},
    membership::MemberStatus,
    node::Status,
    record::{Stage, Stamp, Version},
    spec::Exclusivity,
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{
    fact::{Fact, Started},
    oracle::{Oracle, Outcome},
    picture::Picture,
    plan::ChildPlan,
    rest::{Known, Listed, NodeView, Rest},
};

pub(super) fn name(host: &str) -> MemberName {
    MemberName::new(host).unwrap()
}

pub(super) fn boot(host: &str) -> BootId {
    BootId::from_random(host.bytes().fold(0, |all, byte| all << 8 | u128::from(byte)))
}

pub(super) fn child() -> ChildId {
    ChildId::new("c").unwrap()
}

pub(super) fn stamp(hlc: u64) -> Stamp {
    Stamp { version: Version::of(hlc, boot("a"), Some(b"spec")), stage: Stage::Live }
}

/// A cluster of members that see each other, and a law that judges what happens to it.
#[derive(Debug)]
pub(super) struct World<L> {
    pub(super) law: L,
    pub(super) picture: Picture,
    pub(super) oracle: Oracle,
    pub(super) nodes: BTreeMap<MemberName, NodeView>,
    pub(super) now: Timestamp,
}

impl<L: Law> World<L> {
    pub(super) fn of(law: L, hosts: &[&str]) -> Self {
        let mut world = Self {
            law,
            picture: Picture::default(),
            oracle: Oracle::default(),
            nodes: BTreeMap::new(),
            now: Timestamp::ZERO,
        };
        for host in hosts {
            world.boots(host);
        }
        for host in hosts {
            for other in hosts {
                world.sees(host, other);
            }
            world.views(host, hosts);
        }
        world.at(1);
        world
    }

    /// Goes to this second.
    pub(super) fn at(&mut self, second: u64) {
        self.now = Timestamp::from_nanos(second * 1_000_000_000);
    }

    pub(super) fn see(&mut self, fact: &Fact) -> Result<(), Violation> {
        self.law.on_fact(self.now, fact, &self.picture)?;
        self.picture.apply(self.now, fact);
        Ok(())
    }

    pub(super) fn boots(&mut self, host: &str) {
        self.see(&Fact::Booted { host: name(host), boot: boot(host) }).unwrap();
        self.see(&Fact::Joined { host: name(host) }).unwrap();
        self.see(&Fact::SnapshotBegan { host: name(host) }).unwrap();
        self.see(&Fact::Synced { host: name(host) }).unwrap();
        self.nodes.insert(name(host), NodeView::default());
    }

    pub(super) fn sees(&mut self, host: &str, other: &str) {
        self.told_of(host, other, Some(MemberStatus::Active));
    }

    pub(super) fn loses(&mut self, host: &str, other: &str) {
        self.told_of(host, other, None);
    }

    fn told_of(&mut self, host: &str, other: &str, status: Option<MemberStatus>) {
        let (host, boot, incarnation) = (name(host), boot(other), Incarnation::new(1));
        self.see(&Fact::Sees { host, boot, incarnation, status }).unwrap();
    }

    pub(super) fn views(&mut self, host: &str, others: &[&str]) {
        let members = others.iter().map(|other| boot(other)).collect();
        self.see(&Fact::Views { host: name(host), members }).unwrap();
    }

    pub(super) fn start_of(host: &str, run: u64) -> Started {
        Started {
            host: name(host),
            boot: boot(host),
            child: child(),
            run: RunId::new(run),
            plan: ChildPlan::default(),
            exclusivity: Exclusivity::Available,
            exact: true,
            inherited: None,
            token: None,
            record: Some((stamp(5), true)),
            owned: true,
        }
    }

    pub(super) fn starts(&mut self, host: &str, run: u64) -> Result<(), Violation> {
        self.see(&Fact::Started(Self::start_of(host, run)))
    }

    pub(super) fn readies(&mut self, host: &str, run: u64) -> Result<(), Violation> {
        self.see(&Fact::Ready { host: name(host), child: child(), run: RunId::new(run) })
    }

    pub(super) fn stops(&mut self, host: &str, run: u64) -> Result<(), Violation> {
        let (host, child, run) = (name(host), child(), RunId::new(run));
        self.see(&Fact::StopAsked { host, child, run, reason: "moving" })
    }

    pub(super) fn exits(&mut self, host: &str, run: u64) -> Result<(), Violation> {
        let (host, child, run) = (name(host), child(), RunId::new(run));
        let how = "ended normally".to_owned();
        self.see(&Fact::Exited { host, child, run, how, exported: None })
    }

    pub(super) fn crashes(&mut self, host: &str) {
        self.see(&Fact::Crashed { host: name(host), silent: true }).unwrap();
        self.nodes.remove(&name(host));
    }

    /// A client's change that was accepted with this stamp.
    pub(super) fn accepts(&mut self, wanted: Option<ChildPlan>, stamp: Stamp) {
        let index = self.oracle.asked(self.now, &child(), boot("a"), wanted);
        let outcome = Outcome::Accepted { at: self.now, stamp: Some(stamp) };
        self.oracle.answered(&child(), index, outcome);
    }

    /// A client asks member `a` for this.
    pub(super) fn asks(&mut self, wanted: Option<ChildPlan>) -> Result<(), Violation> {
        let (host, request, what) = (name("a"), RequestId::new(1), String::new());
        self.see(&Fact::Asked { host, request, what, changes: vec![(child(), wanted)] })
    }

    /// Every node knows the child by this record and owner, and lists it on `on` if it is live.
    pub(super) fn all_know(&mut self, record: Option<(Stamp, bool)>, on: &str) {
        let known = Known { record, owner: Some(name(on)) };
        let listed = Listed { member: Some(name(on)), status: Status::Running };
        let members: BTreeSet<BootId> = self.picture.hosts.values().map(|host| host.boot).collect();
        for node in self.nodes.values_mut() {
            node.members = members.clone();
            node.known.insert(child(), known.clone());
            if record.is_some_and(|(_, live)| live) {
                node.children.insert(child(), listed.clone());
            }
        }
    }

    pub(super) fn rests(&mut self) -> Result<(), Violation> {
        self.law.may_rest(self.now, &self.picture, &self.oracle)?;
        let rest = Rest { picture: &self.picture, oracle: &self.oracle, nodes: self.nodes.clone() };
        self.law.at_rest(self.now, &rest)
    }
}
