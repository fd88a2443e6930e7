//! The laws of placement: what must hold for any members, weights and children.
//!
//! The laws of moves are exact. How even the shares are is measured on fixed names, so a failure is a change of the
//! function and never bad luck: Pearson's chi-square stays below what a fair draw exceeds once in a thousand times.

#![cfg(test)]

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use proptest::{collection, prelude::*, sample::Index};

use pogo_core::{
    id::MemberName,
    placement::{Candidate, ChildKey, cost, owner, precedes, ranked, score},
};

type Weights = BTreeMap<MemberName, u16>;

fn name() -> impl Strategy<Value = MemberName> {
    "[a-zA-Zé0-9.-]{1,12}".prop_map(|text| MemberName::new(text).unwrap())
}

/// Small weights, so that equal ones and zero are common, and any other.
fn weight() -> impl Strategy<Value = u16> {
    prop_oneof![3 => 0..4_u16, 1 => any::<u16>()]
}

fn members() -> impl Strategy<Value = Weights> {
    collection::btree_map(name(), weight(), 1..12)
}

fn children() -> impl Strategy<Value = Vec<ChildKey>> {
    collection::vec(any::<u64>().prop_map(ChildKey::from_raw), 1..100)
}

fn pick(weights: &Weights, index: Index) -> MemberName {
    let names: Vec<_> = weights.keys().cloned().collect();
    index.get(&names).clone()
}

fn candidates(weights: &Weights) -> Vec<Candidate<'_>> {
    weights.iter().map(|(name, weight)| Candidate::new(name, *weight)).collect()
}

fn owner_name(child: ChildKey, weights: &Weights) -> Option<MemberName> {
    owner(child, &candidates(weights)).map(|it| it.name().clone())
}

proptest! {
    #[test]
    fn leave_moves_exactly_the_leavers_children(
        before in members(), leaver in any::<Index>(), children in children(),
    ) {
        let leaver = pick(&before, leaver);
        let mut after = before.clone();
        after.remove(&leaver);
        for child in children {
            let old = owner_name(child, &before);
            let new = owner_name(child, &after);
            if old.as_ref() == Some(&leaver) {
                let all = candidates(&before);
                let second = ranked(child, &all).get(1).map(|it| it.name().clone());
                prop_assert_eq!(new, second);
            } else {
                prop_assert_eq!(new, old);
            }
        }
    }

    #[test]
    fn join_moves_children_to_the_joiner_only(
        before in members(), joiner in name(), weight in weight(), children in children(),
    ) {
        prop_assume!(!before.contains_key(&joiner));
        let mut after = before.clone();
        after.insert(joiner.clone(), weight);
        for child in children {
            let old = owner_name(child, &before);
            let new = owner_name(child, &after);
            prop_assert!(new == old || new.as_ref() == Some(&joiner));
        }
    }

    #[test]
    fn joiner_takes_exactly_the_children_whose_owner_it_precedes(
        before in members(), joiner in name(), weight in weight(), children in children(),
    ) {
        prop_assume!(!before.contains_key(&joiner));
        let mut after = before.clone();
        after.insert(joiner.clone(), weight);
        let (all, newcomer) = (candidates(&before), Candidate::new(&joiner, weight));
        for child in children {
            if let Some(old) = owner(child, &all) {
                let moves = owner_name(child, &after).as_ref() == Some(&joiner);
                prop_assert_eq!(precedes(child, &newcomer, old), moves);
            }
        }
    }

    #[test]
    fn equal_weights_give_the_plain_order(
        names in collection::btree_set(name(), 1..12), weight in 1..=u16::MAX, children in children(),
    ) {
        let weights: Weights = names.into_iter().map(|name| (name, weight)).collect();
        let all = candidates(&weights);
        for child in children {
            // The sort is stable and the names ascend: ties fall to the lower name.
            let mut plain: Vec<_> = all.iter().collect();
            plain.sort_by_key(|it| Reverse(score(child, it.key())));
            prop_assert_eq!(ranked(child, &all), plain);
        }
    }

    #[test]
    fn order_does_not_depend_on_the_order_of_the_input(
        weights in members().prop_map(|it| it.into_iter().collect::<Vec<_>>()).prop_shuffle(),
        children in children(),
    ) {
        let shuffled: Vec<_> =
            weights.iter().map(|(name, weight)| Candidate::new(name, *weight)).collect();
        let weights: Weights = weights.iter().cloned().collect();
        let sorted = candidates(&weights);
        for child in children {
            prop_assert_eq!(ranked(child, &shuffled), ranked(child, &sorted));
            prop_assert_eq!(owner(child, &shuffled), owner(child, &sorted));
        }
    }

    #[test]
    fn order_is_total(weights in members(), children in children()) {
        let all = candidates(&weights);
        for child in children {
            // A total order without ties gives each place, from 0 up, to one candidate.
            let places: BTreeSet<_> = all
                .iter()
                .map(|it| all.iter().filter(|other| precedes(child, other, it)).count())
                .collect();
            prop_assert_eq!(places, (0..all.len()).collect());
        }
    }

    #[test]
    fn owner_and_precedes_agree_with_the_whole_order(weights in members(), children in children()) {
        let all = candidates(&weights);
        for child in children {
            let order = ranked(child, &all);
            prop_assert_eq!(owner(child, &all), order.first().copied());
            for (place, earlier) in order.iter().enumerate() {
                prop_assert!(!precedes(child, earlier, earlier));
                for later in &order[place + 1..] {
                    prop_assert!(precedes(child, earlier, later));
                    prop_assert!(!precedes(child, later, earlier));
                }
            }
        }
    }

    #[test]
    fn weight_zero_is_never_chosen(weights in members(), children in children()) {
        let all = candidates(&weights);
        let eligible: Weights =
            weights.iter().filter(|(_, weight)| **weight > 0).map(|(n, w)| (n.clone(), *w)).collect();
        let eligible = candidates(&eligible);
        for child in children {
            prop_assert_eq!(ranked(child, &all), ranked(child, &eligible));
            prop_assert_eq!(owner(child, &all), owner(child, &eligible));
            for observer in all.iter().filter(|it| !eligible.contains(it)) {
                prop_assert!(eligible.iter().all(|it| precedes(child, it, observer)));
            }
        }
    }

    #[test]
    fn only_the_ratio_of_weights_counts(
        weights in collection::btree_map(name(), 0..=255_u16, 1..12), factor in 1..=257_u16,
        children in children(),
    ) {
        let scaled: Weights = weights.iter().map(|(name, weight)| (name.clone(), weight * factor)).collect();
        for child in children {
            prop_assert_eq!(owner_name(child, &scaled), owner_name(child, &weights));
        }
    }

    #[test]
    fn added_weight_only_attracts_children(
        before in members(), favourite in any::<Index>(), added in any::<u16>(), children in children(),
    ) {
        let favourite = pick(&before, favourite);
        let mut after = before.clone();
        after.entry(favourite.clone()).and_modify(|weight| *weight = weight.saturating_add(added));
        for child in children {
            let new = owner_name(child, &after);
            prop_assert!(new.as_ref() == Some(&favourite) || new == owner_name(child, &before));
        }
    }

    #[test]
    fn cost_strictly_falls_as_the_score_rises(low in any::<u32>(), high in any::<u32>()) {
        prop_assert_eq!(cost(low).cmp(&cost(high)), high.cmp(&low));
        prop_assert!(low == u32::MAX || cost(low) > cost(low + 1));
    }
}

