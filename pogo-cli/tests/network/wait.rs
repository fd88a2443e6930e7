//! Waiting for a condition, never for a time.

use std::{
    fmt::Debug,
    thread,
    time::{Duration, Instant},
};

/// Between two looks.
const TICK: Duration = Duration::from_millis(10);

/// Looks until there is an answer; fails with what was seen last.
pub(crate) fn eventually<T, S: Debug>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Result<T, S>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        match look() {
            Ok(found) => return found,
            Err(state) => {
                assert!(
                    Instant::now() < deadline,
                    "not within {within:?}: {what}; last: {state:#?}"
                );
            }
        }
        thread::park_timeout(TICK);
    }
}

/// Looks for as long as `lasts`; fails as soon as a look does.
pub(crate) fn throughout<S: Debug>(
    what: &str,
    lasts: Duration,
    mut look: impl FnMut() -> Result<(), S>,
) {
    let end = Instant::now() + lasts;
    while Instant::now() < end {
        if let Err(state) = look() {
            panic!("it does not hold that {what}: {state:#?}");
        }
        thread::park_timeout(TICK);
    }
}
