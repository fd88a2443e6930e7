//! Why a case failed.

use std::fmt;

use pogo_core::{id::IdError, membership::MembershipError};

use crate::harness::HarnessError;

/// What was seen and should not have been, or was not and should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(String);

/// How a case ends.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<MembershipError> for Failure {
    fn from(error: MembershipError) -> Self {
        Self(format!("an error came back: {error} ({error:?})"))
    }
}

impl From<HarnessError> for Failure {
    fn from(error: HarnessError) -> Self {
        Self(format!("the harness failed: {error}"))
    }
}

impl From<IdError> for Failure {
    fn from(error: IdError) -> Self {
        Self(format!("the suite made a bad name: {error}"))
    }
}

/// Ends the case where a condition does not hold.
macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err($crate::failure::Failure::new(format!($($what)+)));
        }
    };
}
pub(crate) use ensure;
