//! Who plays in a demo: members that can be started, asked and killed.

use std::time::Duration;

use pogo::ChildSpec;

use super::{DemoError, event::Seat};

/// The members of a demo, in this process or in their own.
pub(crate) trait Cast {
    /// Starts several members and waits until each takes part.
    async fn start_all(&mut self, names: &[String]) -> Result<(), DemoError>;

    /// Starts a member and waits until it takes part; returns how long that took.
    async fn start(&mut self, name: &str) -> Result<Duration, DemoError>;

    /// Where a member is to be found, where that is a process of its own.
    fn seat(&self, name: &str) -> Option<Seat>;

    /// Asks for children through any member; all of them or none.
    async fn start_children(&mut self, specs: Vec<ChildSpec>) -> Result<(), DemoError>;

    /// Kills a member and returns the moment right before, on the ledger's clock. After that the
    /// ledger shows none of its runs.
    async fn kill(&mut self, name: &str) -> Result<Duration, DemoError>;

    /// Ends every member.
    async fn shutdown(&mut self);
}
