//! A project of docker-compose that is this test's alone and goes with it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{Mutex, PoisonError},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;

use crate::http::Interface;

/// Says on everything that a test makes when that was, in seconds.
const LABEL: &str = "pogo.test.started";
/// What is older than this was left behind by a test that was killed.
const OLD_SECONDS: u64 = 3600;

/// Containers and a network under a name that nothing else has.
#[derive(Debug)]
pub(super) struct Project {
    name: String,
    settings: BTreeMap<String, String>,
    folder: TempDir,
}

impl Project {
    /// One with its image, its key and its token; nothing of it runs yet.
    pub(super) fn new() -> Self {
        // One at a time: whoever comes first builds the image.
        static MADE: Mutex<u32> = Mutex::new(0);
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        *made += 1;
        let started = seconds();
        remove_old(started);
        let folder = tempfile::tempdir().expect("a folder");
        said(Command::new(root().join("docker/prepare.sh")).arg(folder.path()));
        let settings = fs::read_to_string(folder.path().join(".env")).expect("settings");
        let settings = settings.lines().filter_map(|line| line.split_once('='));
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        fs::write(folder.path().join("labels.yml"), labels(started)).expect("a file");
        Self { name: format!("pogo-test-{started}-{}-{made}", process::id()), settings, folder }
    }

    /// The tag of the image.
    pub(super) fn image(&self) -> String {
        self.settings["POGO_IMAGE"].clone()
    }

    /// Starts all services.
    pub(super) fn up(&self) {
        said(self.compose().args(["up", "-d"]));
    }

    /// Stops a service as an operator would.
    pub(super) fn stop(&self, service: &str) {
        said(self.compose().args(["stop", service]));
    }

    /// Stops and removes everything.
    pub(super) fn down(&self) {
        said(self.compose().args(["down", "--volumes"]));
    }

    /// The ids of containers and networks that are left.
    pub(super) fn remains(&self) -> String {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let containers = docker(&["ps", "--all", "--quiet", "--filter", &label]);
        containers + &docker(&["network", "ls", "--quiet", "--filter", &label])
    }

    /// The id of a service's container, running or not.
    pub(super) fn container(&self, service: &str) -> String {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let service = format!("label=com.docker.compose.service={service}");
        docker(&["ps", "--all", "--quiet", "--filter", &project, "--filter", &service])
    }

    /// The HTTP interface of a service by now: its port is another one after each start.
    pub(super) fn interface(&self, service: &str) -> Result<Interface, String> {
        let container = self.container(service);
        let port = output(Command::new("docker").args(["port", &container, "7900/tcp"]))?;
        let address = port.lines().next().unwrap_or_default();
        let address = address.parse().map_err(|error| format!("{service}, {port:?}: {error}"))?;
        Ok(Interface { address, token: Some(self.settings["POGO_HTTP_TOKEN"].clone()) })
    }

    fn compose(&self) -> Command {
        let mut command = if output(Command::new("docker-compose").arg("version")).is_ok() {
            Command::new("docker-compose")
        } else {
            let mut command = Command::new("docker");
            command.arg("compose");
            command
        };
        command.args(["--project-name", &self.name]);
        command.arg("--file").arg(root().join("docker/docker-compose.yml"));
        command.arg("--file").arg(self.folder.path().join("labels.yml"));
        command.envs(&self.settings);
        // Any port that is free.
        command.envs((1..=3).map(|at| (format!("POGO_PORT_{at}"), "0")));
        command
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{}", output(self.compose().args(["logs", "--no-color"])).unwrap_or_default());
        }
        drop(output(self.compose().args(["down", "--volumes", "--timeout", "0"])));
    }
}

/// Runs docker, and returns what it says.
pub(super) fn docker(args: &[&str]) -> String {
    said(Command::new("docker").args(args))
}

/// Marks what the file of the project makes.
fn labels(started: u64) -> String {
    let label = format!("labels: {{ {LABEL}: \"{started}\" }}");
    let services =
        ["pogo-1", "pogo-2", "pogo-3"].map(|service| format!("  {service}: {{ {label} }}\n"));
    format!("services:\n{}networks:\n  pogo: {{ {label} }}\n", services.concat())
}

/// Removes what earlier tests left behind, and only that.
fn remove_old(now: u64) {
    let format = format!("{{{{.ID}}}} {{{{.Label \"{LABEL}\"}}}}");
    let filter = format!("label={LABEL}");
    for (list, remove) in
        [(["ps", "--all"], ["rm", "--force"]), (["network", "ls"], ["network", "rm"])]
    {
        let all = output(
            Command::new("docker").args(list).args(["--filter", &filter, "--format", &format]),
        );
        for line in all.unwrap_or_default().lines() {
            let Some((id, started)) = line.split_once(' ') else { continue };
            if started.parse::<u64>().is_ok_and(|started| started + OLD_SECONDS < now) {
                drop(output(Command::new("docker").args(remove).arg(id)));
            }
        }
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// What a program prints, without the last line end; an error holds what it complains of.
fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    } else {
        let args: Vec<_> = command.get_args().collect();
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(format!("{:?} {args:?}: {complaint}", command.get_program()))
    }
}

fn said(command: &mut Command) -> String {
    output(command).unwrap_or_else(|error| panic!("{error}"))
}
