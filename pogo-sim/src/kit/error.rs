//! What ends a test.

use std::{io, time::Duration};

use pogo_core::{
    id::{ChildId, IdError},
    spec::SpecError,
    time::Timestamp,
};

use crate::invariant::Violation;

/// Why a simulated cluster does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KitError {
    /// A law of the simulator was broken: a fault in Pogo, or in how a child behaves.
    #[error("at {at:?}: {violation}")]
    Broken {
        /// When, in virtual time.
        at: Timestamp,
        /// What.
        violation: Violation,
    },
    /// A permanent child does not get to run; it fails, or nobody may run it.
    #[error("{0} does not come to run")]
    NotRunning(ChildId),
    /// A request was refused; nothing was changed.
    #[error("refused: {0}")]
    Refused(String),
    /// Nobody answered a request.
    #[error("no answer within {0:?} of virtual time")]
    NoAnswer(Duration),
    /// A text is no name or id.
    #[error(transparent)]
    Name(#[from] IdError),
    /// A spec breaks a limit.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The system gave no runtime.
    #[error("no runtime for the children")]
    Runtime(#[source] io::Error),
}

impl KitError {
    pub(super) const fn broken(at: Timestamp, violation: Violation) -> Self {
        Self::Broken { at, violation }
    }
}
