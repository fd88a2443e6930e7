//! A connection to one server of the cluster.
//!
//! The client can spread requests over several servers by itself, but then one request may overtake
//! another and a dead server goes on getting its share. So each connection is to one server, and a
//! broken one is replaced by one to the next.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions, GetOptions, GetResponse, KvClient, ResponseHeader};
use pogo_core::membership::MembershipError;
use tokio::time::timeout;

use crate::{
    config::EtcdConfig,
    error::{Intent, Meaning, unavailable},
};

/// A page of a snapshot may be large: records have up to a mebibyte.
const LARGEST_ANSWER: usize = 512 * 1024 * 1024;
/// Pings on a connection without traffic, and how long each may take.
const PING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(2));

/// A client of one server, which has answered.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) kv: KvClient,
    /// Which of the endpoints it leads to.
    pub(crate) index: usize,
    user: Option<String>,
    patience: Duration,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("index", &self.index)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to the first server, from the `from`th on, that answers a read of `key`.
    pub(crate) async fn open(
        config: &EtcdConfig,
        from: usize,
        key: &str,
    ) -> Result<(Self, GetResponse), MembershipError> {
        let count = config.endpoints.len();
        let mut failed = None;
        let endpoints = config.endpoints.iter().enumerate().cycle().skip(from % count);
        for (index, endpoint) in endpoints.take(count) {
            match Self::open_one(config, index, endpoint, key).await {
                Ok(opened) => return Ok(opened),
                // What one server knows of users the others know, too.
                Err(error @ MembershipError::Denied { .. }) => return Err(error),
                Err(error) => {
                    tracing::debug!(endpoint, %error, "no connection");
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| unavailable("no endpoint")))
    }

    async fn open_one(
        config: &EtcdConfig,
        index: usize,
        endpoint: &str,
        key: &str,
    ) -> Result<(Self, GetResponse), MembershipError> {
        let patience = config.patience();
        let mut options = ConnectOptions::new()
            .with_connect_timeout(patience)
            .with_keep_alive(PING.0, PING.1)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some((user, password)) = &config.credentials {
            options = options.with_user(user, password);
        }
        let mut scheme = "http";
        if let Some(tls) = &config.tls {
            options = options.with_tls(tls.options());
            scheme = "https";
        }
        let user = config.credentials.as_ref().map(|(user, _)| user.clone());
        let url = format!("{scheme}://{endpoint}");
        let at = |error: MembershipError| {
            if let MembershipError::Unavailable { reason, .. } = error {
                return unavailable(format!("{endpoint}: {reason}"));
            }
            error
        };
        let opening = async {
            let client = Client::connect([url], Some(options)).await?;
            let kv = client.kv_client().max_decoding_message_size(LARGEST_ANSWER);
            // Nothing is connected before the first request; a linearizable read needs a leader.
            let answer = kv.clone().get(key, None).await?;
            Ok((client, kv, answer))
        };
        // Logging in and reading.
        match timeout(patience * 2, opening).await {
            Ok(Ok((client, kv, answer))) => {
                Ok((Self { client, kv, index, user, patience }, answer))
            }
            Ok(Err(error)) => {
                Err(at(Meaning::of(&error, user.as_deref()).into_error(Intent::Read, 0)))
            }
            Err(_late) => Err(at(unavailable(format!("no answer within {:?}", patience * 2)))),
        }
    }

    pub(crate) fn meaning(&self, error: &etcd_client::Error) -> Meaning {
        Meaning::of(error, self.user.as_deref())
    }

    /// Waits for an answer no longer than a request may take.
    pub(crate) async fn answer<T>(
        &self,
        request: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Meaning> {
        match timeout(self.patience, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.meaning(&error)),
            Err(_late) => Err(Meaning::Broken(format!("no answer within {:?}", self.patience))),
        }
    }

    /// Reads keys as the servers agree on them.
    pub(crate) async fn get(
        &self,
        key: impl Into<Vec<u8>>,
        options: Option<GetOptions>,
    ) -> Result<GetResponse, Meaning> {
        let mut kv = self.kv.clone();
        self.answer(kv.get(key, options)).await
    }
}

/// The revision that an answer tells of.
pub(crate) fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, ResponseHeader::revision)
}
