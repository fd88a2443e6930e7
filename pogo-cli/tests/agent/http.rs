//! The HTTP interface.

use serde_json::{Value, json};

use super::process::{Agent, pogo, wait_for};

#[test]
fn child_is_started_listed_explained_replaced_and_stopped() {
    let agent = Agent::alone();
    assert_eq!(agent.get("/readyz").status, 200);
    let members = agent.get("/v1/members").json();
    assert_eq!(members[0]["id"]["name"], "solo");
    assert_eq!((members[0]["is_me"].as_bool(), &members[1]), (Some(true), &Value::Null));

    let spec = json!({"id": "web/1", "kind": "idle", "args": {"n": 1}});
    let answer = agent.ask("POST", "/v1/children", Some(&json!([spec])));
    assert_eq!((answer.status, &answer.json()[0]["result"]), (200, &"accepted".into()));
    wait_for("the child runs", || {
        (agent.children() == [("web/1".into(), Some("solo".into()), "running".into())])
            .then_some(())
    });
    let again = agent.ask("POST", "/v1/children", Some(&json!([spec]))).json();
    assert_eq!(again[0]["result"], "already_present");
    assert_eq!(again[0]["child"]["member"], "solo");

    let explained = agent.get("/v1/children/web%2F1/explain").json();
    assert_eq!((&explained["owner"], &explained["order"]), (&"solo".into(), &json!(["solo"])));

    let other = json!({"kind": "idle", "args": {"n": 2}});
    let answer = agent.ask("PUT", "/v1/children/web%2F1", Some(&other));
    assert_eq!(answer.refusal(), (409, "conflict".to_owned()));
    assert_eq!(answer.json()["child"]["id"], "web/1");
    let answer = agent.ask("PUT", "/v1/children/web%2F1?replace=true", Some(&other));
    assert_eq!(answer.json()["result"], "accepted");
    assert_eq!(agent.ask("POST", "/v1/children/web%2F1/restart", None).status, 200);

    assert_eq!(agent.ask("DELETE", "/v1/children/web%2F1", None).status, 200);
    wait_for("the child is gone", || {
        (agent.get("/v1/children/web%2F1").status == 404).then_some(())
    });
    let answer = agent.ask("DELETE", "/v1/children/web%2F1", None);
    assert_eq!(answer.refusal(), (404, "not_found".to_owned()));
}

#[test]
fn each_spec_of_a_request_gets_its_own_answer() {
    let agent = Agent::alone();
    let spec = |id: &str, kind: &str, args: Value| json!({"id": id, "kind": kind, "args": args});
    let specs = json!([
        spec("good", "idle", Value::Null),
        spec("good", "idle", Value::Null),
        spec("", "idle", Value::Null),
        spec("a", "service_monitor", json!({"name": "a"})),
        spec("b", "idle", json!("x".repeat(70_000))),
        {"id": "c", "kind": "idle", "args": null, "colour": "red"},
        {"kind": "idle"},
        spec("later", "of_another_release", Value::Null),
    ]);
    let answer = agent.ask("POST", "/v1/children", Some(&specs));
    assert_eq!(answer.status, 207, "{answer:?}");
    let results = answer.json();
    let told: Vec<_> = results
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["code"].as_str().or_else(|| it["result"].as_str()).unwrap())
        .collect();
    let refused = ["duplicate", "bad_spec", "bad_args", "bad_spec", "bad_spec", "bad_spec"];
    assert_eq!(told[0], "accepted");
    assert_eq!(told[1..7], refused);
    assert_eq!(told[7], "accepted");
    assert!(results[5]["error"].as_str().unwrap().contains("colour"), "{results}");

    let pending = agent.get("/v1/children/later").json();
    let why = json!({"reason": "no-member-offers-kind", "kind": "of_another_release"});
    assert_eq!(pending["status"], json!({"state": "pending", "why": why}));

    let specs = json!([spec("x", "idle", Value::Null), spec("", "idle", Value::Null)]);
    let answer = agent.ask("POST", "/v1/children?all_or_nothing=true", Some(&specs));
    assert_eq!(answer.status, 409, "{answer:?}");
    assert_eq!(answer.json()[0]["code"], "refused_together");
    assert_eq!(agent.get("/v1/children/x").status, 404, "nothing was changed");
}

#[test]
fn id_is_one_percent_encoded_segment_whatever_is_in_it() {
    let agent = Agent::alone();
    for (id, path) in [
        ("a/b c?d#e%f", "a%2Fb%20c%3Fd%23e%25f"),
        ("..", "%2E%2E"),
        ("größe/日本", "gr%C3%B6%C3%9Fe%2F%E6%97%A5%E6%9C%AC"),
    ] {
        agent.run_child(path, &json!({"kind": "idle", "args": null}));
        assert_eq!(agent.get(&format!("/v1/children/{path}")).json()["id"], id);
    }
    assert_eq!(agent.get("/v1/children/a%00b").refusal().1, "bad_id");
    assert_eq!(agent.get("/v1/children/%ff").refusal().1, "bad_path");
    assert_eq!(agent.get(&format!("/v1/children/{}", "x".repeat(257))).refusal().1, "bad_id");
    assert_eq!(agent.get("/v1/children/a/b").refusal(), (404, "not_found".to_owned()));
}

