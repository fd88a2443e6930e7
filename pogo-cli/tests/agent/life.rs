//! From the start of an agent to its end, and the runs in between.

use std::{fs, net::TcpListener, process::Stdio};

use serde_json::{Value, json};

use super::process::{Agent, pogo};

/// What an agent that does not start says, with its exit code.
fn refusal(args: &[&str]) -> (i32, String) {
    let output =
        pogo(&["agent"]).env("POGO_BACKEND", "memory://refused").args(args).output().unwrap();
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn sigterm_and_sigint_drain_and_end_well() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().unwrap();
        let spans = dir.path().join("spans");
        let spans_flag = spans.to_str().unwrap();
        let mut agent =
            Agent::start(&["--name", "a", "--backend", "memory://x", "--spans", spans_flag]);
        assert_eq!(agent.name, "a");
        agent.run_child("one", &json!({"kind": "idle", "args": null}));
        agent.signal(signal);
        assert_eq!(agent.end().code(), Some(0));
        let text = fs::read_to_string(spans).unwrap();
        let events: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let [begin, end] = &events[..] else { panic!("{text}") };
        assert_eq!((&begin["event"], &end["event"]), (&"begin".into(), &"end".into()));
        assert_eq!((&begin["child"], &begin["run"]), (&"one".into(), &end["run"]));
        assert!(begin["at_ns"].as_u64() < end["at_ns"].as_u64(), "{text}");
    }
}

#[test]
fn span_that_began_is_on_disk_when_the_agent_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let spans = dir.path().join("spans");
    let flags = ["--backend", "memory://x", "--spans", spans.to_str().unwrap()];
    let mut agent = Agent::start(&flags);
    agent.run_child("one", &json!({"kind": "idle", "args": null}));
    agent.kill();
    let text = fs::read_to_string(spans).unwrap();
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
    assert!(text.contains("\"begin\""), "{text}");
}

#[test]
fn agent_that_cannot_serve_says_why_and_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = refusal(&["--http", &address]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&address) && text.contains("in use"), "{text}");

    let (code, text) = refusal(&["--http", "0.0.0.0:0"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("POGO_HTTP_TOKEN") && text.contains("--http-token-file"), "{text}");

    let (code, text) = refusal(&["--http", "127.0.0.1:0", "--backend", "gosip://x"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("gosip") && text.contains("memory"), "{text}");

    let (code, text) = refusal(&["--http", "127.0.0.1:0", "--label", "disk"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("disk=ssd"), "{text}");

    let (code, text) = refusal(&["--http", "127.0.0.1:0", "--name", ""]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("member name is empty"), "{text}");
}

#[test]
fn agent_ends_well_with_whoever_started_it() {
    let mut command = pogo(&["agent", "--json", "--until-stdin-closes", "--http", "127.0.0.1:0"]);
    command.args(["--backend", "memory://x"]).stdin(Stdio::piped());
    let mut agent = Agent::spawn(&mut command);
    agent.run_child("one", &json!({"kind": "idle", "args": null}));
    let count = agent.get("/v1/count").json();
    assert_eq!((&count["children"], &count["running"]), (&1.into(), &1.into()));
    agent.close_stdin();
    assert_eq!(agent.end().code(), Some(0));
}

#[test]
fn operator_drains_an_agent_by_its_own_interface() {
    let mut agent = Agent::alone();
    agent.run_child("one", &json!({"kind": "idle", "args": null}));
    let answer = agent.ask("POST", "/v1/members/solo/drain?within=5s", None);
    assert_eq!((answer.status, &answer.json()["result"]), (200, &"drained".into()));
    assert_eq!(answer.json()["stopped"], json!(["one"]), "nobody else is there");
    assert_eq!(agent.end().code(), Some(0));
}

#[test]
fn nothing_is_logged_in_a_calm_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut command = pogo(&["agent", "--json", "--http", "127.0.0.1:0"]);
    command.args(["--backend", "memory://calm"]).env("POGO_LOG", "info");
    let mut agent = Agent::spawn(command.stderr(fs::File::create(&log).unwrap()));
    agent.run_child("one", &json!({"kind": "idle", "args": null}));
    agent.signal("TERM");
    assert!(agent.end().success());
    assert_eq!(fs::read_to_string(log).unwrap(), "");
}
