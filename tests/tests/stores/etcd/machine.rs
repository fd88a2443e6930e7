//! Where a server runs: in a container, or as a process of this machine.

use std::{fmt::Debug, net::SocketAddr};

use async_trait::async_trait;

use super::{container::Container, process::LocalProcess};
use crate::proxy::Target;

/// What one server runs on. It keeps its files, also those of a server that was killed.
#[async_trait]
pub(super) trait Machine: Debug + Send + Sync {
    /// The addresses that the server binds, and the one under which its peers find it.
    fn binds(&self) -> Binds;

    /// A file of this name, as the server sees it.
    fn path(&self, file: &str) -> String;

    /// Writes its files, and starts it. Only while it does not run.
    async fn start(&self, files: &[(String, Vec<u8>)]) -> Reached;

    /// Kills it, without a chance to say good-bye.
    async fn kill(&self);

    /// Freezes it, or lets it go on.
    async fn set_paused(&self, is_paused: bool);

    /// Runs a program beside the server, with its files.
    async fn run(&self, words: &[String]) -> Result<String, String>;

    /// What the server has said.
    async fn log(&self) -> String;

    /// Cuts it off from its peers and not from its clients, or ends that.
    async fn set_divided(&self, is_divided: bool);
}

/// Addresses as host and port.
#[derive(Debug, Clone)]
pub(super) struct Binds {
    pub(super) client: String,
    pub(super) metrics: String,
    pub(super) peer: String,
    pub(super) peer_outside: String,
}

/// Where this test reaches a server that runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached {
    pub(super) client: SocketAddr,
    pub(super) metrics: SocketAddr,
}

/// The file that tells a server everything.
pub(super) const SETTINGS: &str = "etcd.json";

/// Whether servers run as processes, because the user says so.
pub(super) fn is_process_mode() -> bool {
    match std::env::var("POGO_ETCD").as_deref() {
        Ok("process") => true,
        Ok("container") | Err(_) => false,
        Ok(other) => panic!("POGO_ETCD is {other:?}: say \"container\" or \"process\""),
    }
}

/// A machine for each of `count` servers, which reach each other.
pub(super) async fn machines(count: usize) -> Vec<Box<dyn Machine>> {
    if is_process_mode() {
        let boxed = |machine| Box::new(machine) as Box<dyn Machine>;
        return (0..count).map(|_| boxed(LocalProcess::new())).collect();
    }
    let boxed = |machine| Box::new(machine) as Box<dyn Machine>;
    Container::several(count).await.into_iter().map(boxed).collect()
}

/// The targets of proxies, which follow a server that starts again.
#[derive(Debug, Clone, Default)]
pub(super) struct Targets {
    pub(super) client: Target,
    pub(super) metrics: Target,
}

impl Targets {
    pub(super) fn set(&self, reached: Option<Reached>) {
        self.client.set(reached.map(|it| it.client));
        self.metrics.set(reached.map(|it| it.metrics));
    }
}
