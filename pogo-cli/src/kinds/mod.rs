//! The built-in kinds of children.

pub mod command;
pub mod idle;
pub mod service_monitor;
