//! Reading a member's stream of events.

use pogo::{Event, EventItem, Events, Supervisor};
use tokio::time::timeout;

use super::WITHIN;

/// A stream that tells of everything from now on.
pub(crate) async fn listen(member: &Supervisor) -> Events {
    let mut events = member.events();
    let first = timeout(WITHIN, events.next()).await.expect("a snapshot in time");
    assert!(matches!(first, Some(EventItem::Snapshot(_))), "{first:?}");
    events
}

/// The next event of interest.
pub(crate) async fn next<T>(events: &mut Events, mut look: impl FnMut(Event) -> Option<T>) -> T {
    let found = timeout(WITHIN, async {
        loop {
            match events.next().await {
                Some(EventItem::Event(event)) => {
                    if let Some(found) = look(event) {
                        return found;
                    }
                }
                other => panic!("no event but {other:?}"),
            }
        }
    });
    found.await.expect("the event in time")
}
