//! The kinds that a member offers, with their types erased.

use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, poll_fn},
    marker::PhantomData,
    pin::pin,
    sync::Arc,
};

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use super::{
    child::{Child, Exit},
    context::ChildContext,
    run::Run,
};
use crate::{
    id::Kind,
    node::StartChildError,
    spec::{Args, ChildSpec},
};

/// The code of a kind.
pub(super) trait Runnable: Send + Sync {
    /// Whether the arguments decode; else why not.
    fn check(&self, args: &Args) -> Result<(), String>;

    /// The future of one run; the outer error says why it cannot be started.
    fn start(&self, run: Arc<Run>) -> BoxFuture<'static, Result<Exit, String>>;
}

/// The kinds of one supervisor.
#[derive(Clone, Default)]
pub(super) struct Kinds(BTreeMap<Kind, Arc<dyn Runnable>>);

impl Kinds {
    /// Adds a kind; false where it is there already.
    pub(super) fn add(&mut self, kind: Kind, code: Arc<dyn Runnable>) -> bool {
        self.0.insert(kind, code).is_none()
    }

    pub(super) fn code(&self, kind: &Kind) -> Option<Arc<dyn Runnable>> {
        self.0.get(kind).cloned()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Kind> {
        self.0.keys()
    }

    /// Checks what can be known of a spec without the cluster (R26).
    pub(super) fn check(&self, spec: &ChildSpec) -> Result<(), StartChildError> {
        spec.validate()?;
        let code = self.0.get(&spec.kind);
        code.map_or(Ok(()), |code| code.check(&spec.args))
            .map_err(|reason| StartChildError::Args { kind: spec.kind.clone(), reason })
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A kind written as a type.
pub(super) struct Typed<C>(Arc<C>);

impl<C: Child> Typed<C> {
    pub(super) fn erase(child: C) -> Arc<dyn Runnable> {
        Arc::new(Self(Arc::new(child)))
    }
}

impl<C: Child> Runnable for Typed<C> {
    fn check(&self, args: &Args) -> Result<(), String> {
        decode::<C::Args>(args).map(drop)
    }

    fn start(&self, run: Arc<Run>) -> BoxFuture<'static, Result<Exit, String>> {
        let child = Arc::clone(&self.0);
        Box::pin(async move {
            let args = decode::<C::Args>(&run.start.spec.args)?;
            Ok(child.run(args, ChildContext::new(run)).await)
        })
    }
}

/// A kind written as a closure.
pub(super) struct Closure<F, A, S> {
    code: Arc<F>,
    types: PhantomData<fn(A, S)>,
}

impl<F, A, S, Fut> Closure<F, A, S>
where
    F: Fn(A, ChildContext<S>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Exit> + Send + 'static,
    A: DeserializeOwned + Send + 'static,
    S: 'static,
{
    pub(super) fn erase(code: F) -> Arc<dyn Runnable> {
        Arc::new(Self { code: Arc::new(code), types: PhantomData })
    }
}

impl<F, A, S, Fut> Runnable for Closure<F, A, S>
where
    F: Fn(A, ChildContext<S>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Exit> + Send + 'static,
    A: DeserializeOwned + Send + 'static,
    S: 'static,
{
    fn check(&self, args: &Args) -> Result<(), String> {
        decode::<A>(args).map(drop)
    }

    fn start(&self, run: Arc<Run>) -> BoxFuture<'static, Result<Exit, String>> {
        let code = Arc::clone(&self.code);
        Box::pin(async move {
            let args = decode::<A>(&run.start.spec.args)?;
            let mut future = pin!(code(args, ChildContext::new(Arc::clone(&run))));
            let mut polled = false;
            let end = poll_fn(|task| {
                let poll = future.as_mut().poll(task);
                // Ready at its first poll (R10), unless that was its end.
                if poll.is_pending() && !std::mem::replace(&mut polled, true) {
                    run.ready(None);
                }
                poll
            });
            Ok(end.await)
        })
    }
}

fn decode<A: DeserializeOwned>(args: &Args) -> Result<A, String> {
    args.decode().map_err(|error| error.to_string())
}
