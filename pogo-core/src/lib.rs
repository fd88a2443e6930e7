//! The core of Pogo: vocabulary, placement, the sans-IO node, and the tokio supervisor.

pub mod id;
pub mod membership;
pub mod memory;
pub mod mutant;
pub mod node;
pub mod placement;
pub mod random;
pub mod record;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod spec;
pub mod time;
