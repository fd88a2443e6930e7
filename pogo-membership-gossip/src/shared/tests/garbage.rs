//! Messages that no peer of ours would send: no panic, bounded answers, nothing broken.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::shared::{
    Hashes, KEY_MAX, VALUE_MAX,
    limits::{ANSWER_BYTES, LISTING_BYTES},
};

fn any_key() -> impl Strategy<Value = ScopedKey> {
    prop_oneof![(0..60_usize).prop_map(|n| key(format!("spec/{n}"))), "[a-z]{0,6}".prop_map(key)]
}

fn any_record() -> impl Strategy<Value = Record> {
    let value = proptest::option::of("[ab]{0,2}");
    (0..3000_u64, 0..3_u128, value).prop_map(|(hlc, by, value)| record(hlc, by, value.as_deref()))
}

fn any_message() -> impl Strategy<Value = SyncMessage> {
    let number = prop_oneof![0..100_u64, any::<u64>()];
    let index = prop_oneof![0..20_u16, any::<u16>()];
    let stamp = || any_record().prop_map(|it| it.stamp);
    let nodes = vec((index.clone(), any::<[u64; 16]>().prop_map(Hashes)), 0..20);
    let leaves = vec((index, vec((any_key(), stamp()), 0..4)), 0..6);
    let keys = vec((any_key(), proptest::option::of(stamp())), 0..20);
    let records = || vec((any_key(), any_record()), 0..10);
    prop_oneof![
        (any::<u64>(), number.clone()).prop_map(|(hash, at)| SyncMessage::Root { hash, at }),
        (number.clone(), number.clone())
            .prop_map(|(yours, mine)| SyncMessage::Same { yours, mine }),
        (0..8_u8, nodes).prop_map(|(depth, nodes)| SyncMessage::Children { depth, nodes }),
        (number.clone(), leaves, any::<bool>())
            .prop_map(|(seen, leaves, more)| SyncMessage::Leaves { seen, leaves, more }),
        (number, keys, any::<bool>()).prop_map(|(seen, keys, more)| SyncMessage::Want {
            seen,
            keys,
            more
        }),
        (records(), any::<bool>())
            .prop_map(|(records, last)| SyncMessage::Records { records, last }),
        proptest::option::of(any_key()).prop_map(SyncMessage::Pull),
        (records(), any::<bool>()).prop_map(|(records, more)| SyncMessage::Page { records, more }),
    ]
}

proptest! {
    #[test]
    fn senseless_messages_break_nothing(messages in vec(any_message(), 1..40)) {
        let mut store = filled(50);
        for message in messages {
            let step = store.sync(Pair::peer(1), message);
            for reply in step.replies {
                let size = postcard::to_allocvec(&reply).unwrap().len();
                prop_assert!(size <= ANSWER_BYTES.max(2 * LISTING_BYTES));
            }
        }
        check(&store);
    }

    #[test]
    fn damaged_messages_break_nothing(
        message in any_message(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = postcard::to_allocvec(&message).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let mut store = filled(50);
        if let Ok(message) = postcard::from_bytes(&bytes) {
            store.sync(Pair::peer(1), message);
        }
        check(&store);
    }
}

#[test]
fn nodes_named_twice_or_not_in_the_tree_are_not_answered() {
    let mut store = filled(50);
    let zero = Hashes::default();
    for (depth, nodes) in [
        (0, vec![(0, zero), (0, zero)]),
        (0, vec![(1, zero)]),
        (1, vec![(1, zero), (0, zero)]),
        (3, vec![(4096, zero)]),
        (4, vec![(0, zero)]),
        (255, vec![(0, zero)]),
    ] {
        let step = store.sync(Pair::peer(1), SyncMessage::Children { depth, nodes });
        assert!(step.replies.is_empty(), "depth {depth}");
    }
}

#[test]
fn listing_under_the_wrong_leaf_deletes_nothing() {
    let mut store = filled(50);
    let seen = store.arrivals;
    let place = |n: usize| super::super::tree::Place::of(&key(format!("spec/{n}"))).leaf();
    let wrong = vec![(place(1), vec![(key("spec/2"), record(1, 1, None).stamp)])];
    let twice = vec![(place(1), vec![]), (place(1), vec![])];
    for leaves in [wrong, twice] {
        let step = store.sync(Pair::peer(1), SyncMessage::Leaves { seen, leaves, more: false });
        assert!(step.replies.is_empty() && step.gone.is_empty());
    }
    let leaves = vec![(place(1), vec![])];
    let step = store.sync(
        Pair::peer(1),
        SyncMessage::Leaves { seen: seen + 1, leaves: leaves.clone(), more: false },
    );
    assert!(step.gone.is_empty(), "nobody has seen what is still to come");
    let step = store.sync(Pair::peer(1), SyncMessage::Leaves { seen, leaves, more: false });
    assert_eq!(step.gone, [key("spec/1")]);
}

#[test]
fn records_that_are_too_large_are_left_out() {
    let mut store = SharedStore::default();
    let records = vec![
        (key("k".repeat(KEY_MAX)), record(1, 1, Some("v"))),
        (key("k".repeat(KEY_MAX + 1)), record(1, 1, Some("v"))),
        (key("fits"), record(1, 1, Some(&"v".repeat(VALUE_MAX)))),
        (key("large"), record(1, 1, Some(&"v".repeat(VALUE_MAX + 1)))),
    ];
    let step = store.sync(Pair::peer(1), SyncMessage::Records { records, last: false });
    let applied: Vec<ScopedKey> = step.applied.into_iter().map(|(key, _)| key).collect();
    assert_eq!(applied, [key("k".repeat(KEY_MAX)), key("fits")]);
}

#[test]
fn empty_page_before_others_is_not_asked_on_for_ever() {
    let mut store = SharedStore::default();
    let step = store.sync(Pair::peer(1), SyncMessage::Page { records: Vec::new(), more: true });
    assert!(step.replies.is_empty() && !step.finished);
}
