//! Links: who is at their other ends, dials, and what a closed link proves.
//!
//! Each side of a link says `Hello`, then how far it is with everybody's owned records
//! (`Progress`), and is sent what it lacks, up to `InStep`. From then on it is *told* everything.

use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};

use pogo_core::{membership::Backoff, time::Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use super::{DialError, Engine, LinkId, Output, Target, agenda::Timer};
use crate::{
    message::{Hello, Message},
    owned::Progress,
    peer::{Life, PeerId, Update},
    swim::{Body, Packet},
};

/// Pause between dials of seeds that were never seen, for ever (R12).
const SEED_INTERVAL: Duration = Duration::from_secs(10);
/// Where not everybody has a link to everybody: how many each dials.
const SPARSE: usize = 4;
/// Where not everybody has a link to everybody: pause between dials of dead peers.
const SEEK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Link {
    dialled: Option<Target>,
    peer: Option<PeerId>,
    /// The other side has what this one had when it asked, and is told everything since.
    told: bool,
    /// The same, the other way.
    in_step: bool,
    /// This side has had every shared record that the other has, at one time since it formed.
    copied: bool,
}

/// All links and dials.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_id: BTreeMap<LinkId, Link>,
    /// Those of each peer, the oldest first.
    by_peer: BTreeMap<PeerId, Vec<LinkId>>,
    dialling: BTreeSet<Target>,
    backoffs: BTreeMap<Target, Backoff>,
    /// Peers of whom a link has closed and not stood again: a refused dial proves their death.
    parted: BTreeSet<PeerId>,
    /// Who answered last at each seed, this peer itself perhaps.
    seen_seeds: BTreeMap<usize, PeerId>,
    /// Why the last dial of each seed failed.
    seed_errors: BTreeMap<usize, DialError>,
    /// Seeds that were dialled to an end at least once.
    tried_seeds: BTreeSet<usize>,
}

impl Links {
    /// The link to send over to a peer.
    pub(super) fn to(&self, peer: PeerId) -> Option<LinkId> {
        self.by_peer.get(&peer)?.first().copied()
    }

    /// The link of a peer that is told everything.
    pub(super) fn told(&self, peer: PeerId) -> Option<LinkId> {
        let links = self.by_peer.get(&peer)?;
        links.iter().copied().find(|id| self.by_id.get(id).is_some_and(|link| link.told))
    }

    /// One link for each peer that is told everything, in the order of peers.
    pub(super) fn all_told(&self) -> Vec<(PeerId, LinkId)> {
        self.by_peer.keys().filter_map(|peer| Some((*peer, self.told(*peer)?))).collect()
    }

    pub(super) fn peer(&self, link: LinkId) -> Option<PeerId> {
        self.by_id.get(&link)?.peer
    }

    /// Whether this peer has everything that a link's other side had when it was asked.
    pub(super) fn is_in_step_with(&self, peer: PeerId) -> bool {
        let links = self.by_peer.get(&peer).into_iter().flatten();
        links.filter_map(|id| self.by_id.get(id)).any(|link| link.in_step)
    }

    /// Whether this peer has all shared records that another had when they were compared.
    pub(super) fn has_copied(&self, peer: PeerId) -> bool {
        let links = self.by_peer.get(&peer).into_iter().flatten();
        links.filter_map(|id| self.by_id.get(id)).any(|link| link.copied)
    }

    pub(super) fn mark_copied(&mut self, id: LinkId) {
        if let Some(link) = self.by_id.get_mut(&id) {
            link.copied = true;
        }
    }

    pub(super) fn in_step(&self) -> impl Iterator<Item = LinkId> {
        self.by_id.iter().filter(|(_, link)| link.in_step).map(|(id, _)| *id)
    }

    pub(super) fn has_tried(&self, seed: usize) -> bool {
        self.tried_seeds.contains(&seed)
    }

    pub(super) fn has_seen(&self, seed: usize) -> bool {
        self.seen_seeds.contains_key(&seed)
    }

    pub(super) fn seed_errors(&self) -> &BTreeMap<usize, DialError> {
        &self.seed_errors
    }

