use std::{
    future::{Future, pending},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tokio::{
    runtime::{Builder, Handle},
    sync::mpsc::{self, UnboundedReceiver},
    time::timeout,
};

use crate::{
    id::{ChildId, Kind, MemberName, RunId},
    node::{ExitReason, Input, RunEnd, StartChild, StopReason},
    runtime::{
        ChildContext, Exit, HandOverError,
        fence::Fence,
        kind::{Closure, Kinds},
        run::Notice,
        runs::Runs,
    },
    spec::{Args, ChildSpec, Shutdown, limits},
    time::Timestamp,
};

pub(super) const RUN: RunId = RunId::new(7);
pub(super) const WITHIN: Duration = Duration::from_secs(20);

/// A table of runs that offers one kind, whose children are numbers.
pub(super) struct Bench {
    pub(super) runs: Runs,
    pub(super) notices: UnboundedReceiver<Notice>,
}

impl Bench {
    pub(super) fn new<F, Fut>(code: F) -> Self
    where
        F: Fn(u32, ChildContext<u32>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Exit> + Send + 'static,
    {
        Self::on(Handle::current(), code)
    }

    fn on<F, Fut>(runtime: Handle, code: F) -> Self
    where
        F: Fn(u32, ChildContext<u32>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Exit> + Send + 'static,
    {
        let mut kinds = Kinds::default();
        assert!(kinds.add(Kind::new("k").unwrap(), Closure::erase(code)));
        let (sender, notices) = mpsc::unbounded_channel();
        Self { runs: Runs::new(kinds, runtime, sender), notices }
    }

    fn start(&mut self) {
        self.start_as("k", &json!(1), None);
    }

    fn start_as(&mut self, kind: &str, args: &serde_json::Value, inherited: Option<Bytes>) {
        self.start_behind(None, kind, args, inherited);
    }

    /// Starts a strict child.
    pub(super) fn start_strict(&mut self, fence: Fence) {
        self.start_behind(Some(fence), "k", &json!(1), None);
    }

    fn start_behind(
        &mut self,
        fence: Option<Fence>,
        kind: &str,
        args: &serde_json::Value,
        inherited: Option<Bytes>,
    ) {
        let child = ChildId::new("c").unwrap();
        let kind = Kind::new(kind).unwrap();
        let spec = ChildSpec::of_kind(child.clone(), kind, Args::from_value(args));
        let start = StartChild {
            child,
            run: RUN,
            spec: Arc::new(spec),
            attempt: 1,
            inherited,
            token: None,
        };
        self.runs.start(MemberName::new("m").unwrap(), start, fence);
    }

    pub(super) fn stop(&mut self, shutdown: Shutdown) {
        self.runs.stop(at(0), RUN, StopReason::Terminated, shutdown);
    }

    /// The next thing that the node would be told.
    pub(super) async fn told(&mut self) -> Input {
        loop {
            let notice = timeout(WITHIN, self.notices.recv()).await.expect("no notice").unwrap();
            if let Some(input) = self.runs.notice(at(0), notice) {
                return input;
            }
        }
    }

    pub(super) async fn end(&mut self) -> RunEnd {
        loop {
            if let Input::ChildExited { end, .. } = self.told().await {
                return end;
            }
        }
    }

    pub(super) fn says_no_more(&mut self) -> bool {
        self.notices.try_recv().is_err() && self.runs.next_alarm().is_none()
    }
}

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(millis))
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn results_of_a_child_become_reasons() {
    let mut normal = Bench::new(|_, _| async { Ok(()) });
    normal.start();
    assert_eq!(normal.end().await.reason, ExitReason::Normal);

    let mut failed = Bench::new(|_, _| async { Err("no route".into()) });
    failed.start();
    assert_eq!(failed.end().await.reason, ExitReason::Failed("no route".to_owned()));

    let mut panicked = Bench::new(|n, _| async move { panic!("lost {n}") });
    panicked.start();
    assert_eq!(panicked.end().await.reason, ExitReason::Panicked("lost 1".to_owned()));
    assert!(panicked.says_no_more());
}

#[tokio::test]
async fn child_without_code_or_with_foreign_args_is_unstartable() {
    let mut bench = Bench::new(|_, _| async { Ok(()) });
    bench.start_as("unknown", &json!(1), None);
    assert!(matches!(bench.end().await.reason, ExitReason::Unstartable(_)));
    bench.start_as("k", &json!("text"), None);
    assert!(matches!(bench.end().await.reason, ExitReason::Unstartable(_)));
}

#[tokio::test]
async fn panic_while_a_child_is_dropped_is_caught() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let mut bench = Bench::new(|_, _| async {
        let bomb = Bomb;
        pending::<()>().await;
        drop(bomb);
        Ok(())
    });
    bench.start();
    assert!(matches!(bench.told().await, Input::ChildReady { .. }));
    bench.stop(Shutdown::Immediate);
    assert_eq!(bench.end().await.reason, ExitReason::Panicked("in drop".to_owned()));
}

#[tokio::test]
async fn closure_child_is_ready_once_and_may_tell_its_address_later() {
    let mut bench = Bench::new(|_, cx| async move {
        cx.ready();
        tokio::task::yield_now().await;
        cx.ready_at("http://here");
        cx.stopping().await;
        Ok(())
    });
    bench.start();
    let Input::ChildReady { endpoint: None, .. } = bench.told().await else { panic!("not ready") };
    let Input::ChildReady { endpoint, .. } = bench.told().await else { panic!("not ready") };
    assert_eq!(endpoint.as_deref(), Some("http://here"));
    bench.stop(Shutdown::Unbounded);
    assert_eq!(bench.end().await.reason, ExitReason::Normal);
}

#[tokio::test]
async fn told_child_sees_the_reason_and_its_state_comes_with_its_end() {
    let mut bench = Bench::new(|_, cx| async move {
        let inherited = cx.inherited()?.unwrap_or(0);
        let absorbed = cx.absorbed().await?;
        assert_eq!(cx.stopping().await, StopReason::Terminated);
        assert_eq!(cx.stopping().await, StopReason::Terminated);
        cx.finished();
        Ok(cx.hand_over(&(inherited + absorbed))?)
    });
    bench.start_as("k", &json!(1), Some(Bytes::from_static(b"40")));
    bench.runs.absorb(RUN, Bytes::from_static(b"2"));
    bench.stop(Shutdown::Grace(Duration::from_secs(5)));
    let end = bench.end().await;
    let state = Some(Bytes::from_static(b"42"));
    assert_eq!(end, RunEnd { reason: ExitReason::Normal, finished: true, state });
    assert!(bench.says_no_more());
}

#[tokio::test]
async fn state_that_does_not_fit_is_an_error_and_not_nothing() {
    let mut bench = Bench::new(|_, cx| async move { cx.inherited().map(drop).map_err(Into::into) });
    bench.start_as("k", &json!(1), Some(Bytes::from_static(b"\"text\"")));
    let ExitReason::Failed(why) = bench.end().await.reason else { panic!("not failed") };
    assert!(why.starts_with("inherited state of 6 bytes does not fit this kind"), "{why}");
}

#[tokio::test]
async fn state_above_the_limit_is_refused_and_unit_state_is_no_state() {
    let mut kinds = Kinds::default();
    let large = Closure::erase(|(): (), cx: ChildContext<String>| async move {
        let refused = cx.hand_over(&"x".repeat(limits::STATE_BYTES));
        assert!(matches!(refused, Err(HandOverError::TooLarge { .. })));
        Ok(())
    });
    let unit = Closure::erase(|(): (), cx: ChildContext| async move { Ok(cx.hand_over(&())?) });
    kinds.add(Kind::new("large").unwrap(), large);
    kinds.add(Kind::new("unit").unwrap(), unit);
    let (sender, notices) = mpsc::unbounded_channel();
    let mut bench = Bench { runs: Runs::new(kinds, Handle::current(), sender), notices };
    for kind in ["large", "unit"] {
        bench.start_as(kind, &json!(null), None);
        let end = bench.end().await;
        assert_eq!((end.reason, end.state), (ExitReason::Normal, None), "{kind}");
    }
}

#[tokio::test]
async fn child_that_ignores_its_stop_is_aborted_when_its_grace_is_over() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let mut bench = Bench::new(move |_, _| {
        let guard = SetOnDrop(Arc::clone(&flag));
        async move {
            let _guard = guard;
            pending().await
        }
    });
    bench.start();
    assert!(matches!(bench.told().await, Input::ChildReady { .. }));
    bench.stop(Shutdown::Grace(Duration::from_secs(5)));
    assert_eq!(bench.runs.next_alarm(), Some(at(5_000)));
    assert!(bench.runs.ring(at(4_999)).is_empty());
    tokio::task::yield_now().await;
    assert!(!dropped.load(Ordering::SeqCst));
    assert!(bench.runs.ring(at(5_000)).is_empty());
    assert_eq!(bench.end().await.reason, ExitReason::Aborted);
    assert!(dropped.load(Ordering::SeqCst));
    assert!(bench.says_no_more());
}

