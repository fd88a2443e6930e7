//! A network that a test can cut: the members of a cluster reach each other through relays alone.
//!
//! Each member advertises the address of a relay in front of it. A datagram tells by its source who
//! sent it; a stream tells by its first message, which names the address that its dialler
//! advertises. So the members have no key. What is cut is neither refused nor closed: it waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU16, Ordering},
    },
};

use pogo_core::id::MemberName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinSet,
};

/// What an acceptor says before it knows who dials.
const ANSWER: usize = 46;

/// What a dialler says before its first message.
const HELLO: usize = 49;

/// All relays of one cluster.
#[derive(Debug)]
pub(super) struct Relays {
    network: Arc<Network>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Network {
    places: Mutex<BTreeMap<SocketAddr, Place>>,
    /// Who is cut off.
    cut: watch::Sender<BTreeSet<MemberName>>,
}

/// A member behind its relay, by the address that it advertises.
#[derive(Debug, Clone)]
struct Place {
    member: MemberName,
    bound: SocketAddr,
    datagrams: Arc<UdpSocket>,
}

impl Relays {
    pub(super) fn new() -> Self {
        let network = Network { places: Mutex::default(), cut: watch::Sender::default() };
        Self { network: Arc::new(network), tasks: Mutex::default() }
    }

    /// A relay for a member: the address to listen on, and the one to advertise.
    pub(super) async fn add(&self, member: &MemberName) -> io::Result<(SocketAddr, SocketAddr)> {
        let bound = free_address();
        let streams = TcpListener::bind("127.0.0.1:0").await?;
        let advertised = streams.local_addr()?;
        let datagrams = Arc::new(UdpSocket::bind(advertised).await?);
        let place = Place { member: member.clone(), bound, datagrams };
        lock(&self.network.places).insert(advertised, place.clone());
        let mut tasks = lock(&self.tasks);
        tasks.spawn(Arc::clone(&self.network).pass_datagrams(place.clone()));
        tasks.spawn(Arc::clone(&self.network).pass_streams(place, streams));
        Ok((bound, advertised))
    }

    pub(super) fn set_cut(&self, member: &MemberName, is_cut: bool) {
        self.network.cut.send_modify(|cut| {
            if is_cut {
                cut.insert(member.clone())
            } else {
                cut.remove(member)
            };
        });
    }
}

impl Network {
    fn passes(&self, one: &MemberName, other: &MemberName) -> bool {
        let cut = self.cut.borrow();
        !cut.contains(one) && !cut.contains(other)
    }

    async fn way_is_open(&self, one: &MemberName, other: &MemberName) {
        let mut cut = self.cut.subscribe();
        let is_open = |cut: &BTreeSet<_>| !cut.contains(one) && !cut.contains(other);
        cut.wait_for(is_open).await.map(drop).unwrap();
    }

    async fn pass_datagrams(self: Arc<Self>, to: Place) {
        let mut buffer = [0; 2_000];
        loop {
            // An error is that of a datagram sent before.
            let Ok((length, source)) = to.datagrams.recv_from(&mut buffer).await else { continue };
            let from = lock(&self.places).values().find(|it| it.bound == source).cloned();
            let Some(from) = from.filter(|from| self.passes(&from.member, &to.member)) else {
                continue;
            };
            // Where nobody listens any more it is lost, as it would be.
            drop(from.datagrams.send_to(&buffer[..length], to.bound).await);
        }
    }

    async fn pass_streams(self: Arc<Self>, to: Place, streams: TcpListener) {
        let mut passing = JoinSet::new();
        loop {
            let Ok((dialler, _)) = streams.accept().await else { continue };
            while passing.try_join_next().is_some() {}
            passing.spawn(Arc::clone(&self).pass_stream(dialler, to.clone()));
        }
    }

    async fn pass_stream(self: Arc<Self>, dialler: TcpStream, to: Place) {
        self.way_is_open(&to.member, &to.member).await;
        let Ok(acceptor) = TcpStream::connect(to.bound).await else { return };
        let (known, from) = watch::channel(None);
        let (dialler_read, dialler_write) = dialler.into_split();
        let (acceptor_read, acceptor_write) = acceptor.into_split();
        tokio::join!(
            self.pass_dialler(dialler_read, acceptor_write, known, &to.member),
            self.pass_acceptor(acceptor_read, dialler_write, from, &to.member),
        );
    }

    async fn pass_dialler(
        &self,
        mut read: OwnedReadHalf,
        mut write: OwnedWriteHalf,
        known: watch::Sender<Option<MemberName>>,
        to: &MemberName,
    ) {
        let mut hello = [0; HELLO];
        if read.read_exact(&mut hello).await.is_err() || write.write_all(&hello).await.is_err() {
            return;
        }
        let mut first = Vec::new();
        let from = loop {
            if let Some(from) = self.named_in(&first) {
                break from;
            }
            assert!(first.len() < 100_000, "a stream to {to} does not say who dials");
            if !matches!(read.read_buf(&mut first).await, Ok(1..)) {
                return;
            }
        };
        known.send_replace(Some(from.clone()));
        self.way_is_open(&from, to).await;
        if write.write_all(&first).await.is_ok() {
            self.pass(read, write, &from, to).await;
        }
    }

    async fn pass_acceptor(
        &self,
        mut read: OwnedReadHalf,
        mut write: OwnedWriteHalf,
        mut from: watch::Receiver<Option<MemberName>>,
        to: &MemberName,
    ) {
        let mut answer = [0; ANSWER];
        let Ok(length) = read.read(&mut answer).await else { return };
        if write.write_all(&answer[..length]).await.is_err() {
            return;
        }
        let known = from.wait_for(Option::is_some).await.ok().and_then(|it| it.clone());
        if let Some(from) = known {
            self.pass(read, write, &from, to).await;
        }
    }

    /// Passes on what comes, and the end, where the way is open.
    async fn pass(
        &self,
        mut read: OwnedReadHalf,
        mut write: OwnedWriteHalf,
        one: &MemberName,
        other: &MemberName,
    ) {
        let mut buffer = vec![0; 64 * 1_024];
        loop {
            let came = read.read(&mut buffer).await;
            self.way_is_open(one, other).await;
            let Ok(length @ 1..) = came else { return };
            if write.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    }

    /// The member whose advertised address comes first in what a dialler said.
    fn named_in(&self, said: &[u8]) -> Option<MemberName> {
        let places = lock(&self.places);
        let at = |addr: &SocketAddr| {
            let named = encoded(*addr);
            said.windows(named.len()).position(|window| window == named)
        };
        let found = places.iter().filter_map(|(addr, place)| Some((at(addr)?, place)));
        found.min_by_key(|(at, _)| *at).map(|(_, place)| place.member.clone())
    }
}

/// An address of loopback as it stands in a message: the family, four bytes, and the port with
/// seven bits a byte.
fn encoded(addr: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![0, 127, 0, 0, 1];
    let mut port = addr.port();
    while port >= 0x80 {
        bytes.push(port.to_le_bytes()[0] | 0x80);
        port >>= 7;
    }
    bytes.push(port.to_le_bytes()[0]);
    bytes
}

/// An address that nobody listens on, below those which the system hands out by itself.
pub(super) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (offset + nth) % 20_000;
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let is_free = std::net::TcpListener::bind(addr).is_ok();
        if is_free && std::net::UdpSocket::bind(addr).is_ok() {
            return addr;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
