//! Starting many children in one request.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::supervisor::{Batch, Inner};
use crate::{
    node::{Reply, Request, RequestError, StartChildError, StartMode, Started},
    spec::ChildSpec,
};

/// Children in one request to the node where they need not stand together.
const PART: usize = 1_000;

type Outcome = Result<Started, StartChildError>;

/// Refuses here what needs no cluster, and asks the node for the rest; one outcome per spec.
pub(super) async fn start(inner: &Inner, specs: Vec<ChildSpec>, batch: Batch) -> Vec<Outcome> {
    let mut seen = BTreeSet::new();
    let mut checks = Vec::with_capacity(specs.len());
    for spec in &specs {
        checks.push(if seen.insert(&spec.id) {
            inner.kinds.check(spec)
        } else {
            Err(StartChildError::Duplicate { id: spec.id.clone() })
        });
    }
    let all_or_nothing = batch == Batch::AllOrNothing;
    if all_or_nothing && let Some(reason) = first_refusal(&checks) {
        return refuse_together(checks, &reason);
    }
    let accepted = specs.into_iter().zip(&checks).filter(|(_, check)| check.is_ok());
    let specs: Vec<_> = accepted.map(|(spec, _)| spec).collect();
    let outcomes = if all_or_nothing {
        ask(inner, specs, true).await
    } else {
        ask_in_parts(inner, specs).await
    };
    let mut outcomes = outcomes.into_iter();
    let outcome = |check: Result<(), StartChildError>| {
        check.and_then(|()| outcomes.next().unwrap_or_else(stopping))
    };
    checks.into_iter().map(outcome).collect()
}

/// Asks for each part by itself, all at once: a part has its own time to be answered, and the driver
/// does other work between two.
async fn ask_in_parts(inner: &Inner, specs: Vec<ChildSpec>) -> Vec<Outcome> {
    let mut specs = specs.into_iter().peekable();
    let mut parts = Vec::new();
    while specs.peek().is_some() {
        parts.push(ask(inner, specs.by_ref().take(PART).collect(), false));
    }
    join_all(parts).await.into_iter().flatten().collect()
}

async fn ask(inner: &Inner, specs: Vec<ChildSpec>, all_or_nothing: bool) -> Vec<Outcome> {
    let asked = specs.len();
    if asked == 0 {
        return Vec::new();
    }
    let mode = StartMode::Start;
    match inner.request(Request::Start { specs, mode, all_or_nothing }).await {
        Ok(Reply::Started(outcomes)) => outcomes,
        // The only other answer is that of a supervisor that stops.
        Ok(_) | Err(_) => std::iter::repeat_with(stopping).take(asked).collect(),
    }
}

fn first_refusal(checks: &[Result<(), StartChildError>]) -> Option<String> {
    checks.iter().find_map(|check| check.as_ref().err()).map(ToString::to_string)
}

fn refuse_together(checks: Vec<Result<(), StartChildError>>, reason: &str) -> Vec<Outcome> {
    let refused = || StartChildError::RefusedTogether { reason: reason.to_owned() };
    checks.into_iter().map(|check| Err(check.err().unwrap_or_else(refused))).collect()
}

fn stopping() -> Outcome {
    Err(RequestError::Stopping.into())
}
