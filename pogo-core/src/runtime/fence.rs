//! What keeps a strict run from acting once others may hold its claim (R16).
//!
//! Every poll of a strict child, and of the tasks tied to it, goes through here. Past the deadline
//! the future is dropped and not polled: also where the process stood still meanwhile and nothing
//! had told the child to stop. The deadline is that of the session in which the run began; a later
//! session's lease is not its own.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    membership::Presence,
    node::lease_margin,
    time::{Clock, Timestamp},
};

/// Until when a strict run may be polled.
#[derive(Clone)]
pub(super) struct Fence {
    /// The session's; without one nothing may be polled.
    presence: Option<Arc<dyn Presence>>,
    clock: Arc<dyn Clock>,
    margin: Duration,
    /// The lease's end as it was last told: one that has ended has none.
    last: Arc<AtomicU64>,
}

impl Fence {
    pub(super) fn new(
        presence: Option<Arc<dyn Presence>>,
        clock: Arc<dyn Clock>,
        ttl: Duration,
    ) -> Self {
        let last = Arc::default();
        let fence = Self { presence, clock, margin: lease_margin(ttl), last };
        // Read once, so that it is known also where the session ends before the first poll.
        fence.deadline();
        fence
    }

    /// The time from which nothing is polled any more; each renewal puts it off.
    pub(super) fn deadline(&self) -> Timestamp {
        let lease = self.presence.as_ref().and_then(|presence| presence.lease_deadline());
        let told = lease.map_or(0, Timestamp::as_nanos);
        let known = self.last.fetch_max(told, Ordering::AcqRel).max(told);
        Timestamp::from_nanos(known).earlier_by(self.margin)
    }

    /// How long the run may go on without another renewal.
    pub(super) fn valid_for(&self) -> Duration {
        self.deadline().since(self.clock.now().mono)
    }

    pub(super) fn is_past(&self) -> bool {
        self.valid_for().is_zero()
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}

/// A future behind a fence; `None` once that is past.
#[derive(Debug)]
pub(super) struct Fenced<F> {
    fence: Option<Fence>,
    future: F,
}

impl<F> Fenced<F> {
    pub(super) const fn new(fence: Option<Fence>, future: F) -> Self {
        Self { fence, future }
    }
}

impl<F: Future + Unpin> Future for Fenced<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.fence.as_ref().is_some_and(Fence::is_past) {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.future).poll(cx).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicU32, task::Waker};

    use super::*;
    use crate::runtime::tests::hands::Hands;

    fn seconds(seconds: u64) -> u64 {
        seconds * 1_000_000_000
    }

    #[test]
    fn child_is_not_polled_past_the_deadline_of_its_session() {
        let hands = Arc::<Hands>::default();
        hands.lease.store(seconds(10), Ordering::SeqCst);
        let (presence, clock) = (Arc::<Hands>::clone(&hands), Arc::<Hands>::clone(&hands));
        let fence = Fence::new(Some(presence), clock, Duration::from_secs(10));
        assert_eq!(fence.valid_for(), Duration::from_secs(9));
        let polls = AtomicU32::new(0);
        let child = std::future::poll_fn(|_context| {
            polls.fetch_add(1, Ordering::SeqCst);
            Poll::<()>::Pending
        });
        let mut child = Fenced::new(Some(fence), child);
        let mut poll = || Pin::new(&mut child).poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending());
        hands.now.store(seconds(9) - 1, Ordering::SeqCst);
        assert!(poll().is_pending());
        hands.now.store(seconds(9), Ordering::SeqCst);
        assert_eq!(poll(), Poll::Ready(None));
        assert_eq!(polls.load(Ordering::SeqCst), 2);
        // A renewal puts it off.
        hands.lease.store(seconds(12), Ordering::SeqCst);
        assert!(poll().is_pending());
    }

    #[test]
    fn child_of_a_session_that_ended_has_until_its_last_deadline_to_stop() {
        let hands = Arc::<Hands>::default();
        hands.lease.store(seconds(10), Ordering::SeqCst);
        let (presence, clock) = (Arc::<Hands>::clone(&hands), Arc::<Hands>::clone(&hands));
        let fence = Fence::new(Some(presence), clock, Duration::from_secs(10));
        hands.lease.store(0, Ordering::SeqCst);
        hands.now.store(seconds(4), Ordering::SeqCst);
        assert_eq!(fence.valid_for(), Duration::from_secs(5));
        hands.now.store(seconds(9), Ordering::SeqCst);
        assert!(fence.is_past());
    }

    #[test]
    fn strict_child_without_a_session_is_never_polled() {
        let fence = Fence::new(None, Arc::<Hands>::default(), Duration::from_secs(10));
        let mut child = Fenced::new(Some(fence), std::future::ready(()));
        let polled = Pin::new(&mut child).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(None));
    }
}
