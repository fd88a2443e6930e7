//! What a run is watched by, and what has to be remembered of it to recognise a state.

use std::collections::{BTreeMap, BTreeSet};

use pogo_core::{
    id::{BootId, ChildId, FencingToken, MemberName, RequestId},
    node::{Input, Inspect, MembershipRequest, Output},
    time::Timestamp,
};

use super::{
    Coverage, cells,
    states::{By, ByFact, ByInput, ByOutput, STATES},
};
use crate::{fact::Fact, picture::Picture};

/// Watches a run.
#[derive(Debug)]
pub(crate) struct Watch {
    memory: Memory,
    coverage: Coverage,
    /// The states that this run has not reached yet, by how they are recognised.
    by_fact: Vec<(&'static str, ByFact)>,
    by_input: Vec<(&'static str, ByInput)>,
    by_output: Vec<(&'static str, ByOutput)>,
}

/// What was, as far as a state asks for it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The last process start of each name.
    pub(super) boots: BTreeMap<MemberName, BootId>,
    /// The groups of the division, while there is one.
    pub(super) sides: Vec<BTreeSet<MemberName>>,
    /// On which sides of it each child was started.
    pub(super) started_on: BTreeMap<ChildId, BTreeSet<usize>>,
    /// Where each instance was its owner's when it began.
    pub(super) owned: BTreeSet<(ChildId, BootId)>,
    /// The highest token with which each child has written to what it guards.
    pub(super) tokens: BTreeMap<ChildId, FencingToken>,
    /// The members whose session has begun and whose first snapshot has not.
    pub(super) joined: BTreeSet<MemberName>,
    /// The claims that members asked for and have no answer to.
    pub(super) claims: BTreeMap<(MemberName, RequestId), Vec<ChildId>>,
    /// The same for claims that they gave back.
    pub(super) releases: BTreeSet<(MemberName, RequestId)>,
}

/// A fact, and what was known before it.
pub(super) struct Seen<'a> {
    pub(super) now: Timestamp,
    pub(super) fact: &'a Fact,
    pub(super) picture: &'a Picture,
    pub(super) memory: &'a Memory,
}

/// An input, and the node and what was known before it.
pub(super) struct Taken<'a> {
    pub(super) host: &'a MemberName,
    pub(super) input: &'a Input,
    pub(super) inspect: Inspect<'a>,
    pub(super) picture: &'a Picture,
    pub(super) memory: &'a Memory,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let mut watch = Self {
            memory: Memory::default(),
            coverage: Coverage::default(),
            by_fact: Vec::new(),
            by_input: Vec::new(),
            by_output: Vec::new(),
        };
        for state in STATES {
            match state.by {
                By::Fact(is_reached) => watch.by_fact.push((state.name, is_reached)),
                By::Input(is_reached) => watch.by_input.push((state.name, is_reached)),
                By::Output(is_reached) => watch.by_output.push((state.name, is_reached)),
                By::Backend | By::Waits(_) => {}
            }
        }
        watch
    }

    pub(crate) fn into_coverage(self) -> Coverage {
        self.coverage
    }

    /// Takes a fact in; `picture` is the cluster just before it.
    pub(crate) fn see(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) {
        if matches!(fact, Fact::Handled { .. }) {
            return;
        }
        let Self { memory, coverage, by_fact, .. } = self;
        let seen = Seen { now, fact, picture, memory };
        coverage.reach_first(by_fact, |is_reached| is_reached(&seen));
        memory.remember(fact);
    }

    /// Whether this input can show anything; most cannot.
    pub(crate) const fn heeds(input: &Input) -> bool {
        !matches!(input, Input::Timeout | Input::Membership(_))
    }

    /// Takes in what a node is about to be given.
    pub(crate) fn take(
        &mut self,
        host: &MemberName,
        input: &Input,
        inspect: Inspect<'_>,
        picture: &Picture,
    ) {
        let Self { memory, coverage, by_input, .. } = self;
        for cell in cells::of_input(inspect, input) {
            *coverage.cells.entry(cell).or_default() += 1;
        }
        let taken = Taken { host, input, inspect, picture, memory };
        coverage.reach_first(by_input, |is_reached| is_reached(&taken));
        if let Input::Answer(id, _) = input {
            let request = (host.clone(), *id);
            memory.claims.remove(&request);
            memory.releases.remove(&request);
        }
    }

    /// Takes in what a node asks for.
    pub(crate) fn give(&mut self, host: &MemberName, output: &Output) {
        self.coverage.reach_first(&mut self.by_output, |is_reached| is_reached(output));
        match output {
            Output::Membership(id, MembershipRequest::Release(_)) => {
                self.memory.releases.insert((host.clone(), *id));
            }
            Output::Membership(id, MembershipRequest::Acquire(keys)) => {
                // A claim's key is the child's id.
                let children = keys.iter().filter_map(|key| ChildId::new(key.as_str()).ok());
                self.memory.claims.insert((host.clone(), *id), children.collect());
            }
            _ => {}
        }
    }

    /// Takes in a state that the backend tells of.
    pub(crate) fn reach(&mut self, state: &'static str) {
        self.coverage.reach(state);
    }
}

impl Memory {
    /// On which side of the division a member is; those that are in no group are on one of their own.
    pub(super) fn side(&self, member: &MemberName) -> usize {
        let side = self.sides.iter().position(|side| side.contains(member));
        side.unwrap_or(self.sides.len())
    }

    /// The children whose claims a member asked for in a request.
    pub(super) fn claimed(&self, host: &MemberName, id: RequestId) -> &[ChildId] {
        self.claims.get(&(host.clone(), id)).map_or(&[], Vec::as_slice)
    }

    fn remember(&mut self, fact: &Fact) {
        match fact {
            Fact::Booted { host, boot } => drop(self.boots.insert(host.clone(), *boot)),
            Fact::Joined { host } => drop(self.joined.insert(host.clone())),
            Fact::SnapshotBegan { host } => drop(self.joined.remove(host)),
            Fact::Wrote { child, token } => {
                let highest = self.tokens.entry(child.clone()).or_insert(*token);
                *highest = (*highest).max(*token);
            }
            Fact::Cut(sides) => {
                self.sides.clone_from(sides);
                self.started_on.clear();
            }
            Fact::Healed => {
                self.sides.clear();
                self.started_on.clear();
            }
            Fact::Started(started) => {
                if !self.sides.is_empty() {
                    let side = self.side(&started.host);
                    self.started_on.entry(started.child.clone()).or_default().insert(side);
                }
                let key = (started.child.clone(), started.boot);
                if started.owned {
                    self.owned.insert(key);
                } else {
                    self.owned.remove(&key);
                }
            }
            _ => {}
        }
    }
}
