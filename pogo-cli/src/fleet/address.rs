//! Addresses of agents on this machine: free ports, and each agent's backend URL.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// A backend URL from which the agents' own are made. `Debug` shows nothing that may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    url: String,
    gossip: Option<Gossip>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Gossip {
    host: IpAddr,
    query: String,
}

/// A URL from which no agents' URLs can be made. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// Processes share no memory.
    #[error(
        "memory:// members are all in one process: name a backend between processes, as in gossip://127.0.0.1:0"
    )]
    Memory,
    /// The ports are not free to choose.
    #[error(
        "the agents' ports are filled in, and there is one for each: write an address of this machine and port 0, as in gossip://127.0.0.1:0"
    )]
    Port,
    /// A parameter is given that differs from agent to agent.
    #[error("{0:?} differs from agent to agent and is filled in: leave it out")]
    FilledIn(&'static str),
}

/// Where an agent listens for the others, where the backend needs that; kept free until it starts.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) address: Option<SocketAddr>,
    /// Nobody else takes the port while these are open.
    reserved: Option<(UdpSocket, TcpListener)>,
}

impl Template {
    /// Takes a backend's URL; for gossip its port is 0, and there are no seeds.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn new(url: &str) -> Result<Self, TemplateError> {
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        let (bind, query) = rest.split_once('?').unwrap_or((rest, ""));
        for parameter in ["name", "seeds", "advertise", "data"] {
            let is_given = |pair: &str| pair.split('=').next() == Some(parameter);
            if query.split('&').any(is_given) {
                return Err(TemplateError::FilledIn(parameter));
            }
        }
        let gossip = match scheme {
            "memory" => return Err(TemplateError::Memory),
            "gossip" => {
                let bind: SocketAddr = bind.parse().map_err(|_not_one| TemplateError::Port)?;
                if bind.port() != 0 || bind.ip().is_unspecified() {
                    return Err(TemplateError::Port);
                }
                Some(Gossip { host: bind.ip(), query: query.to_owned() })
            }
            _ => None,
        };
        Ok(Self { url: url.to_owned(), gossip })
    }

    /// What comes before `://`.
    pub fn scheme(&self) -> &str {
        self.url.split("://").next().unwrap_or_default()
    }

    /// The same for a cluster apart from others of the same template: a store keeps what earlier ones
    /// wrote, so there `suffix` is added to the cluster's name. Over gossip agents know nobody but each
    /// other anyway.
    #[must_use]
    pub fn apart(&self, suffix: &str) -> Self {
        if self.gossip.is_some() {
            return self.clone();
        }
        let (place, query) = match self.url.split_once('?') {
            Some((place, query)) => (place, format!("?{query}")),
            None => (self.url.as_str(), String::new()),
        };
        let (scheme, place) = place.split_once("://").unwrap_or((place, ""));
        let (hosts, cluster) = place.split_once('/').unwrap_or((place, ""));
        let cluster = if cluster.is_empty() { "pogo" } else { cluster };
        Self { url: format!("{scheme}://{hosts}/{cluster}-{suffix}{query}"), gossip: None }
    }

    /// A place for one more agent.
    pub(super) fn reserve(&self) -> io::Result<Place> {
        match &self.gossip {
            Some(gossip) => {
                let (address, sockets) = free_port(gossip.host)?;
                Ok(Place { address: Some(address), reserved: Some(sockets) })
            }
            None => Ok(Place { address: None, reserved: None }),
        }
    }

    /// The URL of the agent at `place`, among `others`.
    pub(super) fn url(&self, place: &Place, others: &[SocketAddr]) -> String {
        let (Some(gossip), Some(address)) = (&self.gossip, place.address) else {
            return self.url.clone();
        };
        let seeds = others.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let parameters = [("seeds=", seeds.as_str()), ("", gossip.query.as_str())];
        let given = parameters.iter().filter(|(_, value)| !value.is_empty());
        let query: Vec<_> = given.map(|(name, value)| format!("{name}{value}")).collect();
        if query.is_empty() {
            format!("gossip://{address}")
        } else {
            format!("gossip://{address}?{}", query.join("&"))
        }
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Template").field(&self.scheme()).finish()
    }
}

