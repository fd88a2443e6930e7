//! The sockets as the engine's driver sees them: inputs come out, outputs go in, nothing waits but
//! [`Network::ready`].

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};

use super::{
    accept::{Door, dial, random},
    bind::Bound,
    link::{Delivery, INBOUND_BYTES, Link, Shared, Stream},
    traffic::Counters,
};
use crate::{
    address::HostPort,
    engine::{DialError, Input, LinkId, Target},
    message::Message,
    swim::Packet,
    wire::{MAX_DATAGRAM, Realm},
};

/// How many datagrams are refused before something else is looked at.
const REFUSED_IN_A_ROW: usize = 64;

/// What the tasks of a network tell it.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A stream stands.
    Made { dialled: Option<Target>, stream: Box<Stream> },
    /// A dial made none.
    DialFailed { target: Target, error: DialError },
    /// Messages came over a link.
    Messages(Delivery),
    /// A link has ended; the last word of its reader.
    Closed(LinkId),
}

/// How long making a stream may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until somebody answers.
    pub(super) connect: Duration,
    /// To look a name up, and for the handshake.
    pub(super) handshake: Duration,
}

/// All sockets of one peer.
#[derive(Debug)]
pub(super) struct Network {
    udp: UdpSocket,
    realm: Arc<Realm>,
    seeds: Vec<HostPort>,
    patience: Patience,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    shared: Shared,
    inputs: VecDeque<Input>,
    /// One byte longer than what is taken, so that longer ones are told from those.
    datagram: Box<[u8; MAX_DATAGRAM + 1]>,
    /// The door, and dials.
    calls: JoinSet<()>,
    /// Readers and writers.
    streams: JoinSet<()>,
}

impl Network {
    /// Opens the door.
    pub(super) fn open(
        bound: Bound,
        realm: Realm,
        seeds: Vec<HostPort>,
        patience: Patience,
        counters: Arc<Counters>,
    ) -> Self {
        let realm = Arc::new(realm);
        let (sender, arrivals) = mpsc::unbounded_channel();
        let inbound = Arc::new(Semaphore::new(INBOUND_BYTES));
        let mut calls = JoinSet::new();
        let door = Door {
            tcp: bound.tcp,
            realm: Arc::clone(&realm),
            patience: patience.handshake,
            counters: Arc::clone(&counters),
            arrivals: sender.clone(),
        };
        calls.spawn(door.keep());
        Self {
            udp: bound.udp,
            realm,
            seeds,
            patience,
            links: BTreeMap::new(),
            next_link: 0,
            arrivals,
            shared: Shared { arrivals: sender, inbound, counters },
            inputs: VecDeque::new(),
            datagram: Box::new([0; MAX_DATAGRAM + 1]),
            calls,
            streams: JoinSet::new(),
        }
    }

