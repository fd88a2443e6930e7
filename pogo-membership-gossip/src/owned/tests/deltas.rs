//! Deltas and their parts, one case at a time.

use super::*;

const LINK: LinkId = LinkId(1);
const OTHER: LinkId = LinkId(2);

fn set(n: usize, text: &str) -> (OwnedKey, Option<Bytes>) {
    (key(n), Some(Bytes::copy_from_slice(text.as_bytes())))
}

fn large(n: usize) -> (OwnedKey, Option<Bytes>) {
    (key(n), Some(Bytes::from(vec![u8::try_from(n).unwrap(); 30_000])))
}

fn bytes(delta: &Delta) -> usize {
    postcard::to_allocvec(delta).unwrap().len()
}

fn take(store: &mut OwnedStore, link: LinkId, deltas: impl IntoIterator<Item = Delta>) -> Applied {
    deltas.into_iter().map(|it| store.apply(link, it)).last().unwrap()
}

fn is_copy(of: &OwnedStore, owner: usize, store: &OwnedStore) -> bool {
    store.at(peer(owner)) == of.at(peer(owner))
        && store.state(peer(owner)).eq(of.state(peer(owner)))
}

#[test]
fn what_is_the_same_already_is_no_change() {
    let mut owner = store(0);
    assert_eq!(owner.publish(vec![(key(1), None)]), 0);
    assert_eq!(owner.publish(vec![set(1, "a"), set(2, "a")]), 1);
    assert_eq!(owner.publish(vec![set(1, "a")]), 1);
    assert_eq!(owner.publish(Vec::new()), 1);
    assert_eq!(owner.publish(vec![set(1, "a"), set(2, "b")]), 2);
    let deltas = owner.delta_since(peer(0), 1);
    let changed: Vec<_> = deltas.iter().flat_map(|it| &it.members[0].changes).collect();
    assert_eq!(changed.len(), 1, "only what changed after 1");
}

#[test]
fn delta_about_oneself_or_what_is_known_is_left_alone() {
    let (mut owner, mut replica) = (store(0), store(1));
    owner.publish(vec![set(1, "a")]);
    let deltas = owner.deltas(&[]);
    assert_eq!(take(&mut owner, LINK, deltas.clone()), Applied::Mine);
    assert_eq!(
        take(&mut replica, LINK, deltas.clone()),
        Applied::Changes { updates: vec![set(1, "a")] }
    );
    assert_eq!(take(&mut replica, LINK, deltas), Applied::Known);
    assert!(owner.deltas(&replica.progress()).is_empty());
}

#[test]
fn parts_are_bounded_and_take_effect_with_the_last() {
    let (mut owner, mut replica) = (store(0), store(1));
    owner.publish((0..10).map(large).collect());
    owner.publish(vec![(key(20), Some(Bytes::from(vec![7; 200_000]))), set(21, "small")]);
    let deltas = owner.deltas(&[]);
    assert_eq!(deltas.len(), 7);
    for delta in &deltas {
        let records: usize = delta.members.iter().map(|it| it.changes.len()).sum();
        assert!(bytes(delta) <= 64 << 10 || records == 1, "{} B", bytes(delta));
    }
    let (last, first) = deltas.split_last().unwrap();
    for delta in first {
        assert_eq!(replica.apply(LINK, delta.clone()), Applied::Part);
        assert_eq!((replica.at(peer(0)), replica.state(peer(0)).count()), (0, 0));
    }
    let Applied::Changes { updates } = replica.apply(LINK, last.clone()) else { panic!() };
    assert_eq!(updates.len(), 12);
    assert!(is_copy(&owner, 0, &replica));
}

#[test]
fn delta_that_lost_any_of_its_parts_changes_nothing_and_ends_in_one_question() {
    let mut owner = store(0);
    owner.publish((0..10).map(large).collect());
    let deltas = owner.deltas(&[]);
    for lost in 0..deltas.len() {
        let mut replica = store(1);
        let mut rest = deltas.clone();
        rest.remove(lost);
        let answers: Vec<Applied> = rest.into_iter().map(|it| replica.apply(LINK, it)).collect();
        let (last, first) = answers.split_last().unwrap();
        assert!(first.iter().all(|it| *it == Applied::Part));
        let is_last = lost + 1 == deltas.len();
        assert_eq!(*last, if is_last { Applied::Part } else { Applied::Gap { at: 0 } });
        assert_eq!(replica.state(peer(0)).count(), 0);
        take(&mut replica, LINK, deltas.clone());
        assert!(is_copy(&owner, 0, &replica));
    }
}

#[test]
fn parts_of_different_links_or_deltas_are_never_mixed() {
    let (mut owner, mut replica) = (store(0), store(1));
    owner.publish((0..4).map(large).collect());
    let old = owner.deltas(&[]);
    owner.publish((4..8).map(large).collect());
    let new = owner.deltas(&[]);
    assert_eq!(replica.apply(LINK, old[0].clone()), Applied::Part);
    assert_eq!(replica.apply(OTHER, new[0].clone()), Applied::Part);
    assert_eq!(replica.apply(LINK, new[1].clone()), Applied::Part);
    assert_eq!(replica.apply(LINK, new[2].clone()), Applied::Part);
    assert_eq!(replica.apply(LINK, new[3].clone()), Applied::Gap { at: 0 });
    replica.drop_link(OTHER);
    assert_eq!(replica.apply(OTHER, new[1].clone()), Applied::Part);
    assert_eq!(take(&mut replica, OTHER, new[2..].to_vec()), Applied::Gap { at: 0 });
    take(&mut replica, OTHER, new);
    assert!(is_copy(&owner, 0, &replica));
}

