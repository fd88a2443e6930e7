//! The settings file.

use std::{fs, path::PathBuf};

use super::process::{Agent, pogo};

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pogo.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

#[test]
fn flags_beat_the_environment_and_that_beats_the_file() {
    let (_dir, path) = file(
        "[membership]\nbackend = \"memory://file\"\n[agent]\nname = \"file\"\n\
         http = \"127.0.0.1:0\"\nlabels = { disk = \"ssd\", zone = \"a\" }\nweight = 7\n",
    );
    let path = path.to_str().unwrap();
    let agent =
        Agent::spawn(pogo(&["agent", "--json", "--config", path]).args(["--label", "zone=b"]));
    assert_eq!(agent.name, "file");
    let member = &agent.get("/v1/members").json()[0];
    assert_eq!(member["weight"], 7);
    assert_eq!(member["labels"], serde_json::json!({"disk": "ssd", "zone": "b"}));
    assert_eq!(member["kinds"], serde_json::json!(["idle", "service_monitor"]));

    let mut command = pogo(&["agent", "--json", "--config", path, "--weight", "2"]);
    let agent = Agent::spawn(command.env("POGO_NAME", "environment"));
    assert_eq!(agent.name, "environment");
    assert_eq!(agent.get("/v1/members").json()[0]["weight"], 2);

    let mut command = pogo(&["agent", "--json", "--config", path, "--name", "flag"]);
    assert_eq!(Agent::spawn(command.env("POGO_NAME", "environment")).name, "flag");
}

#[test]
fn file_that_cannot_be_used_is_refused_at_its_place() {
    for (text, words) in [
        ("[agent]\nnmae = \"a\"\n", &["pogo.toml:2:1", "`nmae`", "`name`"][..]),
        ("[agnet]\n", &["pogo.toml:1:2", "`agnet`", "`agent`"]),
        ("[agent]\nweight = 70000\n", &["pogo.toml:2:10", "u16"]),
        ("[command]\nallow = [\"env\"]\n", &["pogo.toml:2:9", "no absolute path", "/usr/bin/env"]),
        ("[agent\n", &["pogo.toml:1:"]),
    ] {
        let (_dir, path) = file(text);
        let output = pogo(&["agent", "--config", path.to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for word in words {
            assert!(said.contains(word), "{word:?} in {said:?}");
        }
    }
    let output = pogo(&["agent", "--config", "no/such.toml"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no/such.toml: "), "{said}");
}
