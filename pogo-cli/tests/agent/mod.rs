//! `pogo agent` as a process.

mod http;
mod life;
mod process;
