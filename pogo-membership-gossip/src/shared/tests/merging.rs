//! The order in which records come does not matter (R2).

use proptest::{collection::vec, prelude::*};

use super::*;

fn writes() -> impl Strategy<Value = Vec<(ScopedKey, Record)>> {
    let value = proptest::option::of("[ab]{0,2}");
    let stage = prop_oneof![
        2 => Just(Stage::Live),
        1 => (0..3_u128).prop_map(|it| Stage::Spent(BootId::from_random(it))),
        1 => Just(Stage::Done),
    ];
    let write = ("[xy]", 0..9_usize, 0..4_u64, 0..3_u128, value, stage).prop_map(
        |(scope, n, hlc, author, value, stage)| {
            let mut record = record(hlc, author, value.as_deref());
            record.stamp.stage = stage;
            // An empty value and a tombstone hash alike: a writer never stamps both the same.
            record.stamp.version.hlc = 2 * hlc + u64::from(record.value.is_none());
            (ScopedKey { scope: Scope::new(scope).unwrap(), ..key(format!("spec/{n}")) }, record)
        },
    );
    vec(write, 0..60)
}

proptest! {
    #[test]
    fn any_order_and_repetition_gives_the_same_replica(
        (writes, shuffled) in writes().prop_flat_map(|writes| {
            let twice = [writes.clone(), writes.clone()].concat();
            (Just(writes), Just(twice).prop_shuffle())
        })
    ) {
        let (mut a, mut b) = (SharedStore::default(), SharedStore::default());
        for (key, record) in &writes {
            let before = a.get(key).map(|it| it.stamp);
            let expected = match before {
                Some(before) if before > record.stamp => Merged::Stale,
                Some(before) if before == record.stamp => Merged::Known,
                _ => Merged::Applied,
            };
            prop_assert_eq!(a.merge(key.clone(), record.clone()), expected);
        }
        for (key, record) in shuffled {
            b.merge(key, record);
        }
        check(&a);
        prop_assert_eq!(a.root(), b.root());
        prop_assert_eq!(contents(&a), contents(&b));
        for (key, _) in &writes {
            let winner = writes.iter().filter(|it| it.0 == *key).map(|it| it.1.stamp).max();
            prop_assert_eq!(a.get(key).map(|it| it.stamp), winner);
        }
        for scope in ["x", "y", "z"] {
            let scope = Scope::new(scope).unwrap();
            let listed: Vec<&Key> = a.in_scope(&scope).map(|(key, _)| key).collect();
            prop_assert!(listed.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(listed.len(), contents(&a).iter().filter(|it| it.0.scope == scope).count());
        }
    }
}

#[test]
fn concurrent_writes_have_the_same_winner_on_both_sides() {
    let mut pair = Pair::of(filled(10), filled(10));
    for (side, author) in [(0, 5), (1, 6)] {
        let text = format!("by {author}");
        for n in 0..10 {
            pair.stores[side].merge(key(format!("spec/{n}")), record(2000, author, Some(&text)));
        }
    }
    pair.settle(1);
    for n in 0..10 {
        let winner = pair.stores[n % 2].get(&key(format!("spec/{n}"))).unwrap();
        assert_eq!(winner.value.as_deref(), Some(b"by 6".as_slice()));
    }
}

#[test]
fn every_part_of_a_stamp_tells_in_the_root() {
    let base = record(1, 1, Some("a"));
    let mut others = vec![base.clone(), record(2, 1, Some("a")), record(1, 2, Some("a"))];
    others.push(record(1, 1, Some("b")));
    let stages = [Stage::Done, Stage::Spent(BootId::from_random(0))];
    for stage in stages.into_iter().chain([Stage::Spent(BootId::from_random(1))]) {
        let stamp = Stamp { stage, ..base.stamp };
        others.push(Record { stamp, ..base.clone() });
    }
    let root = |key: ScopedKey, record: &Record| {
        let mut store = SharedStore::default();
        store.merge(key, record.clone());
        store.root()
    };
    let mut roots: Vec<u64> = others.iter().map(|it| root(key("spec/1"), it)).collect();
    roots.push(root(key("spec/2"), &base));
    let elsewhere = ScopedKey { scope: Scope::new("other").unwrap(), ..key("spec/1") };
    roots.push(root(elsewhere, &base));
    roots.sort_unstable();
    assert!(roots.is_sorted_by(|a, b| a < b), "{roots:?}");
}