#[test]
fn delta_that_leads_from_further_on_asks_where_to_begin() {
    let (mut owner, mut replica) = (store(0), store(1));
    owner.publish(vec![set(1, "a")]);
    take(&mut replica, LINK, owner.deltas(&[]));
    owner.publish(vec![set(2, "a")]);
    owner.publish(vec![set(3, "a"), (key(1), None)]);
    let ahead = owner.delta_since(peer(0), 2);
    assert_eq!(take(&mut replica, LINK, ahead), Applied::Gap { at: 1 });
    let Applied::Changes { updates } = take(&mut replica, LINK, owner.delta_since(peer(0), 1))
    else {
        panic!()
    };
    assert_eq!(updates, [(key(1), None), set(2, "a"), set(3, "a")]);
}

#[test]
fn replica_leads_others_as_its_owner_would() {
    let (mut owner, mut replica, mut third) = (store(0), store(1), store(2));
    owner.publish(vec![set(1, "a"), set(2, "a")]);
    take(&mut replica, LINK, owner.deltas(&[]));
    take(&mut third, LINK, replica.delta_since(peer(0), 0));
    owner.publish(vec![(key(1), None)]);
    owner.publish(vec![set(3, "a")]);
    take(&mut replica, LINK, owner.delta_since(peer(0), 1));
    let forwarded = replica.deltas(&third.progress());
    assert_eq!(forwarded, owner.deltas(&third.progress()));
    let Applied::Changes { updates } = take(&mut third, OTHER, forwarded) else { panic!() };
    assert_eq!(updates, [(key(1), None), set(3, "a")]);
    assert!(is_copy(&owner, 0, &third));
}

#[test]
fn who_is_behind_forgotten_removals_gets_everything() {
    let (mut owner, mut behind, mut near) = (store(0), store(1), store(2));
    owner.publish((0..9000).map(|n| set(n, "a")).collect());
    take(&mut behind, LINK, owner.deltas(&[]));
    owner.publish((0..100).map(|n| (key(n), None)).collect());
    take(&mut near, LINK, owner.deltas(&[]));
    for n in 100..8000 {
        owner.publish(vec![(key(n), None)]);
    }
    let at = owner.at(peer(0));
    let deltas = owner.deltas(&behind.progress());
    assert!(deltas.iter().all(|it| it.from == 0 && it.to == at));
    let Applied::Changes { updates } = take(&mut behind, LINK, deltas) else { panic!() };
    assert_eq!(updates.len(), 8000);
    assert!(updates.iter().all(|(_, value)| value.is_none()));
    assert!(is_copy(&owner, 0, &behind));

    let recent = owner.delta_since(peer(0), at - 1000);
    let changes: usize = recent.iter().map(|it| it.members[0].changes.len()).sum();
    assert_eq!((recent[0].from, changes), (at - 1000, 1000));
    let from_replica = behind.delta_since(peer(0), at - 1000);
    assert_eq!(from_replica[0].from, 0, "it has not seen these removals");
    let deltas = owner.deltas(&near.progress());
    take(&mut near, LINK, deltas);
    assert!(is_copy(&owner, 0, &near));
}

#[test]
fn owner_without_records_is_led_there_too() {
    let (mut owner, mut replica) = (store(0), store(1));
    owner.publish(vec![set(1, "a")]);
    owner.publish(vec![(key(1), None)]);
    assert_eq!(take(&mut replica, LINK, owner.deltas(&[])), Applied::Changes { updates: vec![] });
    assert_eq!(replica.at(peer(0)), 2);
}

#[test]
fn parts_of_an_endless_delta_are_dropped_at_a_bound() {
    let mut replica = store(1);
    let value = Bytes::from(vec![0; 1 << 20]);
    let part = |part: u32, more| {
        let change = super::super::Change { key: None, number: 1, value: Some(value.clone()) };
        let (scope, boot) = (Scope::new("default").unwrap(), BootId::from_random(7));
        let members = vec![super::super::MemberChanges { scope, boot, changes: vec![change] }];
        Delta { owner: peer(0), from: 0, to: 1, part, more, members }
    };
    for n in 0..300 {
        assert_eq!(replica.apply(LINK, part(n, true)), Applied::Part);
    }
    assert_eq!(replica.apply(LINK, part(300, false)), Applied::Gap { at: 0 });
    assert!(matches!(replica.apply(LINK, part(0, false)), Applied::Changes { .. }));
}

#[test]
fn forgotten_owner_begins_at_nothing() {
    let (mut owner, mut replica) = (store(0), store(1));
    owner.publish((0..4).map(large).collect());
    take(&mut replica, LINK, owner.deltas(&[]));
    let mut other = store(2);
    other.publish(vec![set(1, "b")]);
    take(&mut replica, LINK, other.deltas(&[]));
    replica.drop_owner(peer(0));
    assert_eq!(replica.at(peer(0)), 0);
    let owners: Vec<PeerId> = replica.progress().iter().map(|it| it.owner).collect();
    assert_eq!(owners, [peer(1), peer(2)]);
    take(&mut replica, LINK, owner.deltas(&[]));
    assert!(is_copy(&owner, 0, &replica));
}

#[test]
fn one_change_among_many_costs_its_own_size() {
    let mut owner = store(0);
    let report = "r".repeat(60);
    owner.publish((0..10_000).map(|n| set(n, &report)).collect());
    let all: usize = owner.deltas(&[]).iter().map(bytes).sum();
    owner.publish(vec![set(5, "changed")]);
    let one: usize = owner.delta_since(peer(0), 1).iter().map(bytes).sum();
    println!("one change: {one} B; 10,000 reports of 60 B: {all} B");
    assert!(one < 100 && all < 10_000 * 80, "{one} B, {all} B");
}
