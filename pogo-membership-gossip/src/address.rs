//! Addresses as people write them: `host`, `host:port`, `[::1]:port`.

use std::{fmt, str::FromStr};

/// The port where none is given.
pub(crate) const DEFAULT_PORT: u16 = 7946;

/// A host by name or address, and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostPort {
    /// Its name or its address, an IPv6 one without brackets.
    pub(crate) host: String,
    /// The port, where one is given.
    pub(crate) port: Option<u16>,
}

impl HostPort {
    /// The port, or [`DEFAULT_PORT`].
    pub(crate) const fn port(&self) -> u16 {
        match self.port {
            Some(port) => port,
            None => DEFAULT_PORT,
        }
    }
}

/// A text that is no host with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not `HOST`, `HOST:PORT` or `[IPV6]:PORT`")]
pub struct NoHostPort;

impl FromStr for HostPort {
    type Err = NoHostPort;

    fn from_str(text: &str) -> Result<Self, NoHostPort> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(NoHostPort)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_error| NoHostPort)?;
                let port = match port.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if port.is_empty() => None,
                    None => return Err(NoHostPort),
                };
                (host, port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if host.is_empty() || host.len() > 255 || !host.chars().all(is_host) {
            return Err(NoHostPort);
        }
        // `parse` would take a sign.
        let number = |port: &str| {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            if digits { port.parse().ok() } else { None }
        };
        let port = port.map(|port| number(port).ok_or(NoHostPort)).transpose()?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port();
        if self.host.contains(':') {
            write!(f, "[{}]:{port}", self.host)
        } else {
            write!(f, "{}:{port}", self.host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_and_without_a_port() {
        for (text, host, port, shown) in [
            ("seed", "seed", None, "seed:7946"),
            ("seed.example:1", "seed.example", Some(1), "seed.example:1"),
            ("10.0.0.1:65535", "10.0.0.1", Some(65535), "10.0.0.1:65535"),
            ("[::1]:0", "::1", Some(0), "[::1]:0"),
            ("[::1]", "::1", None, "[::1]:7946"),
        ] {
            let read: HostPort = text.parse().unwrap();
            assert_eq!(read, HostPort { host: host.to_owned(), port }, "{text}");
            assert_eq!(read.to_string(), shown);
        }
    }

    #[test]
    fn what_names_no_host_is_refused() {
        for text in [
            "", ":1", "a:", "a:b", "a:65536", "a:+1", "::1", "[::1", "[a]:1", "[::1]1", "a b",
            "a/b",
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(NoHostPort), "{text:?}");
        }
    }
}
