//! The suite that every backend passes, over real etcd.
//!
//! All clusters share one server, each under its own name, but for cases that do harm to the server: those get one of
//! their own. It runs while anybody uses it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, Weak},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use pogo_conformance::{
    Cluster, Harness, HarnessError, Means, Need, Process, cases, conformance_tests,
};
use pogo_core::{
    id::{ClusterName, MemberName, Scope},
    membership::{Capabilities, Membership},
};
use pogo_membership_etcd::{EtcdConfig, EtcdMembership, Tls};
use tokio::sync::OnceCell;

use crate::{
    bed::on_bed,
    etcd::{Authority, EtcdServer, PASSWORD, Settings, USER},
    members::{WITHIN, config},
    proxy::Route,
    wait::eventually,
};

#[derive(Debug)]
struct Etcd;

/// What kind of server a cluster needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The one that all share.
    Shared,
    Own,
    /// One that lets in users alone.
    WithLogin,
    Encrypted,
}

/// A process that joins, or did.
#[derive(Clone)]
struct Joined {
    route: Arc<Route>,
    backend: Arc<EtcdMembership>,
}

/// A cluster's name in a store.
struct Store {
    name: ClusterName,
    kind: Kind,
    authority: Authority,
    server: OnceCell<Arc<EtcdServer>>,
    processes: Mutex<BTreeMap<Process, Joined>>,
}

impl Kind {
    /// That of the case on whose thread this is called: a test's thread has its name.
    fn of_this_case() -> Self {
        let thread = thread::current();
        let name = thread.name().and_then(|name| name.rsplit("::").next());
        let Some(case) = cases().iter().find(|case| Some(case.name) == name) else {
            return Self::Own;
        };
        if case.needs.contains(&Need::Means(Means::Intruder)) {
            return Self::WithLogin;
        }
        let is_harmless = |need: &Need| match need {
            Need::Means(means) => matches!(means, Means::CutOff | Means::OtherWire),
            _ => true,
        };
        if case.needs.iter().all(is_harmless) { Self::Shared } else { Self::Own }
    }
}

impl Store {
    fn new(name: &ClusterName, kind: Kind) -> Self {
        Self {
            name: name.clone(),
            kind,
            authority: Authority::new("conformance"),
            server: OnceCell::new(),
            processes: Mutex::default(),
        }
    }

    async fn server(&self) -> Arc<EtcdServer> {
        let make = || async {
            match self.kind {
                Kind::Shared => shared().await,
                Kind::Own => EtcdServer::start().await,
                Kind::WithLogin => {
                    let server = EtcdServer::start().await;
                    server.enable_login().await;
                    server
                }
                Kind::Encrypted => {
                    let tls = Some(self.authority.server(true));
                    EtcdServer::start_with(Settings { tls, ..Settings::default() }).await
                }
            }
        };
        Arc::clone(self.server.get_or_init(make).await)
    }

    fn config(&self, endpoints: &[String]) -> EtcdConfig {
        let config = config(endpoints);
        match self.kind {
            Kind::Shared | Kind::Own => config,
            Kind::WithLogin => config.credentials(USER, PASSWORD),
            Kind::Encrypted => {
                let me = self.authority.issue("member");
                config.tls(
                    Tls::new().ca_pem(self.authority.pem.clone()).identity_pem(me.cert, me.key),
                )
            }
        }
    }

    /// The ways of all processes that were or are this member.
    fn routes(&self, member: &MemberName) -> Vec<Arc<Route>> {
        let processes = self.processes.lock().expect("no panic under this lock");
        let theirs = processes.iter().filter(|(process, _)| process.member == *member);
        theirs.map(|(_, joined)| Arc::clone(&joined.route)).collect()
    }
}

/// The server that all share; it goes with its last user.
async fn shared() -> Arc<EtcdServer> {
    static SHARED: tokio::sync::Mutex<Weak<EtcdServer>> =
        tokio::sync::Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = EtcdServer::start().await;
    *shared = Arc::downgrade(&server);
    server
}

