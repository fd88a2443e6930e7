//! Work per change does not grow with the number of children, and an idle cluster does next to none.
//!
//! What nodes take and give is counted; their processor time has a wide margin for caches and for the logarithm of
//! the trees. The figures themselves are in `cargo bench -p pogo-tests --bench scale`.

use std::time::Duration;

use pogo_core::node::Request;
use pogo_tests::cluster::{Cluster, Work, child, spec};

const FEW: usize = 1_000;
const MANY: usize = 16_000;
/// Changes of one sort; the middle one counts.
const SAMPLES: usize = 51;
/// How much dearer a change may be among 16 times as many children: far less than 16.
const MARGIN: u32 = 3;

fn cluster_of(children: usize) -> Cluster {
    let mut cluster = Cluster::new(3).unwrap();
    for from in (0..children).step_by(1_000) {
        cluster.start((from..from + 1_000).map(|n| spec(n).unwrap()).collect());
    }
    assert_eq!(cluster.runs(), children);
    // The deadlines of the start are over by then.
    cluster.advance(Duration::from_secs(120));
    cluster
}

fn middle(mut work: Vec<Work>) -> Work {
    work.sort_unstable_by_key(|it| it.busy);
    work[work.len() / 2]
}

fn assert_no_growth(change: &str, few: Work, many: Work) {
    assert_eq!((few.inputs, few.outputs), (many.inputs, many.outputs), "{change}");
    assert!(many.busy <= few.busy * MARGIN, "{change}: {few:?} among {FEW}, {many:?} among {MANY}");
}

fn start_of_one(cluster: &mut Cluster, children: usize) -> Work {
    let start = |n| cluster.measure(|it| drop(it.start(vec![spec(n).unwrap()])));
    let work = (children..children + SAMPLES).map(start).collect();
    assert_eq!(cluster.runs(), children + SAMPLES);
    middle(work)
}

fn terminate_of_one(cluster: &mut Cluster, children: usize) -> Work {
    let terminate = |n| cluster.measure(|it| drop(it.ask(Request::Terminate(child(n).unwrap()))));
    let work = (children..children + SAMPLES).map(terminate).collect();
    assert_eq!(cluster.runs(), children);
    middle(work)
}

fn failure_of_one(cluster: &mut Cluster, children: usize) -> Work {
    let fail = |n| cluster.measure(|it| it.fail(&child(n * (children / SAMPLES)).unwrap()));
    let work = (0..SAMPLES).map(fail).collect();
    assert_eq!(cluster.runs(), children);
    middle(work)
}

/// What the end of the last member costs, per child that moved.
fn end_of_last(cluster: &mut Cluster, children: usize, end: fn(&mut Cluster)) -> Duration {
    let moved = u32::try_from(cluster.runs_of_last()).unwrap();
    let work = cluster.measure(end);
    assert_eq!(cluster.runs(), children);
    work.busy / moved
}

#[test]
fn a_change_costs_the_same_among_many_children_as_among_few() {
    let (mut few, mut many) = (cluster_of(FEW), cluster_of(MANY));
    for (change, measure) in [
        ("start", start_of_one as fn(&mut Cluster, usize) -> Work),
        ("terminate", terminate_of_one),
        ("failure and restart", failure_of_one),
    ] {
        assert_no_growth(change, measure(&mut few, FEW), measure(&mut many, MANY));
    }
    for (change, end) in
        [("crash", Cluster::crash_last as fn(&mut Cluster)), ("shutdown", Cluster::shut_down_last)]
    {
        let (few, many) = (end_of_last(&mut few, FEW, end), end_of_last(&mut many, MANY, end));
        assert!(many <= few * MARGIN, "{change}: {few:?} among {FEW}, {many:?} among {MANY}");
    }
}

#[test]
fn an_idle_cluster_wakes_for_its_slow_pass_alone_and_says_nothing() {
    let mut cluster = cluster_of(FEW);
    let work = cluster.measure(|it| it.advance(Duration::from_secs(60)));
    assert_eq!((work.inputs, work.outputs), (3 * 60 / 5, 0));
}
