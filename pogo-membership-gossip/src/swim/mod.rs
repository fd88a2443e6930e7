//! The failure detector: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips,
//! Currey 2018), sans-IO.

mod packet;

pub use packet::{Body, Packet};
