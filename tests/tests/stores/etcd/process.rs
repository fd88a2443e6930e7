//! Servers as processes of this machine, for who has no Docker.

use std::{
    fs, iter,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{self, Child, Command, Stdio},
    sync::{
        Mutex, Once,
        atomic::{AtomicU16, Ordering},
    },
};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::machine::{Binds, Machine, Reached, SETTINGS};
use crate::bed::output;

/// What the names of folders begin with; the run's process id follows.
const PREFIX: &str = "pogo-stores-";
/// The file with the process id of the server.
const PID: &str = "pid";

/// One process and its folder; both go with it.
#[derive(Debug)]
pub(super) struct LocalProcess {
    folder: TempDir,
    client: SocketAddr,
    metrics: SocketAddr,
    peer: SocketAddr,
    child: Mutex<Option<Child>>,
}

impl LocalProcess {
    pub(super) fn new() -> Self {
        static OLD: Once = Once::new();
        OLD.call_once(remove_old);
        let prefix = format!("{PREFIX}{}-", process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a folder");
        let [client, metrics, peer] = [(); 3].map(|()| free_address());
        Self { folder, client, metrics, peer, child: Mutex::default() }
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.lock().expect("no panic under this lock");
        let pid = Pid::from_child(child.as_ref().expect("it runs"));
        kill_process(pid, signal).expect("it takes signals");
    }
}

#[async_trait]
impl Machine for LocalProcess {
    fn binds(&self) -> Binds {
        Binds {
            client: self.client.to_string(),
            metrics: self.metrics.to_string(),
            peer: self.peer.to_string(),
            peer_outside: self.peer.to_string(),
        }
    }

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).to_str().expect("a path that is text").to_owned()
    }

    async fn start(&self, files: &[(String, Vec<u8>)]) -> Reached {
        for (file, content) in files {
            fs::write(self.path(file), content).expect("a file");
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log"));
        let log = log.expect("a log");
        let child = Command::new("etcd")
            .args(["--config-file", &self.path(SETTINGS)])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("POGO_ETCD=process needs etcd: {error}"));
        fs::write(self.path(PID), child.id().to_string()).expect("a file");
        *self.child.lock().expect("no panic under this lock") = Some(child);
        Reached { client: self.client, metrics: self.metrics }
    }

    async fn kill(&self) {
        let mut child =
            self.child.lock().expect("no panic under this lock").take().expect("it runs");
        child.kill().expect("it can be killed");
        let status = child.wait().expect("it ends");
        assert!(status.signal().is_some(), "it had ended before, with {status}");
    }

    async fn set_paused(&self, is_paused: bool) {
        self.signal(if is_paused { Signal::STOP } else { Signal::CONT });
    }

    async fn run(&self, words: &[String]) -> Result<String, String> {
        let (program, words) = words.split_first().expect("a program");
        let mut command = tokio::process::Command::new(program);
        command.args(words).env("ETCDCTL_API", "3");
        output(command).await
    }

    async fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    async fn set_divided(&self, _: bool) {
        panic!("processes of one machine cannot be divided: this test needs containers");
    }
}

impl Drop for LocalProcess {
    fn drop(&mut self) {
        let Ok(Some(child)) = self.child.get_mut().map(Option::as_mut) else { return };
        drop(child.kill());
        drop(child.wait());
    }
}

/// One that no connection is given as its own end while its server does not run: those come from 32768 on.
fn free_address() -> SocketAddr {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(process::id() % 10_000).expect("it is small");
    let mut ports = iter::repeat_with(|| {
        20_000 + (first + TRIED.fetch_add(1, Ordering::Relaxed) % 10_000) % 10_000
    });
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let free = ports.by_ref().take(10_000).map(address).find(|it| TcpListener::bind(it).is_ok());
    free.expect("a free port")
}

/// Removes what runs left behind that were killed, and only that: the run is over, and the process is its server.
fn remove_old() {
    let is_running = |pid: &str| Path::new("/proc").join(pid).exists();
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let run = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if run.is_none_or(is_running) {
            continue;
        }
        let pid = fs::read_to_string(entry.path().join(PID)).unwrap_or_default();
        let command = fs::read_to_string(Path::new("/proc").join(&pid).join("cmdline"));
        if command.is_ok_and(|command| command.contains(&name)) {
            let pid = pid.parse().ok().and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        drop(fs::remove_dir_all(entry.path()));
    }
}
