use super::*;
use crate::memory::Crash;

#[test]
fn write_reaches_the_others_and_does_not_come_back() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.events(a);
    let x = record(1, 1, Some("x"));
    assert_eq!(bench.put(a, "spec/x", x.clone()), PutOutcome::Applied);
    assert_eq!(shared(&bench.events(b)), [(key("spec/x"), x.clone())]);
    assert_eq!(bench.events(a), []);
    assert_eq!(bench.read(b, "spec/x"), Some(x));
    assert_eq!(bench.read(b, "spec/y"), None);
}

#[test]
fn older_write_is_stale_and_names_what_is_there() {
    let mut bench = Bench::new();
    let a = bench.enter("a", 1);
    let newer = record(2, 1, Some("new"));
    bench.put(a, "spec/x", newer.clone());
    let outcome = bench.put(a, "spec/x", record(1, 9, Some("old")));
    assert_eq!(outcome, PutOutcome::Stale { current: Some(newer.clone()) });
    assert_eq!(bench.put(a, "spec/x", newer), PutOutcome::Applied, "repeating is safe");
    let tie = record(2, 2, Some("tie"));
    assert_eq!(bench.put(a, "spec/x", tie), PutOutcome::Applied, "the writer breaks a tie");
}

#[test]
fn tombstone_counts_as_present_and_a_newer_write_overrides_it() {
    let mut bench = Bench::new();
    let a = bench.enter("a", 1);
    bench.put(a, "spec/x", record(1, 1, None));
    let outcome = bench.put_if(a, "spec/x", record(2, 1, Some("x")), Expect::Absent);
    assert_eq!(outcome, PutOutcome::Stale { current: Some(record(1, 1, None)) });
    assert_eq!(bench.put(a, "spec/x", record(2, 1, Some("x"))), PutOutcome::Applied);
}

#[test]
fn race_of_two_compare_and_sets_has_one_winner() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    let first = record(1, 1, Some("first"));
    let absent = |bench: &mut Bench, s, r: &Record| bench.put_if(s, "x", r.clone(), Expect::Absent);
    assert_eq!(absent(&mut bench, a, &first), PutOutcome::Applied);
    let late = absent(&mut bench, b, &record(2, 2, Some("late")));
    assert_eq!(late, PutOutcome::Stale { current: Some(first.clone()) });
    assert_eq!(absent(&mut bench, a, &first), PutOutcome::Applied, "repeating is safe");

    let on_first = Expect::Exactly(first.stamp);
    let second = record(3, 2, Some("second"));
    assert_eq!(bench.put_if(b, "x", second.clone(), on_first), PutOutcome::Applied);
    let late = bench.put_if(a, "x", record(4, 1, Some("late")), on_first);
    assert_eq!(late, PutOutcome::Stale { current: Some(second) });
}

#[test]
fn without_compare_and_set_the_newer_write_wins() {
    let mut bench = Bench::with(HubConfig { compare_and_set: false, ..HubConfig::default() });
    let a = bench.enter("a", 1);
    bench.put(a, "x", record(1, 1, Some("first")));
    let second = bench.put_if(a, "x", record(2, 1, Some("second")), Expect::Absent);
    assert_eq!(second, PutOutcome::Applied);
}

#[test]
fn batch_has_one_outcome_per_record_in_order() {
    let mut bench = Bench::new();
    let a = bench.enter("a", 1);
    let put =
        |hlc, at| Put { key: key(at), record: record(hlc, 1, Some("")), expect: Expect::Newer };
    let batch = vec![put(2, "x"), put(1, "x"), put(1, "")];
    let Answer::Put(outcomes) = bench.ask(a, &MembershipRequest::Put(batch)) else { panic!() };
    assert_eq!(outcomes[0], PutOutcome::Applied);
    assert!(matches!(outcomes[1], PutOutcome::Stale { .. }));
    assert_eq!(outcomes[2], PutOutcome::Applied);
}

#[test]
fn oversize_value_changes_nothing() {
    let mut bench = Bench::with(HubConfig { max_value_bytes: 4, ..HubConfig::default() });
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    let put =
        |at, value| Put { key: key(at), record: record(1, 1, Some(value)), expect: Expect::Newer };
    let batch = vec![put("x", "fits"), put("y", "does not")];
    for request in [
        MembershipRequest::Put(batch),
        MembershipRequest::Publish(vec![set("x", "fits"), set("y", "does not")]),
    ] {
        let answer = bench.ask(a, &request);
        let Answer::Failed(error) = answer else { panic!("{answer:?}") };
        assert!(matches!(error, MembershipError::TooLarge { len: 8, max: 4 }), "{error}");
    }
    assert_eq!(bench.read(a, "x"), None);
    assert_eq!(bench.events(b), []);
}

