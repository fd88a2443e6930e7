//! Ten thousand children on one member.

use std::time::Duration;

use pogo_core::{
    node::{Listing, Status},
    runtime::{Batch, ChildContext},
};
use tokio::time::{Instant, interval};

use crate::cluster::{alone, child, ready};

const CHILDREN: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_starting_children_leave_the_driver_responsive() {
    let builder = alone().kind_fn("idle", |(): (), cx: ChildContext| async move {
        cx.stopping().await;
        Ok(())
    });
    let supervisor = ready(builder).await;
    let begin = Instant::now();
    let starter = supervisor.clone();
    let starting = tokio::spawn(async move {
        let specs = (0..CHILDREN).map(|n| child("idle", &format!("c{n:05}"), &()));
        starter.start_children(specs, Batch::EachAlone).await
    });
    let mut reads = 0_u32;
    let mut slowest = Duration::ZERO;
    let mut again = interval(Duration::from_millis(5));
    let running = loop {
        again.tick().await;
        let asked = Instant::now();
        let running = supervisor.which_children(Listing::Local).await.unwrap();
        slowest = slowest.max(asked.elapsed());
        reads += 1;
        let count = running.iter().filter(|child| child.status == Status::Running).count();
        if count == CHILDREN {
            break running;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "{count} run after {reads} reads");
    };
    println!("{} running after {:?}", running.len(), begin.elapsed());
    println!("{reads} lists meanwhile, the slowest in {slowest:?}");
    assert!(starting.await.unwrap().iter().all(Result::is_ok));
    let asked = Instant::now();
    let all = supervisor.which_children(Listing::Global).await.unwrap();
    println!("a list of {} in {:?}", all.len(), asked.elapsed());
    let stopping = Instant::now();
    supervisor.shutdown().await;
    println!("stopped in {:?}", stopping.elapsed());
    // A tenth of a second where each end costs the same, a quarter of a minute where it costs more
    // with each child that is left.
    assert!(stopping.elapsed() < Duration::from_secs(10));
}
