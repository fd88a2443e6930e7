//! Engines in a small virtual network.

mod contacts;
mod joining;
mod loss;
mod net;
mod sparse;
mod writing;

use std::time::Duration;

use pogo_core::{
    membership::{DownReason, Event},
    time::Timestamp,
};

use self::net::Net;

/// When and how a host saw another go.
fn went(net: &Net, host: usize, since: Timestamp) -> Vec<(Duration, String, DownReason)> {
    let told = net.told(host, since).into_iter();
    let downs = told.filter_map(|(at, event)| {
        let Event::MemberDown(id, why) = event else { return None };
        Some((at.since(since), id.name.to_string(), *why))
    });
    downs.collect()
}

/// The shared records that a host was told of, in order.
fn records(net: &Net, host: usize) -> Vec<String> {
    let told = net.told(host, Timestamp::ZERO).into_iter();
    let shared = told.filter_map(|(_, event)| {
        let Event::Shared(records) = event else { return None };
        Some(records)
    });
    shared.flatten().map(|(key, _)| key.to_string()).collect()
}
