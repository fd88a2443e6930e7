//! Whether the cluster is at rest: what its nodes know and list, judged by the laws (L1..).

use pogo_core::{
    id::{ChildId, MemberName},
    membership::MemberStatus,
    node::{ChildInfo, Listing},
    record::Stamp,
};

use super::World;
use crate::{
    invariant::Violation,
    rest::{Known, Listed, NodeView, Rest},
};

/// A child that a look at the whole cluster found nobody to run. While everything that this rests on
/// stays as it is, another look would find the same.
#[derive(Debug)]
pub(super) struct Missing {
    child: ChildId,
    violation: Violation,
    grounds: Grounds,
}

/// What all that is said of a child without an instance follows from.
#[derive(Debug, PartialEq, Eq)]
struct Grounds {
    /// The digest of the nodes' views, which are equal.
    view: u64,
    said: Vec<Said>,
    changes: usize,
    failures: Option<u32>,
    strikes: usize,
}

/// What one node says of the child.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    host: MemberName,
    listed: Option<ChildInfo>,
    record: Option<(Stamp, bool)>,
    owner: Option<MemberName>,
}

impl Missing {
    fn of(violation: &Violation, world: &World) -> Option<Self> {
        let child = violation.child.clone()?;
        if violation.law != "L1 desired is running" {
            return None;
        }
        let grounds = Grounds::of(&child, world)?;
        Some(Self { child, violation: violation.clone(), grounds })
    }

    fn is_unchanged(&self, world: &World) -> bool {
        Grounds::of(&self.child, world).is_some_and(|grounds| grounds == self.grounds)
    }
}

impl Grounds {
    /// `None` where the child has an instance, of which much more can be said.
    fn of(child: &ChildId, world: &World) -> Option<Self> {
        let picture = &world.picture;
        if !picture.of(child).is_empty() {
            return None;
        }
        let mut view = None;
        let mut said = Vec::new();
        for host in world.expected_hosts() {
            let Some((_, up)) = world.process(host) else { continue };
            let inspect = up.node.inspect();
            view.get_or_insert_with(|| inspect.view().digest);
            said.push(Said {
                host: host.clone(),
                listed: inspect.child(child),
                record: inspect.record(child),
                owner: inspect.owner(child).map(|owner| owner.name.clone()),
            });
        }
        Some(Self {
            view: view?,
            said,
            changes: world.oracle.changes(child).len(),
            failures: picture.failures.get(child).copied(),
            strikes: picture.strikes.get(child).map_or(0, std::collections::BTreeSet::len),
        })
    }
}

impl World {
    pub(crate) fn judge_rest(&mut self) -> Result<(), Violation> {
        if self.clients.is_retrying() {
            let what = "a client still asks".to_owned();
            return Err(Violation { law: "L6 answers", child: None, what });
        }
        self.laws.may_rest(self.now, &self.picture, &self.oracle)?;
        self.judge_sessions()?;
        self.judge_digests()?;
        if let Some(missing) = self.missing.as_ref().filter(|it| it.is_unchanged(self)) {
            return Err(missing.violation.clone());
        }
        let rest = Rest {
            picture: &self.picture,
            oracle: &self.oracle,
            nodes: self.expected_hosts().filter_map(|name| self.node_view(name)).collect(),
        };
        let judged = self.laws.at_rest(self.now, &rest);
        self.missing = judged.as_ref().err().and_then(|violation| Missing::of(violation, self));
        judged
    }

    /// Nodes whose digests differ need not be asked for all that they know (L3).
    fn judge_digests(&self) -> Result<(), Violation> {
        let ups = self.expected_hosts().filter_map(|name| Some((name, self.process(name)?.1)));
        let mut ups = ups.map(|(name, up)| (name, up.node.inspect()));
        let Some((first, one)) = ups.next() else { return Ok(()) };
        for (name, other) in ups {
            if other.view().digest != one.view().digest {
                let what = format!("the views of {first} and {name} differ");
                return Err(Violation { law: "L3 agreement", child: None, what });
            }
            if other.specs_digest() != one.specs_digest() {
                let differs = |child: &&ChildId| one.record(child) != other.record(child);
                let child = self.oracle.children().find(differs).cloned();
                let what = format!("the specs of {first} and {name} differ");
                return Err(Violation { law: "L3 agreement", child, what });
            }
        }
        Ok(())
    }

    fn node_view(&self, name: &MemberName) -> Option<(MemberName, NodeView)> {
        let (_, up) = self.process(name)?;
        let inspect = up.node.inspect();
        let members = inspect.members();
        let active = members.iter().filter(|member| member.status == MemberStatus::Active);
        let children = inspect.children(Listing::Global);
        let told_else = up.observer.difference(&children, &members);
        let children = children
            .into_iter()
            .map(|info| (info.id, Listed { member: info.member, status: info.status }));
        let known = self.oracle.children().map(|child| {
            let owner = inspect.owner(child).map(|owner| owner.name.clone());
            (child.clone(), Known { record: inspect.record(child), owner })
        });
        let view = NodeView {
            cordoned: active.clone().filter(|it| it.cordoned).map(|it| it.id.boot).collect(),
            members: active.map(|member| member.id.boot).collect(),
            view: inspect.view().digest,
            specs: inspect.specs_digest(),
            children: children.collect(),
            known: known.collect(),
            told_else,
        };
        Some((name.clone(), view))
    }
}
