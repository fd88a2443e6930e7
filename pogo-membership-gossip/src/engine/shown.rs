//! Who the sessions see.
//!
//! A peer is shown while it is held to be alive and its owned records are known up to what it had
//! when it said so: reports that are older than its return are never seen. With the peer its
//! members are announced, one for each name: where two have one name, the later start stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use pogo_core::{
    id::{BootId, Incarnation, MemberId, MemberName, Scope},
    membership::{DownReason, Event, MemberInfo, MemberStatus, OwnedUpdate},
};
use serde::{Deserialize, Serialize};

use super::{Engine, agenda::Timer};
use crate::{
    owned::OwnedKey,
    peer::{Life, PeerId, Update},
};

/// How long the records of a dead peer are kept, in case it returns.
pub(super) const GRACE: Duration = Duration::from_secs(600);
/// How long a dead peer is looked for, and waited for with tombstones (R19).
const MEMORY: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a peer says of one of its members; no record at all means that it has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stay {
    /// It is here.
    Here(MemberInfo),
    /// It has ended without leaving.
    Failed,
}

impl Stay {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// A member that the sessions of its scope were told of.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    pub(super) peer: PeerId,
    pub(super) info: MemberInfo,
}

/// The peers that are shown and the members that were announced.
#[derive(Debug)]
pub(super) struct Shown {
    peers: BTreeSet<PeerId>,
    members: BTreeMap<(Scope, BootId), Announced>,
    names: BTreeMap<(Scope, MemberName), BootId>,
    /// The members of each peer that is or was shown, also where a namesake holds one back.
    stays: BTreeMap<PeerId, BTreeMap<(Scope, BootId), MemberInfo>>,
    /// The highest incarnation seen under each name (R13).
    incarnations: BTreeMap<(Scope, MemberName), Incarnation>,
}

impl Shown {
    /// A peer sees itself.
    pub(super) fn new(me: PeerId) -> Self {
        Self {
            peers: BTreeSet::from([me]),
            members: BTreeMap::new(),
            names: BTreeMap::new(),
            stays: BTreeMap::new(),
            incarnations: BTreeMap::new(),
        }
    }

    pub(super) fn has_peer(&self, peer: PeerId) -> bool {
        self.peers.contains(&peer)
    }

    /// Who has a name.
    pub(super) fn holder(&self, scope: &Scope, name: &MemberName) -> Option<&Announced> {
        let boot = self.names.get(&(scope.clone(), name.clone()))?;
        self.members.get(&(scope.clone(), *boot))
    }

    pub(super) fn member(&self, scope: &Scope, boot: BootId) -> Option<&Announced> {
        self.members.get(&(scope.clone(), boot))
    }

    pub(super) fn members<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Announced> {
        let first = (scope.clone(), BootId::from_random(0));
        self.members.range(first..).take_while(move |((it, _), _)| it == scope).map(|(_, it)| it)
    }

    /// Whether a member lives at a peer, in any scope.
    pub(super) fn bears_member(&self, peer: PeerId) -> bool {
        self.members.values().any(|it| it.peer == peer)
    }

    /// Whether a member lives at a peer that has its name for good, in any scope.
    pub(super) fn bears_settled_member(&self, peer: PeerId) -> bool {
        let is_settled = |it: &Announced| it.info.status != MemberStatus::Joining;
        self.members.values().any(|it| it.peer == peer && is_settled(it))
    }

    pub(super) fn incarnation(&self, scope: &Scope, name: &MemberName) -> Incarnation {
        self.incarnations.get(&(scope.clone(), name.clone())).copied().unwrap_or_default()
    }

    fn insert(&mut self, scope: &Scope, announced: Announced) {
        let MemberId { name, incarnation, boot } = announced.info.id.clone();
        let key = (scope.clone(), name);
        let highest = self.incarnations.entry(key.clone()).or_default();
        *highest = incarnation.max(*highest);
        self.names.insert(key, boot);
        self.members.insert((scope.clone(), boot), announced);
    }

