//! One link: a task that reads, a task that writes, and the bytes between them and the engine.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{network::Arrival, traffic::Counters};
use crate::{
    engine::LinkId,
    message::Message,
    wire::{FRAME_HEADER, Opener, Refusal, Sealer},
};

/// What may wait to be written to one link. More, and the link closes: it does not keep up.
pub(super) const OUTBOUND_BYTES: usize = 16 * 1024 * 1024;

/// What may be read from all links and not yet be taken in.
pub(super) const INBOUND_BYTES: usize = 16 * 1024 * 1024;

/// How much is read in one go.
const READ_BYTES: usize = 64 * 1024;

/// How long a link that was closed here may take to write what it still has, and then until the
/// other side closes it too.
const LINGER: Duration = Duration::from_secs(1);

/// A stream whose both sides have proved that they belong together.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) tcp: TcpStream,
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
}

/// The engine's end of a link.
#[derive(Debug)]
pub(super) struct Link {
    sealer: Sealer,
    outbox: Arc<Outbox>,
}

/// Why a link cannot take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    #[error("more than {OUTBOUND_BYTES} bytes wait to be written")]
    Overflow,
    #[error("a message cannot be sent: {0}")]
    Message(Refusal),
}

/// Sealed bytes on their way out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    wake: Notify,
    /// Nothing more will be written.
    done: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<u8>,
    /// Taken from `waiting` and not yet written.
    writing: usize,
    closing: bool,
}

/// What the tasks of links share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) arrivals: mpsc::UnboundedSender<Arrival>,
    pub(super) inbound: Arc<Semaphore>,
    pub(super) counters: Arc<Counters>,
}

impl Link {
    /// The link, and what must run for it: its reader and its writer.
    pub(super) fn open(
        id: LinkId,
        stream: Stream,
        shared: &Shared,
    ) -> (Self, impl Future<Output = ()> + Send + use<>, impl Future<Output = ()> + Send + use<>)
    {
        let (read, write) = stream.tcp.into_split();
        let outbox = Arc::new(Outbox::default());
        let reader = Reader { id, read, opener: stream.opener, shared: shared.clone() };
        let reader = reader.run(Arc::clone(&outbox));
        let writer = write_all(write, Arc::clone(&outbox), Arc::clone(&shared.counters));
        (Self { sealer: stream.sealer, outbox }, reader, writer)
    }

    /// Queues a message; the writer takes all that is queued when it gets its turn.
    pub(super) fn send(&mut self, message: &Message) -> Result<(), SendError> {
        let mut queue = self.outbox.lock();
        self.sealer.seal(message, &mut queue.waiting).map_err(SendError::Message)?;
        if queue.waiting.len() + queue.writing > OUTBOUND_BYTES {
            return Err(SendError::Overflow);
        }
        drop(queue);
        self.outbox.wake.notify_one();
        Ok(())
    }

    /// Forgets what is queued.
    pub(super) fn forget(&mut self) {
        self.outbox.lock().waiting.clear();
    }
}