#[async_trait]
impl Harness for Etcd {
    async fn cluster(
        &self,
        cluster: &ClusterName,
        _: &Scope,
    ) -> Result<Box<dyn Cluster>, HarnessError> {
        Ok(Box::new(Store::new(cluster, Kind::of_this_case())))
    }

    fn means(&self) -> BTreeSet<Means> {
        [
            Means::CutOff,
            Means::Outage,
            Means::Restart,
            Means::Wipe,
            Means::Restore,
            Means::LoseFeed,
            Means::Intruder,
            Means::OtherWire,
            Means::Measure,
        ]
        .into()
    }

    /// Tests of other servers run beside this one, and take the processors at times.
    fn slack(&self) -> Duration {
        Duration::from_secs(3)
    }
}

#[async_trait]
impl Cluster for Store {
    fn promises(&self) -> Capabilities {
        EtcdMembership::new(config(&["127.0.0.1:1".to_owned()])).capabilities()
    }

    async fn backend(&self, process: &Process) -> Result<Arc<dyn Membership>, HarnessError> {
        let known = self.processes.lock().expect("no panic under this lock").get(process).cloned();
        if let Some(joined) = known {
            return Ok(joined.backend);
        }
        let route = Arc::new(self.server().await.route().await);
        let backend = Arc::new(EtcdMembership::new(self.config(&route.endpoints())));
        let joined = Joined { route, backend: Arc::clone(&backend) };
        self.processes.lock().expect("no panic under this lock").insert(process.clone(), joined);
        Ok(backend)
    }

    async fn cut_off(&self, member: &MemberName) -> Result<(), HarnessError> {
        for route in self.routes(member) {
            route.cut_off();
        }
        Ok(())
    }

    async fn reconnect(&self, member: &MemberName) -> Result<(), HarnessError> {
        for route in self.routes(member) {
            route.reconnect();
        }
        Ok(())
    }

    /// A server that starts again gives every lease its full time.
    async fn set_outage(&self, outage: bool) -> Result<(), HarnessError> {
        let server = self.server().await;
        if outage {
            server.kill().await;
        } else {
            server.start_again().await;
        }
        Ok(())
    }

    async fn restart(&self) -> Result<(), HarnessError> {
        let server = self.server().await;
        server.kill().await;
        server.start_again().await;
        Ok(())
    }

    async fn wipe(&self) -> Result<(), HarnessError> {
        self.server().await.wipe().await;
        Ok(())
    }

    async fn back_up(&self) -> Result<(), HarnessError> {
        self.server().await.back_up().await;
        Ok(())
    }

    async fn restore(&self) -> Result<(), HarnessError> {
        self.server().await.restore().await;
        Ok(())
    }

    /// What happens from here on until something was written is compacted away before the member hears of it.
    async fn lose_feed(&self, member: &MemberName) -> Result<(), HarnessError> {
        let server = self.server().await;
        let routes = self.routes(member);
        for route in &routes {
            route.cut_off();
        }
        let before = server.revision().await;
        drop(tokio::spawn(on_bed(async move {
            eventually("something is written", WITHIN, || async {
                let now = server.revision().await;
                if now > before + 1 { Ok(()) } else { Err(now) }
            })
            .await;
            server.compact().await;
            for route in routes {
                route.break_connections();
                route.reconnect();
            }
        })));
        Ok(())
    }

    async fn intruder(&self) -> Result<Arc<dyn Membership>, HarnessError> {
        let endpoint = self.server().await.endpoint();
        let config = config(&[endpoint]).credentials(USER, "wrong");
        Ok(Arc::new(EtcdMembership::new(config)))
    }

    async fn other_wire(&self) -> Result<Box<dyn Cluster>, HarnessError> {
        Ok(Box::new(Self::new(&self.name, Kind::Encrypted)))
    }

    async fn stored_bytes(&self) -> Result<u64, HarnessError> {
        let prefix = format!("/pogo/{}/", self.name);
        Ok(self.server().await.stored_bytes(&prefix, |key| key.contains("/o/")).await)
    }
}

conformance_tests! { Etcd, skips: [backend_without_claims_says_so] }
