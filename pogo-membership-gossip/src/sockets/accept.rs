//! The beginning of streams: dialling, being dialled, and who does not belong here.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{
    bind::look_up,
    link::Stream,
    network::{Arrival, Patience},
    traffic::Counters,
};
use crate::{
    address::HostPort,
    engine::DialError,
    wire::{
        ANSWER_BYTES, FRAME_HEADER, HEAD_BYTES, HELLO_BYTES, Nonce, Realm, Refusal, Refused,
        Reject, check_answer_head, check_hello_head,
    },
};

/// How many connections may be in their handshake; above that the oldest makes way, for one of a
/// peer lasts milliseconds.
pub(super) const MAX_STRANGERS: usize = 64;

/// Pause where the system gives no connection, as without free file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Takes streams in for as long as it is polled.
pub(super) struct Door {
    pub(super) tcp: TcpListener,
    pub(super) realm: Arc<Realm>,
    pub(super) patience: Duration,
    pub(super) counters: Arc<Counters>,
    pub(super) arrivals: mpsc::UnboundedSender<Arrival>,
}

impl Door {
    pub(super) async fn keep(self) {
        let mut handshakes = JoinSet::new();
        let mut strangers: BTreeMap<u64, AbortHandle> = BTreeMap::new();
        for number in 0.. {
            let tcp = tokio::select! {
                biased;
                Some(ended) = handshakes.join_next() => {
                    if let Ok(number) = ended {
                        strangers.remove(&number);
                    }
                    continue;
                }
                accepted = self.tcp.accept() => match accepted {
                    Ok((tcp, _)) => tcp,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_AGAIN).await;
                        continue;
                    }
                },
            };
            if strangers.len() >= MAX_STRANGERS
                && let Some((_, oldest)) = strangers.pop_first()
            {
                oldest.abort();
                self.counters.note(|it| it.crowded_out += 1);
            }
            let handshake = self.handshake(tcp);
            let handle = handshakes.spawn(async move {
                handshake.await;
                number
            });
            strangers.insert(number, handle);
        }
    }

    /// Lets a stream in that proves to belong here.
    fn handshake(&self, tcp: TcpStream) -> impl Future<Output = ()> + Send + use<> {
        let (realm, patience) = (Arc::clone(&self.realm), self.patience);
        let (counters, arrivals) = (Arc::clone(&self.counters), self.arrivals.clone());
        async move {
            match timeout(patience, welcome(tcp, &realm)).await {
                Ok(Ok(stream)) => {
                    let made = Arrival::Made { dialled: None, stream: Box::new(stream) };
                    // Nobody listens any more where that fails.
                    drop(arrivals.send(made));
                }
                Ok(Err(Some(refusal))) => {
                    tracing::debug!(%refusal, "turned a connection away");
                    counters.note(|it| it.refused_streams.count(refusal));
                }
                Ok(Err(None)) => {}
                Err(_elapsed) => counters.note(|it| it.late_handshakes += 1),
            }
        }
    }
}

/// The acceptor's side of the handshake; `None` where the connection broke.
async fn welcome(mut tcp: TcpStream, realm: &Realm) -> Result<Stream, Option<Refusal>> {
    tcp.set_nodelay(true).map_err(broke)?;
    let mut hello = [0; HELLO_BYTES];
    let (head, rest) = hello.split_first_chunk_mut::<HEAD_BYTES>().ok_or(None)?;
    tcp.read_exact(head).await.map_err(broke)?;
    if let Err(refused) = check_hello_head(*head) {
        return Err(turn_away(tcp, refused).await);
    }
    tcp.read_exact(rest).await.map_err(broke)?;
    let salt = random().map_err(broke)?;
    let mut welcome = match realm.accept(&hello, &salt) {
        Ok(welcome) => welcome,
        Err(refused) => return Err(turn_away(tcp, refused).await),
    };
    tcp.write_all(&welcome.answer).await.map_err(broke)?;
    let mut header = [0; FRAME_HEADER];
    tcp.read_exact(&mut header).await.map_err(broke)?;
    let mut proof = vec![0; welcome.opener.length(header).map_err(Some)?];
    tcp.read_exact(&mut proof).await.map_err(broke)?;
    welcome.opener.check_proof(&mut proof).map_err(Some)?;
    Ok(Stream { tcp, sealer: welcome.sealer, opener: welcome.opener })
}

