//! `pogo demo` as a process.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use serde_json::Value;

use crate::{
    agent::process::{pogo, wait_for},
    one_cluster,
};

/// All members in one process.
const MEMORY: &str = "memory://demo";

fn demo(args: &[&str]) -> Command {
    let mut command = pogo(&["demo"]);
    command.args(args);
    command
}

/// Runs a demo to its end; its standard output must be JSON lines and nothing else.
fn events(args: &[&str]) -> (Output, Vec<Value>) {
    let output = demo(args).arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    (output, text.lines().map(parse).collect())
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

fn refusal(args: &[&str]) -> String {
    let output = demo(args).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The failovers, each of them as it has to be.
fn failovers(events: &[Value]) -> Vec<&Value> {
    let killed = of_kind(events, "killed");
    let failovers = of_kind(events, "failover");
    assert!(!failovers.is_empty() && failovers.len() == killed.len(), "{events:?}");
    for (killed, failover) in killed.iter().zip(&failovers) {
        assert_eq!(killed["member"], failover["member"]);
        assert_eq!(killed["children"], failover["children"]);
        assert!(killed["children"].as_u64().unwrap() > 0, "{killed}");
        assert!(failover["detected_ms"].as_f64().unwrap() > 0.0, "{failover}");
        assert!(failover["all_running_ms"].as_f64().unwrap() > 0.0, "{failover}");
        assert_eq!((&failover["lost"], &failover["duplicates"]), (&0.into(), &0.into()));
    }
    failovers
}

/// A demo that kills members and keeps every promise.
fn survives(args: &[&str]) -> Vec<Value> {
    let args = [&["--nodes", "3", "--children", "60"][..], args].concat();
    let (output, events) = events(&args);
    assert!(output.status.success(), "{output:?}");

    let [ready] = of_kind(&events, "ready")[..] else { panic!("{events:?}") };
    assert_eq!(&events[0], ready, "it comes first");
    assert_eq!((&ready["nodes"], &ready["children"]), (&3.into(), &60.into()));
    assert!(ready["all_running_ms"].as_f64().unwrap() > 0.0, "{ready}");

    let failovers = failovers(&events).len();
    let summary = events.last().unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["kills"], failovers);
    assert_eq!((&summary["lost"], &summary["duplicates"]), (&0.into(), &0.into()));
    assert_eq!((&summary["children"], &summary["running"]), (&60.into(), &60.into()));
    assert_eq!(events.len(), 2 + 2 * failovers, "nothing else is told: {events:?}");
    events
}

#[test]
fn children_survive_the_loss_of_members_in_one_process() {
    survives(&["--backend", MEMORY, "--kill-every", "2s", "--for", "5s"]);
}

#[test]
fn children_survive_processes_that_are_killed() {
    let _alone = one_cluster();
    let events = survives(&["--kill-every", "3s", "--for", "8s"]);
    assert_eq!(events[0]["backend"], "gossip://127.0.0.1:0", "by default");
}

/// The processes that a demo says its members are.
#[cfg(unix)]
fn agents(lines: &mut Lines<BufReader<ChildStdout>>) -> Vec<String> {
    let mut agents = Vec::new();
    for line in lines {
        let line = line.unwrap();
        if let Some((_, rest)) = line.split_once(": process ") {
            agents.push(rest.split(',').next().unwrap().to_owned());
        }
        if line.contains("ready: ") {
            break;
        }
    }
    assert_eq!(agents.len(), 3);
    agents
}

#[cfg(unix)]
fn lives(process: &str) -> bool {
    let probe = Command::new("kill").args(["-0", process]).stderr(Stdio::null()).status();
    probe.unwrap().success()
}

#[cfg(unix)]
#[test]
fn no_agent_outlives_its_demo_however_that_ends() {
    let _alone = one_cluster();
    for signal in ["-INT", "-KILL"] {
        let mut demo = demo(&["--kill-every", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        let agents = agents(&mut lines);
        assert!(agents.iter().all(|agent| lives(agent)), "{agents:?}");
        let id = demo.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        // After -KILL it is the end of their standard input that ends the agents.
        lines.for_each(drop);
        assert_eq!(demo.wait().unwrap().success(), signal == "-INT");
        wait_for("the end of all agents", || {
            (!agents.iter().any(|agent| lives(agent))).then_some(())
        });
    }
}

#[test]
fn services_of_a_file_are_watched() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_address = closed.local_addr().unwrap();
    drop(closed);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services.toml");
    let text = format!(
        "[[service]]\nname = \"up\"\ntcp = \"{address}\"\ninterval = \"50ms\"\n\
         [[service]]\nname = \"down\"\nhttp = \"http://{closed_address}/\"\ninterval = \"50ms\"\n"
    );
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let (output, events) =
        events(&["--backend", MEMORY, "--services", file, "--kill-every", "0", "--for", "1s"]);
    assert!(output.status.success(), "{output:?}");
    let summary = events.last().unwrap();
    assert_eq!(summary["children"], 2, "one monitor for each service");
    let services: BTreeMap<_, _> = summary["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| (service["name"].as_str().unwrap(), service))
        .collect();
    let (up, down) = (services["up"], services["down"]);
    assert!(up["probes"].as_u64().unwrap() >= 2 && up["failures"] == 0, "{up}");
    assert!(up["last_latency_ms"].as_f64().is_some() && up["trouble"].is_null(), "{up}");
    assert_eq!(down["trouble"], "refused");
    assert!(down["consecutive_failures"].as_u64().unwrap() >= 2, "{down}");
}

#[test]
fn pipe_gets_plain_lines() {
    let output =
        demo(&["--backend", MEMORY, "--kill-every", "0", "--for", "100ms"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("ready: 5 children of 5 services on 3 members"), "{text}");
    assert!(text.contains("5 of 5 children running on 3 members"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn lost_reader_ends_the_demo() {
    let mut running =
        demo(&["--backend", MEMORY, "--kill-every", "2s"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(running.stdout.take());
    assert!(!running.wait().unwrap().success());
}

#[cfg(unix)]
struct Running {
    demo: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

#[cfg(unix)]
impl Running {
    /// Starts a demo and waits until its children run.
    fn start(args: &[&str]) -> Self {
        let mut demo = demo(args)
            .args(["--backend", MEMORY, "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        let mut running = Self { demo, lines };
        assert_eq!(running.next()["event"], "ready");
        running
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// Sends a signal and returns the last line.
    fn end_by(mut self, signal: &str) -> Value {
        let id = self.demo.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let last = self.lines.last().unwrap().unwrap();
        assert_eq!(self.demo.wait().unwrap().code(), Some(0));
        serde_json::from_str(&last).unwrap()
    }
}

#[cfg(unix)]
#[test]
fn interrupt_ends_a_demo_with_its_summary() {
    for signal in ["-INT", "-TERM"] {
        let summary = Running::start(&["--children", "20"]).end_by(signal);
        assert_eq!(summary["event"], "summary");
        assert_eq!((&summary["running"], &summary["lost"]), (&20.into(), &0.into()));
    }
}

#[cfg(unix)]
#[test]
fn interrupt_amid_a_failover_ends_a_demo_with_its_summary() {
    let mut running = Running::start(&["--children", "20", "--kill-every", "2s"]);
    assert_eq!(running.next()["event"], "killed");
    let summary = running.end_by("-INT");
    assert_eq!(summary["event"], "summary");
    assert_eq!((&summary["running"], &summary["duplicates"]), (&20.into(), &0.into()));
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for (args, words) in [
        (&["--kill-every", "4 parsecs"][..], "invalid value '4 parsecs' for '--kill-every <D>'"),
        (&["--for", "soon"], "invalid value 'soon' for '--for <D>'"),
        (&["--nodes", "0"], "0 is not in 1..=100"),
        (&["--children", "0"], "invalid value '0' for '--children <N>'"),
        (&["--kill-every", "1999ms"], "must be 0, or 2s at least"),
        (&["--nodes", "1"], "use --kill-every 0, or --nodes 2 or more"),
        (&["--backend", "gossip://127.0.0.1:7946"], "port 0"),
        (&["--colour"], "unexpected argument '--colour'"),
    ] {
        let said = refusal(args);
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn backend_that_is_not_there_is_refused_with_those_that_are() {
    let said = refusal(&["--backend", "carrier-pigeon://loft"]);
    assert!(said.contains("\"carrier-pigeon\"") && said.contains("memory"), "{said}");
    let said = refusal(&["--backend", "memory://demo?colour=blue"]);
    assert!(said.contains("\"colour\"") && said.contains("name"), "{said}");
    let said = refusal(&["--backend", "memory"]);
    assert!(said.contains("not a backend URL"), "{said}");
}

#[test]
fn services_file_that_cannot_be_used_is_refused_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services.toml");
    let path = file.to_str().unwrap();
    fs::write(&file, "[[service]]\nname = \"a\"\ntcp = \"a:1\"\nintervall = \"5s\"\n").unwrap();
    let said = refusal(&["--services", path]);
    assert!(said.contains(&format!("{path}:4:1: unknown field `intervall`")), "{said}");
    let said = refusal(&["--services", "no/such/file.toml"]);
    assert!(said.contains("no/such/file.toml: "), "{said}");
}

#[test]
fn help_names_every_flag() {
    let output = demo(&["--help"]).output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in
        ["--nodes", "--backend", "--services", "--children", "--kill-every", "--for", "--json"]
    {
        assert!(help.contains(flag), "{flag}: {help}");
    }
}
