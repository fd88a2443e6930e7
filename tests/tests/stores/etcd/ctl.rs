//! What an operator does with etcdctl.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::EtcdServer;

/// May read and write what Pogo does, and nothing else.
pub(crate) const USER: &str = "pogo";
/// Is a user without rights.
pub(crate) const STRANGER: &str = "stranger";
/// The password of both.
pub(crate) const PASSWORD: &str = "correct-horse";
const ROOT_PASSWORD: &str = "battery-staple";

/// Whether the operator has to log in.
#[derive(Debug, Default)]
pub(super) struct Login(AtomicBool);

impl EtcdServer {
    /// Runs etcdctl beside the server.
    pub(super) async fn etcdctl(&self, words: &[&str]) -> Result<String, String> {
        let port = self.machine.binds().client;
        let port = port.rsplit_once(':').map_or("", |(_, port)| port);
        let mut all = vec!["etcdctl".to_owned()];
        all.push(format!("--endpoints={}://127.0.0.1:{port}", self.scheme()));
        if self.settings.tls.is_some() {
            let flags = [("cacert", "ca.crt"), ("cert", "operator.crt"), ("key", "operator.key")];
            all.extend(flags.map(|(flag, file)| format!("--{flag}={}", self.machine.path(file))));
        }
        if self.login.0.load(Ordering::Relaxed) {
            all.push(format!("--user=root:{ROOT_PASSWORD}"));
        }
        all.extend(words.iter().map(|&word| word.to_owned()));
        self.machine.run(&all).await
    }

    async fn does(&self, words: &[&str]) -> String {
        self.etcdctl(words).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn json(&self, words: &[&str]) -> Value {
        let said = self.does(&[words, &["--write-out=json"]].concat()).await;
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    pub(crate) async fn put(&self, key: &str, value: &str) {
        self.does(&["put", key, value]).await;
    }

    pub(crate) async fn get(&self, key: &str) -> String {
        self.does(&["get", "--print-value-only", key]).await
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.does(&["del", key]).await;
    }

    /// The keys that begin with `prefix`.
    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let keys = self.does(&["get", "--prefix", "--keys-only", prefix]).await;
        keys.lines().filter(|key| !key.is_empty()).map(str::to_owned).collect()
    }

    pub(crate) async fn revision(&self) -> u64 {
        let answer = self.json(&["get", "no-such-key"]).await;
        answer["header"]["revision"].as_u64().expect("a revision")
    }

    /// Forgets what was before the newest revision.
    pub(crate) async fn compact(&self) {
        self.does(&["compact", &self.revision().await.to_string()]).await;
    }

    /// How many bytes of keys and values there are under `prefix`, of those whose key `counts`.
    pub(crate) async fn stored_bytes(&self, prefix: &str, counts: impl Fn(&str) -> bool) -> u64 {
        let answer = self.json(&["get", "--prefix", prefix]).await;
        let entries = answer["kvs"].as_array().map_or(&[][..], Vec::as_slice);
        let length = |entry: &Value, part: &str| decoded(entry[part].as_str().unwrap_or_default());
        let sizes = entries.iter().map(|entry| (length(entry, "key"), length(entry, "value")));
        let sizes = sizes.filter(|(key, _)| counts(&String::from_utf8_lossy(key)));
        sizes.map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    /// From now on only users get in: the operator, [`USER`], and [`STRANGER`].
    pub(crate) async fn enable_login(&self) {
        for words in [
            ["user", "add", &format!("root:{ROOT_PASSWORD}")].as_slice(),
            &["user", "grant-role", "root", "root"],
            &["role", "add", USER],
            &["role", "grant-permission", USER, "--prefix=true", "readwrite", "/pogo/"],
            &["user", "add", &format!("{USER}:{PASSWORD}")],
            &["user", "grant-role", USER, USER],
            &["user", "add", &format!("{STRANGER}:{PASSWORD}")],
            &["auth", "enable"],
        ] {
            self.does(words).await;
        }
        self.login.0.store(true, Ordering::Relaxed);
    }

    /// Takes the rights of [`USER`] away, or gives them back.
    pub(crate) async fn set_rights(&self, granted: bool) {
        let verb = if granted { "grant-role" } else { "revoke-role" };
        self.does(&["user", verb, USER, USER]).await;
    }
}

/// The bytes of base64.
fn decoded(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.bytes().filter_map(digit).map(u32::from).collect();
    let whole = |group: &[u32]| {
        let bits = (0..4).fold(0, |bits, at| bits << 6 | group.get(at).copied().unwrap_or(0));
        let [_, bytes @ ..] = bits.to_be_bytes();
        bytes.into_iter().take(group.len() - 1).collect::<Vec<_>>()
    };
    digits.chunks(4).flat_map(whole).collect()
}
