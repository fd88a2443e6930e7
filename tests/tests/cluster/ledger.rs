//! What the children themselves say of their runs, on the one clock of this process.
//!
//! A listing is a member's opinion; the ledger is what happened. A run stands in it from the moment
//! its code begins until its future is dropped, whatever ended it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use pogo::{ChildContext, ChildId, FencingToken, MemberName, StopReason};
use tokio::sync::mpsc;

/// One run of a child.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) id: ChildId,
    pub(crate) member: MemberName,
    pub(crate) args: u32,
    pub(crate) token: Option<FencingToken>,
    pub(crate) began: Instant,
    pub(crate) ended: Option<Instant>,
    /// Why it was told to stop, where it was.
    pub(crate) told: Option<StopReason>,
    orders: mpsc::UnboundedSender<Order>,
}

/// Failures print many of them: as little as tells what happened, with times that can be compared.
impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static ZERO: OnceLock<Instant> = OnceLock::new();
        let zero = *ZERO.get_or_init(|| self.began);
        let at = |time: Instant| {
            let (sign, apart) = match time.checked_duration_since(zero) {
                Some(after) => ("+", after),
                None => ("-", zero.duration_since(time)),
            };
            format!("{sign}{apart:?}")
        };
        let Self { id, member, args, token, began, ended, told, orders: _ } = self;
        let ended = ended.map(at);
        write!(
            f,
            "{id}({args}) on {member}, token {token:?}, {} to {ended:?}, {told:?}",
            at(*began)
        )
    }
}

/// What a test tells a run to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Return `Ok`.
    Finish,
    /// Return an error.
    Fail,
    /// Panic.
    Panic,
}

/// Every run of one cluster, in the order of their begin; a cheap clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<Run>>>);

/// An open entry; dropping it ends the run.
#[derive(Debug)]
pub(crate) struct Span {
    ledger: Ledger,
    at: usize,
    orders: mpsc::UnboundedReceiver<Order>,
}

impl Ledger {
    /// Begins an entry.
    pub(crate) fn open<S>(&self, cx: &ChildContext<S>, args: u32) -> Span {
        let (sender, orders) = mpsc::unbounded_channel();
        let mut runs = self.lock();
        let at = runs.len();
        runs.push(Run {
            id: cx.id().clone(),
            member: cx.member().clone(),
            args,
            token: cx.token(),
            began: Instant::now(),
            ended: None,
            told: None,
            orders: sender,
        });
        drop(runs);
        Span { ledger: self.clone(), at, orders }
    }

    /// Every run so far.
    pub(crate) fn all(&self) -> Vec<Run> {
        self.lock().clone()
    }

    /// The runs of one child.
    pub(crate) fn of(&self, id: &ChildId) -> Vec<Run> {
        self.lock().iter().filter(|run| run.id == *id).cloned().collect()
    }

    /// The one run of a child that is alive, with nothing else of it alive.
    pub(crate) fn only(&self, id: &ChildId) -> Result<Run, Vec<Run>> {
        let runs = self.of(id);
        let mut live = runs.iter().filter(|run| run.ended.is_none());
        match (live.next().cloned(), live.next()) {
            (Some(run), None) => Ok(run),
            _ => Err(runs),
        }
    }

    /// Who runs what, each id as often as it runs.
    pub(crate) fn live(&self) -> Vec<(ChildId, MemberName)> {
        let live = self.lock();
        let live = live.iter().filter(|run| run.ended.is_none());
        let mut live: Vec<_> = live.map(|run| (run.id.clone(), run.member.clone())).collect();
        live.sort();
        live
    }

    /// The run that answers at an address, as a client of the child would find it.
    pub(crate) fn call(&self, address: &str) -> Option<Run> {
        let at: usize = address.strip_prefix("ledger://")?.parse().ok()?;
        self.lock().get(at).filter(|run| run.ended.is_none()).cloned()
    }

    /// Gives every live run of a child an order.
    pub(crate) fn order(&self, id: &ChildId, order: Order) {
        for run in self.of(id).iter().filter(|run| run.ended.is_none()) {
            run.orders.send(order).expect("a live run takes orders");
        }
    }

    /// The runs of each child, in the order of their begin.
    pub(crate) fn by_child(&self) -> BTreeMap<ChildId, Vec<Run>> {
        let mut children = BTreeMap::<_, Vec<_>>::new();
        for run in self.all() {
            children.entry(run.id.clone()).or_default().push(run);
        }
        children
    }

    /// Fails where two runs of one child were alive at once.
    pub(crate) fn assert_no_overlap(&self) {
        self.assert_no_overlap_where(|_| true);
    }

    /// Like [`assert_no_overlap`](Self::assert_no_overlap), for some of the children.
    pub(crate) fn assert_no_overlap_where(&self, is_meant: impl Fn(&ChildId) -> bool) {
        for (id, runs) in self.by_child().into_iter().filter(|(id, _)| is_meant(id)) {
            for pair in runs.windows(2) {
                let apart = pair[0].ended.is_some_and(|ended| ended <= pair[1].began);
                assert!(apart, "two runs of {id} at once: {pair:#?}");
            }
        }
    }

    /// The longest time that a child was without a run between two runs that began after `since`.
    pub(crate) fn longest_gap(&self, since: Instant) -> Duration {
        let pairs = self.by_child().into_values().flat_map(|runs| {
            let gaps = runs.windows(2).filter(|pair| pair[1].began > since);
            let gaps = gaps.filter_map(|pair| Some(pair[1].began.duration_since(pair[0].ended?)));
            gaps.collect::<Vec<_>>()
        });
        pairs.max().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Run>> {
        // Children panic on purpose, though never while they hold this.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Span {
    /// Where the run answers.
    pub(crate) fn address(&self) -> String {
        format!("ledger://{}", self.at)
    }

    /// Notes that the run was told to stop.
    pub(crate) fn told(&self, reason: StopReason) {
        if let Some(run) = self.ledger.lock().get_mut(self.at) {
            run.told = Some(reason);
        }
    }

    /// The next order.
    pub(crate) async fn order(&mut self) -> Order {
        self.orders.recv().await.expect("the ledger keeps the sender")
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(run) = self.ledger.lock().get_mut(self.at) {
            run.ended = Some(Instant::now());
        }
    }
}
