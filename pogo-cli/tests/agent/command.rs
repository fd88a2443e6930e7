//! The kind `command`: processes of programs that the member allows.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::process::{Agent, pogo, wait_for};

/// An agent that allows the shell.
fn agent(dir: &Path) -> Agent {
    let config = dir.join("pogo.toml");
    fs::write(&config, "[command]\nallow = [\"/bin/sh\"]\n").unwrap();
    let mut command = pogo(&["agent", "--json", "--http", "127.0.0.1:0", "--name", "solo"]);
    command.args(["--backend", "memory://x", "--config"]).arg(config);
    Agent::spawn(command.env("POGO_LOG", "warn"))
}

fn shell(script: &str) -> Value {
    json!({"program": "/bin/sh", "args": ["-c", script]})
}

/// Whether the process whose id is in `file` lives.
fn lives(file: &Path) -> Option<bool> {
    let id: u32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // One that nobody has reaped yet is dead as well.
    Some(!stat.is_empty() && !stat.contains(") Z "))
}

#[test]
fn program_runs_with_its_arguments_and_ends_with_its_child() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path());
    let (own, helper) = (dir.path().join("own"), dir.path().join("helper"));
    let script = "echo $$ > $OWN; sh -c 'echo $$ > $HELPER; read x < /dev/zero' & wait";
    let mut args = shell(script);
    args["env"] = json!({"OWN": own, "HELPER": helper});
    agent.run_child("p", &json!({"kind": "command", "args": args}));
    for file in [&own, &helper] {
        wait_for("the process lives", || lives(file).filter(|lives| *lives));
    }
    assert_eq!(agent.ask("DELETE", "/v1/children/p", None).status, 200);
    for file in [&own, &helper] {
        wait_for("the process is gone", || lives(file).filter(|lives| !*lives));
    }
}

#[test]
fn program_that_ignores_sigterm_is_killed_after_its_grace() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path());
    let own = dir.path().join("own");
    let mut args = shell("trap '' TERM; echo $$ > $OWN; read x < /dev/zero");
    args["env"] = json!({"OWN": own});
    let grace = json!({"grace": {"secs": 0, "nanos": 200_000_000}});
    agent.run_child("p", &json!({"kind": "command", "args": args, "shutdown": grace}));
    wait_for("the process lives", || lives(&own).filter(|lives| *lives));
    agent.ask("DELETE", "/v1/children/p", None);
    wait_for("the process is gone", || lives(&own).filter(|lives| !*lives));
    wait_for("the child is gone", || (agent.get("/v1/children/p").status == 404).then_some(()));
}

#[cfg(target_os = "linux")]
#[test]
fn program_ends_with_an_agent_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = agent(dir.path());
    let own = dir.path().join("own");
    let mut args = shell("echo $$ > $OWN; read x < /dev/zero");
    args["env"] = json!({"OWN": own});
    agent.run_child("p", &json!({"kind": "command", "args": args}));
    wait_for("the process lives", || lives(&own).filter(|lives| *lives));
    agent.kill();
    wait_for("the process is gone", || lives(&own).filter(|lives| !*lives));
}

#[test]
fn exit_status_is_the_exit_of_the_child() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path());
    let start = |id: &str, restart: &str, script: &str| {
        let spec = json!({"kind": "command", "args": shell(script), "restart": restart});
        assert_eq!(agent.ask("PUT", &format!("/v1/children/{id}"), Some(&spec)).status, 200);
    };
    start("well", "transient", "exit 0");
    wait_for("a good end is final", || {
        (agent.get("/v1/children/well").status == 404).then_some(())
    });
    start("ill", "transient", "exit 3");
    let last = wait_for("a failure is told", || {
        let status = agent.get("/v1/children/ill").json()["status"].clone();
        status["last"].as_str().map(str::to_owned)
    });
    assert!(last.contains("exit status: 3"), "{last}");
}

#[test]
fn settings_of_the_agent_are_not_passed_on() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path());
    let out = dir.path().join("out");
    let mut args = shell("env > $OUT.part; mv $OUT.part $OUT; read x < /dev/zero");
    args["env"] = json!({"OUT": out});
    agent.run_child("p", &json!({"kind": "command", "args": args}));
    let text = wait_for("its environment", || fs::read_to_string(&out).ok());
    assert!(!text.contains("POGO_"), "{text}");
    assert!(text.contains("PATH="), "{text}");
}

#[test]
fn program_that_the_member_does_not_allow_never_runs() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path());
    let made = dir.path().join("made");
    let args = json!({"program": "/usr/bin/touch", "args": [made]});
    let spec = json!({"kind": "command", "args": args});
    assert_eq!(agent.ask("PUT", "/v1/children/p", Some(&spec)).status, 200);
    let last = wait_for("the refusal is told", || {
        let status = agent.get("/v1/children/p").json()["status"].clone();
        status["last"].as_str().map(str::to_owned)
    });
    assert!(last.contains("/usr/bin/touch") && last.contains("[command]"), "{last}");
    assert!(!made.exists());
    let spec = json!({"kind": "command", "args": {"program": "touch"}});
    assert_eq!(agent.ask("PUT", "/v1/children/q", Some(&spec)).refusal().1, "bad_args");
}
