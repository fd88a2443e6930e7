//! One look at a service: a real connect, and for HTTP a real request.
//!
//! Every probe opens its own connection, because a connection that is kept says nothing of
//! whether the service still takes new ones. What is found is data: a probe has no error.

use std::{io, time::Duration};

use http_body_util::Empty;
use hyper::{
    Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1,
    header::{HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::service::{Service, Target};

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// From the start of the probe to its answer.
    pub latency: Duration,
    /// Whether the answer was the expected one.
    pub outcome: Result<(), Trouble>,
}

/// What was wrong with a service when it was probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Trouble {
    /// Nothing listens there.
    #[error("refused")]
    Refused,
    /// No answer came in time.
    #[error("no answer in time")]
    TimedOut,
    /// The answer had another status than the expected one.
    #[error("status {0}")]
    Status(u16),
    /// The connection could not be made, or broke before an answer came.
    #[error("{0}")]
    Broken(String),
}

/// Probes `service` once, for no longer than its time-out.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn probe(service: &Service) -> Probe {
    let begun = Instant::now();
    let outcome = match timeout(service.probe_timeout(), look(service.target())).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Trouble::TimedOut),
    };
    Probe { latency: begun.elapsed(), outcome }
}

async fn look(target: &Target) -> Result<(), Trouble> {
    match target {
        Target::Tcp(address) => TcpStream::connect(address).await.map(drop).map_err(trouble),
        Target::Http { url, expect_status } => {
            let status = get(url).await?;
            let is_good = expect_status.map_or(status.is_success(), |expected| status == expected);
            if is_good { Ok(()) } else { Err(Trouble::Status(status.as_u16())) }
        }
    }
}

async fn get(url: &Uri) -> Result<StatusCode, Trouble> {
    let host = url.host().unwrap_or_default();
    let authority = url.authority().map_or(host, |authority| authority.as_str());
    let address = if url.port().is_some() { authority.to_owned() } else { format!("{host}:80") };
    let stream = TcpStream::connect(address).await.map_err(trouble)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority)
        .header(USER_AGENT, "pogo")
        .body(Empty::<Bytes>::new())
        .map_err(broken)?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let answer = tokio::select! {
        answer = &mut answer => answer,
        // A connection that ended may have delivered the answer in its last breath.
        _ = connection => answer.await,
    };
    answer.map(|answer| answer.status()).map_err(broken)
}

fn trouble(error: io::Error) -> Trouble {
    if error.kind() == io::ErrorKind::ConnectionRefused { Trouble::Refused } else { broken(error) }
}

/// The innermost cause says what happened; what stands around it names only the library's step.
fn broken(error: impl std::error::Error + 'static) -> Trouble {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Trouble::Broken(cause.to_string())
}
