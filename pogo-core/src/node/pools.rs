//! Which members may own which children.
//!
//! Each distinct demand (kind and required labels) is kept once with its list of eligible
//! members, so that a change of the view costs a pass over demands, not over children x members.

use std::collections::BTreeMap;

use super::members::Members;
use crate::{
    id::{BootId, Kind, MemberName},
    placement::{Candidate, ChildKey, owner, precedes},
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
    weight: u16,
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
        let candidates: Vec<_> = self.candidates(pool).collect();
        let first = owner(child, candidates.iter().map(|(_, candidate)| candidate))?;
        candidates
            .iter()
            .find(|(_, candidate)| candidate.name() == first.name())
            .map(|(boot, _)| *boot)
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
        match owner.and_then(|owner| self.candidate(pool, owner)) {
            Some(owner) => precedes(child, &newcomer, &owner),
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
            .map(|(boot, it)| (*boot, Candidate::new(&it.name, it.weight)))
    }

    fn candidate(&self, pool: PoolId, boot: BootId) -> Option<Candidate<'_>> {
        let it = self.pools.get(pool.0)?.eligible.get(&boot)?;
        Some(Candidate::new(&it.name, it.weight))
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
    Some(Eligible { name: member.info.id.name.clone(), weight: member.info.metadata.weight })
}
