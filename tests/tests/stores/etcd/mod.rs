//! Real servers of etcd, alone or three together, and what operators and accidents do to them.
//!
//! They run in containers, or, with `POGO_ETCD=process`, as processes of this machine. What maintains them is etcd's own
//! `etcdctl`, so that nothing here rests on the code under test.

mod certificates;
mod cluster;
mod container;
mod ctl;
mod machine;
mod process;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

pub(crate) use self::{
    certificates::{Authority, Identity},
    cluster::EtcdCluster,
    ctl::{PASSWORD, STRANGER, USER},
};
use self::{
    ctl::Login,
    machine::{Machine, SETTINGS, Targets, machines},
};
use crate::{
    bed::on_bed,
    proxy::{Proxy, Route},
    wait::eventually,
};

/// A server that does not answer within this is broken, or the machine is.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How a server is set up, where that is not as by default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// The largest request that it takes, in bytes.
    pub(crate) max_request_bytes: Option<u32>,
    /// It speaks TLS alone.
    pub(crate) tls: Option<ServerTls>,
}

/// What a server shows, and what it asks for.
#[derive(Debug, Clone)]
pub(crate) struct ServerTls {
    pub(crate) identity: Identity,
    /// Who signs for its clients; they need no certificate where there is nobody.
    pub(crate) client_authority: Option<String>,
    /// With what etcdctl comes.
    pub(crate) operator: Identity,
    /// Who signed for the server.
    pub(crate) authority: String,
}

/// What a server's clients have sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Messages {
    /// Renewals of leases.
    pub(crate) renewals: u64,
    /// Whatever else.
    pub(crate) others: u64,
}

/// One server, its data, and the port that it keeps for as long as this lives.
#[derive(Debug)]
pub(crate) struct EtcdServer {
    name: String,
    machine: Box<dyn Machine>,
    settings: Settings,
    /// All servers of its cluster, as etcd wants to have them.
    peers: String,
    targets: Targets,
    front: Proxy,
    metrics: Proxy,
    /// Which folder its data are in: a wiped server begins another.
    data: AtomicU32,
    login: Login,
}

impl EtcdServer {
    /// One that is ready.
    pub(crate) async fn start() -> Arc<Self> {
        Self::start_with(Settings::default()).await
    }

    /// One that is ready and set up like this.
    pub(crate) async fn start_with(settings: Settings) -> Arc<Self> {
        let machine = machines(1).await.pop().expect("one");
        let peers = format!("etcd=http://{}", machine.binds().peer_outside);
        let server = Self::on(machine, "etcd".to_owned(), peers, settings).await;
        server.start_again().await;
        Arc::new(server)
    }

    /// One that does not run yet.
    async fn on(
        machine: Box<dyn Machine>,
        name: String,
        peers: String,
        settings: Settings,
    ) -> Self {
        let targets = Targets::default();
        Self {
            name,
            machine,
            settings,
            peers,
            front: Proxy::before(&targets.client).await,
            metrics: Proxy::before(&targets.metrics).await,
            targets,
            data: AtomicU32::new(0),
            login: Login::default(),
        }
    }

    /// Where clients find it, also after it was killed and started again.
    pub(crate) fn endpoint(&self) -> String {
        self.front.address().to_string()
    }

    /// A way to it that is one member's alone.
    pub(crate) async fn route(&self) -> Route {
        Route::to([&self.targets.client]).await
    }

    /// Several ways to it that are one member's alone.
    pub(crate) async fn routes(&self, count: usize) -> Route {
        Route::to(std::iter::repeat_n(&self.targets.client, count)).await
    }

    /// Starts it with the data that it has, and waits until it has a leader and answers.
    pub(crate) async fn start_again(&self) {
        self.launch().await;
        self.ready().await;
    }

    async fn launch(&self) {
        let reached = self.machine.start(&self.files()).await;
        self.targets.set(Some(reached));
    }

    pub(crate) async fn ready(&self) {
        let deadline = Instant::now() + READY_WITHIN;
        eventually("etcd is ready", READY_WITHIN, || async {
            let health = self.health().await;
            // Its log says more than that it did not answer.
            if health.is_err() && Instant::now() > deadline {
                return Err(self.machine.log().await);
            }
            health
        })
        .await;
    }

    /// As `kill -9`.
    pub(crate) async fn kill(&self) {
        self.machine.kill().await;
        self.targets.set(None);
        // One that forwards ports may keep its clients' connections.
        self.front.break_connections();
    }

    /// Freezes it, with all its connections.
    pub(crate) async fn pause(&self) {
        self.machine.set_paused(true).await;
    }

    pub(crate) async fn unpause(&self) {
        self.machine.set_paused(false).await;
    }

    /// Cuts it off from the other servers, not from its clients; or ends that.
    pub(crate) async fn set_divided(&self, is_divided: bool) {
        self.machine.set_divided(is_divided).await;
    }

    /// Its data are deleted, and it starts with none.
    pub(crate) async fn wipe(&self) {
        self.kill().await;
        self.data.fetch_add(1, Ordering::Relaxed);
        self.start_again().await;
    }

