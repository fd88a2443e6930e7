use super::*;

const EQUAL: [u16; 4] = [1; 4];
const WEIGHTS: [u16; 4] = [100, 100, 200, 400];

fn names() -> [MemberName; 4] {
    ["node-a", "node-b", "node-c", "node-d"].map(|name| MemberName::new(name).unwrap())
}

fn order(child: &str, weights: [u16; 4]) -> String {
    let names = names();
    let candidates: Vec<_> =
        names.iter().zip(weights).map(|(name, weight)| Candidate::new(name, weight)).collect();
    let child = ChildKey::new(child);
    let order = ranked(child, &candidates);
    assert_eq!(owner(child, &candidates), order.first().copied());
    order.iter().map(|it| it.name().as_str().trim_start_matches("node-")).collect()
}

/// The order of two names with given scores and weights.
fn order_of(a: (&str, u32, u16), b: (&str, u32, u16)) -> Ordering {
    let [a_name, b_name] = [a.0, b.0].map(|name| MemberName::new(name).unwrap());
    let [a_candidate, b_candidate] = [Candidate::new(&a_name, a.2), Candidate::new(&b_name, b.2)];
    let a = Standing { score: a.1, candidate: &a_candidate };
    let b = Standing { score: b.1, candidate: &b_candidate };
    assert_eq!(a.order(&b), b.order(&a).reverse());
    a.order(&b)
}

#[test]
fn order_matches_the_vectors() {
    assert_eq!(order("a", EQUAL), "cadb");
    assert_eq!(order("worker:0", EQUAL), "dcab");
    assert_eq!(order("κόσμος", EQUAL), "adbc");
}

#[test]
fn weighted_order_matches_the_vectors() {
    assert_eq!(order("a", WEIGHTS), "cdab");
    assert_eq!(order("worker:0", WEIGHTS), "dcab");
    assert_eq!(order("κόσμος", WEIGHTS), "dabc");
}

#[test]
fn nobody_owns_a_child_without_candidates_of_weight() {
    assert_eq!(owner(ChildKey::new("a"), []), None);
    assert_eq!(order("a", [0; 4]), "");
    assert_eq!(order("a", [0, 1, 0, 1]), "db");
}

#[test]
fn lower_name_wins_a_tie_of_scores() {
    assert_eq!(order_of(("m", 5, 1), ("n", 5, 1)), Ordering::Less);
    assert_eq!(order_of(("n", 0, 9), ("m", 0, 9)), Ordering::Greater);
    // By bytes, not by length or case.
    assert_eq!(order_of(("Z", 5, 1), ("a", 5, 1)), Ordering::Less);
    assert_eq!(order_of(("node-10", 5, 1), ("node-9", 5, 1)), Ordering::Less);
}

#[test]
fn lower_name_wins_a_tie_of_weighted_costs() {
    // The highest score costs nothing at any weight.
    assert_eq!(order_of(("m", u32::MAX, 1), ("n", u32::MAX, u16::MAX)), Ordering::Less);
    // One halving at weight 1, two at weight 2.
    assert_eq!(order_of(("n", 0x7FFF_FFFF, 1), ("m", 0x3FFF_FFFF, 2)), Ordering::Greater);
}

#[test]
fn weight_zero_stands_behind_the_worst_score() {
    assert_eq!(order_of(("m", u32::MAX, 0), ("n", 0, 1)), Ordering::Greater);
    assert_eq!(order_of(("m", 1, 0), ("n", 2, 0)), Ordering::Greater);
}

#[test]
fn largest_weights_and_costs_do_not_overflow() {
    assert_eq!(order_of(("m", 0, u16::MAX), ("n", 0, u16::MAX - 1)), Ordering::Less);
    assert_eq!(order_of(("m", 0, u16::MAX), ("n", 0, 1)), Ordering::Less);
}

#[test]
fn score_of_zero_can_own() {
    let [name, ..] = names();
    let candidate = Candidate { name: &name, key: MemberKey::new("node-a"), weight: 1 };
    let child = ChildKey::from_raw(0x5b20_1420_15de_ebc7);
    assert_eq!(score(child, candidate.key()), 0);
    assert_eq!(owner(child, [&candidate]), Some(&candidate));
}
