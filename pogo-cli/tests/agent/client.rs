//! The commands that ask an agent.

use std::{fs, net::TcpListener, process::Output};

use serde_json::{Value, json};

use super::process::{Agent, pogo};

fn run(agent: &Agent, args: &[&str]) -> Output {
    pogo(args).env("POGO_HTTP", &agent.address).output().unwrap()
}

/// What a command prints that does what it is told.
fn done(agent: &Agent, args: &[&str]) -> String {
    let output = run(agent, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn done_json(agent: &Agent, args: &[&str]) -> Value {
    let text = done(agent, &[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Exit code and words of a command that does not.
fn refused(agent: &Agent, args: &[&str]) -> (i32, String) {
    let output = run(agent, args);
    assert!(!output.status.success(), "{args:?}: {output:?}");
    let (out, said) = (output.stdout, output.stderr);
    let said = String::from_utf8([out, said].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

#[test]
fn child_is_started_looked_up_and_stopped_by_commands() {
    let agent = Agent::alone();
    let text = done(&agent, &["start", "a/1", "--kind", "idle", "--label", "t=x", "--wait", "20s"]);
    assert!(text.starts_with("ID") && text.contains("a/1  idle  solo    running"), "{text}");
    assert_eq!(done_json(&agent, &["lookup", "a/1"])["labels"], json!({"t": "x"}));
    assert_eq!(done_json(&agent, &["children", "--local"]).as_array().unwrap().len(), 1);
    assert_eq!(done_json(&agent, &["explain", "a/1"])["owner"], "solo");
    assert!(done(&agent, &["explain", "a/1"]).contains("1. solo"));
    assert!(done(&agent, &["members"]).contains("solo (asked)  active"));
    assert!(done(&agent, &["restart", "a/1"]).contains("a/1"));
    let plan = done_json(&agent, &["plan", "solo"]);
    assert_eq!(plan["unplaceable"], json!(["a/1"]));
    done(&agent, &["replace", "a/1", "--kind", "idle", "--args", "[1]"]);
    done(&agent, &["stop", "a/1", "--wait", "20s"]);
    assert_eq!(done_json(&agent, &["children"]), json!([]));
    let (code, said) = refused(&agent, &["lookup", "a/1"]);
    assert_eq!((code, said.contains("not present")), (1, true), "{said}");
}

#[test]
fn specs_of_a_file_are_started_together() {
    let agent = Agent::alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("specs.json");
    let file = path.to_str().unwrap();
    let spec = |id: &str| json!({"id": id, "kind": "idle", "args": null});
    fs::write(&path, json!([spec("a"), spec("b")]).to_string()).unwrap();
    let text = done(&agent, &["start", "--file", file, "--wait", "20s"]);
    assert_eq!(text.lines().filter(|line| line.contains("running")).count(), 2, "{text}");

    fs::write(&path, json!([spec("c"), spec("")]).to_string()).unwrap();
    let (code, said) = refused(&agent, &["start", "--file", file, "--all-or-nothing"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("c was refused") && said.contains("child id is empty"), "{said}");
    fs::write(&path, "{}").unwrap();
    let (code, said) = refused(&agent, &["start", "--file", file]);
    assert_eq!((code, said.contains("array of specs")), (2, true), "{said}");
}

#[test]
fn refusals_say_what_to_do() {
    let agent = Agent::alone();
    done(&agent, &["start", "a", "--kind", "idle"]);
    let again = ["start", "a", "--kind", "idle", "--args", "1"];
    let (code, said) = refused(&agent, &again);
    assert_eq!((code, said.contains("another spec")), (1, true), "{said}");
    let (code, said) = refused(&agent, &["start", "b", "--kind", "idle", "--args", "{"]);
    assert_eq!((code, said.contains("--args")), (2, true), "{said}");
    assert_eq!(refused(&agent, &["start", "b"]).0, 2);
    assert_eq!(refused(&agent, &["stop", ""]).0, 2);
    let (code, said) = refused(&agent, &["start", "b", "--kind", "new", "--wait", "1ms"]);
    assert_eq!((code, said.contains("no live member offers kind")), (1, true), "{said}");
    let (code, said) = refused(&agent, &["cordon", "nobody"]);
    assert_eq!((code, said.contains("nobody")), (1, true), "{said}");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, said) = refused(&agent, &["members", "--http", &closed]);
    assert_eq!(code, 1);
    assert!(said.contains(&closed) && said.contains("is it running"), "{said}");
    let (code, said) = refused(&agent, &["members", "--http", "nowhere"]);
    assert_eq!((code, said.contains("127.0.0.1:7900")), (2, true), "{said}");
}

#[test]
fn cordoned_member_takes_no_child_and_drained_one_leaves() {
    let mut agent = Agent::alone();
    assert!(done(&agent, &["cordon", "solo"]).contains("cordoned"));
    done(&agent, &["start", "a", "--kind", "idle"]);
    let explained = done(&agent, &["explain", "a"]);
    assert!(explained.contains("solo is cordoned"), "{explained}");
    done(&agent, &["uncordon", "solo"]);
    done(&agent, &["start", "a", "--kind", "idle", "--wait", "20s"]);
    let drained = done_json(&agent, &["drain", "solo", "--within", "5s"]);
    assert_eq!(drained["stopped"], json!(["a"]));
    assert!(agent.end().success());
}

#[test]
fn token_is_sent_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, "s3cret-token\n").unwrap();
    let file = file.to_str().unwrap();
    let agent = Agent::start(&["--backend", "memory://x", "--http-token-file", file]);
    let (code, said) = refused(&agent, &["members"]);
    assert_eq!((code, said.contains("token is needed")), (1, true), "{said}");
    done(&agent, &["members", "--http-token-file", file]);
    let output = pogo(&["children", "--http", &agent.address])
        .env("POGO_HTTP_TOKEN", "wrong-token")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!format!("{output:?}").contains("wrong-token"), "{output:?}");
}

#[test]
fn every_command_explains_itself() {
    let help = pogo(&["--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(!help.contains("become-program"), "{help}");
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let named = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let named: Vec<_> = named.filter(|name| !name.is_empty() && *name != "help").collect();
    assert!(named.len() >= 14, "{named:?}");
    for name in named {
        let output = pogo(&[name, "--help"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("Usage: pogo"), "{name}: {text}");
        assert!(name == "keygen" || text.contains("--json"), "{name}: {text}");
        assert_eq!(pogo(&[name, "--no-such-flag"]).output().unwrap().status.code(), Some(2));
    }
}
