//! Waiting for a condition, never for a time.

use std::{fmt::Debug, time::Duration};

use tokio::time::{Instant, interval};

/// Between two looks.
const TICK: Duration = Duration::from_millis(20);

/// Looks until there is an answer; fails with what was seen last.
pub(crate) async fn eventually<T, S: Debug, F: Future<Output = Result<T, S>>>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + within;
    let mut ticks = interval(TICK);
    loop {
        ticks.tick().await;
        match look().await {
            Ok(found) => return found,
            Err(state) => assert!(
                Instant::now() < deadline,
                "not within {within:?}: {what}; last: {state:#?}"
            ),
        }
    }
}

/// Looks for as long as `lasts`; fails as soon as a look does.
pub(crate) async fn throughout<S: Debug>(
    what: &str,
    lasts: Duration,
    mut look: impl FnMut() -> Result<(), S>,
) {
    let end = Instant::now() + lasts;
    let mut ticks = interval(TICK);
    while Instant::now() < end {
        ticks.tick().await;
        if let Err(state) = look() {
            panic!("it does not hold that {what}: {state:#?}");
        }
    }
}
