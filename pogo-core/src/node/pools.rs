//! Which members may own which children.
//!
//! Each distinct demand (kind and required labels) is kept once with its list of eligible
//! members, so that a change of the view costs a pass over demands, not over children x members.

use std::collections::BTreeMap;

use super::members::Members;
use crate::{
    id::{BootId, Kind, MemberName},
    placement::{Candidate, ChildKey, MemberKey, precedes},
    spec::{ChildSpec, Labels},
};

/// A demand's place in [`Pools`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PoolId(usize);

/// All demands and who meets them.
#[derive(Debug, Clone, Default)]
pub(super) struct Pools {
    pools: Vec<Pool>,
    index: BTreeMap<(Kind, Labels), PoolId>,
}

#[derive(Debug, Clone)]
struct Pool {
    /// A spec with this demand, to ask members about.
    example: ChildSpec,
    eligible: BTreeMap<BootId, Eligible>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Eligible {
    name: MemberName,
    key: MemberKey,
    weight: u16,
}

impl Eligible {
    const fn candidate(&self) -> Candidate<'_> {
        Candidate::with_key(&self.name, self.key, self.weight)
    }
}

impl Pools {
    /// The pool of members for `spec`.
    pub(super) fn intern(&mut self, spec: &ChildSpec, members: &Members) -> PoolId {
        let demand = (spec.kind.clone(), spec.placement.require.clone());
        if let Some(id) = self.index.get(&demand) {
            return *id;
        }
        let id = PoolId(self.pools.len());
        let eligible = members
            .iter()
            .filter_map(|member| {
                Some((member.info.id.boot, eligible(spec, members, member.info.id.boot)?))
            })
            .collect();
        self.pools.push(Pool { example: spec.clone(), eligible });
        self.index.insert(demand, id);
        id
    }

    /// Takes a change of one member; answers whether it lost or gained anything.
    pub(super) fn update(&mut self, boot: BootId, members: &Members) -> Shift {
        let mut shift = Shift::default();
        for pool in &mut self.pools {
            let now = eligible(&pool.example, members, boot);
            if pool.eligible.get(&boot) == now.as_ref() {
                continue;
            }
            shift.lost |= pool.eligible.remove(&boot).is_some();
            if let Some(now) = now {
                pool.eligible.insert(boot, now);
                shift.gained = true;
            }
        }
        shift
    }

    /// The owner of a child of this pool.
    pub(super) fn owner(&self, pool: PoolId, child: ChildKey) -> Option<BootId> {
        let mut first: Option<(BootId, Candidate<'_>)> = None;
        for (boot, candidate) in self.candidates(pool) {
            if first.is_none_or(|(_, first)| precedes(child, &candidate, &first)) {
                first = Some((boot, candidate));
            }
        }
        first.map(|(boot, _)| boot)
    }

    /// Whether `boot` takes the child from `owner`.
    pub(super) fn takes(
        &self,
        pool: PoolId,
        child: ChildKey,
        boot: BootId,
        owner: Option<BootId>,
    ) -> bool {
        let Some(newcomer) = self.candidate(pool, boot) else { return false };
        match owner.and_then(|owner| Some((owner, self.candidate(pool, owner)?))) {
            // Two starts of one name are equal to placement; the lower boot id is first, as in `owner`.
            Some((holder, owner)) if boot < holder => !precedes(child, &owner, &newcomer),
            Some((_, owner)) => precedes(child, &newcomer, &owner),
            None => true,
        }
    }

    pub(super) fn is_eligible(&self, pool: PoolId, boot: BootId) -> bool {
        self.candidate(pool, boot).is_some()
    }

    /// The eligible members with what placement needs of them.
    pub(super) fn candidates(&self, pool: PoolId) -> impl Iterator<Item = (BootId, Candidate<'_>)> {
        self.pools
            .get(pool.0)
            .into_iter()
            .flat_map(|pool| &pool.eligible)
            .map(|(boot, it)| (*boot, it.candidate()))
    }

    fn candidate(&self, pool: PoolId, boot: BootId) -> Option<Candidate<'_>> {
        self.pools.get(pool.0)?.eligible.get(&boot).map(Eligible::candidate)
    }
}

/// What one member lost and gained over all pools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) lost: bool,
    pub(super) gained: bool,
}

fn eligible(spec: &ChildSpec, members: &Members, boot: BootId) -> Option<Eligible> {
    let member = members.get(boot)?;
    if !member.is_candidate() || member.mismatch(spec).is_some() {
        return None;
    }
    let name = member.info.id.name.clone();
    let key = MemberKey::new(name.as_str());
    Some(Eligible { name, key, weight: member.info.metadata.weight })
}
