//! Cutting deltas into parts, and putting them together again.
//!
//! Parts take effect together: half of a delta would be a state in which its owner never was.

use std::collections::BTreeMap;

use super::{Change, Delta, MemberChanges, OwnedKey, replica::Slot};
use crate::{engine::LinkId, peer::PeerId};

/// The most content of one part, in bytes, unless one record alone is larger.
const PART_BYTES: usize = 64 << 10;

/// The most that may wait on one link for its last part, in bytes.
const WAITING_BYTES: usize = 256 << 20;

/// What a change takes beside its key and value, about.
const CHANGE_BYTES: usize = 16;

/// What a member takes beside its changes, about.
const MEMBER_BYTES: usize = 32;

/// A delta of these changes, in parts; always one at least.
pub(super) fn cut(owner: PeerId, from: u64, to: u64, slots: &[(&OwnedKey, &Slot)]) -> Vec<Delta> {
    let empty = |part| Delta { owner, from, to, part, more: false, members: Vec::new() };
    let (mut parts, mut last, mut size) = (Vec::new(), empty(0), 0);
    for (key, slot) in slots {
        let change =
            Change { key: key.key.clone(), number: slot.number, value: slot.value.clone() };
        let bytes = change_bytes(&change);
        if size + bytes > PART_BYTES && size > 0 {
            let next = empty(last.part + 1);
            parts.push(Delta { more: true, ..std::mem::replace(&mut last, next) });
            size = 0;
        }
        size += bytes;
        match last.members.last_mut() {
            Some(member) if member.scope == key.scope && member.boot == key.boot => {
                member.changes.push(change);
            }
            Some(_) | None => {
                size += MEMBER_BYTES;
                let (scope, boot) = (key.scope.clone(), key.boot);
                last.members.push(MemberChanges { scope, boot, changes: vec![change] });
            }
        }
    }
    parts.push(last);
    parts
}

/// The changes of one part by their full keys.
pub(super) fn slots(members: Vec<MemberChanges>) -> impl Iterator<Item = (OwnedKey, Slot)> {
    members.into_iter().flat_map(|MemberChanges { scope, boot, changes }| {
        changes.into_iter().map(move |Change { key, number, value }| {
            (OwnedKey { scope: scope.clone(), boot, key }, Slot { number, value })
        })
    })
}

fn change_bytes(change: &Change) -> usize {
    let key = change.key.as_ref().map_or(0, |it| it.as_str().len());
    key + change.value.as_ref().map_or(0, bytes::Bytes::len) + CHANGE_BYTES
}

fn part_bytes(part: &Delta) -> usize {
    let of = |member: &MemberChanges| {
        MEMBER_BYTES + member.changes.iter().map(change_bytes).sum::<usize>()
    };
    part.members.iter().map(of).sum()
}

/// A delta of which the last part has not come yet.
#[derive(Debug)]
struct Begun {
    delta: Delta,
    bytes: usize,
}

/// What came of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// The delta is whole.
    Whole(Delta),
    /// Others are still to come.
    Waiting,
    /// The parts before it are not here.
    Lost,
}

/// Deltas that wait for their last part.
#[derive(Debug, Default)]
pub(super) struct Parts {
    begun: BTreeMap<(LinkId, PeerId), Begun>,
    /// What waits on each link, in bytes.
    waiting: BTreeMap<LinkId, usize>,
}

impl Parts {
    /// Puts a part behind those that came before it over the same link.
    pub(super) fn join(&mut self, link: LinkId, part: Delta) -> Joined {
        let before = self.take(link, part.owner);
        let bytes = part_bytes(&part);
        let joined = match before {
            _ if part.part == 0 => Begun { delta: part, bytes },
            Some(mut begun) if begun.is_followed_by(&part) => {
                begun.bytes += bytes;
                begun.delta.part = part.part;
                begun.delta.more = part.more;
                begun.delta.members.extend(part.members);
                begun
            }
            // The rest of it is on its way, too; only its end is worth a question.
            Some(_) | None if part.more => return Joined::Waiting,
            Some(_) | None => return Joined::Lost,
        };
        if !joined.delta.more {
            return Joined::Whole(joined.delta);
        }
        let waiting = self.waiting.entry(link).or_default();
        if *waiting + joined.bytes > WAITING_BYTES {
            tracing::warn!(?link, owner = ?joined.delta.owner, "dropped a delta that is too large");
            return Joined::Waiting;
        }
        *waiting += joined.bytes;
        self.begun.insert((link, joined.delta.owner), joined);
        Joined::Waiting
    }

    /// Forgets what waits on a link for a delta of `owner`.
    pub(super) fn drop_delta(&mut self, link: LinkId, owner: PeerId) {
        self.take(link, owner);
    }

    /// Forgets what waits on a link that is closed.
    pub(super) fn drop_link(&mut self, link: LinkId) {
        self.begun.retain(|(it, _), _| *it != link);
        self.waiting.remove(&link);
    }

    /// Forgets what waits for deltas of `owner`.
    pub(super) fn drop_owner(&mut self, owner: PeerId) {
        let links: Vec<LinkId> = self.waiting.keys().copied().collect();
        for link in links {
            self.take(link, owner);
        }
    }

    fn take(&mut self, link: LinkId, owner: PeerId) -> Option<Begun> {
        let begun = self.begun.remove(&(link, owner))?;
        if let Some(waiting) = self.waiting.get_mut(&link) {
            *waiting = waiting.saturating_sub(begun.bytes);
            if *waiting == 0 {
                self.waiting.remove(&link);
            }
        }
        Some(begun)
    }
}

impl Begun {
    fn is_followed_by(&self, part: &Delta) -> bool {
        let Delta { from, to, part: last, .. } = self.delta;
        from == part.from && to == part.to && last.checked_add(1) == Some(part.part)
    }
}
