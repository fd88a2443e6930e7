//! Backends by URL.
//!
//! The core knows no backend but `memory://`, so what a URL means is a type parameter of the
//! handle: whoever puts a supervisor together implements [`Backends`] once, and its users change
//! the URL and nothing else.

use std::sync::Arc;

use super::url::{BackendUrl, percent_decode};
use crate::{
    id::{ClusterName, IdError, MemberName},
    membership::Membership,
    memory::MemoryBackend,
};

/// The backends that can be named by URL.
pub trait Backends: 'static {
    /// Makes the backend that `url` names.
    ///
    /// # Errors
    /// [`BackendError`]; nothing was opened.
    fn open(url: &str) -> Result<Backend, BackendError>;
}

/// A backend, and what its URL says of the member.
#[derive(Debug, Clone)]
pub struct Backend {
    /// The backend.
    pub membership: Arc<dyn Membership>,
    /// The cluster, where the URL names one.
    pub cluster: Option<ClusterName>,
    /// The member's name, where the URL gives one.
    pub name: Option<MemberName>,
    /// What to do where a live member has the name.
    pub naming: Naming,
}

/// What happens at a join where a live member has the name (R13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Naming {
    /// The join is refused.
    Exact,
    /// The name gets the lowest free suffix.
    Suffixed,
}

/// A URL that names no backend. Nothing was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The scheme is unknown.
    #[error("unknown backend {scheme:?}; known are: {known}")]
    UnknownScheme {
        /// The scheme.
        scheme: String,
        /// The schemes that are known.
        known: String,
    },
    /// The scheme is known, and its backend is not part of this build.
    #[error("{scheme} is not part of this build: build with the feature `{feature}`")]
    NotBuiltIn {
        /// The scheme.
        scheme: String,
        /// The feature of `pogo` that adds it.
        feature: &'static str,
    },
    /// A part of the URL is not acceptable; the message shows no secret.
    #[error("{scheme}: {reason}")]
    Setting {
        /// The scheme.
        scheme: String,
        /// What is wrong with which, and what to do.
        reason: String,
    },
    /// A parameter is unknown.
    #[error("{scheme} has no parameter {parameter:?}; known are: {known}")]
    UnknownParameter {
        /// The scheme.
        scheme: String,
        /// The parameter.
        parameter: String,
        /// The parameters that are known.
        known: String,
    },
    /// It is no URL; the message shows none of it, for it may hold secrets.
    #[error("not a backend URL: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// A name in it is not acceptable.
    #[error(transparent)]
    Id(#[from] IdError),
}

/// `memory://CLUSTER?name=NAME`: all members in this process. The cluster defaults to `pogo`, and a
/// name that is taken gets a suffix.
#[derive(Debug)]
pub struct MemoryOnly;

impl Backends for MemoryOnly {
    fn open(url: &str) -> Result<Backend, BackendError> {
        let mut url = BackendUrl::parse(url)?;
        if url.scheme() != "memory" {
            let (scheme, known) = (url.scheme().to_owned(), "memory".to_owned());
            return Err(BackendError::UnknownScheme { scheme, known });
        }
        let name = url.take("name").filter(|name| name != "auto").map(MemberName::new);
        let cluster = percent_decode(url.rest())?;
        url.finish()?;
        let cluster = ClusterName::new(if cluster.is_empty() { "pogo" } else { &cluster })?;
        Ok(Backend {
            membership: Arc::new(MemoryBackend::shared()),
            cluster: Some(cluster),
            name: name.transpose()?,
            naming: Naming::Suffixed,
        })
    }
}
