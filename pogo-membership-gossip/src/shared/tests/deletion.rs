//! What is deleted stays deleted, and what is new is never taken for deleted (R19).

use pogo_core::time::WallTime;

use super::*;

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;

fn at(millis: u64) -> WallTime {
    WallTime::from_millis(millis)
}

fn delete(store: &mut SharedStore, text: &str, hlc: u64) {
    store.merge(key(text), record(hlc, 9, None));
}

/// Two replicas that were found equal, both of them knowing, with `spec/0` to `spec/9`.
fn in_step() -> Pair {
    let mut pair = Pair::of(filled(10), filled(10));
    pair.round();
    assert_eq!(pair.finished, [true, true]);
    pair
}

#[test]
fn delete_during_a_partition_stays_deleted() {
    let mut pair = in_step();
    delete(&mut pair.stores[0], "spec/3", 2000);
    pair.settle(1);
    assert_eq!(pair.stores[1].get(&key("spec/3")).unwrap().value, None);
}

#[test]
fn tombstone_stays_until_it_is_old_and_everybody_has_it() {
    let others = [Pair::peer(1)];
    let mut pair = in_step();
    delete(&mut pair.stores[0], "spec/3", 2000);
    assert!(pair.stores[0].collect(at(2000 + 2 * DAY), &others).is_empty(), "not there yet");
    pair.settle(1);
    let now = at(2000 + 2 * DAY);
    assert!(pair.stores[0].collect(now, &others).is_empty(), "sent, but not known to be there");
    pair.round();
    assert!(pair.stores[0].collect(at(2000 + DAY), &others).is_empty(), "too young");
    let third = [Pair::peer(1), PeerId::from_random(77)];
    assert!(pair.stores[0].collect(now, &third).is_empty(), "another one may lack it");
    assert_eq!(pair.stores[0].collect(now, &others), [key("spec/3")]);
    assert_eq!(pair.stores[0].get(&key("spec/3")), None);
    // The other one has not collected yet: it hears of that as of any deletion.
    pair.settle(1);
    assert_eq!(pair.gone[1], [key("spec/3")]);
    assert_eq!(pair.stores.each_ref().map(SharedStore::len), [9, 9]);
}

#[test]
fn tombstone_goes_after_a_week_whoever_lacks_it() {
    let mut store = filled(3);
    delete(&mut store, "spec/1", 2000);
    let peers = [Pair::peer(1)];
    assert!(store.collect(at(2000 + 7 * DAY), &peers).is_empty());
    assert_eq!(store.collect(at(2001 + 7 * DAY), &peers), [key("spec/1")]);
    check(&store);
}

#[test]
fn record_written_anew_is_no_tombstone_any_more() {
    let mut store = filled(3);
    delete(&mut store, "spec/1", 2000);
    store.merge(key("spec/1"), record(3000, 1, Some("again")));
    assert!(store.collect(at(30 * DAY), &[]).is_empty());
    check(&store);
}

/// Both halves of R19, whoever compares first: the one that was away revives nothing, and loses
/// nothing that it alone has.
#[test]
fn member_away_past_the_age_of_tombstones_revives_and_loses_nothing() {
    for (first, second) in [(0, 1), (1, 0)] {
        let mut pair = in_step();
        let [here, away] = &mut pair.stores;
        delete(here, "spec/3", 2000);
        delete(here, "spec/4", 2000);
        here.merge(key("here"), record(3000, 1, Some("accepted here")));
        away.merge(key("away"), record(3000, 2, Some("accepted there")));
        away.merge(key("spec/4"), record(3000, 2, Some("started anew there")));
        away.merge(key("spec/5"), record(3000, 2, Some("changed there")));
        assert_eq!(here.collect(at(8 * DAY), &[Pair::peer(1)]), [key("spec/3"), key("spec/4")]);
        assert!(away.collect(at(8 * DAY), &[Pair::peer(0)]).is_empty());
        for side in [first, second] {
            pair.begin(side);
            while pair.step() {}
        }
        assert!(pair.is_equal());
        for store in &pair.stores {
            assert_eq!(store.get(&key("spec/3")), None);
            for (text, by) in [("here", 1), ("away", 2), ("spec/4", 2), ("spec/5", 2)] {
                let author = store.get(&key(text)).unwrap().stamp.version.author;
                assert_eq!(author.bits(), u128::MAX / 3 + by, "{text}");
            }
        }
        assert_eq!(pair.gone, [vec![], vec![key("spec/3")]]);
    }
}

/// The listing was made before its sender had the record; since then both were found equal.
#[test]
fn late_listing_deletes_nothing_that_came_after_it() {
    let mut pair = in_step();
    pair.stores[0].merge(key("new"), record(2000, 1, Some("v")));
    pair.begin(0);
    while !matches!(pair.way.front(), Some((0, SyncMessage::Leaves { .. }))) {
        assert!(pair.step());
    }
    let (_, late) = pair.way.pop_front().unwrap();
    pair.stores[1].merge(key("new"), record(2000, 1, Some("v")));
    pair.round();
    assert!(pair.finished[0] && pair.is_equal());
    pair.deliver(0, late);
    assert!(pair.gone[0].is_empty() && pair.stores[0].get(&key("new")).is_some());
    while pair.step() {}
    assert!(pair.is_equal());
}

/// A tombstone that was sent, or that arrived while another answer was on its way, is not known to
/// be there.
#[test]
fn late_same_tells_nothing_of_what_came_after_its_question() {
    let mut pair = Pair::of(filled(10), filled(10));
    pair.begin(0);
    pair.step();
    delete(&mut pair.stores[0], "spec/3", 2000);
    pair.step();
    assert!(pair.finished[0]);
    assert!(pair.stores[0].collect(at(2 * DAY), &[Pair::peer(1)]).is_empty());
}

#[test]
fn forgotten_peer_keeps_no_tombstone() {
    let mut pair = in_step();
    pair.stores[0].forget(Pair::peer(1));
    delete(&mut pair.stores[0], "spec/3", 2000);
    assert_eq!(pair.stores[0].collect(at(2 * DAY), &[]), [key("spec/3")]);
}