#[test]
fn bad_requests_are_refused_with_a_reason() {
    let agent = Agent::alone();
    let cases = [
        ("GET", "/v1/children?listing=all", None, 400, "bad_query"),
        ("GET", "/v1/children?listng=local", None, 400, "bad_query"),
        ("GET", "/v1/nothing", None, 404, "not_found"),
        ("PATCH", "/v1/members", None, 405, "method_not_allowed"),
        ("POST", "/v1/children", Some(json!({"id": "a"})), 400, "bad_json"),
        ("PUT", "/v1/children/a", Some(json!({"id": "b", "kind": "idle"})), 400, "bad_spec"),
        ("PUT", "/v1/children/a", Some(json!({"kind": "idle"})), 400, "bad_spec"),
        (
            "PUT",
            "/v1/children/a?replace=existing",
            Some(json!({"kind": "idle", "args": 1})),
            404,
            "not_found",
        ),
        ("POST", "/v1/members/nobody/cordon", None, 404, "unknown_member"),
        ("POST", "/v1/members/solo/drain?within=soon", None, 400, "bad_query"),
        ("GET", "/v1/members/nobody/plan-leave", None, 404, "unknown_member"),
        ("POST", "/v1/children/a/restart", None, 404, "not_found"),
        ("GET", "/v1/children/a/explain", None, 404, "not_found"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = agent.ask(method, path, body.as_ref());
        assert_eq!(answer.refusal(), (status, code.to_owned()), "{method} {path}");
    }
    let host = &agent.address;
    let post = |head: &str, body: &str| {
        let length = body.len();
        agent.send(&format!(
            "POST /v1/children HTTP/1.1\r\nHost: {host}\r\n{head}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        ))
    };
    assert_eq!(post("Content-Type: text/plain", "[]").refusal(), (415, "not_json".to_owned()));
    assert_eq!(post("Content-Type: application/json", "[").refusal().1, "bad_json");
    assert_eq!(agent.children(), []);
}

#[test]
fn oversized_body_is_refused_and_the_agent_lives_on() {
    let agent = Agent::alone();
    let announced = format!(
        "POST /v1/children HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: 17000000\r\nConnection: close\r\n\r\n[",
        agent.address
    );
    assert_eq!(agent.send(&announced).refusal(), (413, "too_large".to_owned()));
    assert_eq!(agent.get("/healthz").status, 200);
}

#[test]
fn pages_of_other_sites_get_nothing_out_of_a_browser() {
    let agent = Agent::alone();
    let rebound = "GET /v1/members HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(agent.send(rebound).refusal(), (403, "bad_host".to_owned()));
    let forged = format!(
        "POST /v1/members/solo/drain HTTP/1.1\r\nHost: {}\r\nOrigin: http://evil.example\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n",
        agent.address
    );
    assert_eq!(agent.send(&forged).refusal(), (403, "bad_origin".to_owned()));
    assert_eq!(agent.get("/readyz").status, 200);
}

#[test]
fn off_loopback_a_token_is_wanted() {
    let mut command = pogo(&["agent", "--json", "--http", "0.0.0.0:0"]);
    let command = command.args(["--backend", "memory://x"]).env("POGO_HTTP_TOKEN", "s3cret");
    let mut agent = Agent::spawn(command);
    agent.address = agent.address.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(agent.get("/v1/members").refusal(), (401, "unauthorized".to_owned()));
    assert_eq!(agent.get("/readyz").status, 200);
    let with_token = |token: &str| {
        agent.send(&format!(
            "GET /v1/members HTTP/1.1\r\nHost: pogo.example\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\n\r\n"
        ))
    };
    assert_eq!(with_token("s3cret").status, 200);
    assert_eq!(with_token("s3cre").status, 401);
}

#[test]
fn events_begin_with_a_snapshot_and_end_with_the_agent() {
    let mut agent = Agent::alone();
    let mut events = agent.open("/v1/events");
    let first = events.next().unwrap();
    assert_eq!((&first["event"], &first["children"]), (&"snapshot".into(), &json!([])));
    agent.run_child("one", &json!({"kind": "idle", "args": null}));
    let runs = |event: &Value| event["id"] == "one" && event["status"]["state"] == "running";
    assert!(events.any(|event| event["event"] == "child" && runs(&event)));
    agent.signal("TERM");
    assert!(agent.end().success(), "an open stream does not hold the end");
    assert!(events.any(|event| event["event"] == "child-gone" || event["event"] == "run-exited"));
}

#[test]
fn metrics_follow_what_happens() {
    let agent = Agent::alone();
    agent.run_child("one", &json!({"kind": "idle", "args": null}));
    wait_for("the run is counted", || {
        let text = agent.get("/metrics").body;
        let counted = ["pogo_runs_started_total 1", "pogo_children{status=\"running\"} 1"];
        counted.iter().all(|line| text.lines().any(|it| it == *line)).then_some(())
    });
    assert!(agent.get("/").body.contains("/v1/children"));
}
