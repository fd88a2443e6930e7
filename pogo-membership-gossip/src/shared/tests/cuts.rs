//! Sessions cut anywhere, messages lost, late and repeated: nothing is lost, nothing revives.

use std::collections::BTreeMap;

use pogo_core::time::WallTime;
use proptest::{collection::vec, prelude::*};

use super::*;

/// Two replicas that once were in step and now differ in every way.
fn divided() -> Pair {
    let mut pair = Pair::of(filled(300), filled(300));
    pair.round();
    for n in 0..30 {
        let [a, b] = &mut pair.stores;
        a.merge(key(format!("a/{n}")), record(2000, 1, Some(&"a".repeat(5000))));
        b.merge(key(format!("b/{n}")), record(2000, 2, Some(&"b".repeat(5000))));
        a.merge(key(format!("spec/{n}")), record(2000, 1, None));
        b.merge(key(format!("spec/{}", 2 * n)), record(2001, 2, Some("new")));
    }
    pair.messages = 0;
    pair
}

#[test]
fn session_cut_at_any_message_loses_nothing() {
    let mut whole = divided();
    whole.settle(1);
    let expected = contents(&whole.stores[0]);
    for cut in 0..=whole.messages {
        for side in [0, 1] {
            let mut pair = divided();
            pair.begin(side);
            for _ in 0..cut {
                pair.step();
            }
            pair.way.clear();
            pair.settle(1);
            assert_eq!(contents(&pair.stores[0]), expected, "cut at {cut}");
            assert!(pair.gone.iter().all(Vec::is_empty));
        }
    }
}

const PEERS: usize = 3;
const DAY: u64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Clone, Copy)]
enum Op {
    Write(usize, usize),
    Delete(usize, usize),
    /// A record reaches another peer as when it was just written.
    Push(usize, usize, usize),
    Compare(usize, usize),
    Deliver(usize, usize, usize),
    Lose(usize, usize),
    /// The last message on the way overtakes all others, and arrives again in its place.
    Overtake(usize, usize),
    /// More than a day passes: no message is that late. All collect.
    Day,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let at = 0..PEERS;
    let item = 0..5_usize;
    let two = (0..PEERS, 1..PEERS).prop_map(|(a, away)| (a, (a + away) % PEERS));
    let op = prop_oneof![
        4 => (at.clone(), item.clone()).prop_map(|(at, n)| Op::Write(at, n)),
        4 => (at, item.clone()).prop_map(|(at, n)| Op::Delete(at, n)),
        4 => (two.clone(), item).prop_map(|((a, b), n)| Op::Push(a, b, n)),
        6 => two.clone().prop_map(|(a, b)| Op::Compare(a, b)),
        12 => (two.clone(), 1..9_usize).prop_map(|((a, b), n)| Op::Deliver(a, b, n)),
        2 => two.clone().prop_map(|(a, b)| Op::Lose(a, b)),
        3 => two.prop_map(|(a, b)| Op::Overtake(a, b)),
        1 => Just(Op::Day),
    ];
    vec(op, 1..200)
}

#[derive(Default)]
struct World {
    stores: [SharedStore; PEERS],
    way: BTreeMap<(usize, usize), VecDeque<SyncMessage>>,
    wall: u64,
    days: usize,
    /// The winner of all that was ever written.
    winners: BTreeMap<ScopedKey, Record>,
}

impl World {
    fn run(&mut self, op: Op) {
        match op {
            Op::Write(at, n) => self.write(at, n, Some("v")),
            Op::Delete(at, n) => self.write(at, n, None),
            Op::Push(from, to, n) => {
                if let Some(record) = self.stores[from].get(&item(n)).cloned() {
                    self.stores[to].merge(item(n), record);
                }
            }
            Op::Compare(from, to) => {
                let root = self.stores[from].compare();
                self.way.entry((from, to)).or_default().push_back(root);
            }
            Op::Deliver(a, b, count) => {
                for _ in 0..count {
                    self.deliver(a, b);
                    self.deliver(b, a);
                }
            }
            Op::Lose(from, to) => {
                self.way.entry((from, to)).or_default().pop_front();
            }
            Op::Overtake(from, to) => {
                let way = self.way.entry((from, to)).or_default();
                if let Some(last) = way.back().cloned() {
                    way.push_front(last);
                }
                self.deliver(from, to);
            }
            Op::Day => self.pass_a_day(),
        }
    }

    fn write(&mut self, at: usize, n: usize, value: Option<&str>) {
        self.wall += 1;
        let seen = self.stores[at].get(&item(n)).map_or(0, |it| it.stamp.version.hlc);
        // Clocks differ by a little, so that concurrent writes meet in either order.
        let clock = 100 + self.wall - 5 * at as u64;
        let record = record(clock.max(seen + 1), at as u128, value);
        self.stores[at].merge(item(n), record.clone());
        let winner = self.winners.entry(item(n)).or_insert_with(|| record.clone());
        if record.supersedes(winner) {
            *winner = record;
        }
    }

    fn deliver(&mut self, from: usize, to: usize) {
        let Some(message) = self.way.entry((from, to)).or_default().pop_front() else { return };
        let before = contents(&self.stores[to]);
        let step = self.stores[to].sync(Pair::peer(from), message);
        for (key, record) in before.iter().filter(|it| step.gone.contains(&it.0)) {
            let is_wanted = record.value.is_some() && *record == self.winners[key];
            assert!(!is_wanted, "{key:?} is gone though it was not deleted");
        }
        self.way.entry((to, from)).or_default().extend(step.replies);
    }

    /// Six of them at most, so that none passes the week after which R19 gives no promise to three.
    fn pass_a_day(&mut self) {
        self.days += 1;
        if self.days > 6 {
            return;
        }
        self.way.clear();
        self.wall += DAY + 1000;
        for (at, store) in self.stores.iter_mut().enumerate() {
            let others: Vec<PeerId> = (0..PEERS).filter(|it| *it != at).map(Pair::peer).collect();
            store.collect(WallTime::from_millis(self.wall), &others);
            check(store);
        }
    }

    fn settle(&mut self) {
        self.way.clear();
        for (a, b) in [(0, 1), (1, 2), (2, 0)].repeat(3) {
            self.run(Op::Compare(a, b));
            self.run(Op::Deliver(a, b, 10));
        }
        for store in &self.stores {
            check(store);
            assert_eq!(store.root(), self.stores[0].root());
            for (key, winner) in &self.winners {
                match store.get(key) {
                    Some(record) => assert_eq!(record, winner),
                    None => assert_eq!(winner.value, None, "{key:?} is lost"),
                }
            }
        }
    }
}

fn item(n: usize) -> ScopedKey {
    key(format!("spec/{n}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn accepted_writes_stay_and_deletions_stay_whatever_messages_do(ops in ops()) {
        let mut world = World::default();
        for op in ops {
            world.run(op);
        }
        world.settle();
    }
}
