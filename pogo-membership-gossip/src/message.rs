//! What peers tell each other over links: one message, one frame.

use std::net::SocketAddr;

use pogo_core::{record::Record, time::WallTime};
use serde::{Deserialize, Serialize};

use crate::{
    owned::{Delta, Progress},
    peer::{PeerId, Update},
    shared::{ScopedKey, SyncMessage},
    swim::Packet,
};

/// One message over a link. Links keep order and lose nothing while they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The first message of each side.
    Hello(Hello),
    /// A probe that datagrams failed to deliver, its answer, or news of peers.
    Swim(Packet),
    /// What the sender has of peers' owned records; answered by the deltas that it lacks and
    /// [`Message::InStep`].
    Progress {
        /// How far it is with each.
        of: Vec<Progress>,
        /// Whether it also asks for peers that are not listed.
        others: bool,
    },
    /// Changes to one peer's owned records.
    Owned(Delta),
    /// Every delta that the receiver's last `Progress` lacked has been sent before this.
    InStep,
    /// The sender has applied the receiver's own records up to this number.
    OwnedAck(u64),
    /// Shared records just written; the last part is answered by [`Message::PutAck`].
    Put {
        /// Names the batch, at its sender.
        batch: u64,
        /// The records.
        records: Vec<(ScopedKey, Record)>,
        /// Another part of the same batch follows.
        more: bool,
    },
    /// The receiver's batch is merged here, all parts of it.
    PutAck(u64),
    /// Keeps shared records in step.
    Sync(SyncMessage),
    /// Asks for shared records (R3); answered by those that are there and [`Message::Answered`].
    Get {
        /// Names the question, at its sender.
        question: u64,
        /// Which.
        keys: Vec<ScopedKey>,
    },
    /// All that is known here for the receiver's question was sent before this.
    Answered(u64),
    /// Asks whether the sender counts as a member there (R17); answered by [`Message::Counted`]
    /// where it does.
    Ask(u64),
    /// The receiver counts here: the answer to its round of this number.
    Counted(u64),
}

/// Who is at this end of a link, and what it knows of the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The sender.
    pub peer: PeerId,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its wall clock, so that a clock that is ahead is noticed (R2).
    pub wall: WallTime,
    /// All peers that it knows, itself included, the dead ones too.
    pub peers: Vec<Update>,
}
