//! Claims: one table for the whole hub, so that a grant is linearizable whatever is divided.
//!
//! A token is the epoch above the revision (R18); each grant takes the next revision, and the
//! epoch rises where the store lost its data, so tokens grow for ever.

use std::collections::{BTreeMap, BTreeSet};

use super::session::SessionId;
use crate::{
    id::{FencingToken, MemberId},
    membership::ClaimOutcome,
    record::Key,
};

/// Who holds what.
#[derive(Debug, Clone)]
pub(super) struct Claims {
    epoch: u64,
    revision: u64,
    held: BTreeMap<Key, Claim>,
    by_session: BTreeMap<SessionId, BTreeSet<Key>>,
}

#[derive(Debug, Clone)]
struct Claim {
    session: SessionId,
    owner: MemberId,
    token: FencingToken,
}

impl Default for Claims {
    fn default() -> Self {
        Self { epoch: 1, revision: 0, held: BTreeMap::new(), by_session: BTreeMap::new() }
    }
}

impl Claims {
    /// Grants the claim if it is free; the holder keeps its token.
    pub(super) fn acquire(
        &mut self,
        session: SessionId,
        owner: &MemberId,
        key: &Key,
    ) -> ClaimOutcome {
        match self.held.get(key) {
            Some(claim) if claim.session == session => ClaimOutcome::Held { token: claim.token },
            Some(claim) => ClaimOutcome::HeldBy { owner: claim.owner.clone(), token: claim.token },
            None => {
                self.revision += 1;
                let token = FencingToken::of(self.epoch, self.revision);
                self.held.insert(key.clone(), Claim { session, owner: owner.clone(), token });
                self.by_session.entry(session).or_default().insert(key.clone());
                ClaimOutcome::Held { token }
            }
        }
    }

    /// Frees those of `keys` that the session holds; returns them.
    pub(super) fn release(&mut self, session: SessionId, keys: &[Key]) -> BTreeSet<Key> {
        let Some(mine) = self.by_session.get_mut(&session) else { return BTreeSet::new() };
        let freed: BTreeSet<Key> = keys.iter().filter(|key| mine.remove(key)).cloned().collect();
        for key in &freed {
            self.held.remove(key);
        }
        freed
    }

    /// Frees all that the session holds; returns them.
    pub(super) fn release_all(&mut self, session: SessionId) -> BTreeSet<Key> {
        let freed = self.by_session.remove(&session).unwrap_or_default();
        for key in &freed {
            self.held.remove(key);
        }
        freed
    }

    pub(super) fn is_free(&self, key: &Key) -> bool {
        !self.held.contains_key(key)
    }

    /// Begins a new epoch, as the store lost its count.
    pub(super) const fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.revision = 0;
    }
}