#[test]
fn acknowledged_write_survives_its_writer() {
    let mut bench = Bench::with_delay(1, 50);
    let (a, b) = (bench.join("a", 1), bench.join("b", 2));
    bench.settle();
    bench.events(b);
    bench.put(a, "x", record(1, 1, Some("x")));
    bench.hub.crash(bench.now, a, Crash::Noticed);
    bench.settle();
    assert_eq!(shared(&bench.events(b)).len(), 1);
    bench.hub.crash(bench.now, b, Crash::Noticed);
    let c = bench.join("c", 3);
    assert!(bench.read(c, "x").is_some());
}

#[test]
fn batches_of_one_author_arrive_in_order_and_whole_and_of_two_interleave() {
    let mut orders = BTreeSet::new();
    for seed in 0..20 {
        let mut bench = Bench::with_delay(seed, 50);
        let (a, b, c) = (bench.join("a", 1), bench.join("b", 2), bench.join("c", 3));
        bench.settle();
        bench.events(c);
        for n in 0..5 {
            for author in [a, b] {
                bench.publish(author, vec![set("n", &n.to_string()), set("view", "v")]);
            }
        }
        bench.settle();
        let got = batches(&bench.events(c));
        for author in ["a", "b"] {
            let mine: Vec<_> = got.iter().filter(|(from, _)| from == author).collect();
            let sent = |n: u32| vec![set("n", &n.to_string()), set("view", "v")];
            assert_eq!(mine.len(), 5);
            assert!(mine.iter().zip(0..).all(|((_, batch), n)| *batch == sent(n)), "{got:?}");
        }
        orders.insert(got.into_iter().map(|(from, _)| from).collect::<Vec<_>>());
        assert_eq!(batches(&bench.events(a)).len(), 5, "one's own batches do not come back");
    }
    assert!(orders.len() > 5, "only {} orders in 20 seeds", orders.len());
}

#[test]
fn owned_records_end_with_their_member_and_can_be_read_directly() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.publish(a, vec![set("x", "1"), set("y", "1")]);
    bench.publish(a, vec![OwnedUpdate { key: key("x"), value: None }]);
    let id = bench
        .events(b)
        .into_iter()
        .find_map(|e| if let Event::Owned(id, _) = e { Some(id) } else { None })
        .unwrap();
    let read =
        |bench: &mut Bench| bench.hub.owned(bench.now.mono, b, &id, &[key("x"), key("y")]).unwrap();
    assert_eq!(read(&mut bench), [None, Some(Bytes::from_static(b"1"))]);
    bench.hub.crash(bench.now, a, Crash::Noticed);
    bench.join("a", 3);
    assert_eq!(read(&mut bench), [None, None]);
}

#[test]
fn snapshot_and_what_follows_it_fit_together_under_concurrent_writes() {
    for seed in 0..50 {
        let mut bench = Bench::with_delay(seed, 50);
        let a = bench.join("a", 1);
        bench.settle();
        for n in 0..2_500 {
            bench.put(a, &format!("spec/{n}"), record(1, 1, Some("old")));
        }
        bench.publish(a, vec![set("x", "old")]);
        let b = bench.join("b", 2);
        bench.put(a, "spec/7", record(2, 1, Some("new")));
        bench.put(a, "spec/new", record(2, 1, Some("new")));
        bench.publish(a, vec![set("x", "new"), set("y", "new")]);
        let mut replay = Replay::default();
        for _ in 0..20 {
            replay.read(&mut bench, b);
            bench.pass_millis(10);
        }
        replay.read(&mut bench, b);
        let Picture { shared, owned, .. } = replay.picture;
        assert_eq!(shared.len(), 2_501);
        assert_eq!(shared[&key("spec/7")].stamp.version.hlc, 2);
        let values: Vec<_> = owned.values().map(AsRef::as_ref).collect();
        assert_eq!(values, [b"new", b"new"]);
    }
}

#[test]
fn large_snapshot_comes_in_bounded_events() {
    let mut bench = Bench::new();
    let a = bench.enter("a", 1);
    for n in 0..2_500 {
        bench.put(a, &format!("spec/{n}"), record(1, 1, Some("")));
    }
    let b = bench.join("b", 2);
    let sizes: Vec<_> = bench
        .events(b)
        .iter()
        .filter_map(|e| if let Event::Shared(records) = e { Some(records.len()) } else { None })
        .collect();
    assert_eq!(sizes, [1_000, 1_000, 500]);
}
