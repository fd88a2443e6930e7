//! What agents send and receive over their backend, as told by whoever counts it: each agent for
//! its own sockets, or the servers of a store for all their clients.

use pogo::BackendError;

use super::BenchError;
use crate::{client::Connection, fleet::Member};

/// Who counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meter {
    /// Each agent.
    Agents,
    /// The servers at these addresses. Nobody else may use them meanwhile.
    #[cfg_attr(not(feature = "etcd"), expect(dead_code, reason = "no store is built in"))]
    Servers(Vec<String>),
}

/// Counts since whoever counts began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Traffic {
    /// Bytes that agents sent.
    pub(super) sent: f64,
    /// Bytes that agents received.
    pub(super) received: f64,
    /// Requests and renewals that agents sent; only servers count them.
    pub(super) messages: Option<f64>,
}

impl Meter {
    /// Who counts for the backend of this URL; `None` where nobody does.
    pub(super) fn of(url: &str) -> Result<Option<Self>, BackendError> {
        if url.starts_with("gossip://") { Ok(Some(Self::Agents)) } else { Self::of_store(url) }
    }

    #[cfg(feature = "etcd")]
    fn of_store(url: &str) -> Result<Option<Self>, BackendError> {
        if !url.starts_with("etcd://") {
            return Ok(None);
        }
        let (config, _) = pogo::etcd::EtcdConfig::from_url(url)?;
        Ok(Some(Self::Servers(config.endpoints().to_vec())))
    }

    #[cfg(not(feature = "etcd"))]
    #[expect(clippy::unnecessary_wraps, reason = "as with a store")]
    const fn of_store(_url: &str) -> Result<Option<Self>, BackendError> {
        Ok(None)
    }

    /// What was counted up to now, of all agents together.
    pub(super) async fn read(&self, agents: &[Member]) -> Result<Traffic, BenchError> {
        let mut pages = Vec::new();
        match self {
            Self::Agents => {
                for agent in agents {
                    pages.push(agent.client.metrics().await?);
                }
            }
            Self::Servers(addresses) => {
                for address in addresses {
                    pages.push(Connection::new(address, None).text("/metrics").await?);
                }
            }
        }
        let total = |counter: &'static str| {
            let sums = pages.iter().map(|page| sum_of(counter, page));
            sums.sum::<Option<f64>>().ok_or(BenchError::NoCounter { counter })
        };
        Ok(match self {
            Self::Agents => Traffic {
                sent: total("pogo_gossip_sent_bytes_total")?,
                received: total("pogo_gossip_received_bytes_total")?,
                messages: None,
            },
            // What a server receives was sent by an agent.
            Self::Servers(_) => Traffic {
                sent: total("etcd_network_client_grpc_received_bytes_total")?,
                received: total("etcd_network_client_grpc_sent_bytes_total")?,
                messages: Some(total("grpc_server_msg_received_total")?),
            },
        })
    }
}

impl Traffic {
    /// What came since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
            messages: self.messages.zip(earlier.messages).map(|(now, then)| now - then),
        }
    }
}

/// The sum of a counter over its labels, in Prometheus' text format.
fn sum_of(counter: &str, metrics: &str) -> Option<f64> {
    let value = |line: &str| {
        let rest = line.strip_prefix(counter)?;
        let is_whole_name = rest.starts_with(['{', ' ']);
        is_whole_name.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
    };
    let values: Vec<_> = metrics.lines().filter_map(value).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "pogo_gossip_sent_bytes_total";

    #[test]
    fn counter_is_summed_over_its_labels() {
        let metrics = "# HELP pogo_gossip_sent_bytes_total bytes\n\
             pogo_gossip_sent_bytes_total{over=\"udp\"} 100\n\
             pogo_gossip_sent_bytes_total{over=\"tcp\"} 20\n\
             pogo_gossip_sent_bytes_total_other 7\n";
        assert_eq!(sum_of(SENT, metrics), Some(120.0));
        assert_eq!(sum_of(SENT, "pogo_gossip_sent_bytes_total 5\n"), Some(5.0));
        // As etcd writes what is large.
        assert_eq!(sum_of(SENT, "pogo_gossip_sent_bytes_total 1.5e+06\n"), Some(1_500_000.0));
        assert_eq!(sum_of(SENT, "up 1\n"), None);
    }

    #[test]
    fn whoever_can_count_does() {
        assert_eq!(Meter::of("gossip://127.0.0.1:0"), Ok(Some(Meter::Agents)));
        assert_eq!(Meter::of("carrier://pigeon"), Ok(None));
        #[cfg(feature = "etcd")]
        {
            let servers = ["a:2379", "b:4001"].map(str::to_owned).to_vec();
            assert_eq!(Meter::of("etcd://a,b:4001/shop"), Ok(Some(Meter::Servers(servers))));
            assert_eq!(Meter::of("etcds://a"), Ok(None), "their metrics are encrypted, too");
        }
    }
}