    /// Waits until there may be something to [`poll`](Self::poll).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn ready(&mut self) {
        if !self.inputs.is_empty() {
            return;
        }
        tokio::select! {
            // Never `None`: one sender is kept here.
            Some(arrival) = self.arrivals.recv() => self.arrived(arrival),
            // An error shows itself at the next read.
            _ = self.udp.readable() => {}
        }
    }

    /// The next thing that happened, if something has.
    pub(super) fn poll(&mut self) -> Option<Input> {
        loop {
            if let Some(input) = self.inputs.pop_front() {
                return Some(input);
            }
            match self.arrivals.try_recv() {
                Ok(arrival) => self.arrived(arrival),
                Err(_) => return self.receive(),
            }
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Made { dialled, stream } => {
                let link = LinkId(self.next_link);
                self.next_link += 1;
                let (opened, reader, writer) = Link::open(link, *stream, &self.shared);
                while self.streams.try_join_next().is_some() {}
                self.streams.spawn(reader);
                self.streams.spawn(writer);
                self.links.insert(link, opened);
                self.count_links();
                self.inputs.push_back(Input::LinkUp { link, dialled });
            }
            Arrival::DialFailed { target, error } => {
                self.inputs.push_back(Input::DialFailed { target, error });
            }
            Arrival::Messages(delivery) => {
                let link = delivery.link;
                if self.links.contains_key(&link) {
                    let received = delivery.messages.into_iter();
                    self.inputs.extend(received.map(|message| Input::Received { link, message }));
                }
                drop(delivery.permit);
            }
            Arrival::Closed(link) => self.broke(link),
        }
    }

    /// Reports the end of a link that was not closed here, once.
    fn broke(&mut self, link: LinkId) {
        if let Some(mut broken) = self.links.remove(&link) {
            broken.forget();
            self.count_links();
            self.inputs.push_back(Input::LinkDown(link));
        }
    }

    fn count_links(&self) {
        let links = self.links.len() as u64;
        self.shared.counters.note(|it| it.links = links);
    }

    /// The next datagram that holds a packet of this realm. After many that do not, the others get
    /// their turn.
    fn receive(&mut self) -> Option<Input> {
        for _ in 0..REFUSED_IN_A_ROW {
            let (length, from) = self.udp.try_recv_from(&mut self.datagram[..]).ok()?;
            let datagram = self.datagram.get_mut(..length)?;
            let opened = self.realm.open_datagram(datagram);
            self.shared.counters.note(|it| {
                it.datagrams_received += 1;
                it.bytes_received += length as u64;
                if let Err(refusal) = opened {
                    it.refused_datagrams.count(refusal);
                }
            });
            if let Ok(packet) = opened {
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                return Some(Input::Datagram { from, packet });
            }
        }
        None
    }

    /// Sends a datagram, unless the system has no room for it now.
    pub(super) fn send_datagram(&self, to: SocketAddr, packet: &Packet) {
        let sent = random()
            .and_then(|nonce| self.realm.seal_datagram(packet, &nonce).map_err(io::Error::other))
            .and_then(|datagram| self.udp.try_send_to(&datagram, self.route(to)));
        self.shared.counters.note(|it| match sent {
            Ok(length) => {
                it.datagrams_sent += 1;
                it.bytes_sent += length as u64;
            }
            Err(_) => it.datagrams_unsent += 1,
        });
    }

    /// The address in the family of the socket.
    fn route(&self, to: SocketAddr) -> SocketAddr {
        match (self.udp.local_addr(), to.ip()) {
            (Ok(SocketAddr::V6(_)), IpAddr::V4(ip)) => {
                let mapped: Ipv6Addr = ip.to_ipv6_mapped();
                SocketAddr::new(mapped.into(), to.port())
            }
            _ => to,
        }
    }

    /// Makes a link, or says why there is none.
    pub(super) fn dial(&mut self, target: Target) {
        let to = match target {
            Target::Seed(number) => self.seeds.get(number).cloned(),
            Target::Peer(addr) => {
                Some(HostPort { host: addr.ip().to_string(), port: Some(addr.port()) })
            }
        };
        let Some(to) = to else {
            let error = DialError::Unreachable("there is no such seed".to_owned());
            self.inputs.push_back(Input::DialFailed { target, error });
            return;
        };
        let (realm, patience) = (Arc::clone(&self.realm), self.patience);
        let arrivals = self.shared.arrivals.clone();
        while self.calls.try_join_next().is_some() {}
        self.calls.spawn(async move {
            let arrival = match dial(to, realm, patience).await {
                Ok(stream) => Arrival::Made { dialled: Some(target), stream: Box::new(stream) },
                Err(error) => Arrival::DialFailed { target, error },
            };
            // Nobody listens any more where that fails.
            drop(arrivals.send(arrival));
        });
    }

    /// Queues a message; a link that cannot take it closes.
    pub(super) fn send(&mut self, link: LinkId, message: &Message) {
        let Some(open) = self.links.get_mut(&link) else { return };
        if let Err(error) = open.send(message) {
            tracing::warn!(link = link.0, %error, "closed a link to a peer");
            self.shared.counters.note(|it| it.overflows += 1);
            self.broke(link);
        }
    }

    /// Closes a link once what was sent is out.
    pub(super) fn close(&mut self, link: LinkId) {
        drop(self.links.remove(&link));
        self.count_links();
    }

    /// Closes everything; what was sent has so long to arrive.
    pub(super) async fn shut_down(mut self, within: Duration) {
        self.calls.shutdown().await;
        self.links.clear();
        let closed = async { while self.streams.join_next().await.is_some() {} };
        // Who does not read what is sent to it does not get it.
        drop(timeout(within, closed).await);
        self.streams.shutdown().await;
    }
}
