//! What the program `pogo` is made of: its commands, the built-in kinds of children, and the
//! ledger that says of each run when it began and ended.

pub mod clock;
pub mod demo;
pub mod fleet;
pub mod kinds;
pub mod ledger;
pub mod services;
