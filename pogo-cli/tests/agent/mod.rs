//! `pogo agent` as a process, and the commands that ask it.

mod client;
#[cfg(unix)]
mod command;
mod gossip;
mod http;
mod life;
pub(crate) mod process;
mod settings;