#[tokio::test]
async fn second_stop_only_tightens_the_first() {
    let mut bench = Bench::new(|_, _| pending());
    bench.start();
    bench.stop(Shutdown::Grace(Duration::from_secs(5)));
    bench.stop(Shutdown::Grace(Duration::from_secs(9)));
    assert_eq!(bench.runs.next_alarm(), Some(at(5_000)));
    bench.stop(Shutdown::Grace(Duration::from_secs(2)));
    assert_eq!(bench.runs.next_alarm(), Some(at(2_000)));
    bench.stop(Shutdown::Immediate);
    assert_eq!(bench.end().await.reason, ExitReason::Aborted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_blocks_is_stuck_a_second_after_its_abort_and_exits_once_it_lets_go() {
    let (let_go, held) = std_mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let mut bench = Bench::new(move |_, cx| {
        let held = Arc::clone(&held);
        async move {
            cx.ready();
            held.lock().unwrap().recv()?;
            pending().await
        }
    });
    bench.start();
    assert!(matches!(bench.told().await, Input::ChildReady { .. }));
    bench.stop(Shutdown::Immediate);
    assert!(bench.runs.ring(at(999)).is_empty());
    let stuck = bench.runs.ring(at(1_000));
    assert!(matches!(stuck.as_slice(), [Input::ChildStuck { run: RUN, .. }]), "{stuck:?}");
    bench.stop(Shutdown::Immediate);
    assert_eq!(bench.runs.next_alarm(), None);
    let_go.send(()).unwrap();
    assert_eq!(bench.end().await.reason, ExitReason::Aborted);
    assert!(bench.says_no_more());
}

#[tokio::test]
async fn tied_tasks_are_gone_before_the_exit_is_told() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let mut bench = Bench::new(move |_, cx| {
        let guard = SetOnDrop(Arc::clone(&flag));
        async move {
            cx.spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            });
            tokio::task::yield_now().await;
            Ok(())
        }
    });
    bench.start();
    assert_eq!(bench.end().await.reason, ExitReason::Normal);
    assert!(dropped.load(Ordering::SeqCst));
    assert!(bench.says_no_more());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tied_task_that_blocks_makes_its_run_stuck() {
    let (let_go, held) = std_mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
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
    bench.start();
    while bench.runs.next_alarm().is_none() {
        let notice = timeout(WITHIN, bench.notices.recv()).await.expect("no notice").unwrap();
        bench.runs.notice(at(0), notice);
    }
    let stuck = bench.runs.ring(at(1_000));
    assert!(matches!(stuck.as_slice(), [Input::ChildStuck { run: RUN, .. }]), "{stuck:?}");
    let_go.send(()).unwrap();
    assert_eq!(bench.end().await.reason, ExitReason::Normal);
}

#[tokio::test]
async fn children_exit_when_their_runtime_goes_away() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let mut bench = Bench::on(runtime.handle().clone(), |_, _| pending());
    bench.start();
    assert!(matches!(bench.told().await, Input::ChildReady { .. }));
    runtime.shutdown_background();
    assert_eq!(bench.end().await.reason, ExitReason::Aborted);
    bench.start();
    assert_eq!(bench.end().await.reason, ExitReason::Aborted);
}

#[tokio::test]
async fn children_are_aborted_when_their_driver_goes_away() {
    let mut bench = Bench::new(|_, _| pending());
    bench.start();
    let Bench { runs, mut notices } = bench;
    drop(runs);
    let last = timeout(WITHIN, async {
        let mut last = None;
        while let Some(notice) = notices.recv().await {
            last = Some(notice);
        }
        last
    });
    let Some(Notice::Exited(RUN, end)) = last.await.expect("still running") else {
        panic!("no exit")
    };
    assert_eq!(end.reason, ExitReason::Aborted);
}
