//! What comparing finds, and what that costs.

use super::*;

/// A pair that differs in `count` of 100,000 records, a third each way and a third in stamps.
fn pair_with_differences(count: usize) -> Pair {
    let mut pair = Pair::of(filled(100_000), filled(100_000));
    for n in 0..count {
        let at = n * (100_000 / count);
        match n % 3 {
            0 => pair.stores[0].merge(key(format!("new/a/{n}")), record(2000, 1, Some("a"))),
            1 => pair.stores[1].merge(key(format!("new/b/{n}")), record(2000, 2, Some("b"))),
            _ => pair.stores[n % 2].merge(key(format!("spec/{at}")), record(2000, 3, Some("c"))),
        };
    }
    pair
}

#[test]
fn differences_among_100_000_records_are_found_at_their_price() {
    for (count, bytes, rounds) in [(1, 800, 1), (100, 40_000, 1), (10_000, 1_050_000, 2)] {
        let mut pair = pair_with_differences(count);
        pair.begin(0);
        for _ in 0..5 {
            pair.step();
        }
        assert!(matches!(pair.way.front(), Some((0, SyncMessage::Leaves { .. }))));
        assert_eq!(pair.messages, 6);
        println!("{count} differences: {} B to find them in 6 messages", pair.walked);
        assert!(pair.walked < bytes, "{} B", pair.walked);
        while pair.step() {}
        println!("  {} B of records, {} messages in all", pair.moved, pair.messages);
        assert_eq!(pair.is_equal(), rounds == 1);
        assert_eq!(pair.finished[0], rounds == 1, "who began knows that nothing is left");
        pair.settle(rounds);
    }
}

#[test]
fn replicas_in_step_say_few_bytes() {
    let mut pair = Pair::of(filled(1000), filled(1000));
    pair.round();
    assert_eq!((pair.messages, pair.finished), (2, [true, true]));
    println!("in step: {} B", pair.walked);
    assert!(pair.walked <= 24, "{} B", pair.walked);
}