    /// Takes a snapshot of all that it has; another takes its place.
    pub(crate) async fn back_up(&self) {
        let snapshot = self.machine.path("snapshot");
        self.etcdctl(&["snapshot", "save", &snapshot])
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Puts the snapshot in the place of what it has now, as etcd's manual says: it is another cluster then.
    pub(crate) async fn restore(&self) {
        let data = self.data.load(Ordering::Relaxed) + 1;
        let peer = format!("http://{}", self.machine.binds().peer_outside);
        let snapshot = self.machine.path("snapshot");
        let folder = self.machine.path(&format!("data-{data}"));
        let token = format!("restored-{data}");
        let words = [
            "snapshot",
            "restore",
            &snapshot,
            "--data-dir",
            &folder,
            "--name",
            &self.name,
            "--initial-cluster",
            &self.peers,
            "--initial-advertise-peer-urls",
            &peer,
            "--initial-cluster-token",
            &token,
        ];
        self.etcdctl(&words).await.unwrap_or_else(|error| panic!("{error}"));
        self.kill().await;
        self.data.store(data, Ordering::Relaxed);
        self.start_again().await;
    }

    pub(crate) async fn is_leader(&self) -> Result<bool, String> {
        let metrics = self.http("/metrics").await?;
        Ok(metrics.lines().any(|line| line == "etcd_server_is_leader 1"))
    }

    /// What its clients have sent it since it started.
    pub(crate) async fn messages(&self) -> Result<Messages, String> {
        let metrics = self.http("/metrics").await?;
        let mut messages = Messages { renewals: 0, others: 0 };
        let counts =
            metrics.lines().filter_map(|it| it.strip_prefix("grpc_server_msg_received_total"));
        for (labels, count) in counts.filter_map(|it| it.rsplit_once(' ')) {
            let count: u64 = count.parse().map_err(|error| format!("{count}: {error}"))?;
            let is_renewal = labels.contains(r#"grpc_method="LeaseKeepAlive""#);
            *(if is_renewal { &mut messages.renewals } else { &mut messages.others }) += count;
        }
        Ok(messages)
    }

    /// Whether it answers and knows a leader.
    pub(crate) async fn answers(&self) -> bool {
        self.health().await.is_ok()
    }

    async fn health(&self) -> Result<(), String> {
        let health = self.http("/health").await?;
        if health.contains(r#""health":"true""#) { Ok(()) } else { Err(health) }
    }

    /// The answer of its side for operators, which is plain and asks for no login.
    async fn http(&self, path: &str) -> Result<String, String> {
        let address = self.metrics.address();
        let path = path.to_owned();
        let asking = async move {
            let mut stream = TcpStream::connect(address).await?;
            let request = format!("GET {path} HTTP/1.0\r\nHost: etcd\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let asking = tokio::time::timeout(Duration::from_secs(2), asking);
        let answer: Result<std::io::Result<String>, _> = on_bed(asking).await;
        let answer = answer.map_err(|_late| "no answer from etcd's metrics".to_owned())?;
        answer.map_err(|error| format!("etcd's metrics: {error}"))
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![(SETTINGS.to_owned(), self.config().to_string().into_bytes())];
        if let Some(tls) = &self.settings.tls {
            let mut add = |name: &str, pem: &str| files.push((name.to_owned(), pem.into()));
            add("server.crt", &tls.identity.cert);
            add("server.key", &tls.identity.key);
            add("operator.crt", &tls.operator.cert);
            add("operator.key", &tls.operator.key);
            add("ca.crt", &tls.authority);
            if let Some(authority) = &tls.client_authority {
                add("clients.crt", authority);
            }
        }
        files
    }

    fn scheme(&self) -> &'static str {
        if self.settings.tls.is_some() { "https" } else { "http" }
    }

    /// As etcd's `--config-file` wants it.
    fn config(&self) -> Value {
        let binds = self.machine.binds();
        let clients = format!("{}://{}", self.scheme(), binds.client);
        let mut config = json!({
            "name": self.name,
            "data-dir": self.machine.path(&format!("data-{}", self.data.load(Ordering::Relaxed))),
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-metrics-urls": format!("http://{}", binds.metrics),
            "listen-peer-urls": format!("http://{}", binds.peer),
            "initial-advertise-peer-urls": format!("http://{}", binds.peer_outside),
            "initial-cluster": self.peers,
            "initial-cluster-token": "pogo-stores",
            "initial-cluster-state": "new",
            "logger": "zap",
            "log-outputs": ["stderr"],
        });
        if let Some(bytes) = self.settings.max_request_bytes {
            config["max-request-bytes"] = bytes.into();
        }
        if let Some(tls) = &self.settings.tls {
            let mut security = json!({
                "cert-file": self.machine.path("server.crt"),
                "key-file": self.machine.path("server.key"),
            });
            if tls.client_authority.is_some() {
                security["client-cert-auth"] = true.into();
                security["trusted-ca-file"] = self.machine.path("clients.crt").into();
            }
            config["client-transport-security"] = security;
        }
        config
    }
}
