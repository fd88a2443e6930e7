//! What the program `pogo` is made of: its commands, the built-in kinds of children, and what says
//! of each run when it began and ended.

pub mod agent;
pub mod bench;
pub mod client;
pub mod clock;
pub mod demo;
pub mod epoch;
pub mod fleet;
mod http;
mod interrupts;
pub mod keygen;
pub mod kinds;
pub mod ledger;
pub mod services;
pub mod sim;
pub mod spans;
pub mod verdict;
