//! The HTTP interface.

use serde_json::{Value, json};

use super::process::{Agent, wait_for};

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