    fn remove(&mut self, id: LinkId) -> Option<Link> {
        let link = self.by_id.remove(&id)?;
        if let Some(peer) = link.peer
            && let Some(links) = self.by_peer.get_mut(&peer)
        {
            links.retain(|it| *it != id);
            if links.is_empty() {
                self.by_peer.remove(&peer);
            }
        }
        Some(link)
    }
}

impl Engine {
    pub(super) fn on_link_up(&mut self, id: LinkId, dialled: Option<Target>) {
        if let Some(target) = dialled {
            self.links.dialling.remove(&target);
        }
        let link = Link { dialled, peer: None, told: false, in_step: false, copied: false };
        self.links.by_id.insert(id, link);
        let (peer, addr, wall) = (self.config.me, self.config.addr, self.now.wall);
        // Of who was never alive here it does not tell: such news would go round for ever, from
        // those who will soon forget it to those who have.
        let mut peers = self.swim.all();
        peers.retain(|it| it.life < Life::Dead || self.required.contains_key(&it.peer));
        let hello = Hello { peer, addr, wall, peers };
        self.send(id, Message::Hello(hello));
    }

    pub(super) fn on_hello(&mut self, id: LinkId, hello: &Hello) {
        let Some(link) = self.links.by_id.get_mut(&id) else { return };
        let dialled = link.dialled;
        if link.peer.is_some() {
            return self.close(id);
        }
        if hello.peer == self.config.me {
            if let Some(Target::Seed(seed)) = dialled {
                self.links.seen_seeds.insert(seed, hello.peer);
                self.links.tried_seeds.insert(seed);
            }
            return self.close(id);
        }
        link.peer = Some(hello.peer);
        self.links.by_peer.entry(hello.peer).or_default().push(id);
        self.links.parted.remove(&hello.peer);
        self.skew.learn(self.now.mono, hello.peer, hello.wall);
        self.on_answered(dialled, hello);
        self.swim.learn(self.now.mono, &hello.peers);
        if let Some(own) = hello.peers.iter().find(|it| it.peer == hello.peer) {
            self.require(*own);
        }
        // My hello may have been silent about that.
        if let Some(wrong) = self.swim.peer(hello.peer).filter(|it| it.life >= Life::Dead) {
            let (body, updates) = (Body::Gossip, vec![*wrong]);
            self.send(id, Message::Swim(Packet { from: self.config.me, body, updates }));
        }
        let (of, others) = if self.is_mesh() {
            // Every other peer is asked for its own records over its own link.
            (vec![Progress { owner: hello.peer, at: self.owned.at(hello.peer) }], false)
        } else {
            (self.owned.progress(), true)
        };
        self.send(id, Message::Progress { of, others });
    }

    /// A dial reached somebody: nobody else has that address.
    fn on_answered(&mut self, dialled: Option<Target>, hello: &Hello) {
        match dialled {
            Some(Target::Seed(seed)) => {
                self.links.seen_seeds.insert(seed, hello.peer);
                self.links.tried_seeds.insert(seed);
                self.links.seed_errors.remove(&seed);
                self.links.backoffs.remove(&Target::Seed(seed));
            }
            Some(target @ Target::Peer(addr)) => {
                self.links.backoffs.remove(&target);
                let has_addr = |it: &&Update| it.addr == addr && it.peer != hello.peer;
                let former: Vec<_> = self.swim.peers().filter(has_addr).map(|it| it.peer).collect();
                for peer in former {
                    self.swim.proof_of_death(self.now.mono, peer);
                }
            }
            None => {}
        }
    }

    /// The other side was sent all that it lacked.
    pub(super) fn mark_told(&mut self, id: LinkId) {
        let Some(link) = self.links.by_id.get_mut(&id) else { return };
        let was_told = std::mem::replace(&mut link.told, true);
        if let (false, Some(peer)) = (was_told, link.peer) {
            self.repeat_for(peer);
        }
    }

    pub(super) fn on_in_step(&mut self, id: LinkId) {
        let Some(link) = self.links.by_id.get_mut(&id) else { return };
        let was_in_step = std::mem::replace(&mut link.in_step, true);
        let Some(peer) = link.peer else { return };
        self.show_if_known(peer);
        if !was_in_step && self.forming.is_done() {
            let root = self.shared.compare();
            self.send(id, Message::Sync(root));
        }
    }