async fn turn_away(mut tcp: TcpStream, (refusal, answer): Refused) -> Option<Refusal> {
    if let Some(answer) = answer {
        // Who has gone already needs no answer.
        drop(tcp.write_all(&answer).await);
        drop(tcp.shutdown().await);
    }
    Some(refusal)
}

/// A connection that ends in the middle of its handshake; a broken one says nothing of its other
/// side.
#[expect(clippy::needless_pass_by_value, reason = "it is made to stand in `map_err`")]
fn broke(error: io::Error) -> Option<Refusal> {
    (error.kind() == io::ErrorKind::UnexpectedEof).then_some(Refusal::Truncated)
}

/// Makes a stream to somebody.
pub(super) async fn dial(
    to: HostPort,
    realm: Arc<Realm>,
    patience: Patience,
) -> Result<Stream, DialError> {
    let unreachable = |why: String| DialError::Unreachable(format!("{to}: {why}"));
    let found = within(patience.handshake, look_up(&to)).await;
    let found = found.map_err(|error| unreachable(error.to_string()))?;
    let tcp = within(patience.connect, connect(&found)).await.map_err(|error| {
        let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
        if is_refused { DialError::Refused } else { unreachable(error.to_string()) }
    })?;
    let introduced = timeout(patience.handshake, introduce(tcp, &realm)).await;
    introduced.unwrap_or_else(|_elapsed| Err(Failed::Broke(late(patience.handshake)))).map_err(
        |failed| match failed {
            Failed::Rejected(reject) => DialError::Rejected(format!("{to}: {reject}")),
            Failed::Broke(error) => unreachable(format!("the handshake broke off: {error}")),
        },
    )
}

async fn within<T>(patience: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(patience, what).await.unwrap_or_else(|_elapsed| Err(late(patience)))
}

fn late(patience: Duration) -> io::Error {
    let why = format!("no answer within {} ms", patience.as_millis());
    io::Error::new(io::ErrorKind::TimedOut, why)
}

/// A connection to the first address that takes one. Refused only where all refuse: a name may
/// stand for addresses of which just one is listened on.
async fn connect(addrs: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut why = io::Error::other("its name stands for no address");
    for (tried, addr) in addrs.iter().enumerate() {
        let error = match TcpStream::connect(addr).await {
            Ok(tcp) if is_oneself(&tcp) => io::ErrorKind::ConnectionRefused.into(),
            Ok(tcp) => return Ok(tcp),
            Err(error) => error,
        };
        if tried == 0 || error.kind() != io::ErrorKind::ConnectionRefused {
            why = error;
        }
    }
    Err(why)
}

/// Where nobody listens on a port that the system also gives to those who dial, it may give that
/// very port, and the connection meets itself.
fn is_oneself(tcp: &TcpStream) -> bool {
    matches!((tcp.local_addr(), tcp.peer_addr()), (Ok(local), Ok(peer)) if local == peer)
}

/// Why a handshake made no stream.
enum Failed {
    Rejected(Reject),
    Broke(io::Error),
}

/// The dialler's side of the handshake.
async fn introduce(mut tcp: TcpStream, realm: &Realm) -> Result<Stream, Failed> {
    let (hello, dialling) = realm
        .dial(random().map_err(Failed::Broke)?)
        .map_err(|refusal| Failed::Broke(io::Error::other(refusal)))?;
    let mut answer = [0; ANSWER_BYTES];
    let (head, rest) =
        answer.split_first_chunk_mut::<HEAD_BYTES>().ok_or(Failed::Rejected(Reject::Foreign))?;
    tcp.set_nodelay(true).map_err(Failed::Broke)?;
    tcp.write_all(&hello).await.map_err(Failed::Broke)?;
    tcp.read_exact(head).await.map_err(Failed::Broke)?;
    check_answer_head(*head).map_err(Failed::Rejected)?;
    tcp.read_exact(rest).await.map_err(Failed::Broke)?;
    let (mut sealer, opener) = dialling.welcomed(&answer).map_err(Failed::Rejected)?;
    let mut proof = Vec::new();
    sealer.prove(&mut proof).map_err(|refusal| Failed::Broke(io::Error::other(refusal)))?;
    tcp.write_all(&proof).await.map_err(Failed::Broke)?;
    Ok(Stream { tcp, sealer, opener })
}

/// Random bytes of the operating system.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

const _: () = assert!(size_of::<Nonce>() == 24, "salts are drawn by the length of a nonce");
