//! One question to an agent, and its answer.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::TcpStream, time::timeout};

use super::ClientError;
use crate::http::Token;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Above the time that an agent itself allows a request.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Where an agent serves, and what it wants to see.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    address: String,
    token: Option<Token>,
}

/// What an agent says where it refuses.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
    code: String,
}

impl Connection {
    /// To the agent at `address`, `host:port` or its URL.
    pub(crate) fn new(address: &str, token: Option<Token>) -> Self {
        let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
        Self { address: address.to_owned(), token }
    }

    /// Asks, and reads the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<T, ClientError> {
        self.ask_within(ANSWER_WITHIN, method, path, body).await.map(|(_, answer)| answer)
    }

    /// Asks, and reads the answer, which must be there in time.
    pub(crate) async fn ask_within<T: DeserializeOwned>(
        &self,
        within: Duration,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<(StatusCode, T), ClientError> {
        let (status, body) = self.exchange(within, method, path, body).await?;
        if !status.is_success() {
            return Err(self.refusal(status, &body));
        }
        self.read(&body).map(|answer| (status, answer))
    }

    /// Asks, and reads the answer whatever its status where it is an array: one item for each thing
    /// that was asked for.
    pub(crate) async fn ask_for_each<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Bytes,
    ) -> Result<Vec<T>, ClientError> {
        let (status, body) = self.exchange(ANSWER_WITHIN, Method::POST, path, Some(body)).await?;
        if !status.is_success() && !body.starts_with(b"[") {
            return Err(self.refusal(status, &body));
        }
        self.read(&body)
    }

    /// Asks for text.
    pub(crate) async fn text(&self, path: &str) -> Result<String, ClientError> {
        let (status, body) = self.exchange(ANSWER_WITHIN, Method::GET, path, None).await?;
        if !status.is_success() {
            return Err(self.refusal(status, &body));
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Asks for an answer that goes on.
    pub(crate) async fn open(&self, path: &str) -> Result<Incoming, ClientError> {
        let answer = timeout(ANSWER_WITHIN, self.send(Method::GET, path, None)).await;
        let answer = answer.map_err(|_elapsed| self.late(ANSWER_WITHIN))??;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let body = answer.into_body().collect().await.map_err(|error| self.broken(&error))?;
        Err(self.refusal(status, &body.to_bytes()))
    }

    async fn exchange(
        &self,
        within: Duration,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let exchange = async {
            let answer = self.send(method, path, body).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| self.broken(&error))?;
            Ok((status, body.to_bytes()))
        };
        timeout(within, exchange).await.map_err(|_elapsed| self.late(within))?
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = self.connect().await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        // It ends with the answer; what went wrong on it the answer tells.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.address)
            .header(USER_AGENT, "pogo")
            .header(ACCEPT, "*/*");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = self.token.as_ref().and_then(Token::to_header) {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|_error| ClientError::Address { address: self.address.clone() })?;
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }

    async fn connect(&self) -> Result<TcpStream, ClientError> {
        let unreachable = |source: io::Error| {
            if source.kind() == io::ErrorKind::InvalidInput {
                ClientError::Address { address: self.address.clone() }
            } else {
                ClientError::Unreachable { address: self.address.clone(), source }
            }
        };
        let stream = timeout(CONNECT_WITHIN, TcpStream::connect(&self.address)).await;
        let stream = stream.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(unreachable)?;
        // Only the time of an answer is at stake.
        drop(stream.set_nodelay(true));
        Ok(stream)
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body)
            .map_err(|error| ClientError::Strange { address: self.address.clone(), source: error })
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice(body) {
            Ok(Refusal { error, code }) => ClientError::Refused { error, code },
            Err(source) if status.is_success() => {
                ClientError::Strange { address: self.address.clone(), source }
            }
            Err(_) => {
                let error = format!("{} answers {status}: is it an agent?", self.address);
                ClientError::Refused { error, code: status.as_str().to_owned() }
            }
        }
    }

    fn late(&self, within: Duration) -> ClientError {
        let source = io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {within:?}"));
        ClientError::Broken { address: self.address.clone(), source }
    }

    fn broken(&self, error: &hyper::Error) -> ClientError {
        let source = io::Error::other(error.to_string());
        ClientError::Broken { address: self.address.clone(), source }
    }
}

/// `text` as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let encoded = text.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            // A dot as well: `.` and `..` are no segments that arrive.
            format!("%{byte:02X}")
        }
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_id_is_one_segment() {
        assert_eq!(segment("service_monitor/10.0.0.1"), "service_monitor%2F10%2E0%2E0%2E1");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("ü ?#%"), "%C3%BC%20%3F%23%25");
    }
}
