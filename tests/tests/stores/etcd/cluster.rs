//! Three servers that are one cluster.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{EtcdServer, Settings, machine::machines};
use crate::{proxy::Route, wait::eventually};

/// An election, on a machine that is busy.
const LEADER_WITHIN: Duration = Duration::from_secs(30);

/// Three servers; each keeps its port.
#[derive(Debug)]
pub(crate) struct EtcdCluster {
    servers: Vec<Arc<EtcdServer>>,
}

impl EtcdCluster {
    /// Three that are ready.
    pub(crate) async fn start() -> Self {
        let machines = machines(3).await;
        let names = (1..).map(|at| format!("etcd-{at}"));
        let each: Vec<_> = names.zip(machines).collect();
        let urls =
            each.iter().map(|(name, it)| format!("{name}=http://{}", it.binds().peer_outside));
        let peers = urls.collect::<Vec<_>>().join(",");
        let mut servers = Vec::new();
        for (name, machine) in each {
            let server = EtcdServer::on(machine, name, peers.clone(), Settings::default()).await;
            servers.push(Arc::new(server));
        }
        // None is ready before two are there.
        join_all(servers.iter().map(|server| server.launch())).await;
        join_all(servers.iter().map(|server| server.ready())).await;
        Self { servers }
    }

    pub(crate) fn servers(&self) -> &[Arc<EtcdServer>] {
        &self.servers
    }

    /// Where clients find all of them.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.endpoint()).collect()
    }

    /// A way to all of them that is one member's alone.
    pub(crate) async fn route(&self) -> Route {
        Route::to(self.servers.iter().map(|server| &server.targets.client)).await
    }

    /// The one that leads.
    pub(crate) async fn leader(&self) -> Arc<EtcdServer> {
        eventually("one server leads", LEADER_WITHIN, || async {
            let mut found = Vec::new();
            for server in &self.servers {
                let is_leader = server.is_leader().await;
                if is_leader == Ok(true) {
                    return Ok(Arc::clone(server));
                }
                found.push(is_leader);
            }
            Err(found)
        })
        .await
    }

    /// Those that do not lead.
    pub(crate) async fn followers(&self) -> Vec<Arc<EtcdServer>> {
        let leader = self.leader().await;
        let others = self.servers.iter().filter(|server| !Arc::ptr_eq(server, &leader));
        others.cloned().collect()
    }
}
