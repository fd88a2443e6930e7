//! The cases, by what they are about.

pub(crate) mod claims;
pub(crate) mod faults;
pub(crate) mod feed;
pub(crate) mod membership;
pub(crate) mod owned;
pub(crate) mod shared;