/// Chi-square of the shares that `children` ids give to members of these weights, in thousandths.
fn chi_square_in_thousandths(prefix: &str, children: u64, weights: &[u16]) -> u64 {
    let weights: Weights = (0..)
        .zip(weights)
        .map(|(i, weight)| (MemberName::new(format!("{prefix}-{i}")).unwrap(), *weight))
        .collect();
    let all = candidates(&weights);
    let mut found: BTreeMap<&MemberName, u64> = BTreeMap::new();
    for child in 0..children {
        let child = ChildKey::new(&format!("{prefix}:{child}"));
        *found.entry(owner(child, &all).unwrap().name()).or_default() += 1;
    }
    let total: u64 = weights.values().copied().map(u64::from).sum();
    let share = |name, weight| {
        let expected = children * u64::from(weight) / total;
        assert_eq!(expected * total, children * u64::from(weight), "shares must be whole");
        expected.abs_diff(found.get(name).copied().unwrap_or(0)).pow(2) * 1000 / expected
    };
    weights.iter().map(|(name, weight)| share(name, *weight)).sum()
}

const NAMES: [&str; 6] = ["node", "pogo.eu-west", "10.0.0", "worker", "a", "κόσμος"];

#[test]
fn children_spread_as_evenly_as_a_fair_draw() {
    for prefix in NAMES {
        for (members, bound) in [(2_u16, 10_828), (3, 13_816), (10, 27_877), (100, 148_230)] {
            let weights = vec![1; usize::from(members)];
            let found = chi_square_in_thousandths(prefix, u64::from(members) * 1000, &weights);
            assert!(found < bound, "{prefix}: chi-square {found} of {members} members");
        }
    }
}

#[test]
fn shares_follow_weights() {
    for prefix in NAMES {
        for (weights, bound) in [
            (&[1, 3][..], 10_828),
            (&[100, 100, 200, 400], 16_266),
            (&[1, 2, 3, 4, 5, 5], 20_515),
            (&[1, u16::MAX / 2], 10_828),
        ] {
            let total: u64 = weights.iter().copied().map(u64::from).sum();
            let children = total * 20_000_u64.div_ceil(total).max(5);
            let found = chi_square_in_thousandths(prefix, children, weights);
            assert!(found < bound, "{prefix}: chi-square {found} of {weights:?}");
        }
    }
}