    fn remove(&mut self, scope: &Scope, boot: BootId) -> Option<Announced> {
        let gone = self.members.remove(&(scope.clone(), boot))?;
        let key = (scope.clone(), gone.info.id.name.clone());
        if self.names.get(&key) == Some(&boot) {
            self.names.remove(&key);
        }
        Some(gone)
    }
}

impl Engine {
    /// Takes what a peer says it has published: less than that is not shown. What it says with a
    /// higher counter replaces what others may have said of it before.
    pub(super) fn require(&mut self, update: Update) {
        let required = self.required.entry(update.peer).or_default();
        *required = (update.refutation, update.owned).max(*required);
    }

    /// Shows a peer that is alive and whose records are there.
    pub(super) fn show_if_known(&mut self, peer: PeerId) {
        let (_, required) = self.required.get(&peer).copied().unwrap_or_default();
        let is_known = self.owned.at(peer) >= required;
        if is_known && self.is_alive(peer) && self.shown.peers.insert(peer) {
            self.shown.stays.remove(&peer);
            let state: Vec<_> = self
                .owned
                .state(peer)
                .map(|(key, value)| (key.clone(), Some(value.clone())))
                .collect();
            self.announce(peer, state);
        }
    }

    /// Hides a peer that is dead or has left, and its members with it.
    pub(super) fn hide(&mut self, peer: PeerId) {
        if !self.shown.peers.remove(&peer) {
            return;
        }
        let has_left = self.swim.peer(peer).is_some_and(|it| it.life == Life::Left);
        let reason = if has_left { DownReason::Left } else { DownReason::Failed };
        let gone = self.shown.members.iter().filter(|(_, it)| it.peer == peer);
        let gone: Vec<(Scope, BootId)> = gone.map(|(key, _)| key.clone()).collect();
        for (scope, boot) in gone {
            self.retract(&scope, boot, reason);
        }
    }

    /// Tells the sessions of changes to the records of a peer that is shown, this one included.
    pub(super) fn announce(&mut self, peer: PeerId, mut updates: Vec<(OwnedKey, Option<Bytes>)>) {
        updates.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut updates = updates.into_iter().peekable();
        while let Some((OwnedKey { scope, boot, key }, value)) = updates.next() {
            let Some(key) = key else {
                self.announce_stay(peer, &scope, boot, value.as_deref());
                continue;
            };
            let mut batch = vec![OwnedUpdate { key, value }];
            while let Some((OwnedKey { key, .. }, value)) =
                updates.next_if(|(it, _)| it.scope == scope && it.boot == boot && it.key.is_some())
            {
                batch.extend(key.map(|key| OwnedUpdate { key, value }));
            }
            if let Some(member) = self.shown.member(&scope, boot).filter(|it| it.peer == peer) {
                let event = Event::Owned(member.info.id.clone(), batch);
                self.tell(&scope, Some(boot), &event);
            }
        }
    }

    fn announce_stay(&mut self, peer: PeerId, scope: &Scope, boot: BootId, value: Option<&[u8]>) {
        let stay = match value.map(Stay::decode) {
            Some(None) => return tracing::debug!(?peer, "a member that cannot be read"),
            Some(Some(stay)) => Some(stay),
            None => None,
        };
        let key = (scope.clone(), boot);
        match stay {
            Some(Stay::Here(info)) if info.id.boot == boot => {
                self.shown.stays.entry(peer).or_default().insert(key, info.clone());
                self.announce_member(scope, Announced { peer, info });
            }
            Some(Stay::Here(_)) => tracing::debug!(?peer, "a member under another's key"),
            gone @ (Some(Stay::Failed) | None) => {
                if let Some(stays) = self.shown.stays.get_mut(&peer) {
                    stays.remove(&key);
                }
                if self.is_announced(peer, scope, boot) {
                    let reason = if gone.is_some() { DownReason::Failed } else { DownReason::Left };
                    self.retract(scope, boot, reason);
                }
            }
        }
    }

    fn is_announced(&self, peer: PeerId, scope: &Scope, boot: BootId) -> bool {
        self.shown.member(scope, boot).is_some_and(|it| it.peer == peer)
    }

