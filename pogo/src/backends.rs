//! Backends by URL, as far as they are built in.

use pogo_core::runtime::{Backend, BackendError, BackendUrl, Backends};

/// Every backend that this build knows.
#[derive(Debug)]
pub struct AllBackends;

impl Backends for AllBackends {
    fn open(url: &str) -> Result<Backend, BackendError> {
        let url = BackendUrl::parse(url)?;
        let known = String::new();
        Err(BackendError::UnknownScheme { scheme: url.scheme().to_owned(), known })
    }
}
