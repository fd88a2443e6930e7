//! What every node shows once the cluster is at rest: plain data, so that a test of a law can make
//! it by hand.

use std::collections::{BTreeMap, BTreeSet};

use pogo_core::{
    id::{BootId, ChildId, MemberName},
    node::{PendingReason, Status},
    record::{Stage, Stamp},
};

use crate::{
    oracle::{Expected, Oracle},
    picture::Picture,
};

/// So many crashes of its members, or failures of its own, may put a child into quarantine. Three
/// crashes do, but one may have come before the start that had been announced, which is not seen.
const STRIKES: usize = 2;
const FAILURES: u32 = 5;

/// The cluster at rest.
#[derive(Debug)]
pub struct Rest<'a> {
    /// The state of the cluster.
    pub picture: &'a Picture,
    /// What clients were promised.
    pub oracle: &'a Oracle,
    /// What the node of each live member shows.
    pub nodes: BTreeMap<MemberName, NodeView>,
}

/// What a node shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeView {
    /// The members that it lists and that take part.
    pub members: BTreeSet<BootId>,
    /// Those of them that get no new children.
    pub cordoned: BTreeSet<BootId>,
    /// The digest of its view (R6).
    pub view: u64,
    /// The digest over its specs.
    pub specs: u64,
    /// The children that it lists for the whole cluster.
    pub children: BTreeMap<ChildId, Listed>,
    /// What it knows of each child that was ever asked for.
    pub known: BTreeMap<ChildId, Known>,
    /// How that differs from what it told its observers, where it does.
    pub told_else: Option<String>,
}

/// What a node knows of a child.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The record, and whether it is a live, uncompleted spec.
    pub record: Option<(Stamp, bool)>,
    /// The owner by the node's view.
    pub owner: Option<MemberName>,
}

/// A child as a node lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The member that is said to run it.
    pub member: Option<MemberName>,
    /// What it is said to do.
    pub status: Status,
}

impl Rest<'_> {
    /// Whether every node knows the child as a live, uncompleted spec (`Some(true)`), none does
    /// (`Some(false)`), or they differ.
    pub fn is_present(&self, child: &ChildId) -> Option<bool> {
        let mut says = self.nodes.values().map(|node| {
            node.known.get(child).and_then(|known| known.record).is_some_and(|(_, live)| live)
        });
        let first = says.next()?;
        says.all(|other| other == first).then_some(first)
    }

    /// Whether every node knows that the one start of a temporary child was taken (R5).
    pub fn is_spent(&self, child: &ChildId) -> bool {
        self.nodes.values().all(|node| {
            let record = node.known.get(child).and_then(|known| known.record);
            record.is_some_and(|(stamp, _)| matches!(stamp.stage, Stage::Spent(_)))
        })
    }

    /// Whether every node says that the child has no owner, as all members are cordoned.
    pub fn nobody_may_run(&self, child: &ChildId) -> bool {
        self.nodes.values().all(|node| {
            let known = node.known.get(child);
            known.is_some_and(|known| known.owner.is_none()) && node.members == node.cordoned
        })
    }

    /// Whether its owner says that the child waits for more members than there are: a quorum child runs
    /// nowhere with fewer than its quorum (R17), and none does before the least number was seen (R12).
    pub fn is_short_of_members(&self, child: &ChildId) -> bool {
        let asks_for = |node: &NodeView| match &node.children.get(child)?.status {
            Status::Pending { why: PendingReason::NoQuorum { size } } => Some(size.get()),
            Status::Pending { why: PendingReason::WaitingForMembers { want, .. } } => Some(*want),
            _ => None,
        };
        let there = self.nodes.len();
        self.nodes.values().filter_map(asks_for).any(|asked| asked as usize > there)
    }

    /// Whether the child can be expected to run and stay running.
    pub fn is_healthy(&self, child: &ChildId) -> bool {
        is_healthy(child, self.picture, self.oracle)
    }
}

/// Whether a child can be expected to run and stay running: its spec lets it (every one that it may
/// have, where that is open), and neither it nor crashes of its members may have put it into
/// quarantine (R11).
pub fn is_healthy(child: &ChildId, picture: &Picture, oracle: &Oracle) -> bool {
    let struck = picture.strikes.get(child).is_some_and(|boots| boots.len() >= STRIKES);
    let failed = picture.failures.get(child).is_some_and(|count| *count >= FAILURES);
    let by_spec = match oracle.expected(child) {
        Expected::Present(plan) => plan.is_healthy(),
        Expected::Absent => true,
        Expected::Open => {
            let mut plans = oracle.changes(child).iter().filter_map(|change| change.wanted);
            plans.all(|plan| plan.is_healthy())
        }
    };
    by_spec && !struck && !failed
}
