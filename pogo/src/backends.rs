//! Backends by URL, as far as they are built in.

#[cfg(feature = "etcd")]
use pogo_membership_etcd::EtcdOnly;
#[cfg(feature = "gossip")]
use pogo_membership_gossip::GossipOnly;

use pogo_core::runtime::{Backend, BackendError, BackendUrl, Backends, MemoryOnly};

/// Every backend that this build has: `memory://CLUSTER?name=NAME`, all members in one process;
/// with the feature `gossip` (default) `gossip://BIND?seeds=A,B&key=FILE`, processes that find
/// each other; with the feature `etcd` `etcd://HOST1,HOST2:2379/CLUSTER`, and `etcds://` over TLS.
#[derive(Debug)]
pub struct AllBackends;

impl Backends for AllBackends {
    fn open(url: &str) -> Result<Backend, BackendError> {
        match BackendUrl::parse(url)?.scheme() {
            "etcd" | "etcds" => etcd(url),
            "gossip" => gossip(url),
            "memory" => MemoryOnly::open(url),
            scheme => Err(BackendError::UnknownScheme {
                scheme: scheme.to_owned(),
                known: "etcd, etcds, gossip, memory".to_owned(),
            }),
        }
    }
}

#[cfg(feature = "gossip")]
fn gossip(url: &str) -> Result<Backend, BackendError> {
    GossipOnly::open(url)
}

#[cfg(not(feature = "gossip"))]
fn gossip(_url: &str) -> Result<Backend, BackendError> {
    Err(BackendError::NotBuiltIn { scheme: "gossip".to_owned(), feature: "gossip" })
}

#[cfg(feature = "etcd")]
fn etcd(url: &str) -> Result<Backend, BackendError> {
    EtcdOnly::open(url)
}

#[cfg(not(feature = "etcd"))]
fn etcd(_url: &str) -> Result<Backend, BackendError> {
    Err(BackendError::NotBuiltIn { scheme: "etcd".to_owned(), feature: "etcd" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        AllBackends::open(url).map(drop).expect_err(url).to_string()
    }

    #[test]
    fn unknown_scheme_is_refused_with_the_known_ones() {
        assert_eq!(
            error("carrier://pigeon"),
            "unknown backend \"carrier\"; known are: etcd, etcds, gossip, memory"
        );
        assert!(error("memory").contains("`://` is missing"));
    }

    #[cfg(feature = "gossip")]
    #[test]
    fn gossip_is_opened_by_its_scheme() {
        let backend = AllBackends::open("gossip://127.0.0.1:0?name=one").unwrap();
        assert_eq!(backend.membership.name(), "gossip");
        assert_eq!(backend.name.unwrap().as_str(), "one");
    }

    #[cfg(not(feature = "gossip"))]
    #[test]
    fn backend_that_is_not_built_in_names_its_feature() {
        let text = "gossip is not part of this build: build with the feature `gossip`";
        assert_eq!(error("gossip://127.0.0.1"), text);
    }

    #[cfg(feature = "etcd")]
    #[test]
    fn etcd_is_opened_by_its_scheme() {
        let backend = AllBackends::open("etcd://127.0.0.1:2379/shop?name=one").unwrap();
        assert_eq!(backend.membership.name(), "etcd");
        assert_eq!(backend.cluster.unwrap().as_str(), "shop");
    }

    #[cfg(not(feature = "etcd"))]
    #[test]
    fn etcd_names_its_feature_where_it_is_not_built_in() {
        let text = "etcd is not part of this build: build with the feature `etcd`";
        assert_eq!(error("etcd://127.0.0.1"), text);
    }
}
