//! `pogo bench` over etcd: agents as real processes, killed with -9, and a ledger of who ran what.
//!
//! Nothing here is about speed.

use serde_json::Value;
use tokio::process::Command;

use crate::{
    bed::{output, program},
    etcd::EtcdServer,
};

const CHILDREN: u64 = 2_000;

/// A trial in which no child was lost or ran twice.
async fn trial(server: &EtcdServer, scenario: &str, children: u64) -> Value {
    let url = format!("etcd://{}/bench?new=yes", server.endpoint());
    let children = children.to_string();
    let mut command = Command::new(program("pogo"));
    command.args(["bench", "--json", "--trials", "1", "--for", "3s", "--backend", &url]);
    command.args(["--scenario", scenario, "--children", &children]);
    let printed = output(command).await.unwrap_or_else(|error| panic!("{error}"));
    let trial: Value = serde_json::from_str(&printed).expect("an object");
    assert_eq!((&trial["lost"], &trial["duplicates"]), (&0.into(), &0.into()), "{trial}");
    trial
}

fn figure(trial: &Value, name: &str) -> f64 {
    trial[name].as_f64().unwrap_or_else(|| panic!("{name} in {trial}"))
}

#[tokio::test]
async fn no_child_is_lost_or_doubled_over_etcd_whoever_joins_or_is_killed() {
    let server = EtcdServer::start().await;
    let start = trial(&server, "start", CHILDREN).await;
    assert!(
        figure(&start, "all_visible_ms") > 0.0,
        "a cluster of its own, empty at first: {start}"
    );
    let join = trial(&server, "join", CHILDREN).await;
    assert!(join["moved"] == join["moved_minimum"] && figure(&join, "moved") > 400.0, "{join}");
    for scenario in ["failover", "acknowledged"] {
        let killed = trial(&server, scenario, CHILDREN).await;
        assert!(figure(&killed, "all_running_ms") > 0.0, "{killed}");
    }
}

#[tokio::test]
async fn idle_agents_are_measured_by_their_servers() {
    let server = EtcdServer::start().await;
    let idle = trial(&server, "idle", 0).await;
    for name in ["messages_per_s_per_node", "bytes_per_s_per_node", "received_bytes_per_s_per_node"]
    {
        assert!(figure(&idle, name) > 0.0, "{idle}");
    }
}
