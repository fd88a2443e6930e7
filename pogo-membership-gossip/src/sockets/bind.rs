//! The one port of a transport, and the address under which the others reach it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use pogo_core::membership::MembershipError;
use tokio::net::{TcpListener, UdpSocket, lookup_host};

use crate::{address::HostPort, config::NAME};

/// How often another port is tried where the system chose one that is free for TCP alone.
const TRIES: usize = 16;

/// Sockets for datagrams and links on the same port.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) udp: UdpSocket,
    pub(super) tcp: TcpListener,
    pub(super) addr: SocketAddr,
}

/// Opens both sockets.
pub(super) async fn bind(addr: SocketAddr) -> Result<Bound, MembershipError> {
    let mut tried = open(addr).await;
    for _ in 1..TRIES {
        match &tried {
            Err(error) if addr.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {
                tried = open(addr).await;
            }
            Ok(_) | Err(_) => break,
        }
    }
    tried.map_err(|error| misconfigured(why_not(addr, &error)))
}

async fn open(addr: SocketAddr) -> io::Result<Bound> {
    let tcp = TcpListener::bind(addr).await?;
    let addr = tcp.local_addr()?;
    let udp = UdpSocket::bind(addr).await?;
    Ok(Bound { udp, tcp, addr })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the system has errors without number")]
fn why_not(addr: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{addr} is in use by another program, perhaps another member: stop that one or \
             give this one another port"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "{} is no address of this machine: listen on one of its own, or on {} for all, and \
             set `advertise` to the address that others reach it by",
            addr.ip(),
            if addr.is_ipv4() { "0.0.0.0" } else { "[::]" }
        ),
        io::ErrorKind::PermissionDenied => {
            format!("the system does not let this user listen on {addr}: take a port above 1023")
        }
        _ => format!("cannot listen on {addr}: {error}"),
    }
}

/// The address to tell the others: as set, else the one that is bound, else the one that leads to
/// the first seed that can be looked up.
pub(super) async fn advertised(
    bound: SocketAddr,
    set: Option<&HostPort>,
    seeds: &[HostPort],
) -> Result<SocketAddr, MembershipError> {
    if let Some(set) = set {
        let port = set.port.unwrap_or_else(|| bound.port());
        let set = HostPort { host: set.host.clone(), port: Some(port) };
        let found = look_up(&set).await.map_err(|error| {
            misconfigured(format!("`advertise` is {set}, which cannot be looked up: {error}"))
        })?;
        return found.first().copied().ok_or_else(|| {
            misconfigured(format!("`advertise` is {set}, which stands for no address"))
        });
    }
    if !bound.ip().is_unspecified() {
        return Ok(bound);
    }
    let mut last = None;
    for seed in seeds {
        match towards(seed).await {
            Ok(ip) => return Ok(SocketAddr::new(ip, bound.port())),
            Err(error) => last = Some(format!("no way leads to {seed}: {error}")),
        }
    }
    match last {
        None => Err(misconfigured(format!(
            "it listens on {bound} and has no seed, so it cannot tell by which address others \
             reach it: set `advertise`"
        ))),
        // A name server that is not up yet, for one.
        Some(reason) => Err(MembershipError::Unavailable {
            backend: NAME,
            reason: format!(
                "it listens on {bound} and cannot tell by which address others reach it, for \
                 {reason}; set `advertise`"
            ),
        }),
    }
}

/// This machine's address on the way to `seed`; nothing is sent.
async fn towards(seed: &HostPort) -> io::Result<IpAddr> {
    let mut last = io::Error::other("its name stands for no address");
    for addr in look_up(seed).await? {
        let any: IpAddr = match addr {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        match socket.connect(addr).await.and_then(|()| socket.local_addr()) {
            Ok(local) => return Ok(local.ip()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The addresses that a name stands for now.
pub(super) async fn look_up(name: &HostPort) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host((name.host.as_str(), name.port())).await?.collect())
}

pub(super) const fn misconfigured(reason: String) -> MembershipError {
    MembershipError::Misconfigured { backend: NAME, reason }
}
