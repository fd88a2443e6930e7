//! Asking an agent over HTTP, as any program could: nothing of the client under test is used here.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

/// Long beside what an answer takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The HTTP interface of an agent.
#[derive(Debug, Clone)]
pub(crate) struct Interface {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
}

impl Interface {
    /// The names of the members that it sees.
    pub(crate) fn members(&self) -> io::Result<BTreeSet<String>> {
        let members = self.ask("GET", "/v1/members", &Value::Null)?;
        Ok(each(&members).map(|member| text(&member["id"]["name"])).collect())
    }

    /// Where children run, by their ids; an error names one that is not ready anywhere.
    pub(crate) fn places(&self) -> io::Result<BTreeMap<String, String>> {
        let children = self.ask("GET", "/v1/children", &Value::Null)?;
        if let Some(other) = each(&children).find(|child| child["status"]["state"] != "running") {
            return Err(io::Error::other(format!("not running: {other}")));
        }
        Ok(each(&children).map(|child| (text(&child["id"]), text(&child["member"]))).collect())
    }

    /// Asks for children that do nothing, and were never asked for before.
    pub(crate) fn start<'a>(&self, ids: impl IntoIterator<Item = &'a String>) {
        let spec = |id| json!({ "id": id, "kind": "idle", "args": null });
        let specs: Value = ids.into_iter().map(spec).collect();
        let outcomes = self.ask("POST", "/v1/children", &specs).expect("a start");
        assert!(each(&outcomes).all(|it| it["result"] == "accepted"), "{outcomes}");
    }

    /// Sends a request; an answer that is no success is an error that says what it was.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> io::Result<Value> {
        let answer = self.exchange(method, path, &body.to_string())?;
        let refused = || io::Error::other(format!("{method} {path}: {answer}"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(refused)?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(refused());
        }
        serde_json::from_str(body).map_err(|error| io::Error::other(format!("{error}: {answer}")))
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let token = self.token.as_ref();
        let token = token.map(|it| format!("Authorization: Bearer {it}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{token}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().expect("a list").iter()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
