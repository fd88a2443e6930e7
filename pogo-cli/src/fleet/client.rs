//! What a fleet asks of its agents over HTTP.

use std::net::SocketAddr;

use hyper::Method;
use pogo::{ChildSpec, MemberView};
use serde::Deserialize;

use crate::client::{ClientError, Connection};

/// An agent's HTTP interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    address: SocketAddr,
}

/// How many children an agent lists.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Count {
    /// All of them.
    pub children: usize,
    /// Those that run.
    pub running: usize,
    /// How long it took the agent to list them, in milliseconds.
    pub list_ms: f64,
    /// When it had listed them, on the machine's monotonic clock.
    pub at_ns: u64,
}

/// What became of one spec.
#[derive(Debug, Deserialize)]
struct Outcome {
    error: Option<String>,
    code: Option<String>,
}

impl Client {
    /// A client of the agent that serves at `address`.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Where the agent serves.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The members as the agent sees them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn members(&self) -> Result<Vec<MemberView>, ClientError> {
        self.connection().ask(Method::GET, "/v1/members", None).await
    }

    /// Asks for children in one request, all or none.
    ///
    /// # Errors
    /// [`ClientError`], also where they are refused.
    pub async fn start_children(&self, specs: &[ChildSpec]) -> Result<(), ClientError> {
        let body = serde_json::to_vec(specs).map_err(std::io::Error::from)?;
        let path = "/v1/children?all_or_nothing=true";
        let outcomes: Vec<Outcome> = self.connection().ask_for_each(path, body.into()).await?;
        match outcomes.into_iter().find_map(|it| it.error.zip(it.code)) {
            Some((error, code)) => Err(ClientError::Refused { error, code }),
            None => Ok(()),
        }
    }

    /// How many children the agent lists.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn count(&self) -> Result<Count, ClientError> {
        self.connection().ask(Method::GET, "/v1/count", None).await
    }

    /// The agent's figures, in Prometheus' text format.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        self.connection().text("/metrics").await
    }

    fn connection(self) -> Connection {
        Connection::new(&self.address.to_string(), None)
    }
}
