//! The end of a process in which a strict run acts past its deadline, where that was chosen (R16).
//!
//! A run that blocks its thread cannot be ended by anything smaller.

use std::{sync::Arc, thread, time::Duration};

use super::{fence::Fence, run::Run};
use crate::time::Timestamp;

/// How long a run may take to be gone that is past its deadline when it is aborted.
pub(super) const KILL: Duration = Duration::from_millis(100);

/// Ends this process if `run` is past its deadline, and says when else that would be; `None` for
/// one that is not strict, or is over.
pub(super) fn enforce(run: &Run) -> Option<Timestamp> {
    let fence = run.fence.as_ref().filter(|_| !run.is_over())?;
    if fence.is_past() {
        let child = &run.start.child;
        tracing::error!(%child, "a strict child blocks its thread past its deadline: this process ends");
        std::process::abort();
    }
    Some(fence.deadline())
}

/// Watches runs whose driver is gone until they are over: on a thread of its own, since the process
/// may go on for long.
pub(super) fn outlive_driver(runs: Vec<Arc<Run>>) {
    let watch = thread::Builder::new().name("pogo-deadline".to_owned());
    if let Err(error) = watch.spawn(move || watch_until_over(runs)) {
        // What was chosen is that nothing acts past its deadline, come what may.
        tracing::error!(%error, "no thread to watch a strict child's deadline: this process ends");
        std::process::abort();
    }
}

fn watch_until_over(mut runs: Vec<Arc<Run>>) {
    let least_left = |runs: &[Arc<Run>]| {
        runs.iter().filter_map(|it| it.fence.as_ref()).map(Fence::valid_for).min()
    };
    let mut left = least_left(&runs).map(|left| left.max(KILL));
    while let Some(wait) = left {
        thread::park_timeout(wait);
        runs.retain(|run| enforce(run).is_some());
        left = least_left(&runs);
    }
}