    pub(super) fn on_link_down(&mut self, id: LinkId) {
        let Some(link) = self.links.remove(id) else { return };
        self.owned.drop_link(id);
        self.forming_lost(id);
        match link.peer {
            Some(peer) if self.links.to(peer).is_none() => {
                self.links.parted.insert(peer);
                self.link_to(peer);
                if !self.is_alive(peer) {
                    self.look_for_seeds_of(peer);
                }
            }
            Some(peer) => self.repeat_all_for(peer),
            // It closed without a word: to dial it again is a matter of time.
            None => self.dial_again(link.dialled),
        }
    }

    /// Makes a link to a peer that should have one and has none.
    pub(super) fn link_to(&mut self, peer: PeerId) {
        if self.links.to(peer).is_some() || !self.is_neighbour(peer) {
            return;
        }
        let Some(addr) = self.swim.peer(peer).map(|it| it.addr) else { return };
        self.dial(Target::Peer(addr));
    }

    /// Makes a link to a peer that has just been heard of; of the two the lower begins.
    pub(super) fn meet(&mut self, peer: PeerId) {
        if self.config.me < peer || !self.is_neighbour(peer) {
            return self.link_to(peer);
        }
        if let Some(addr) = self.swim.peer(peer).map(|it| it.addr) {
            let at = self.now.mono + self.config.timing.probe_interval;
            self.agenda.arm(Timer::Dial(Target::Peer(addr)), at);
        }
    }

    /// A peer is dead, or cut off: its links carry nothing any more, and after a cut they would for
    /// long not do so. It is dialled anew until it answers.
    pub(super) fn look_for(&mut self, peer: PeerId) {
        self.close_links(peer);
        if let Some(update) = self.swim.peer(peer) {
            self.dial_again(Some(Target::Peer(update.addr)));
        }
    }

    /// A seed whose peer is gone is dialled until somebody answers there: were all seeds replaced
    /// at once, the new peers there would know of nobody else.
    pub(super) fn look_for_seeds_of(&mut self, peer: PeerId) {
        let seen = self.links.seen_seeds.iter().filter(|(_, it)| **it == peer);
        let seeds: Vec<usize> = seen.map(|(seed, _)| *seed).collect();
        for seed in seeds {
            self.dial_again(Some(Target::Seed(seed)));
        }
    }

    /// Whether somebody who answered at a seed is still there.
    fn has_found(&self, seed: usize) -> bool {
        let peer = self.links.seen_seeds.get(&seed);
        peer.is_some_and(|peer| *peer == self.config.me || self.is_alive(*peer))
    }

    /// Whether there should be a link to a peer.
    fn is_neighbour(&self, peer: PeerId) -> bool {
        if self.is_mesh() {
            return true;
        }
        let mine = self.closeness(peer);
        self.alive().filter(|other| self.closeness(*other) < mine).count() < SPARSE
    }

    /// The order in which peers are chosen as neighbours; another one for each who chooses.
    fn closeness(&self, other: PeerId) -> (u64, PeerId) {
        let (low, high) = (self.config.me.min(other), self.config.me.max(other));
        let mut bytes = [0; 32];
        let (first, second) = bytes.split_at_mut(16);
        first.copy_from_slice(&low.bits().to_le_bytes());
        second.copy_from_slice(&high.bits().to_le_bytes());
        (xxh3_64(&bytes), other)
    }

    /// Makes the links that should stand and do not: others have gone, or there are fewer now.
    pub(super) fn keep_neighbours(&mut self) {
        let mut all: Vec<_> = self.alive().map(|peer| self.closeness(peer)).collect();
        if !self.is_mesh() {
            all.sort_unstable();
            all.truncate(SPARSE);
        }
        for (_, peer) in all {
            let addr = self.swim.peer(peer).map(|it| it.addr);
            // A dial that waits has its reason.
            if !addr.is_some_and(|addr| self.agenda.is_armed(Timer::Dial(Target::Peer(addr)))) {
                self.link_to(peer);
            }
        }
    }

