//! Waiting for a condition, never for a time.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use tokio::time::interval;

/// How long anything may take on a busy machine; a test that works needs a small part of it.
pub(crate) const WITHIN: Duration = Duration::from_secs(20);

/// Looks until there is an answer; fails with what was seen last.
pub(crate) async fn eventually<T, S: Debug>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let deadline = Instant::now() + WITHIN;
    let mut tick = interval(Duration::from_millis(5));
    loop {
        tick.tick().await;
        match look().await {
            Ok(found) => return found,
            Err(state) => {
                assert!(
                    Instant::now() < deadline,
                    "not within {WITHIN:?}: {what}; last: {state:#?}"
                );
            }
        }
    }
}
