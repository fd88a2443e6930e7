//! News on its way: piggybacked on every packet, each item a bounded number of times (SWIM,
//! section 4.1).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use crate::peer::{PeerId, Update};

/// What a datagram may hold besides its frame: 1,200 bytes less 60 for the seal.
pub(super) const DATAGRAM: usize = 1200 - 60;
/// What a packet takes without updates, at most: two ids, a number, three tags.
pub(super) const BARE_PACKET: usize = 60;

/// News of each peer, told the less often first.
#[derive(Debug, Default)]
pub(super) struct Rumours {
    news: BTreeMap<PeerId, (u32, Update)>,
    order: BTreeSet<(u32, PeerId)>,
}

impl Rumours {
    pub(super) fn is_empty(&self) -> bool {
        self.news.is_empty()
    }

    /// This is news, in place of older news of that peer.
    pub(super) fn add(&mut self, update: Update) {
        if let Some((told, _)) = self.news.insert(update.peer, (0, update)) {
            self.order.remove(&(told, update.peer));
        }
        self.order.insert((0, update.peer));
    }

    pub(super) fn remove(&mut self, peer: PeerId) {
        if let Some((told, _)) = self.news.remove(&peer) {
            self.order.remove(&(told, peer));
        }
    }

    /// As much as fits, and not yet in `updates`; each item is told `limit` times in all.
    pub(super) fn fill(&mut self, updates: &mut Vec<Update>, limit: u32) {
        let mut room = DATAGRAM - BARE_PACKET;
        for update in updates.iter() {
            room = room.saturating_sub(size(update));
        }
        let lead = updates.len();
        let mut chosen = Vec::new();
        for (told, peer) in &self.order {
            let Some((_, update)) = self.news.get(peer) else { continue };
            if updates.iter().take(lead).any(|update| update.peer == *peer) {
                continue;
            }
            let Some(rest) = room.checked_sub(size(update)) else { break };
            room = rest;
            updates.push(*update);
            chosen.push((*told, *peer));
        }
        for (told, peer) in chosen {
            self.order.remove(&(told, peer));
            if told + 1 >= limit {
                self.news.remove(&peer);
            } else if let Some((count, _)) = self.news.get_mut(&peer) {
                *count = told + 1;
                self.order.insert((told + 1, peer));
            }
        }
    }
}

/// How often an item is told by one peer among `living` others: enough to reach all of them by
/// chance.
pub(super) const fn retransmits(living: usize) -> u32 {
    2 + 3 * (usize::BITS - living.leading_zeros()) / 2
}

/// At most what an update takes on the wire.
fn size(update: &Update) -> usize {
    let addr = match update.addr {
        SocketAddr::V4(_) => 8,
        SocketAddr::V6(_) => 20,
    };
    20 + addr + varint(update.refutation) + varint(update.owned)
}

/// What postcard makes of a number: 7 bits in each byte.
const fn varint(number: u64) -> usize {
    1 + (63 - (number | 1).leading_zeros() as usize) / 7
}
