//! Backends by URL, as far as they are built in.

#[cfg(feature = "gossip")]
use pogo_membership_gossip::GossipOnly;

use pogo_core::runtime::{Backend, BackendError, BackendUrl, Backends, MemoryOnly};

/// Every backend that this build has: `memory://CLUSTER?name=NAME`, all members in one process,
/// and with the feature `gossip` (default) `gossip://BIND?seeds=A,B&key=FILE`, processes that find
/// each other.
#[derive(Debug)]
pub struct AllBackends;

impl Backends for AllBackends {
    fn open(url: &str) -> Result<Backend, BackendError> {
        match BackendUrl::parse(url)?.scheme() {
            "gossip" => gossip(url),
            "memory" => MemoryOnly::open(url),
            scheme => Err(BackendError::UnknownScheme {
                scheme: scheme.to_owned(),
                known: "gossip, memory".to_owned(),
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
            "unknown backend \"carrier\"; known are: gossip, memory"
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
}
