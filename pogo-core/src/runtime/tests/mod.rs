//! The parts of the driver by themselves; the whole of it is tested from outside the crate.

mod deadlines;
pub(in crate::runtime) mod hands;
mod runs;
mod session;
