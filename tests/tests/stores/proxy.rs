//! TCP proxies in the test process. One stands before each server, so that its address stays when the server's port
//! changes; a member that is to be cut off gets proxies of its own.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::AbortHandle,
};

use crate::bed::{bed, on_bed};

/// Where a server is by now; nowhere while it is down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target(Arc<Mutex<Option<SocketAddr>>>);

impl Target {
    pub(crate) fn set(&self, address: Option<SocketAddr>) {
        *self.0.lock().expect("no panic under this lock") = address;
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        *self.0.lock().expect("no panic under this lock")
    }
}

/// One port before one server.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    gate: watch::Sender<Gate>,
    allowed: Allowed,
    accepting: AbortHandle,
}

/// How many bytes still come from the server before the connection that they come over is closed, once.
#[derive(Debug, Clone)]
struct Allowed(Arc<AtomicU64>);

impl Allowed {
    const ALL: u64 = u64::MAX;

    /// Whether so many more may pass.
    fn take(&self, count: usize) -> bool {
        let count = u64::try_from(count).expect("it is small");
        let rest = |left: u64| match left {
            Self::ALL => None,
            left => Some(left.checked_sub(count).unwrap_or(Self::ALL)),
        };
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, rest);
        taken.map_or(true, |left| left >= count)
    }
}

/// What becomes of bytes, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gate {
    /// They wait here; nothing is closed, and new connections are accepted and wait too.
    is_held: bool,
    /// Connections of an earlier round are closed.
    round: u64,
}

impl Proxy {
    pub(crate) async fn before(target: &Target) -> Self {
        let gate = watch::Sender::new(Gate { is_held: false, round: 0 });
        let allowed = Allowed(Arc::new(AtomicU64::new(Allowed::ALL)));
        let (target, gates, allows) = (target.clone(), gate.clone(), allowed.clone());
        on_bed(async move {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            let accepting = bed().spawn(accept(listener, target, gates, allows)).abort_handle();
            Self { address, gate, allowed, accepting }
        })
        .await
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds what passes, silently; or lets it go on from where it was.
    pub(crate) fn set_held(&self, is_held: bool) {
        self.gate.send_modify(|gate| gate.is_held = is_held);
    }

    /// Closes a connection once so many bytes more have come from the server.
    pub(crate) fn break_after(&self, bytes: u64) {
        self.allowed.0.store(bytes, Ordering::Release);
    }

    /// Closes all connections that there are.
    pub(crate) fn break_connections(&self) {
        self.gate.send_modify(|gate| gate.round += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.break_connections();
    }
}

async fn accept(
    listener: TcpListener,
    target: Target,
    gates: watch::Sender<Gate>,
    allowed: Allowed,
) {
    while let Ok((client, _)) = listener.accept().await {
        let mut gate = gates.subscribe();
        let round = gate.borrow_and_update().round;
        let is_broken = gates.subscribe();
        let (target, allowed) = (target.clone(), allowed.clone());
        bed().spawn(async move {
            // What was held does not pass any more once the connection is broken.
            tokio::select! {
                biased;
                () = broken(is_broken, round) => {}
                () = connect(client, &target, gate, allowed) => {}
            }
        });
    }
}

async fn broken(mut gate: watch::Receiver<Gate>, round: u64) {
    // An error means that the proxy is gone.
    drop(gate.wait_for(|gate| gate.round != round).await);
}

async fn connect(
    client: TcpStream,
    target: &Target,
    mut gate: watch::Receiver<Gate>,
    allowed: Allowed,
) {
    if !opens(&mut gate).await {
        return;
    }
    // Closed at once where there is no server, which is what a client sees of one that has just died.
    let Some(address) = target.address() else { return };
    let Ok(server) = TcpStream::connect(address).await else { return };
    // Latency of its own is the last thing that this should add.
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // One direction that breaks takes the other with it; one that ends does not.
    drop(tokio::try_join!(
        pump(from_client, to_server, gate.clone(), None),
        pump(from_server, to_client, gate, Some(allowed))
    ));
}

async fn opens(gate: &mut watch::Receiver<Gate>) -> bool {
    gate.wait_for(|gate| !gate.is_held).await.is_ok()
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut gate: watch::Receiver<Gate>,
    allowed: Option<Allowed>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut bytes).await;
        if !opens(&mut gate).await {
            return Ok(());
        }
        match read? {
            0 => return to.shutdown().await,
            read if allowed.as_ref().is_none_or(|it| it.take(read)) => {
                to.write_all(&bytes[..read]).await?;
            }
            _too_many => return Err(ErrorKind::ConnectionAborted.into()),
        }
    }
}

/// The way of one member to all servers, through proxies of its own.
#[derive(Debug)]
pub(crate) struct Route(Vec<Proxy>);

impl Route {
    pub(crate) async fn to(targets: impl IntoIterator<Item = &Target>) -> Self {
        let mut proxies = Vec::new();
        for target in targets {
            proxies.push(Proxy::before(target).await);
        }
        Self(proxies)
    }

    /// As the member is told them.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.0.iter().map(|proxy| proxy.address().to_string()).collect()
    }

    /// Holds what passes on one of the ways, silently; or lets it go on.
    pub(crate) fn set_held(&self, at: usize, is_held: bool) {
        self.0[at].set_held(is_held);
    }

    /// Nothing passes any more, in either direction, and nothing is closed.
    pub(crate) fn cut_off(&self) {
        self.0.iter().for_each(|proxy| proxy.set_held(true));
    }

    /// Ends that.
    pub(crate) fn reconnect(&self) {
        self.0.iter().for_each(|proxy| proxy.set_held(false));
    }

    /// Closes one connection to each server once so many bytes more have come from there.
    pub(crate) fn break_after(&self, bytes: u64) {
        self.0.iter().for_each(|proxy| proxy.break_after(bytes));
    }

    /// Closes every connection; new ones may be made.
    pub(crate) fn break_connections(&self) {
        self.0.iter().for_each(Proxy::break_connections);
    }
}
