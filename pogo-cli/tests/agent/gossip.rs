//! Several agents that form a cluster by gossip on loopback.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::process::{Agent, pogo, wait_for};

/// An agent that joins those that run, or begins a cluster.
fn join(name: &str, others: &[&Agent], key: Option<&Path>) -> Agent {
    let mut url = "gossip://127.0.0.1:0?preset=local".to_owned();
    let seeds: Vec<_> = others.iter().map(|agent| agent.gossip_address()).collect();
    if !seeds.is_empty() {
        url.push_str("&seeds=");
        url.push_str(&seeds.join(","));
    }
    if let Some(key) = key {
        url.push_str("&key=");
        url.push_str(key.to_str().unwrap());
    }
    Agent::start(&["--name", name, "--backend", &url])
}

fn three() -> [Agent; 3] {
    let a = join("a", &[], None);
    let b = join("b", &[&a], None);
    let c = join("c", &[&a], None);
    for agent in [&a, &b, &c] {
        wait_for("all see each other", || (members(agent) == ["a", "b", "c"]).then_some(()));
    }
    [a, b, c]
}

fn members(agent: &Agent) -> Vec<String> {
    let members = agent.get("/v1/members").json();
    let name = |member: &Value| member["id"]["name"].as_str().unwrap().to_owned();
    members.as_array().unwrap().iter().map(name).collect()
}

/// Starts `count` children through an agent.
fn start(agent: &Agent, count: usize) {
    let spec = |n| json!({"id": format!("child/{n:03}"), "kind": "idle", "args": null});
    let specs: Value = (0..count).map(spec).collect();
    assert_eq!(agent.ask("POST", "/v1/children", Some(&specs)).status, 200);
}

/// Waits until `agent` sees `count` children that run on members named here; who runs each.
fn placed(agent: &Agent, count: usize, on: &[&str]) -> Vec<(String, String)> {
    wait_for(&format!("{count} children run on {on:?}"), || {
        let children = agent.children();
        let placed = children.into_iter().filter(|(_, _, state)| state == "running");
        let placed: Vec<_> = placed.filter_map(|(id, member, _)| Some((id, member?))).collect();
        let here = placed.iter().filter(|(_, member)| on.contains(&member.as_str())).count();
        (here == count).then_some(placed)
    })
}

#[test]
fn any_agent_starts_lists_explains_and_stops_for_all() {
    let [a, b, c] = three();
    start(&a, 60);
    let seen = placed(&b, 60, &["a", "b", "c"]);
    assert_eq!(placed(&a, 60, &["a", "b", "c"]), seen, "all agree on who runs what");
    for name in ["a", "b", "c"] {
        assert!(seen.iter().any(|(_, member)| member == name), "{name} has its share: {seen:?}");
    }
    let (id, member) = &seen[7];
    let path = format!("/v1/children/{}", id.replace('/', "%2F"));
    assert_eq!(c.get(&format!("{path}/explain")).json()["owner"], member.as_str());
    assert_eq!(c.ask("DELETE", &path, None).status, 200);
    for agent in [&a, &b, &c] {
        wait_for("it is gone", || (agent.get(&path).status == 404).then_some(()));
    }
    assert_eq!(placed(&b, 59, &["a", "b", "c"]).len(), 59);
}

#[test]
fn drained_agent_gives_its_children_away_and_leaves() {
    let [a, mut b, c] = three();
    start(&c, 60);
    let before = placed(&a, 60, &["a", "b", "c"]);
    let plan = a.get("/v1/members/b/plan-leave").json();
    let output = pogo(&["drain", "b", "--wait", "20s", "--http", &a.address]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(b.end().code(), Some(0));
    let after = placed(&c, 60, &["a", "c"]);
    for ((id, was), (same, is)) in before.iter().zip(&after) {
        assert_eq!(id, same);
        let planned = json!([id, is]);
        let moved = plan["moves"].as_array().unwrap().contains(&planned);
        assert!(was == is || (was == "b" && moved), "{id} went from {was} to {is}: {plan}");
    }
}

#[test]
fn children_of_a_killed_agent_run_on_the_others() {
    let [a, mut b, c] = three();
    start(&b, 60);
    placed(&a, 60, &["a", "b", "c"]);
    b.kill();
    for agent in [&a, &c] {
        assert_eq!(placed(agent, 60, &["a", "c"]).len(), 60, "none is lost and none is left on b");
        assert_eq!(members(agent), ["a", "c"]);
    }
}

#[test]
fn name_of_a_live_member_is_refused() {
    let a = join("a", &[], None);
    let url = format!("gossip://127.0.0.1:0?preset=local&seeds={}", a.gossip_address());
    let args = ["agent", "--name", "a", "--http", "127.0.0.1:0", "--backend", &url];
    let output = pogo(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("a live member is called \"a\""), "{said}");
    assert_eq!(members(&a), ["a"]);
}

#[test]
fn key_of_keygen_joins_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("pogo.key");
    let keygen = || pogo(&["keygen", "--out", key.to_str().unwrap()]).output().unwrap();
    assert!(keygen().status.success());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let text = fs::read_to_string(&key).unwrap();
    let again = keygen();
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"), "{again:?}");
    assert_eq!(fs::read_to_string(&key).unwrap(), text);
    let printed = pogo(&["keygen"]).output().unwrap().stdout;
    assert!(printed.len() == text.len() && printed != text.as_bytes(), "each key is new");

    let a = join("a", &[], Some(&key));
    let b = join("b", &[&a], Some(&key));
    wait_for("both see each other", || (members(&b) == ["a", "b"]).then_some(()));
}
