//! What observers see: the stream of events and the latest value of one child (R27).
//!
//! The stream begins with a snapshot taken between two inputs of the node, and a reader that lags
//! is told so and gets a new one: folding it always gives what `inspect` shows (law L8).

use std::{collections::BTreeMap, sync::Arc};

use futures_core::Stream;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::driver::Command;
use crate::{
    id::ChildId,
    membership::Health,
    node::{ChildInfo, Event, Inspect, Listing, MemberView},
};

/// Events kept for a reader that is behind.
const KEPT: usize = 4096;

/// One item of the stream of events.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventItem {
    /// All as it is: the first item, and again after each `Lagged`. It replaces what was folded.
    Snapshot(Snapshot),
    /// What happened since.
    Event(Event),
    /// The reader was too slow and missed events; a snapshot follows.
    Lagged {
        /// How many it missed.
        missed: u64,
    },
}

/// The cluster as one member sees it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The members, by name.
    pub members: Vec<MemberView>,
    /// The children of the whole cluster, by id.
    pub children: Vec<ChildInfo>,
    /// The backend's health.
    pub health: Health,
}

/// A snapshot and what follows it.
#[derive(Debug)]
pub(super) struct Subscription {
    snapshot: Snapshot,
    events: broadcast::Receiver<Arc<Event>>,
}

/// The stream of events of a supervisor; it does not keep the supervisor alive.
#[derive(Debug)]
pub struct Events {
    commands: mpsc::WeakUnboundedSender<Command>,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle,
    Asked(oneshot::Receiver<Subscription>),
    Live(broadcast::Receiver<Arc<Event>>),
}

impl Events {
    pub(super) const fn new(commands: mpsc::WeakUnboundedSender<Command>) -> Self {
        Self { commands, state: State::Idle }
    }

    /// The next item; `None` when the supervisor has stopped.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<EventItem> {
        loop {
            match &mut self.state {
                State::Idle => {
                    let (reply, asked) = oneshot::channel();
                    self.commands.upgrade()?.send(Command::Subscribe(reply)).ok()?;
                    self.state = State::Asked(asked);
                }
                State::Asked(asked) => {
                    let Subscription { snapshot, events } = asked.await.ok()?;
                    self.state = State::Live(events);
                    return Some(EventItem::Snapshot(snapshot));
                }
                State::Live(events) => match events.recv().await {
                    Ok(event) => return Some(EventItem::Event(Arc::unwrap_or_clone(event))),
                    Err(broadcast::error::RecvError::Closed) => return None,
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        self.state = State::Idle;
                        return Some(EventItem::Lagged { missed });
                    }
                },
            }
        }
    }

    /// The same as a `Stream`.
    pub fn into_stream(self) -> impl Stream<Item = EventItem> + Send + 'static {
        stream::unfold(self, |mut events| async move {
            let item = events.next().await?;
            Some((item, events))
        })
    }
}

/// The latest value of one child, the current one first; it does not keep the supervisor alive.
#[derive(Debug)]
pub struct ChildWatch {
    values: watch::Receiver<Option<ChildInfo>>,
}

impl ChildWatch {
    pub(super) fn new(mut values: watch::Receiver<Option<ChildInfo>>) -> Self {
        values.mark_changed();
        Self { values }
    }

    /// Waits for a value that was not seen yet and puts it in place of [`latest`](Self::latest);
    /// false when the supervisor has stopped. Values in between may be passed over.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn changed(&mut self) -> bool {
        self.values.changed().await.is_ok()
    }

    /// The child as it is; `None` where it is not listed.
    pub fn latest(&self) -> Option<ChildInfo> {
        self.values.borrow().clone()
    }

    /// The same as a `Stream`, which ends when the supervisor has stopped.
    pub fn into_stream(self) -> impl Stream<Item = Option<ChildInfo>> + Send + 'static {
        stream::unfold(self, |mut watch| async move {
            watch.changed().await.then(|| {
                let value = watch.values.borrow_and_update().clone();
                (value, watch)
            })
        })
    }
}

/// The driver's side: whom to tell.
#[derive(Debug)]
pub(super) struct Observers {
    events: broadcast::Sender<Arc<Event>>,
    watches: BTreeMap<ChildId, watch::Sender<Option<ChildInfo>>>,
    /// Number of watches at which those that nobody reads are dropped.
    sweep_at: usize,
}

impl Observers {
    pub(super) fn new() -> Self {
        Self { events: broadcast::Sender::new(KEPT), watches: BTreeMap::new(), sweep_at: 64 }
    }

    pub(super) fn publish(&self, event: Event) {
        if let Event::Child(child) = &event {
            self.set(&child.id, Some(child));
        } else if let Event::ChildGone { id } = &event {
            self.set(id, None);
        }
        if self.events.receiver_count() > 0 {
            drop(self.events.send(Arc::new(event)));
        }
    }

    pub(super) fn subscribe(&self, node: Inspect<'_>) -> Subscription {
        let snapshot = Snapshot {
            members: node.members(),
            children: node.children(Listing::Global),
            health: node.health().clone(),
        };
        Subscription { snapshot, events: self.events.subscribe() }
    }

    pub(super) fn watch(
        &mut self,
        id: ChildId,
        node: Inspect<'_>,
    ) -> watch::Receiver<Option<ChildInfo>> {
        if self.watches.len() >= self.sweep_at {
            self.watches.retain(|_, values| !values.is_closed());
            self.sweep_at = 64 + 2 * self.watches.len();
        }
        let current = node.child(&id);
        self.watches.entry(id).or_insert_with(|| watch::Sender::new(current)).subscribe()
    }

    fn set(&self, id: &ChildId, value: Option<&ChildInfo>) {
        if let Some(values) = self.watches.get(id) {
            values.send_if_modified(|known| {
                let changed = known.as_ref() != value;
                if changed {
                    *known = value.cloned();
                }
                changed
            });
        }
    }
}
