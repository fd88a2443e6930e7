//! Agents as processes, and plain HTTP to them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// What everything here waits for at most.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

/// `pogo` with `args`, without what the surroundings may set.
pub(crate) fn pogo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pogo"));
    for variable in ["POGO_NAME", "POGO_BACKEND", "POGO_HTTP", "POGO_HTTP_TOKEN", "POGO_LOG"] {
        command.env_remove(variable);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// An agent that runs; it is killed when this is dropped.
pub(crate) struct Agent {
    process: Child,
    pub(crate) name: String,
    pub(crate) address: String,
    backend: String,
}

impl Agent {
    /// Starts an agent and waits until it takes part.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(pogo(&["agent", "--json", "--http", "127.0.0.1:0"]).args(args))
    }

    /// An agent that is its own cluster.
    pub(crate) fn alone() -> Self {
        Self::start(&["--name", "solo", "--backend", "memory://alone"])
    }

    /// Runs `command`, which is that of an agent.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        assert_eq!(ready["event"], "ready");
        let text = |field: &str| ready[field].as_str().unwrap().to_owned();
        Self { name: text("name"), address: text("http"), backend: text("backend"), process }
    }

    /// Where it listens for other agents.
    pub(crate) fn gossip_address(&self) -> &str {
        let rest = self.backend.strip_prefix("gossip://").unwrap();
        rest.split('?').next().unwrap()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, signal: &str) {
        let kill =
            Command::new("kill").args(["-s", signal, &self.process.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        drop(self.process.stdin.take());
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        wait_for("the end of the agent", || self.process.try_wait().unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        self.send(&(head + &body))
    }

    /// Sends `request` as it is.
    pub(crate) fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, body: body.to_owned() }
    }

    /// The server-sent events of a path.
    pub(crate) fn open(&self, path: &str) -> impl Iterator<Item = Value> + use<> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).unwrap();
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
    }

    /// Starts a child with the rest of its spec, and waits until it runs.
    pub(crate) fn run_child(&self, id: &str, spec: &Value) {
        let path = format!("/v1/children/{id}");
        let answer = self.ask("PUT", &path, Some(spec));
        assert_eq!(answer.status, 200, "{answer:?}");
        wait_for(&format!("{id} runs"), || {
            (self.get(&path).json()["status"]["state"] == "running").then_some(())
        });
    }

    /// Its children as it sees them, by id: member and state.
    pub(crate) fn children(&self) -> Vec<(String, Option<String>, String)> {
        let children = self.get("/v1/children").json();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let child = |child: &Value| {
            let state = text(&child["status"]["state"]).unwrap();
            (text(&child["id"]).unwrap(), text(&child["member"]), state)
        };
        children.as_array().unwrap().iter().map(child).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// An answer by HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Status and code of a refusal, which must say in words what is wrong.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let body = self.json();
        assert!(!body["error"].as_str().unwrap().is_empty(), "{body}");
        (self.status, body["code"].as_str().unwrap().to_owned())
    }
}

/// Looks until something is there.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < WITHIN, "waited {WITHIN:?} in vain: {what}");
        std::thread::yield_now();
    }
}
