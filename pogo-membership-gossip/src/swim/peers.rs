//! What is held of the other peers, and in which order they are visited.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use pogo_core::random::Rng;

use crate::peer::{Life, PeerId, Update};

/// How many peers before a suspect, in the ring, look for themselves.
const WATCHERS: usize = 3;

/// Whether `new` replaces `held`: a higher counter wins, at the same one the worse news. Only the
/// peer itself says that it leaves, and that is its last word.
pub(super) fn supersedes(new: &Update, held: &Update) -> bool {
    if held.life == Life::Left || new.life == Life::Left {
        return held.life != new.life && new.life == Life::Left;
    }
    (new.refutation, new.life) > (held.refutation, held.life)
}

/// Whether a peer may still be there.
pub(super) const fn is_living(life: Life) -> bool {
    matches!(life, Life::Alive | Life::Suspect)
}

/// The other peers.
#[derive(Debug, Default)]
pub(super) struct Peers {
    held: BTreeMap<PeerId, Update>,
    /// The living ones, shuffled.
    order: Vec<PeerId>,
    /// Whose turn it is in `order`.
    turn: usize,
}

impl Peers {
    pub(super) fn get(&self, peer: PeerId) -> Option<&Update> {
        self.held.get(&peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Update> {
        self.held.values()
    }

    pub(super) fn living(&self) -> usize {
        self.order.len()
    }

    pub(super) fn living_ids(&self) -> &[PeerId] {
        &self.order
    }

    /// Holds this from now on.
    pub(super) fn hold(&mut self, update: Update, rng: &mut Rng) {
        let before = self.held.insert(update.peer, update);
        let was_living = before.is_some_and(|before| is_living(before.life));
        match (was_living, is_living(update.life)) {
            (false, true) => {
                let place = rng.below(self.order.len() + 1);
                self.order.insert(place, update.peer);
                if place < self.turn {
                    self.turn += 1;
                }
            }
            (true, false) => {
                if let Some(place) = self.order.iter().position(|peer| *peer == update.peer) {
                    self.order.remove(place);
                    if place < self.turn {
                        self.turn -= 1;
                    }
                }
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Drops a peer that is not there any more; others are kept.
    pub(super) fn forget(&mut self, peer: PeerId) -> bool {
        let gone = self.held.get(&peer).is_some_and(|held| !is_living(held.life));
        if gone {
            self.held.remove(&peer);
        }
        gone
    }

    /// The living peer whose turn it is; each has one turn in a round, in a new order each round.
    pub(super) fn next_in_turn(&mut self, rng: &mut Rng) -> Option<Update> {
        if self.turn >= self.order.len() {
            self.turn = 0;
            for last in (1..self.order.len()).rev() {
                self.order.swap(last, rng.below(last + 1));
            }
        }
        let peer = self.order.get(self.turn)?;
        self.turn += 1;
        self.held.get(peer).copied()
    }

    /// The next peer in the ring of ids that is held to be alive.
    pub(super) fn successor(&self, of: PeerId) -> Option<Update> {
        self.held
            .range((Excluded(of), Unbounded))
            .chain(self.held.range(..of))
            .map(|(_, held)| *held)
            .find(|held| held.life == Life::Alive)
    }

    /// Whether `me` is one of the nearest living peers before `suspect` in the ring.
    pub(super) fn is_watcher(&self, me: PeerId, suspect: PeerId) -> bool {
        let wrapped = if me < suspect { None } else { Some(self.held.range(..suspect)) };
        let first = if me < suspect {
            self.held.range(me..suspect)
        } else {
            self.held.range((Excluded(me), Unbounded))
        };
        first
            .chain(wrapped.into_iter().flatten())
            .filter(|(_, held)| held.life == Life::Alive)
            .take(WATCHERS)
            .count()
            < WATCHERS
    }

    /// Up to `count` living peers but `not`: neighbours in the shuffled order, from a random place.
    pub(super) fn sample(&self, count: usize, not: Option<PeerId>, rng: &mut Rng) -> Vec<Update> {
        let start = rng.below(self.order.len());
        let (before, after) = self.order.split_at(start);
        let chosen = after.iter().chain(before).filter(|peer| Some(**peer) != not);
        chosen.filter_map(|peer| self.held.get(peer).copied()).take(count).collect()
    }
}
