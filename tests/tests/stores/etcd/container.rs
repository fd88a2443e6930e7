//! Servers in containers.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use async_trait::async_trait;
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt, core::IntoContainerPort,
    runners::AsyncRunner,
};
use tokio::{process::Command, sync::OnceCell};

use super::machine::{Binds, Machine, Reached, SETTINGS};
use crate::bed::{bed, on_bed, output, seconds};

/// Says on everything that this run makes which run that was, and when.
const RUN_LABEL: &str = "pogo.stores.run";
const STARTED_LABEL: &str = "pogo.stores.started";
/// What is older than this was left behind by a run that was killed.
const OLD_SECONDS: u64 = 3600;
/// Where the files are. The server makes its data folders there.
const FOLDER: &str = "/pogo";
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
const METRICS_PORT: u16 = 2381;
/// How long removing a container may hold up the end of a test.
const REMOVED_WITHIN: Duration = Duration::from_secs(30);

/// This run of the tests.
static RUN: LazyLock<String> = LazyLock::new(|| format!("{}-{}", seconds(), process::id()));
static NUMBER: AtomicU32 = AtomicU32::new(1);

fn fresh_name() -> String {
    format!("pogo-stores-{}-{}", *RUN, NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// One container, made when its server first starts.
#[derive(Debug)]
pub(super) struct Container {
    name: String,
    image: String,
    network: Option<Arc<Network>>,
    made: Mutex<Option<Arc<ContainerAsync<GenericImage>>>>,
}

impl Container {
    /// Containers that reach each other by name.
    pub(super) async fn several(count: usize) -> Vec<Self> {
        let image = image().await;
        let network = if count > 1 { Some(Arc::new(Network::make().await)) } else { None };
        let container = |_| Self {
            name: fresh_name(),
            image: image.clone(),
            network: network.clone(),
            made: Mutex::default(),
        };
        (0..count).map(container).collect()
    }

    fn made(&self) -> Option<Arc<ContainerAsync<GenericImage>>> {
        self.made.lock().expect("no panic under this lock").clone()
    }

    fn request(&self, files: &[(String, Vec<u8>)]) -> ContainerRequest<GenericImage> {
        let (name, tag) = self.image.rsplit_once(':').unwrap_or((&self.image, "latest"));
        let mut request = GenericImage::new(name, tag)
            .with_container_name(&self.name)
            .with_cmd(["etcd".to_owned(), "--config-file".to_owned(), self.path(SETTINGS)])
            .with_label(RUN_LABEL, RUN.as_str())
            .with_label(STARTED_LABEL, seconds().to_string())
            .with_mapped_port(0, CLIENT_PORT.tcp())
            .with_mapped_port(0, METRICS_PORT.tcp())
            .with_host_config_modifier(|host| {
                let ports = host.port_bindings.iter_mut().flat_map(|ports| ports.values_mut());
                for binding in ports.flatten().flatten() {
                    binding.host_ip = Some(Ipv4Addr::LOCALHOST.to_string());
                }
            });
        if let Some(network) = &self.network {
            request = request.with_network(&network.0);
        }
        for (file, content) in files {
            request = request.with_copy_to(self.path(file), content.clone());
        }
        request
    }

    async fn make(&self, files: &[(String, Vec<u8>)]) -> Arc<ContainerAsync<GenericImage>> {
        let request = self.request(files);
        let made = on_bed(request.start()).await;
        let made = Arc::new(made.unwrap_or_else(|error| panic!("no container: {error}")));
        *self.made.lock().expect("no panic under this lock") = Some(Arc::clone(&made));
        if self.network.is_some() {
            // Its clients come by a network of their own, which stays when it is cut off from its peers.
            said(["network", "connect", "bridge", &self.name]).await;
        }
        made
    }

    async fn start_again(&self, files: &[(String, Vec<u8>)]) {
        let folder = tempfile::tempdir().expect("a folder");
        for (file, content) in files {
            let from = folder.path().join(file);
            fs::write(&from, content).expect("a file");
            let to = format!("{}:{}", self.name, self.path(file));
            said(["cp", from.to_str().expect("a path that is text"), &to]).await;
        }
        said(["start", &self.name]).await;
    }
}

#[async_trait]
impl Machine for Container {
    fn binds(&self) -> Binds {
        let on_all = |port| format!("0.0.0.0:{port}");
        let name = if self.network.is_some() { &self.name } else { "127.0.0.1" };
        Binds {
            client: on_all(CLIENT_PORT),
            metrics: on_all(METRICS_PORT),
            peer: on_all(PEER_PORT),
            peer_outside: format!("{name}:{PEER_PORT}"),
        }
    }

    fn path(&self, file: &str) -> String {
        format!("{FOLDER}/{file}")
    }

    async fn start(&self, files: &[(String, Vec<u8>)]) -> Reached {
        let container = match self.made() {
            None => self.make(files).await,
            Some(made) => {
                self.start_again(files).await;
                made
            }
        };
        on_bed(async move {
            let [client, metrics] = [CLIENT_PORT, METRICS_PORT].map(async |port| {
                let port = container.get_host_port_ipv4(port.tcp()).await.expect("it is published");
                SocketAddr::from((Ipv4Addr::LOCALHOST, port))
            });
            Reached { client: client.await, metrics: metrics.await }
        })
        .await
    }

    async fn kill(&self) {
        said(["kill", "--signal", "KILL", &self.name]).await;
        // The answer comes before the end.
        said(["wait", &self.name]).await;
    }

    async fn set_paused(&self, is_paused: bool) {
        let container = self.made().expect("it was started");
        let done = on_bed(async move {
            if is_paused { container.pause().await } else { container.unpause().await }
        });
        done.await.unwrap_or_else(|error| panic!("{error}"));
    }

    async fn run(&self, words: &[String]) -> Result<String, String> {
        let words = words.iter().map(String::as_str);
        docker(["exec", "--env", "ETCDCTL_API=3", &self.name].into_iter().chain(words)).await
    }

    async fn log(&self) -> String {
        let Some(container) = self.made() else { return String::new() };
        let log = on_bed(async move { container.stderr_to_vec().await }).await;
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }

    async fn set_divided(&self, is_divided: bool) {
        let network = &self.network.as_ref().expect("it has peers").0;
        let verb = if is_divided { "disconnect" } else { "connect" };
        said(["network", verb, network, &self.name]).await;
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let made = self.made.get_mut().map(Option::take);
        let Ok(Some(container)) = made else { return };
        // It is removed before the test ends, by a thread that may wait for that.
        let (done, is_done) = mpsc::channel();
        bed().spawn(async move {
            drop(container);
            let _ = done.send(());
        });
        let _ = is_done.recv_timeout(REMOVED_WITHIN);
    }
}

/// A network for peers alone; it goes with the last container in it.
#[derive(Debug)]
struct Network(String);

impl Network {
    async fn make() -> Self {
        let name = fresh_name();
        let run = format!("{RUN_LABEL}={}", *RUN);
        let started = format!("{STARTED_LABEL}={}", seconds());
        said(["network", "create", "--internal", "--label", &run, "--label", &started, &name])
            .await;
        Self(name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let removed = process::Command::new("docker").args(["network", "rm", &self.0]).output();
        drop(removed);
    }
}

/// The image that scripts/stores.sh finds or makes, once in a run.
async fn image() -> String {
    static IMAGE: OnceCell<String> = OnceCell::const_new();
    IMAGE
        .get_or_init(|| async {
            remove_old().await;
            if let Ok(image) = std::env::var("ETCD_IMAGE") {
                return image;
            }
            let said = output(Command::new(root().join("scripts/stores.sh"))).await;
            let said = said.unwrap_or_else(|error| panic!("no image of etcd: {error}"));
            let image = said.lines().find_map(|line| line.strip_prefix("ETCD_IMAGE="));
            image.unwrap_or_else(|| panic!("no image in {said:?}")).to_owned()
        })
        .await
        .clone()
}

/// Removes what earlier runs left behind, and only that.
async fn remove_old() {
    let format = format!("{{{{.ID}}}} {{{{.Label \"{STARTED_LABEL}\"}}}}");
    let filter = format!("label={STARTED_LABEL}");
    for (list, remove) in
        [(["ps", "--all"], ["rm", "--force"]), (["network", "ls"], ["network", "rm"])]
    {
        let all = list.into_iter().chain(["--filter", &filter, "--format", &format]);
        for line in docker(all).await.unwrap_or_default().lines() {
            let Some((id, started)) = line.split_once(' ') else { continue };
            if started.parse::<u64>().is_ok_and(|started| started + OLD_SECONDS < seconds()) {
                drop(docker(remove.into_iter().chain([id])).await);
            }
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

async fn docker<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<String, String> {
    let mut command = Command::new("docker");
    command.args(words);
    output(command).await
}

async fn said<const N: usize>(words: [&str; N]) -> String {
    docker(words).await.unwrap_or_else(|error| panic!("{error}"))
}
