//! Settings.

use std::{fmt, time::Duration};

use etcd_client::{Certificate, Identity, TlsOptions};

/// The port where none is given.
const PORT: u16 = 2379;
/// A lease that others notice the end of soon enough, and that a slow renewal does not end.
const TTL: Duration = Duration::from_secs(5);
/// etcd grants none that are shorter.
const LEAST_TTL: Duration = Duration::from_secs(2);
/// Longer than this, and a crash goes unnoticed for too long for any use of Pogo.
const LONGEST_TTL: Duration = Duration::from_secs(600);

/// Settings of [`EtcdMembership`](crate::EtcdMembership). `Debug` shows no secret.
#[derive(Clone)]
pub struct EtcdConfig {
    pub(crate) endpoints: Vec<String>,
    pub(crate) ttl: Duration,
    pub(crate) credentials: Option<(String, String)>,
    pub(crate) tls: Option<Tls>,
    pub(crate) is_new_store: bool,
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdConfigError {
    /// There is no endpoint.
    #[error("no endpoint is given: name at least one, as in `etcd://10.0.0.1:2379`")]
    NoEndpoint,
    /// An endpoint is not an address.
    #[error("endpoint {endpoint:?} is not HOST or HOST:PORT")]
    Endpoint {
        /// As it was given.
        endpoint: String,
    },
    /// The lease time cannot be.
    #[error("a lease of {ttl:?} cannot be: give whole seconds from 2s to 600s")]
    Ttl {
        /// As it was given.
        ttl: Duration,
    },
}

impl EtcdConfig {
    /// Servers of one etcd cluster, as `HOST` or `HOST:PORT` (2379 where there is none); a member
    /// talks to one of them and goes to the next where that fails.
    ///
    /// # Errors
    /// [`EtcdConfigError`].
    pub fn new<E: AsRef<str>>(
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<Self, EtcdConfigError> {
        let endpoints: Vec<String> =
            endpoints.into_iter().map(|it| endpoint(it.as_ref())).collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(EtcdConfigError::NoEndpoint);
        }
        Ok(Self { endpoints, ttl: TTL, credentials: None, tls: None, is_new_store: false })
    }

    /// The servers, as `HOST:PORT`.
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// How long a member's lease lasts from its last renewal; 5 s unless set. Renewed each quarter.
    ///
    /// # Errors
    /// [`EtcdConfigError::Ttl`] for what etcd does not grant.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self, EtcdConfigError> {
        let is_whole = ttl.subsec_nanos() == 0;
        let secs = ttl.as_secs();
        if !is_whole || secs < LEAST_TTL.as_secs() || secs > LONGEST_TTL.as_secs() {
            return Err(EtcdConfigError::Ttl { ttl });
        }
        self.ttl = ttl;
        Ok(self)
    }

    /// The user to log in as, where the server asks for one.
    #[must_use]
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self
    }

    /// Encrypts, and checks the server's certificate.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The store is new to the cluster: where it has no epoch and nobody knows one, tokens begin
    /// with epoch 1 (R18). Without this, strict children wait in such a store for `pogo epoch`.
    ///
    /// For the first start only: if the store is wiped later, a fresh process with this that comes
    /// first grants tokens below those handed out before, while others may still run what they held.
    #[must_use]
    pub const fn new_store(mut self) -> Self {
        self.is_new_store = true;
        self
    }

    /// How long a request may take; then its connection counts as broken.
    pub(crate) fn patience(&self) -> Duration {
        (self.ttl / 2).min(Duration::from_secs(2))
    }
}

impl fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdConfig")
            .field("endpoints", &self.endpoints)
            .field("ttl", &self.ttl)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("tls", &self.tls)
            .field("is_new_store", &self.is_new_store)
            .finish()
    }
}

/// How to encrypt. `Debug` shows no key.
#[derive(Clone, Default)]
pub struct Tls {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    domain: Option<String>,
}

impl Tls {
    /// The server's certificate must be signed by a CA that is named here.
    pub fn new() -> Self {
        Self::default()
    }

    /// The CA of the server's certificate, in PEM.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// What this member shows a server that asks for a certificate (mutual TLS), in PEM.
    #[must_use]
    pub fn identity_pem(mut self, cert: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((cert.into(), key.into()));
        self
    }

    /// The name that the server's certificate must have, where that is not the endpoint's host.
    #[must_use]
    pub fn domain(mut self, name: impl Into<String>) -> Self {
        self.domain = Some(name.into());
        self
    }

    pub(crate) fn options(&self) -> TlsOptions {
        let mut options = TlsOptions::new();
        if let Some(ca) = &self.ca {
            options = options.ca_certificate(Certificate::from_pem(ca));
        }
        if let Some((cert, key)) = &self.identity {
            options = options.identity(Identity::from_pem(cert, key));
        }
        match &self.domain {
            Some(domain) => options.domain_name(domain),
            None => options,
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .field("domain", &self.domain)
            .finish()
    }
}

/// `HOST` or `HOST:PORT` with its port.
fn endpoint(text: &str) -> Result<String, EtcdConfigError> {
    let error = || EtcdConfigError::Endpoint { endpoint: text.to_owned() };
    let is_host = |host: &str| {
        let is_literal = host.starts_with('[') && host.ends_with(']');
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let inner = |c: char| c.is_ascii_hexdigit() || ":.".contains(c);
        match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            Some(address) => !address.is_empty() && address.chars().all(inner),
            None => !host.is_empty() && !is_literal && host.chars().all(plain),
        }
    };
    let after_literal = text.rfind(']').map_or(0, |at| at + 1);
    let colon = text.get(after_literal..).and_then(|rest| rest.find(':'));
    let (host, port) = match colon.map(|at| text.split_at(after_literal + at)) {
        Some((host, port)) => {
            let port = port.strip_prefix(':').and_then(|it| it.parse().ok());
            (host, port.ok_or_else(error)?)
        }
        None => (text, PORT),
    };
    if is_host(host) { Ok(format!("{host}:{port}")) } else { Err(error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_gets_its_port_or_is_refused() {
        for (text, wanted) in [
            ("10.0.0.1", "10.0.0.1:2379"),
            ("etcd-0.etcd:4001", "etcd-0.etcd:4001"),
            ("[::1]", "[::1]:2379"),
            ("[::1]:99", "[::1]:99"),
        ] {
            assert_eq!(endpoint(text).as_deref(), Ok(wanted));
        }
        for text in ["", ":2379", "a:b", "http://a", "a/b", "user@host", "::1", "a:99999", "[]:1"] {
            assert!(endpoint(text).is_err(), "{text}");
        }
        let none: [&str; 0] = [];
        assert_eq!(EtcdConfig::new(none).unwrap_err(), EtcdConfigError::NoEndpoint);
    }

    #[test]
    fn lease_that_etcd_does_not_grant_is_refused() {
        let config = || EtcdConfig::new(["a"]).unwrap();
        for millis in [0, 1_000, 2_500, 601_000] {
            assert!(config().ttl(Duration::from_millis(millis)).is_err(), "{millis}");
        }
        assert!(config().ttl(Duration::from_secs(2)).is_ok());
    }

    #[test]
    fn debug_shows_no_secret() {
        let tls = Tls::new().ca_pem("secret-ca").identity_pem("cert", "secret-key");
        let config = EtcdConfig::new(["a"]).unwrap().credentials("ann", "secret").tls(tls);
        let text = format!("{config:?}");
        assert!(text.contains("ann") && !text.contains("secret") && !text.contains("115, 101"));
    }
}
