//! What placement costs: the owner of one child among N members, and a pass over a million children when one joins.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput};

use pogo_core::{
    id::{IdError, MemberName},
    placement::{Candidate, ChildKey, owner, precedes, score},
};

const JOIN_CHILDREN: u64 = 1_000_000;

fn names(count: usize) -> Result<Vec<MemberName>, IdError> {
    (0..count).map(|i| MemberName::new(format!("node-{i}"))).collect()
}

fn children(count: u64) -> Vec<ChildKey> {
    (0..count).map(|i| ChildKey::new(&format!("worker:{i}"))).collect()
}

/// Weights 1, 2, 3, 4, 1, 2 ... or 1 for all.
fn candidates(names: &[MemberName], classes: u16) -> Vec<Candidate<'_>> {
    names
        .iter()
        .zip((1..=classes).cycle())
        .map(|(name, weight)| Candidate::new(name, weight))
        .collect()
}

/// One iteration is one child: the time shown is per key.
fn owner_of_one_child(criterion: &mut Criterion) -> Result<(), IdError> {
    let mut group = criterion.benchmark_group("owner");
    let keys = children(10_000);
    for (label, classes) in [("equal", 1), ("weighted", 4)] {
        for members in [3, 10, 100] {
            let names = names(members)?;
            let all = candidates(&names, classes);
            let mut keys = keys.iter().copied().cycle();
            group.bench_function(BenchmarkId::new(label, members), |bencher| {
                bencher.iter(|| keys.next().map(|key| owner(key, black_box(&all))));
            });
        }
    }
    group.finish();
    Ok(())
}

/// One iteration is the whole pass: which of the children does the newcomer take?
fn join_of_one_member(criterion: &mut Criterion) -> Result<(), IdError> {
    let mut group = criterion.benchmark_group("join");
    group.sample_size(20).throughput(Throughput::Elements(JOIN_CHILDREN));
    let (keys, names) = (children(JOIN_CHILDREN), names(11)?);
    for (label, classes) in [("equal", 1), ("weighted", 4)] {
        let all = candidates(&names, classes);
        let Some((newcomer, others)) = all.split_last() else { continue };
        let owned: Vec<_> =
            keys.iter().filter_map(|key| owner(*key, others).map(|owner| (*key, owner))).collect();
        group.bench_function(label, |bencher| {
            bencher.iter(|| {
                let newcomer = black_box(newcomer);
                owned.iter().filter(|(key, owner)| precedes(*key, newcomer, owner)).count()
            });
        });
    }

    // With the owner's score kept beside each key, as placement allows where all weights are equal.
    let all = candidates(&names, 1);
    let Some((newcomer, others)) = all.split_last() else { return Ok(()) };
    let kept: Vec<_> = keys
        .iter()
        .filter_map(|key| owner(*key, others).map(|owner| (*key, score(*key, owner.key()))))
        .collect();
    group.bench_function("equal, scores kept", |bencher| {
        bencher.iter(|| {
            let newcomer = black_box(newcomer.key());
            kept.iter().filter(|(key, best)| score(*key, newcomer) > *best).count()
        });
    });
    group.finish();
    Ok(())
}

fn main() -> Result<(), IdError> {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    owner_of_one_child(&mut criterion)?;
    join_of_one_member(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
