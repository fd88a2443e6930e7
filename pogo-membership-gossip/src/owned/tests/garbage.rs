//! Deltas that no owner would write: no panic, and no state in which it never was.

use proptest::{collection::vec, prelude::*};

use super::super::{Change, MemberChanges};
use super::*;

fn any_delta() -> impl Strategy<Value = Delta> {
    let number = || prop_oneof![8 => 0..12_u64, 1 => any::<u64>()];
    let value = proptest::option::of((0..3_u8).prop_map(|it| Bytes::from(vec![it; 3])));
    let change = (0..6_usize, number(), value).prop_map(|(n, number, value)| Change {
        key: key(n).key,
        number,
        value,
    });
    let members = vec(vec(change, 0..5), 0..3).prop_map(|members| {
        let (scope, boot) = (Scope::new("default").unwrap(), BootId::from_random(7));
        let of = |changes| MemberChanges { scope: scope.clone(), boot, changes };
        members.into_iter().map(of).collect()
    });
    (0..3_usize, number(), number(), 0..4_u32, any::<bool>(), members).prop_map(
        |(owner, from, to, part, more, members)| Delta {
            owner: peer(owner),
            from,
            to,
            part,
            more,
            members,
        },
    )
}

proptest! {
    #[test]
    fn senseless_deltas_break_nothing(deltas in vec((0..2_u64, any_delta()), 1..60)) {
        let mut store = store(0);
        store.publish(vec![(key(1), Some(Bytes::from_static(b"mine")))]);
        for (link, delta) in deltas {
            let before = store.at(delta.owner);
            let (owner, from, to) = (delta.owner, delta.from, delta.to);
            let applied = store.apply(LinkId(link), delta);
            if matches!(applied, Applied::Changes { .. }) {
                prop_assert!(from <= before && before < to);
                prop_assert_eq!(store.at(owner), to);
            } else {
                prop_assert_eq!(store.at(owner), before);
            }
            for delta in store.deltas(&[]) {
                prop_assert!(delta.from == 0 && delta.to == store.at(delta.owner));
            }
        }
        prop_assert_eq!(store.at(peer(0)), 1);
        prop_assert_eq!(store.state(peer(0)).count(), 1);
    }
}