    pub(super) fn dial(&mut self, target: Target) {
        if !self.is_worth_dialling(target) || !self.links.dialling.insert(target) {
            return;
        }
        self.agenda.disarm(Timer::Dial(target));
        self.emit(Output::Dial(target));
    }

    fn is_worth_dialling(&self, target: Target) -> bool {
        match target {
            Target::Seed(seed) => !self.has_found(seed),
            Target::Peer(addr) => {
                addr != self.config.addr
                    && self.swim.peers().any(|it| {
                        it.addr == addr && it.life != Life::Left && self.links.to(it.peer).is_none()
                    })
            }
        }
    }

    pub(super) fn on_dial_failed(&mut self, target: Target, error: &DialError) {
        self.links.dialling.remove(&target);
        match target {
            Target::Seed(seed) => {
                tracing::debug!(seed, %error, "seed does not answer");
                self.links.tried_seeds.insert(seed);
                self.links.seed_errors.insert(seed, error.clone());
            }
            Target::Peer(addr) if *error == DialError::Refused => self.on_refused(addr),
            Target::Peer(_) => {}
        }
        self.dial_again(Some(target));
    }

    /// Nobody listens there any more: with a link that has closed, the proof of a death.
    fn on_refused(&mut self, addr: std::net::SocketAddr) {
        if !self.config.timing.refusal_is_death {
            return;
        }
        let parted = |it: &&Update| {
            it.addr == addr && it.life < Life::Dead && self.links.parted.contains(&it.peer)
        };
        let dead: Vec<PeerId> = self.swim.peers().filter(parted).map(|it| it.peer).collect();
        for peer in dead {
            self.swim.proof_of_death(self.now.mono, peer);
        }
    }

    /// Dials later, the later the more often it failed.
    fn dial_again(&mut self, target: Option<Target>) {
        let Some(target) = target.filter(|target| !self.agenda.is_armed(Timer::Dial(*target)))
        else {
            return;
        };
        let delay = match target {
            Target::Seed(seed) if self.forming.is_done() && !self.links.has_seen(seed) => {
                SEED_INTERVAL
            }
            Target::Seed(_) => self.next_backoff(target, Duration::from_secs(1)),
            Target::Peer(_) if self.is_mesh() => {
                self.next_backoff(target, self.config.timing.redial)
            }
            Target::Peer(_) => {
                SEEK_INTERVAL * u32::try_from(self.dead().count().max(1)).unwrap_or(1)
            }
        };
        self.agenda.arm(Timer::Dial(target), self.now.mono + delay);
    }

    fn next_backoff(&mut self, target: Target, longest: Duration) -> Duration {
        let first = longest.min(Duration::from_millis(50));
        let random = self.rng.next_u64();
        let backoff =
            self.links.backoffs.entry(target).or_insert_with(|| Backoff::new(first, longest));
        backoff.next_delay(random)
    }

    fn dead(&self) -> impl Iterator<Item = &Update> {
        self.swim.peers().filter(|it| it.life == Life::Dead)
    }

    /// Ends everything with a peer that has left.
    pub(super) fn part_from(&mut self, peer: PeerId) {
        self.close_links(peer);
        self.links.parted.remove(&peer);
        if let Some(addr) = self.swim.peer(peer).map(|it| it.addr) {
            self.agenda.disarm(Timer::Dial(Target::Peer(addr)));
            self.links.backoffs.remove(&Target::Peer(addr));
        }
    }

    fn close_links(&mut self, peer: PeerId) {
        while let Some(link) = self.links.to(peer) {
            self.close(link);
        }
    }

    pub(super) fn close(&mut self, id: LinkId) {
        if self.links.remove(id).is_some() {
            self.owned.drop_link(id);
            self.forming_lost(id);
            self.emit(Output::Close(id));
        }
    }

    pub(super) fn close_all(&mut self) {
        let all: Vec<LinkId> = self.links.by_id.keys().copied().collect();
        for id in all {
            self.close(id);
        }
    }

    /// The time by which a peer that is not heard of is dead at the latest.
    pub(super) fn detected_by(&self, since: Timestamp) -> Timestamp {
        since + self.config.timing.detection
    }
}
