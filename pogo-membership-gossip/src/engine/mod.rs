//! The engine: the state machine of one peer.
//!
//! `handle` takes one thing that happened, `poll_output` gives the effects, `poll_timeout` the one
//! deadline; the contract is that of `pogo_core::node`.

mod io;

pub use io::{CallId, Config, DialError, Form, Input, LinkId, Output, SessionId, Target};
