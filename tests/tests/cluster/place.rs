//! What the members of a cluster share: the process, or gossip over real sockets on loopback.

use std::{
    net::{TcpListener, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use pogo::{AllBackends, Backends, Membership, MembershipError};
use pogo_core::{
    membership::{Capabilities, Join, Session},
    memory::MemoryBackend,
};

/// Which backend a test runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum On {
    Memory,
    Gossip,
}

/// Makes a test of each of the functions on every backend: `memory::NAME` and `gossip::NAME`.
macro_rules! on_every_backend {
    ($($name:ident,)*) => {
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::cluster::On::Memory).await;
                }
            )*
        }
        mod gossip {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::cluster::On::Gossip).await;
                }
            )*
        }
    };
}
pub(crate) use on_every_backend;

/// The backend of one cluster.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Memory(MemoryBackend),
    /// The addresses of its members so far.
    Gossip(Arc<Mutex<Vec<String>>>),
}

impl Place {
    pub(super) fn new(on: On) -> Self {
        match on {
            On::Memory => Self::Memory(MemoryBackend::shared()),
            On::Gossip => Self::Gossip(Arc::default()),
        }
    }

    /// A backend for one more member.
    pub(super) fn membership(&self) -> Arc<dyn Membership> {
        match self {
            Self::Memory(backend) => Arc::new(backend.clone()),
            Self::Gossip(addresses) => {
                let open = AllBackends::open("gossip://127.0.0.1:0").expect("a URL");
                let capabilities = open.membership.capabilities();
                Arc::new(Loopback { addresses: Arc::clone(addresses), capabilities })
            }
        }
    }
}

/// Gossip on an address of its own, chosen when the member joins; those before it are its seeds.
#[derive(Debug)]
struct Loopback {
    addresses: Arc<Mutex<Vec<String>>>,
    capabilities: Capabilities,
}

impl Loopback {
    /// Takes an address that is free now, and names the seeds.
    fn choose(&self) -> (String, String) {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = tcp.local_addr().expect("its address").to_string();
        let udp = UdpSocket::bind(&address);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let seeds = addresses.join(",");
        addresses.push(address.clone());
        drop((tcp, udp));
        (address, seeds)
    }

    fn give_up(&self, address: &str) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|it| it != address);
    }
}

#[async_trait]
impl Membership for Loopback {
    fn name(&self) -> &'static str {
        "gossip"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn join(&self, join: Join) -> Result<Session, MembershipError> {
        let (address, seeds) = self.choose();
        let cluster = &join.cluster;
        let seeds = if seeds.is_empty() { seeds } else { format!("&seeds={seeds}") };
        let url = format!("gossip://{address}?cluster={cluster}{seeds}");
        let backend = AllBackends::open(&url).expect("a URL");
        let joined = backend.membership.join(join).await;
        if joined.is_err() {
            self.give_up(&address);
        }
        joined
    }
}
