//! `/v1/events`: what happens, as server-sent events.
//!
//! The first is a snapshot. A reader that is too slow is told so and gets another snapshot, which
//! replaces what it has folded (R27).

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Sse,
        sse::{Event as Sent, KeepAlive},
    },
};
use futures_util::StreamExt;
use pogo::{Event, EventItem, Snapshot};
use serde::Serialize;

use super::{Api, error::ApiError};

/// Keeps proxies from closing a quiet stream, and finds out that a reader has gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Told<'a> {
    Snapshot(&'a Snapshot),
    Lagged {
        missed: u64,
    },
    #[serde(untagged)]
    Event(&'a Event),
}

pub(super) async fn stream(State(api): State<Api>) -> Result<impl IntoResponse, ApiError> {
    // It ends with the supervisor, after the last that there is to tell.
    let events = api.supervisor()?.events().into_stream();
    let sent = events.map(|item| Ok::<_, Infallible>(to_sent(&item)));
    Ok(Sse::new(sent).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn to_sent(item: &EventItem) -> Sent {
    let told = match item {
        EventItem::Snapshot(snapshot) => Told::Snapshot(snapshot),
        EventItem::Lagged { missed } => Told::Lagged { missed: *missed },
        EventItem::Event(event) => Told::Event(event),
        _ => return Sent::default().comment("an event of another version"),
    };
    Sent::default().json_data(told).unwrap_or_else(|error| {
        tracing::error!(%error, "an event has no JSON form");
        Sent::default().comment("an event without a JSON form")
    })
}
