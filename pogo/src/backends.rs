//! Backends by URL, as far as they are built in.

use pogo_core::runtime::{Backend, BackendError, Backends, MemoryOnly};

/// Every backend that this build has: `memory://CLUSTER?name=NAME`, all members in one process.
#[derive(Debug)]
pub struct AllBackends;

impl Backends for AllBackends {
    fn open(url: &str) -> Result<Backend, BackendError> {
        MemoryOnly::open(url)
    }
}
