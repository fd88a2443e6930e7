//! The parts of the driver by themselves; the whole of it is tested from outside the crate.

mod runs;
mod session;
