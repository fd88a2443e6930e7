//! A new replica takes a copy in pages while writes go on; large records move one by one.

use super::*;
use crate::shared::limits::{ANSWER_BYTES, MESSAGE_BYTES, PAGE_BYTES};

#[test]
fn copy_in_pages_is_whole_while_writes_go_on() {
    let before = filled(100_000);
    let mut pair = Pair::of(SharedStore::default(), filled(100_000));
    pair.send(1, &SyncMessage::Pull(None));
    let mut pages = 0;
    while let Some((to, message)) = pair.way.pop_front() {
        if let SyncMessage::Page { records, .. } = &message {
            let size = postcard::to_allocvec(&message).unwrap().len();
            assert!(size <= PAGE_BYTES && records.len() > 100, "{size} B");
            pages += 1;
            let writes = [format!("a/{pages}"), format!("zz/{pages}"), format!("spec/{pages}")];
            for write in writes {
                pair.stores[1].merge(key(write), record(2000 + pages, 2, Some("meanwhile")));
            }
        }
        pair.deliver(to, message);
    }
    assert!(pair.finished[0]);
    println!("{} B in {pages} pages", pair.moved);
    for (key, record) in before.after(None) {
        assert!(pair.stores[0].get(&key).is_some_and(|it| it.stamp >= record.stamp));
    }
    pair.settle(1);
}

#[test]
fn copy_of_nothing_is_at_its_end_at_once() {
    let mut pair = Pair::default();
    pair.send(1, &SyncMessage::Pull(None));
    while pair.step() {}
    assert_eq!((pair.finished[0], pair.messages), (true, 2));
}

#[test]
fn copy_goes_on_behind_a_record_that_is_gone() {
    let store = filled(10);
    let after = store.after(Some(&key("spec/45"))).map(|it| it.0).next();
    assert_eq!(after, Some(key("spec/5")));
    let scope = Scope::new("a").unwrap();
    assert_eq!(store.after(Some(&ScopedKey { scope, ..key("x") })).count(), 10);
    let scope = Scope::new("x").unwrap();
    assert_eq!(store.after(Some(&ScopedKey { scope, ..key("x") })).count(), 0);
}

#[test]
fn records_move_in_bounded_messages_and_answers_round_after_round() {
    let mut pair = Pair::default();
    let mut total = 0;
    for n in 0..60_usize {
        let size = if n % 20 == 7 { (1 << 20) + (64 << 10) } else { n * 2000 };
        let at = n % 2;
        total += size;
        pair.stores[at].merge(key(format!("state/{n}")), record(1, 1, Some(&"s".repeat(size))));
    }
    let mut rounds = 0;
    loop {
        pair.begin(0);
        while let Some((to, message)) = pair.way.pop_front() {
            if let SyncMessage::Records { records, .. } = &message {
                let size = postcard::to_allocvec(&message).unwrap().len();
                assert!(size <= MESSAGE_BYTES || records.len() == 1, "{size} B");
            }
            pair.deliver(to, message);
        }
        rounds += 1;
        let most = rounds * 2 * (ANSWER_BYTES + super::super::VALUE_MAX);
        assert!(pair.moved <= most, "{} B in {rounds} rounds", pair.moved);
        if pair.is_equal() {
            break;
        }
    }
    println!("{total} B in {rounds} rounds");
    assert!(pair.finished[0] && rounds <= 6, "{rounds} rounds");
    assert!(pair.moved < total + total / 50, "nothing moved twice");
}

#[test]
fn round_is_at_its_end_only_when_all_that_was_wanted_is_here() {
    let mut pair = Pair::default();
    for n in 0..40 {
        pair.stores[1].merge(key(format!("state/{n}")), record(1, 1, Some(&"s".repeat(60_000))));
    }
    pair.round();
    assert!(!pair.finished[0] && pair.stores[0].len() < 40);
    pair.round();
    pair.round();
    assert!(pair.finished[0] && pair.stores[0].len() == 40);
}
