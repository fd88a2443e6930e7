//! The session's stream of events.
//!
//! `Synced` says that what the snapshot did not name is gone. A write that was acknowledged after the
//! snapshot was read is not in it; so `Synced` waits until the watch has told it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_core::Stream;
use pogo_core::membership::Event;
use tokio::sync::{Notify, mpsc};

use crate::session::{Parts, Shared};

/// With so much unread, the feed is not followed until some of it was read. What a member lags
/// behind is then kept by the server.
const MOST_UNREAD: usize = 4_096;

/// What the feed tells the stream.
#[derive(Debug)]
pub(crate) enum Told {
    Event(Event),
    /// All up to this revision has been told.
    UpTo(i64),
}

/// The feed's end.
#[derive(Debug)]
pub(crate) struct Sender {
    sender: mpsc::UnboundedSender<Told>,
    unread: Arc<Unread>,
}

#[derive(Debug, Default)]
struct Unread {
    count: AtomicUsize,
    has_room: Notify,
}

impl Sender {
    /// Never waits, so that nothing is half told where its task is stopped.
    pub(crate) fn send(&self, told: Told) {
        self.unread.count.fetch_add(1, Ordering::AcqRel);
        if self.sender.send(told).is_err() {
            tracing::debug!("nobody reads the feed any more");
        }
    }

    /// Waits until not too much is unread.
    pub(crate) async fn has_room(&self) {
        while self.unread.count.load(Ordering::Acquire) > MOST_UNREAD {
            self.unread.has_room.notified().await;
        }
    }
}

/// The session's end, before there is a session.
#[derive(Debug)]
pub(crate) struct Receiver {
    receiver: mpsc::UnboundedReceiver<Told>,
    unread: Arc<Unread>,
}

pub(crate) fn channel() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let unread = Arc::<Unread>::default();
    (Sender { sender, unread: Arc::clone(&unread) }, Receiver { receiver, unread })
}

/// What the feed tells, with `Synced` in its place.
#[derive(Debug)]
pub(crate) struct Events {
    receiver: Receiver,
    shared: Arc<Shared>,
    /// The last revision that was told.
    told: i64,
    is_syncing: bool,
    _parts: Arc<Parts>,
}

impl Events {
    pub(crate) const fn new(receiver: Receiver, shared: Arc<Shared>, parts: Arc<Parts>) -> Self {
        Self { receiver, shared, told: 0, is_syncing: false, _parts: parts }
    }

    fn poll_told(&mut self, context: &mut Context<'_>) -> Poll<Option<Told>> {
        let told = self.receiver.receiver.poll_recv(context);
        if matches!(told, Poll::Ready(Some(_))) {
            let unread = &self.receiver.unread;
            if unread.count.fetch_sub(1, Ordering::AcqRel) == MOST_UNREAD + 1 {
                unread.has_room.notify_one();
            }
        }
        told
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if self.is_syncing && self.told >= self.shared.written() {
                self.is_syncing = false;
                return Poll::Ready(Some(Event::Synced));
            }
            match self.poll_told(cx) {
                Poll::Ready(Some(Told::Event(Event::Synced))) => self.is_syncing = true,
                Poll::Ready(Some(Told::Event(Event::Reset { rolled_back }))) => {
                    self.is_syncing = false;
                    return Poll::Ready(Some(Event::Reset { rolled_back }));
                }
                Poll::Ready(Some(Told::Event(event))) => return Poll::Ready(Some(event)),
                Poll::Ready(Some(Told::UpTo(revision))) => self.told = self.told.max(revision),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
