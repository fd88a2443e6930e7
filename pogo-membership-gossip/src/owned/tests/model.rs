//! Whatever is lost, late or passed on by others: a replica is always a state of its owner.

use std::collections::{BTreeMap, VecDeque};

use proptest::{collection::vec, prelude::*};

use super::*;

const PEERS: usize = 4;

type State = BTreeMap<OwnedKey, Bytes>;

#[derive(Debug, Clone)]
enum Op {
    /// A peer changes records of its own: (key, value or removal).
    Publish(usize, Vec<(usize, Option<(u8, bool)>)>),
    /// A peer sends another one all that it lacks, as it says itself or as it was said before.
    Send(usize, usize),
    /// A peer sends another one all from nothing.
    SendAll(usize, usize),
    /// The next parts on a link arrive.
    Deliver(usize, usize, usize),
    /// The next part on a link does not.
    Lose(usize, usize),
    /// It arrives twice.
    Repeat(usize, usize),
    /// A link breaks, with all on it.
    Break(usize, usize),
    /// A peer forgets another one's records.
    Forget(usize, usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let peer = 0..PEERS;
    let change = (0..12_usize, proptest::option::of((any::<u8>(), proptest::bool::weighted(0.3))));
    let two = (0..PEERS, 1..PEERS).prop_map(|(a, away)| (a, (a + away) % PEERS));
    let op = prop_oneof![
        4 => (peer, vec(change, 1..6)).prop_map(|(at, changes)| Op::Publish(at, changes)),
        4 => two.clone().prop_map(|(a, b)| Op::Send(a, b)),
        1 => two.clone().prop_map(|(a, b)| Op::SendAll(a, b)),
        8 => (two.clone(), 1..8_usize).prop_map(|((a, b), n)| Op::Deliver(a, b, n)),
        2 => two.clone().prop_map(|(a, b)| Op::Lose(a, b)),
        1 => two.clone().prop_map(|(a, b)| Op::Repeat(a, b)),
        1 => two.clone().prop_map(|(a, b)| Op::Break(a, b)),
        1 => two.prop_map(|(a, b)| Op::Forget(a, b)),
    ];
    vec(op, 1..120)
}

/// All peers, the states in which each has been, and what each replica tells by its updates.
struct World {
    stores: Vec<OwnedStore>,
    history: Vec<BTreeMap<u64, State>>,
    told: BTreeMap<(usize, usize), State>,
    links: BTreeMap<(usize, usize), VecDeque<Delta>>,
}

impl World {
    fn new() -> Self {
        let history = vec![BTreeMap::from([(0, State::new())]); PEERS];
        let stores = (0..PEERS).map(store).collect();
        Self { stores, history, told: BTreeMap::new(), links: BTreeMap::new() }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Publish(at, changes) => self.publish(at, changes),
            Op::Send(from, to) => self.send(from, to, &self.stores[to].progress()),
            Op::SendAll(from, to) => self.send(from, to, &[]),
            Op::Deliver(from, to, count) => {
                for _ in 0..count {
                    self.deliver(from, to);
                }
            }
            Op::Lose(from, to) => {
                self.links.entry((from, to)).or_default().pop_front();
            }
            Op::Repeat(from, to) => {
                let link = self.links.entry((from, to)).or_default();
                link.extend(link.front().cloned());
                self.deliver(from, to);
            }
            Op::Break(from, to) => {
                self.links.remove(&(from, to));
                self.stores[to].drop_link(link(from, to));
            }
            Op::Forget(at, owner) => {
                self.stores[at].drop_owner(peer(owner));
                self.told.remove(&(at, owner));
            }
        }
        self.check();
    }

    fn publish(&mut self, at: usize, changes: Vec<(usize, Option<(u8, bool)>)>) {
        let mut state = self.history[at].values().next_back().unwrap().clone();
        let mut updates = Vec::new();
        for (n, change) in changes {
            let change = change
                .map(|(text, large)| Bytes::from(vec![text % 3; if large { 40_000 } else { 3 }]));
            match change.clone() {
                Some(value) => state.insert(key(n), value),
                None => state.remove(&key(n)),
            };
            updates.push((key(n), change));
        }
        let before = self.stores[at].at(peer(at));
        let number = self.stores[at].publish(updates);
        assert!(number == before || number == before + 1);
        if number == before {
            assert_eq!(self.history[at][&number], state, "only what is the same is no change");
        }
        self.history[at].insert(number, state);
    }

    fn send(&mut self, from: usize, to: usize, theirs: &[Progress]) {
        let deltas = self.stores[from].deltas(theirs);
        self.links.entry((from, to)).or_default().extend(deltas);
    }

    fn deliver(&mut self, from: usize, to: usize) {
        let Some(delta) = self.links.entry((from, to)).or_default().pop_front() else { return };
        let wire = postcard::to_allocvec(&delta).unwrap();
        let owner = (0..PEERS).find(|it| peer(*it) == delta.owner).unwrap();
        let before = self.stores[to].at(delta.owner);
        let end = delta.to;
        match self.stores[to].apply(link(from, to), postcard::from_bytes(&wire).unwrap()) {
            Applied::Changes { updates } => {
                assert_eq!(self.stores[to].at(peer(owner)), end);
                let told = self.told.entry((to, owner)).or_default();
                for (key, value) in updates {
                    let old = match value.clone() {
                        Some(value) => told.insert(key, value),
                        None => told.remove(&key),
                    };
                    assert_ne!(old, value, "only what is different is told");
                }
            }
            Applied::Mine => assert_eq!(owner, to),
            Applied::Gap { at } => assert_eq!(at, before),
            Applied::Part | Applied::Known => assert_eq!(self.stores[to].at(peer(owner)), before),
        }
    }

    fn check(&self) {
        for (n, store) in self.stores.iter().enumerate() {
            for owner in 0..PEERS {
                let at = store.at(peer(owner));
                let state = state(store, owner);
                assert_eq!(state, self.history[owner][&at], "{n} of {owner} at {at}");
                if n != owner {
                    let told = self.told.get(&(n, owner)).cloned().unwrap_or_default();
                    assert_eq!(state, told, "updates tell the whole story");
                }
            }
        }
    }

    /// Without losses, everybody passes on what it has until all have all.
    fn settle(&mut self) {
        for (from, to) in (0..PEERS).flat_map(|a| (0..PEERS).map(move |b| (a, b))) {
            self.run(Op::Break(from, to));
        }
        for _ in 0..2 {
            for n in 0..PEERS {
                let next = (n + 1) % PEERS;
                self.run(Op::Send(n, next));
                self.run(Op::Deliver(n, next, 1000));
                self.run(Op::Send(next, n));
                self.run(Op::Deliver(next, n, 1000));
            }
        }
        let expected: Vec<u64> =
            self.history.iter().map(|it| *it.keys().next_back().unwrap()).collect();
        for store in &self.stores {
            let at: Vec<u64> = (0..PEERS).map(|owner| store.at(peer(owner))).collect();
            assert_eq!(at, expected);
        }
    }
}

fn state(store: &OwnedStore, owner: usize) -> State {
    store.state(peer(owner)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn link(from: usize, to: usize) -> LinkId {
    LinkId((from * PEERS + to) as u64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn replica_is_always_a_state_in_which_its_owner_was(ops in ops()) {
        let mut world = World::new();
        for op in ops {
            world.run(op);
        }
        world.settle();
    }
}
