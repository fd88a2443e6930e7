//! One run of a child on the caller's runtime (R24).
//!
//! The task of a run ends in exactly one [`Notice::Exited`], whatever the child does: it returns,
//! fails, panics, is aborted, or the runtime goes away under it. Before that notice the child's
//! future is dropped and the tasks tied to it are gone.

use std::{
    any::Any,
    collections::VecDeque,
    error::Error,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc::UnboundedSender},
    task::JoinSet,
};

use super::{
    fence::{Fence, Fenced},
    kind::Runnable,
};
use crate::{
    id::{MemberName, RunId},
    node::{ExitReason, RunEnd, StartChild, StopReason},
};

/// The longest text kept of an error or panic, in bytes: it travels in reports.
const REASON_BYTES: usize = 256;

/// What a run tells the driver.
#[derive(Debug)]
pub(super) enum Notice {
    /// It called `ready`.
    Ready(RunId, Option<String>),
    /// Its future has ended, and its tied tasks are being aborted.
    Ending(RunId),
    /// Nothing of it is left.
    Exited(RunId, RunEnd),
}

/// What the driver and a run share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) start: StartChild,
    pub(super) member: MemberName,
    /// Of a strict run.
    pub(super) fence: Option<Fence>,
    runtime: Handle,
    notices: UnboundedSender<Notice>,
    control: Mutex<Control>,
    changed: Notify,
}

/// The part of a run that changes.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) stop: Option<StopReason>,
    pub(super) abort: bool,
    pub(super) absorbed: VecDeque<Bytes>,
    pub(super) state: Option<Bytes>,
    pub(super) finished: bool,
    stage: Stage,
    tasks: Option<JoinSet<()>>,
    /// Nothing of it is left.
    is_over: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Starting,
    Ready,
    /// The child's future has ended.
    Ended,
}

impl Run {
    pub(super) fn new(
        start: StartChild,
        member: MemberName,
        fence: Option<Fence>,
        runtime: Handle,
        notices: UnboundedSender<Notice>,
    ) -> Arc<Self> {
        Arc::new(Self {
            start,
            member,
            fence,
            runtime,
            notices,
            control: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Whether nothing of it is left.
    pub(super) fn is_over(&self) -> bool {
        self.control().is_over
    }

    /// Starts the run on the caller's runtime.
    pub(super) fn launch(self: &Arc<Self>, kind: Option<Arc<dyn Runnable>>) {
        // Made here: a runtime that is gone drops the task unpolled, and the notice goes out.
        let exit = ExitNotice { run: Arc::clone(self), reason: ExitReason::Aborted };
        self.runtime.spawn(async move {
            let mut exit = exit;
            let run = Arc::clone(&exit.run);
            exit.reason = run.run_to_end(kind).await;
            run.end_tasks().await;
        });
    }

    /// Changes what the run is told, and wakes it.
    pub(super) fn tell(&self, change: impl FnOnce(&mut Control)) {
        change(&mut self.control());
        self.changed.notify_waiters();
    }

    pub(super) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds what it looks for.
    pub(super) async fn until<T>(&self, look: impl Fn(&mut Control) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before looking: a change in between is not missed.
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.control()) {
                return found;
            }
            changed.await;
        }
    }

    pub(super) fn ready(&self, endpoint: Option<String>) {
        let first = {
            let mut control = self.control();
            let first = control.stage == Stage::Starting;
            if first {
                control.stage = Stage::Ready;
            }
            first
        };
        if first || endpoint.is_some() {
            self.notify(Notice::Ready(self.start.run, endpoint));
        }
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut control = self.control();
        if control.stage == Stage::Ended {
            return;
        }
        let tasks = control.tasks.get_or_insert_with(JoinSet::new);
        while tasks.try_join_next().is_some() {}
        let fence = self.fence.clone();
        let task = async move {
            Fenced::new(fence, pin!(task)).await;
        };
        tasks.spawn_on(task, &self.runtime);
    }

    async fn run_to_end(self: &Arc<Self>, kind: Option<Arc<dyn Runnable>>) -> ExitReason {
        let Some(kind) = kind else {
            return ExitReason::Unstartable(format!("kind {} is unknown", self.start.spec.kind));
        };
        let mut future = kind.start(Arc::clone(self));
        let child = AssertUnwindSafe(future.as_mut()).catch_unwind();
        let ended = tokio::select! {
            biased;
            () = self.until(|control| control.abort.then_some(())) => None,
            end = Fenced::new(self.fence.clone(), child) => end,
        };
        let dropped = catch_unwind(AssertUnwindSafe(move || drop(future)));
        match (ended, dropped) {
            (Some(Err(panic)), _) | (_, Err(panic)) => ExitReason::Panicked(panic_text(&*panic)),
            (None, Ok(())) => ExitReason::Aborted,
            (Some(Ok(Err(why))), Ok(())) => ExitReason::Unstartable(shorten(why)),
            (Some(Ok(Ok(Err(error)))), Ok(())) => ExitReason::Failed(error_text(&*error)),
            (Some(Ok(Ok(Ok(())))), Ok(())) => ExitReason::Normal,
        }
    }

    async fn end_tasks(&self) {
        let tasks = {
            let mut control = self.control();
            control.stage = Stage::Ended;
            control.tasks.take()
        };
        if let Some(mut tasks) = tasks {
            self.notify(Notice::Ending(self.start.run));
            tasks.shutdown().await;
        }
    }

    fn notify(&self, notice: Notice) {
        // Without a driver nobody listens, and the run was told to abort.
        drop(self.notices.send(notice));
    }
}

/// Sends the last notice of a run when its task ends, in whatever way.
struct ExitNotice {
    run: Arc<Run>,
    reason: ExitReason,
}

impl Drop for ExitNotice {
    fn drop(&mut self) {
        let (finished, state) = {
            let mut control = self.run.control();
            control.stage = Stage::Ended;
            control.is_over = true;
            (control.finished, control.state.take())
        };
        let reason = self.reason.clone();
        self.run.notify(Notice::Exited(self.run.start.run, RunEnd { reason, finished, state }));
    }
}

/// The error and its sources, outermost first.
fn error_text(error: &(dyn Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    shorten(text)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    shorten(text.unwrap_or_else(|| "a value that is no text".to_owned()))
}

fn shorten(mut text: String) -> String {
    let end = (0..=REASON_BYTES).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or(0));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = shorten(format!("a{}", "ü".repeat(200)));
        assert_eq!(text.len(), REASON_BYTES - 1);
        assert_eq!(shorten("short".to_owned()), "short");
    }

    #[test]
    fn error_text_names_the_sources() {
        #[derive(Debug, thiserror::Error)]
        #[error("probe went wrong")]
        struct Outer(#[from] std::fmt::Error);
        let text = error_text(&Outer(std::fmt::Error));
        assert_eq!(text, format!("probe went wrong: {}", std::fmt::Error));
    }
}
