//! What a fleet asks of its agents over HTTP.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use pogo::{ChildSpec, MemberView};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::TcpStream, time::timeout};

/// An agent's HTTP interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    address: SocketAddr,
}

/// An agent that did not answer as it should.
#[derive(Debug, thiserror::Error)]
#[error("the agent at {address}: {method} {path}: {reason}")]
pub struct ClientError {
    address: SocketAddr,
    method: Method,
    path: String,
    reason: String,
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

const ANSWER_WITHIN: Duration = Duration::from_secs(60);

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
        self.get("/v1/members").await
    }

    /// Asks for children in one request; an error where one of them is refused.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn start_children(&self, specs: &[ChildSpec]) -> Result<(), ClientError> {
        const PATH: &str = "/v1/children?all_or_nothing=true";
        let fail = |reason: String| self.error(&Method::POST, PATH, &reason);
        let body = serde_json::to_vec(specs).map_err(|error| fail(error.to_string()))?;
        self.ask(Method::POST, PATH, body.into()).await?;
        Ok(())
    }

    /// How many children the agent lists.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn count(&self) -> Result<Count, ClientError> {
        self.get("/v1/count").await
    }

    /// The agent's figures, in Prometheus' text format.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let body = self.ask(Method::GET, "/metrics", Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let body = self.ask(Method::GET, path, Bytes::new()).await?;
        serde_json::from_slice(&body).map_err(|error| self.error(&Method::GET, path, &error))
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        match timeout(ANSWER_WITHIN, self.exchange(method.clone(), path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.error(&method, path, &"no answer within 60 s")),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, ClientError> {
        let fail = |error: &dyn std::fmt::Display| self.error(&method, path, error);
        let stream = TcpStream::connect(self.address).await.map_err(|error| fail(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| fail(&error))?;
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| fail(&error))?;
        let answer = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            Ok::<_, hyper::Error>((status, answer.into_body().collect().await?.to_bytes()))
        };
        let mut answer = std::pin::pin!(answer);
        let answer = tokio::select! {
            answer = &mut answer => answer,
            // A connection that ended may have delivered the answer in its last breath.
            _ = connection => answer.await,
        };
        let (status, body) = answer.map_err(|error| fail(&error))?;
        if status == StatusCode::OK {
            Ok(body)
        } else {
            Err(fail(&format!("{status}: {}", String::from_utf8_lossy(&body))))
        }
    }

    fn error(
        &self,
        method: &Method,
        path: &str,
        reason: &(impl std::fmt::Display + ?Sized),
    ) -> ClientError {
        ClientError {
            address: self.address,
            method: method.clone(),
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