/// The stream closes once what is queued is written; what still comes is of no interest.
impl Drop for Link {
    fn drop(&mut self) {
        self.outbox.lock().closing = true;
        self.outbox.wake.notify_one();
    }
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to write next; `None` once all is written and the link closes.
    async fn next(&self) -> Option<Vec<u8>> {
        loop {
            {
                let mut queue = self.lock();
                queue.writing = queue.waiting.len();
                if queue.writing > 0 {
                    return Some(std::mem::take(&mut queue.waiting));
                }
                if queue.closing {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Ends a while after the link was closed.
    async fn given_up(&self) {
        loop {
            if self.lock().closing {
                return tokio::time::sleep(LINGER).await;
            }
            self.wake.notified().await;
        }
    }
}

/// Writes what is queued until the link closes or breaks.
async fn write_all(mut write: OwnedWriteHalf, outbox: Arc<Outbox>, counters: Arc<Counters>) {
    while let Some(bytes) = outbox.next().await {
        let written = tokio::select! {
            written = write.write_all(&bytes) => written,
            () = outbox.given_up() => Err(io::ErrorKind::TimedOut.into()),
        };
        if written.is_err() {
            break;
        }
        counters.note(|it| it.bytes_sent += bytes.len() as u64);
    }
    // Whoever does not take our end of the stream has gone.
    drop(write.shutdown().await);
    outbox.done.notify_one();
}

/// The reading task of a link.
struct Reader {
    id: LinkId,
    read: OwnedReadHalf,
    opener: Opener,
    shared: Shared,
}

impl Reader {
    /// Reads also when nothing can be written any more: what the other side said before it went
    /// must be heard, and to close with bytes unread would take from it what it has not read yet.
    async fn run(mut self, outbox: Arc<Outbox>) {
        let reading = async {
            let ended = self.read_all().await;
            if let Err(Some(refusal)) = ended {
                tracing::warn!(link = self.id.0, %refusal, "closed a link to a peer");
                self.shared.counters.note(|it| it.refused_streams.count(refusal));
            }
        };
        let given_up = async {
            outbox.done.notified().await;
            tokio::time::sleep(LINGER).await;
        };
        tokio::select! {
            () = reading => {}
            () = given_up => {}
        }
        // Nobody listens any more where that fails.
        drop(self.shared.arrivals.send(Arrival::Closed(self.id)));
    }

    /// Reads until the stream ends, or something comes that must not.
    async fn read_all(&mut self) -> Result<(), Option<Refusal>> {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        loop {
            let missing = self.take_in(&mut buffer).await?;
            buffer.reserve(missing.clamp(READ_BYTES / 16, READ_BYTES));
            let read = self.read.read_buf(&mut buffer).await.map_err(|_error| None)?;
            if read == 0 {
                let clean = buffer.is_empty();
                return if clean { Ok(()) } else { Err(Some(Refusal::Truncated)) };
            }
            self.shared.counters.note(|it| it.bytes_received += read as u64);
        }
    }

    /// Passes on every complete frame, and says how much of the next one is missing.
    async fn take_in(&mut self, buffer: &mut BytesMut) -> Result<usize, Option<Refusal>> {
        let (mut messages, mut bytes, mut refused) = (Vec::new(), 0, None);
        let missing = loop {
            let Some(header) = buffer.first_chunk::<FRAME_HEADER>() else { break FRAME_HEADER };
            let length = match self.opener.length(*header) {
                Ok(length) => length + FRAME_HEADER,
                Err(refusal) => {
                    refused = Some(refusal);
                    break 0;
                }
            };
            if buffer.len() < length {
                break length - buffer.len();
            }
            let mut frame = buffer.split_to(length);
            let (_, body) = frame.split_at_mut(FRAME_HEADER);
            match self.opener.open(body) {
                Ok(message) => messages.push(message),
                Err(refusal) => {
                    refused = Some(refusal);
                    break 0;
                }
            }
            bytes += length;
        };
        if !messages.is_empty() {
            self.pass_on(messages, bytes).await;
        }
        refused.map_or(Ok(missing), |refusal| Err(Some(refusal)))
    }

    /// Waits until there is room for so many bytes.
    async fn pass_on(&self, messages: Vec<Message>, bytes: usize) {
        let room = u32::try_from(bytes.min(INBOUND_BYTES)).unwrap_or(u32::MAX);
        let inbound = Arc::clone(&self.shared.inbound);
        // Both fail only when the transport has ended.
        let Ok(permit) = inbound.acquire_many_owned(room).await else { return };
        let arrival = Arrival::Messages(Delivery { link: self.id, messages, permit });
        drop(self.shared.arrivals.send(arrival));
    }
}

/// Messages of one link, and the room that they take until they are taken in.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) link: LinkId,
    pub(super) messages: Vec<Message>,
    pub(super) permit: OwnedSemaphorePermit,
}
