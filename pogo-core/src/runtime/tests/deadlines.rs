//! Strict runs that do not end by their deadline (R16).

use std::{
    sync::{Arc, Mutex, atomic::Ordering, mpsc},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    hands::Hands,
    runs::{Bench, RUN, WITHIN, at},
};
use crate::{
    node::{ExitReason, Input},
    runtime::{fence::Fence, run::Notice},
    spec::Shutdown,
    time::Timestamp,
};

/// Its margin is a second.
const TTL: Duration = Duration::from_secs(10);

/// A fence that is past 9 s after the start, and what moves it.
fn fence() -> (Arc<Hands>, Fence) {
    let hands = Arc::<Hands>::default();
    renew(&hands, at(0));
    let (presence, clock) = (Arc::<Hands>::clone(&hands), Arc::<Hands>::clone(&hands));
    (hands, Fence::new(Some(presence), clock, TTL))
}

fn renew(hands: &Hands, sent: Timestamp) {
    hands.lease.store((sent + TTL).as_nanos(), Ordering::SeqCst);
}

/// What a run blocks on, and what lets it go.
fn hold() -> (mpsc::Sender<()>, Arc<Mutex<mpsc::Receiver<()>>>) {
    let (let_go, held) = mpsc::channel();
    (let_go, Arc::new(Mutex::new(held)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stuck_run_is_watched_until_the_deadline_that_renewals_put_off() {
    let (let_go, held) = hold();
    let mut bench = Bench::new(move |_, cx| {
        let held = Arc::clone(&held);
        async move {
            cx.ready();
            held.lock().unwrap().recv()?;
            std::future::pending().await
        }
    });
    bench.runs = bench.runs.abort_past_deadline(true);
    let (hands, fence) = fence();
    bench.start_strict(fence);
    assert!(matches!(bench.told().await, Input::ChildReady { .. }));
    bench.stop(Shutdown::Immediate);
    let stuck = bench.runs.ring(at(1_000));
    assert!(matches!(stuck.as_slice(), [Input::ChildStuck { run: RUN, .. }]), "{stuck:?}");
    assert_eq!(bench.runs.next_alarm(), Some(at(9_000)));

    bench.stop(Shutdown::Grace(Duration::from_secs(1)));
    assert_eq!(bench.runs.next_alarm(), Some(at(9_000)), "it was aborted already");

    renew(&hands, at(5_000));
    hands.now.store(at(9_000).as_nanos(), Ordering::SeqCst);
    assert!(bench.runs.ring(at(9_000)).is_empty(), "it is told once");
    assert_eq!(bench.runs.next_alarm(), Some(at(14_000)));

    let_go.send(()).unwrap();
    assert_eq!(bench.end().await.reason, ExitReason::Aborted);
    assert!(bench.says_no_more());
}

/// It waited for its grace, or for ever, though another could run by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_run_that_stops_is_aborted_by_its_deadline_whatever_its_grace() {
    for shutdown in [Shutdown::Grace(Duration::from_secs(30)), Shutdown::Unbounded] {
        let mut bench = Bench::new(|_, cx| async move {
            cx.ready();
            std::future::pending().await
        });
        let (hands, fence) = fence();
        bench.start_strict(fence);
        assert!(matches!(bench.told().await, Input::ChildReady { .. }));
        bench.stop(shutdown);
        assert_eq!(bench.runs.next_alarm(), Some(at(8_900)));
        renew(&hands, at(5_000));
        assert!(bench.runs.ring(at(8_900)).is_empty());
        assert_eq!(bench.runs.next_alarm(), Some(at(13_900)), "a renewal puts it off");
        assert!(bench.runs.ring(at(13_900)).is_empty());
        assert_eq!(bench.end().await.reason, ExitReason::Aborted);
    }
}

/// The driver was held up, and ended the process over a run that was gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_whose_end_is_on_its_way_is_neither_stuck_nor_past_its_deadline() {
    let mut bench = Bench::new(|_, _| std::future::pending());
    bench.runs = bench.runs.abort_past_deadline(true);
    let (hands, fence) = fence();
    bench.start_strict(fence);
    bench.stop(Shutdown::Immediate);
    let exited = loop {
        let notice = timeout(WITHIN, bench.notices.recv()).await.expect("no notice").unwrap();
        if matches!(notice, Notice::Exited(..)) {
            break notice;
        }
    };
    hands.now.store(at(20_000).as_nanos(), Ordering::SeqCst);
    assert!(bench.runs.ring(at(20_000)).is_empty());
    let told = bench.runs.notice(at(20_000), exited);
    assert!(matches!(told, Some(Input::ChildExited { .. })), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tied_task_that_blocks_a_strict_run_is_noticed_by_its_deadline() {
    let (let_go, held) = hold();
    let mut bench = Bench::new(move |_, cx| {
        let held = Arc::clone(&held);
        async move {
            let (began, seen) = tokio::sync::oneshot::channel();
            cx.spawn(async move {
                // Woken from here the child would wait behind this very task.
                std::thread::spawn(move || began.send(()));
                held.lock().unwrap().recv().unwrap();
            });
            Ok(seen.await?)
        }
    });
    let (_hands, fence) = fence();
    bench.start_strict(fence);
    while bench.runs.next_alarm().is_none() {
        let notice = timeout(WITHIN, bench.notices.recv()).await.expect("no notice").unwrap();
        bench.runs.notice(at(8_500), notice);
    }
    assert_eq!(bench.runs.next_alarm(), Some(at(9_000)));
    let stuck = bench.runs.ring(at(9_000));
    assert!(matches!(stuck.as_slice(), [Input::ChildStuck { run: RUN, .. }]), "{stuck:?}");
    let_go.send(()).unwrap();
    assert_eq!(bench.end().await.reason, ExitReason::Normal);
}