    /// Announces a member unless a later start under its name is there already.
    fn announce_member(&mut self, scope: &Scope, announced: Announced) {
        let rank = |info: &MemberInfo| (info.id.incarnation, info.id.boot);
        let info = announced.info.clone();
        if let Some(known) = self.shown.member(scope, info.id.boot)
            && known.info.id.name != info.id.name
        {
            self.retract(scope, info.id.boot, DownReason::Replaced);
        }
        let other = self.shown.holder(scope, &info.id.name).cloned();
        if let Some(other) = other.filter(|it| it.info.id.boot != info.id.boot) {
            if rank(&other.info) > rank(&info) {
                if announced.peer == self.config.me {
                    self.lose_name(scope, info.id.boot);
                }
                return;
            }
            self.retract(scope, other.info.id.boot, DownReason::Replaced);
            if other.peer == self.config.me {
                self.lose_name(scope, other.info.id.boot);
            }
        }
        self.shown.insert(scope, announced);
        self.tell(scope, None, &Event::MemberUp(info.clone()));
        self.forget_predecessors(scope, &info.id.name);
    }

    fn retract(&mut self, scope: &Scope, boot: BootId, reason: DownReason) {
        if let Some(gone) = self.shown.remove(scope, boot) {
            self.tell(scope, Some(boot), &Event::MemberDown(gone.info.id.clone(), reason));
            if reason != DownReason::Replaced {
                self.announce_namesake(scope, &gone.info.id.name);
            }
        }
    }

    /// A member that was held back by its namesake is announced when that has gone.
    fn announce_namesake(&mut self, scope: &Scope, name: &MemberName) {
        let shown = self.shown.stays.iter().filter(|(peer, _)| self.shown.peers.contains(peer));
        let stays = shown.flat_map(|(peer, stays)| stays.iter().map(move |it| (*peer, it)));
        let namesake = stays.filter(|(_, ((its, _), info))| its == scope && info.id.name == *name);
        let namesake = namesake.max_by_key(|(_, (_, info))| (info.id.incarnation, info.id.boot));
        let namesake = namesake.map(|(peer, ((_, boot), _))| (peer, *boot));
        if let Some((peer, boot)) = namesake {
            let mine = |key: &OwnedKey| key.scope == *scope && key.boot == boot;
            let state: Vec<_> = self.owned.state(peer).filter(|(key, _)| mine(key)).collect();
            let state = state.into_iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
            self.announce(peer, state);
        }
    }

    /// A dead peer all of whose members have come back under their names will not return.
    fn forget_predecessors(&mut self, scope: &Scope, name: &MemberName) {
        let dead: Vec<PeerId> =
            self.swim.peers().filter(|it| it.life == Life::Dead).map(|it| it.peer).collect();
        for peer in dead {
            let Some(stays) = self.shown.stays.get(&peer) else { continue };
            let is_named = stays.iter().any(|((its, _), it)| its == scope && it.id.name == *name);
            let mut names = stays.iter().map(|((its, _), it)| (its, &it.id.name));
            if is_named && names.all(|(its, it)| self.shown.holder(its, it).is_some()) {
                self.bury(peer);
            }
        }
    }

    /// A peer that has long been gone: its records are dropped, and later it is forgotten, so that
    /// it is not looked for any more.
    pub(super) fn on_long_gone(&mut self, peer: PeerId) {
        let life = self.swim.peer(peer).map(|it| it.life);
        let had_members = self.shown.stays.get(&peer).is_some_and(|it| !it.is_empty());
        if life == Some(Life::Dead) && had_members && self.owned.at(peer) > 0 {
            self.owned.drop_owner(peer);
            self.agenda.arm(Timer::Bury(peer), self.now.mono + MEMORY);
        } else {
            self.bury(peer);
        }
    }

    /// Forgets a peer that is dead or has left.
    fn bury(&mut self, peer: PeerId) {
        if self.swim.peer(peer).is_none_or(|it| it.life < Life::Dead) {
            return;
        }
        self.part_from(peer);
        self.agenda.disarm(Timer::Bury(peer));
        self.owned.drop_owner(peer);
        self.shared.forget(peer);
        self.shown.stays.remove(&peer);
        self.required.remove(&peer);
        self.skew.forget(peer);
        self.swim.forget(peer);
    }
}
