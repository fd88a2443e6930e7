//! Something in the middle that passes on what it hears, remembers it, and can say it again.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    task::JoinSet,
};

/// A relay to one peer, for datagrams and streams.
pub(super) struct Proxy {
    pub(super) addr: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    udp: Arc<UdpSocket>,
    peer: SocketAddr,
    _tasks: JoinSet<()>,
}

/// What others said to the peer.
#[derive(Default)]
struct Heard {
    datagrams: Vec<Vec<u8>>,
    streams: Vec<Vec<u8>>,
}

impl Proxy {
    /// Listens on `tcp` and passes on to `peer`.
    pub(super) fn to(peer: SocketAddr, tcp: TcpListener, udp: UdpSocket) -> Self {
        let addr = tcp.local_addr().unwrap();
        let (heard, udp) = (Arc::new(Mutex::new(Heard::default())), Arc::new(udp));
        let mut tasks = JoinSet::new();
        tasks.spawn(datagrams(Arc::clone(&udp), peer, Arc::clone(&heard)));
        tasks.spawn(streams(tcp, peer, Arc::clone(&heard)));
        Self { addr, heard, udp, peer, _tasks: tasks }
    }

    /// How many datagrams and streams it has heard.
    pub(super) fn heard(&self) -> (usize, usize) {
        let heard = self.heard.lock().unwrap();
        (heard.datagrams.len(), heard.streams.len())
    }

    /// Says all datagrams again.
    pub(super) async fn repeat_datagrams(&self) {
        let datagrams = self.heard.lock().unwrap().datagrams.clone();
        for datagram in datagrams {
            self.udp.send_to(&datagram, self.peer).await.unwrap();
        }
    }

    /// Says all streams again, each over a connection of its own, until the peer closes it.
    pub(super) async fn repeat_streams(&self) {
        let streams = self.heard.lock().unwrap().streams.clone();
        for stream in streams {
            let mut tcp = TcpStream::connect(self.peer).await.unwrap();
            // The peer may close it before all is said.
            drop(tcp.write_all(&stream).await);
            drop(tcp.read_to_end(&mut Vec::new()).await);
        }
    }
}

async fn datagrams(udp: Arc<UdpSocket>, peer: SocketAddr, heard: Arc<Mutex<Heard>>) {
    let mut buffer = [0; 2000];
    loop {
        let Ok((length, _)) = udp.recv_from(&mut buffer).await else { continue };
        let datagram = &buffer[..length];
        heard.lock().unwrap().datagrams.push(datagram.to_vec());
        udp.send_to(datagram, peer).await.unwrap();
    }
}

async fn streams(tcp: TcpListener, peer: SocketAddr, heard: Arc<Mutex<Heard>>) {
    let mut pipes = JoinSet::new();
    loop {
        let (from, _) = tcp.accept().await.unwrap();
        let Ok(to) = TcpStream::connect(peer).await else { continue };
        let number = {
            let mut heard = heard.lock().unwrap();
            heard.streams.push(Vec::new());
            heard.streams.len() - 1
        };
        let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
        let record = Arc::clone(&heard);
        pipes.spawn(pipe(from_read, to_write, move |bytes| {
            record.lock().unwrap().streams[number].extend_from_slice(bytes);
        }));
        pipes.spawn(pipe(to_read, from_write, |_| {}));
    }
}

async fn pipe(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, record: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        record(&buffer[..length]);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