impl Place {
    /// Lets the port go, for the agent to take.
    pub(super) fn release(&mut self) {
        self.reserved = None;
    }
}

/// Below the ports that systems give to outgoing connections: a peer that dials a dead one's port
/// again and again would else come to be connected to itself.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// A port that is free for datagrams and streams alike.
fn free_port(host: IpAddr) -> io::Result<(SocketAddr, (UdpSocket, TcpListener))> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    // Programs that run side by side begin at different ports.
    let first = process::id().wrapping_mul(97);
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..count {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + first.wrapping_add(step) % count;
        let address = SocketAddr::new(host, u16::try_from(port).unwrap_or_default());
        match UdpSocket::bind(address).and_then(|udp| Ok((udp, TcpListener::bind(address)?))) {
            Ok(sockets) => return Ok((address, sockets)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gossip_url_gets_a_port_and_seeds() {
        let template = Template::new("gossip://127.0.0.1:0?key=k.key").unwrap();
        let others = ["127.0.0.1:7001", "127.0.0.1:7002"].map(|address| address.parse().unwrap());
        let place = template.reserve().unwrap();
        let address = place.address.unwrap();
        assert_eq!(
            template.url(&place, &others),
            format!("gossip://{address}?seeds=127.0.0.1:7001,127.0.0.1:7002&key=k.key")
        );
        assert_eq!(template.url(&place, &[]), format!("gossip://{address}?key=k.key"));
        let template = Template::new("gossip://127.0.0.1:0").unwrap();
        assert_eq!(template.url(&place, &[]), format!("gossip://{address}"));
    }

    #[test]
    fn other_backends_need_nothing_filled_in() {
        let template = Template::new("etcd://127.0.0.1:2379/demo?ttl=5s").unwrap();
        let place = template.reserve().unwrap();
        assert_eq!(place.address, None);
        assert_eq!(template.url(&place, &[]), "etcd://127.0.0.1:2379/demo?ttl=5s");
    }

    #[test]
    fn cluster_apart_has_a_name_of_its_own_in_the_same_store() {
        for (url, wanted) in [
            ("etcd://a,b:4001/demo?ttl=5s&new=yes", "etcd://a,b:4001/demo-7?ttl=5s&new=yes"),
            ("etcd://a/demo", "etcd://a/demo-7"),
            ("etcd://a?ca=/b", "etcd://a/pogo-7?ca=/b"),
            ("gossip://127.0.0.1:0?key=k.key", "gossip://127.0.0.1:0?key=k.key"),
        ] {
            let template = Template::new(url).unwrap();
            assert_eq!(template.apart("7").url, wanted);
        }
    }

    #[test]
    fn reserved_port_is_nobody_elses_until_it_is_released() {
        let template = Template::new("gossip://127.0.0.1:0").unwrap();
        let [mut one, other] = [0, 1].map(|_| template.reserve().unwrap());
        assert_ne!(one.address, other.address);
        let address = one.address.unwrap();
        assert!(UdpSocket::bind(address).is_err() && TcpListener::bind(address).is_err());
        one.release();
        assert!(UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok());
    }

    #[test]
    fn url_that_leaves_nothing_to_fill_in_is_refused() {
        for (url, words) in [
            ("memory://demo", "one process"),
            ("gossip://127.0.0.1:7946", "port 0"),
            ("gossip://0.0.0.0:0", "an address of this machine"),
            ("gossip://host:0", "port 0"),
            ("gossip://127.0.0.1:0?seeds=a:1", "\"seeds\""),
            ("gossip://127.0.0.1:0?preset=lan&name=me", "\"name\""),
        ] {
            let error = Template::new(url).unwrap_err().to_string();
            assert!(error.contains(words), "{url}: {error}");
        }
    }
}
