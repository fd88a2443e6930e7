//! Who may ask: whoever has the token, where there is one; on loopback whoever is on this machine,
//! but not the pages of other sites that its browsers show.
//!
//! A page can make a browser send requests to loopback. Where it does so under its own name the
//! `Origin` gives it away; where it has made its name point here (DNS rebinding) the `Host` does.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE},
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{error::ApiError, token::Token};

/// What requests are measured by.
#[derive(Debug)]
pub(super) struct Guard {
    address: SocketAddr,
    token: Option<Token>,
}

impl Guard {
    pub(super) const fn new(address: SocketAddr, token: Option<Token>) -> Self {
        Self { address, token }
    }

    fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if self.address.ip().is_loopback() && !is_here(host) {
            let error =
                format!("{host:?} is not this machine: ask http://{} instead", self.address);
            return Err(ApiError::new(StatusCode::FORBIDDEN, "bad_host", error));
        }
        if let Some(origin) = headers.get(ORIGIN)
            && origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")) != Some(host)
        {
            let error = "pages of other sites may not ask here";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "bad_origin", error));
        }
        // Whoever keeps the process running has no token, and learns nothing else.
        let is_open = matches!(path, "/healthz" | "/readyz");
        match &self.token {
            Some(token) if !is_open && !token.is_in(headers.get(AUTHORIZATION)) => {
                let error = "a token is needed: send `Authorization: Bearer TOKEN`";
                Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", error))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a `Host` names loopback, whatever the port: it may be forwarded.
fn is_here(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') {
        return false;
    }
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Lets a request in, or says why not.
pub(super) async fn admit(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.check(request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let wants_token = error.status == StatusCode::UNAUTHORIZED;
            let mut response = error.into_response();
            if wants_token {
                let scheme = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            }
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(
        guard: &Guard,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Option<&'static str> {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        guard.check(path, &headers.collect()).err().map(|error| error.code)
    }

    #[test]
    fn on_loopback_only_names_of_loopback_are_answered() {
        let guard = Guard::new("127.0.0.1:7900".parse().unwrap(), None);
        for host in ["127.0.0.1:7900", "localhost:7900", "LOCALHOST", "[::1]:7900", "127.0.0.1:80"]
        {
            assert_eq!(refusal(&guard, "/", &[("host", host)]), None, "{host}");
        }
        for host in
            ["evil.example:7900", "10.0.0.1:7900", "", "localhost.evil.example", "a@localhost"]
        {
            assert_eq!(refusal(&guard, "/", &[("host", host)]), Some("bad_host"), "{host}");
        }
        assert_eq!(refusal(&guard, "/", &[]), Some("bad_host"));
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let guard = Guard::new("127.0.0.1:7900".parse().unwrap(), None);
        let ask = |origin| {
            let headers = [("host", "localhost:7900"), ("origin", origin)];
            refusal(&guard, "/v1/members/a/drain", &headers)
        };
        assert_eq!(ask("http://localhost:7900"), None);
        for origin in
            ["http://evil.example", "null", "https://localhost:7900", "http://localhost:80"]
        {
            assert_eq!(ask(origin), Some("bad_origin"), "{origin}");
        }
    }

    #[test]
    fn token_is_wanted_for_all_but_probes() {
        let token = Token::new("s3cret".to_owned()).unwrap();
        let guard = Guard::new("0.0.0.0:7900".parse().unwrap(), Some(token));
        let host = ("host", "pogo.example");
        let good = ("authorization", "Bearer s3cret");
        assert_eq!(refusal(&guard, "/v1/children", &[host, good]), None);
        for wrong in ["Bearer s3cre", "Bearer s3cretx", "Basic s3cret", "s3cret", "Bearer ", ""] {
            let headers = [host, ("authorization", wrong)];
            assert_eq!(refusal(&guard, "/v1/children", &headers), Some("unauthorized"), "{wrong}");
        }
        for path in ["/", "/metrics", "/v1/events"] {
            assert_eq!(refusal(&guard, path, &[host]), Some("unauthorized"), "{path}");
        }
        for path in ["/healthz", "/readyz"] {
            assert_eq!(refusal(&guard, path, &[host]), None, "{path}");
        }
    }
}
