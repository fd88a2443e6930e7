//! `idle`: does nothing until it is stopped; for trying things out and for measuring.

use pogo::{Child, ChildContext, Exit};
use serde_json::Value;

/// The kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Idle;

impl Child for Idle {
    const KIND: &'static str = "idle";
    /// Whatever somebody wants to write there.
    type Args = Value;
    type State = ();

    async fn run(&self, _: Value, cx: ChildContext) -> Exit {
        cx.ready();
        cx.stopping().await;
        Ok(())
    }
}
