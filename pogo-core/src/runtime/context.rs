//! What a running child is handed: who it is, and its line to the supervisor.

use std::{any::TypeId, fmt, future::Future, marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{fence::Fence, run::Run};
use crate::{
    id::{ChildId, FencingToken, MemberName},
    node::StopReason,
    spec::limits,
};

/// State that was handed over cannot be read as this kind's state (R9).
///
/// The state is kept for the next attempt until one is ready, so a fixed release can still read it.
#[derive(Debug, thiserror::Error)]
#[error("inherited state of {len} bytes does not fit this kind")]
pub struct StateError {
    len: usize,
    source: serde_json::Error,
}

/// State that cannot be handed over. Nothing was changed: what was handed over before stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// It is above the limit of R26.
    #[error("state has {len} bytes as JSON, at most {max} are allowed")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// It has no JSON form.
    #[error("state cannot be written as JSON")]
    NotJson(#[from] serde_json::Error),
}

/// A run's view of itself and its line to the supervisor; a cheap clone.
///
/// `S` is the state that the kind hands over; a `()` state is never handed over.
pub struct ChildContext<S = ()> {
    run: Arc<Run>,
    state: PhantomData<fn(S) -> S>,
}

impl<S> ChildContext<S> {
    pub(super) const fn new(run: Arc<Run>) -> Self {
        Self { run, state: PhantomData }
    }

    /// The child's id.
    pub fn id(&self) -> &ChildId {
        &self.run.start.child
    }

    /// The member that runs it.
    pub fn member(&self) -> &MemberName {
        &self.run.member
    }

    /// 1 for the first start of this spec on this member, then counting up.
    pub fn attempt(&self) -> u32 {
        self.run.start.attempt
    }

    /// Tells the cluster that the child runs; what it inherited is dropped (R9, R10).
    pub fn ready(&self) {
        self.run.ready(None);
    }

    /// Like [`ready`](Self::ready), and tells where the child can be reached. A later call changes
    /// the address; one of more than 2 KiB is left out, which an event tells.
    pub fn ready_at(&self, url: impl Into<String>) {
        self.run.ready(Some(url.into()));
    }

    /// Resolves when the child is told to stop, with the reason; at once where it has been told.
    ///
    /// # Cancel safety
    /// May be dropped and called again any number of times.
    pub async fn stopping(&self) -> StopReason {
        self.run.until(|control| control.stop.clone()).await
    }

    /// Makes the coming end of this run final for the whole cluster, however it ends and whatever
    /// the restart setting says (R4).
    pub fn finished(&self) {
        self.run.control().finished = true;
    }

    /// The fencing token of a strict child: what it writes to must refuse lower ones.
    pub fn token(&self) -> Option<FencingToken> {
        self.run.start.token
    }

    /// How long a strict child may go on without another renewal of its member's lease; `None` for
    /// others. It is dropped, and not polled, once that is zero (R16): what takes longer than this
    /// between two awaits is for the token to guard.
    pub fn valid_for(&self) -> Option<Duration> {
        self.run.fence.as_ref().map(Fence::valid_for)
    }

    /// Ties a task to this run: it is aborted when the run ends, and the run counts as ended only
    /// when the task is gone (R24). After the end of the run nothing is started.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.run.spawn(task);
    }
}

impl<S: Serialize + DeserializeOwned + 'static> ChildContext<S> {
    /// The state that a former instance handed over; every attempt sees it until the first that is
    /// ready.
    ///
    /// # Errors
    /// [`StateError`] where it is not an `S`. Nothing is changed.
    pub fn inherited(&self) -> Result<Option<S>, StateError> {
        self.run.start.inherited.as_ref().map(decode).transpose()
    }

    /// The state of another instance that this one outlived, as they come (R7, R8).
    ///
    /// # Errors
    /// [`StateError`] where it is not an `S`; that state is gone.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn absorbed(&self) -> Result<S, StateError> {
        let state = self.run.until(|control| control.absorbed.pop_front()).await;
        decode(&state)
    }

    /// Leaves state for the next instance; the last call before the end counts.
    ///
    /// # Errors
    /// [`HandOverError`]; what was handed over before stands. It is no failure of the child where
    /// a stop was asked for (R9).
    pub fn hand_over(&self, state: &S) -> Result<(), HandOverError> {
        if TypeId::of::<S>() == TypeId::of::<()>() {
            return Ok(());
        }
        let state = serde_json::to_vec(state)?;
        if state.len() > limits::STATE_BYTES {
            return Err(HandOverError::TooLarge { len: state.len(), max: limits::STATE_BYTES });
        }
        self.run.control().state = Some(state.into());
        Ok(())
    }
}

fn decode<S: DeserializeOwned>(state: &Bytes) -> Result<S, StateError> {
    serde_json::from_slice(state).map_err(|source| StateError { len: state.len(), source })
}

impl<S> Clone for ChildContext<S> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.run))
    }
}

impl<S> fmt::Debug for ChildContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildContext")
            .field("id", self.id())
            .field("member", self.member())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
