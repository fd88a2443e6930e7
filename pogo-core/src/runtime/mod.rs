//! The tokio supervisor around the sans-IO node.
//!
//! Each supervisor has a driver, on a thread and runtime of its own, which owns the node, the
//! session and every timer; children run on the runtime that `start` was called on (R24). So a
//! child that blocks, or ten thousand that start at once, cannot make the member look dead.
//!
//! ```text
//!   handles --commands--> driver <--notices-- runs (the caller's runtime)
//!   readers <--events----   |    ---stop, abort, absorb--> runs
//!                        session (the backend)
//! ```
//!
//! Everything that decides is in [`crate::node`]; here it is only executed.

mod backend;
mod batch;
mod builder;
mod child;
mod child_runner;
mod clock;
mod context;
mod deadline;
mod driver;
mod error;
mod events;
mod fence;
mod kind;
mod launch;
mod listing;
mod run;
mod runs;
mod session;
mod supervisor;
#[cfg(test)]
mod tests;
mod url;

pub use self::{
    backend::{Backend, BackendError, Backends, MemoryOnly, Naming},
    builder::Builder,
    child::{Child, ChildError, Exit},
    child_runner::{ChildKinds, ChildRunner},
    clock::SystemClock,
    context::{ChildContext, HandOverError, StateError},
    error::{StartError, Stopped, WaitError},
    events::{ChildWatch, EventItem, Events, Snapshot},
    supervisor::{Batch, DrainOutcome, Supervisor},
    url::{BackendUrl, percent_decode},
};
