//! What goes into an engine and what comes out.

use std::{net::SocketAddr, time::Duration};

use pogo_core::{
    id::{BootId, MemberId, Scope},
    membership::{Event, MemberMetadata, MembershipError, NameChoice},
    node::{Answer, MembershipRequest},
    time::Timestamp,
};

use crate::{message::Message, peer::PeerId, swim::Packet, timing::Timing};

/// Settings of an engine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who it is.
    pub me: PeerId,
    /// Where the others reach it, datagrams and streams alike.
    pub addr: SocketAddr,
    /// How many seeds there are to dial; [`Target::Seed`] counts them from 0.
    pub seeds: usize,
    /// Whether it may form a cluster alone.
    pub form: Form,
    /// Its periods and patiences.
    pub timing: Timing,
}

/// What a peer does whose seeds do not answer (R12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It forms a cluster by itself once the join has waited long enough.
    Alone,
    /// It waits.
    Never,
}

/// One stream between two peers; given by the transport, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One session of a member at this peer; given by the transport, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// One request of a session; each gets one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Whom to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A seed by its place in the settings; its name is looked up anew for each dial.
    Seed(usize),
    /// A peer's address.
    Peer(SocketAddr),
}

/// Why a dial made no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Nobody listens there: the proof of a death, where a link has just closed.
    #[error("nobody listens there")]
    Refused,
    /// Somebody listens there who does not take part: another key, cluster or version.
    #[error("{0}")]
    Rejected(String),
    /// No answer, no route, no such name: proves nothing.
    #[error("{0}")]
    Unreachable(String),
}

/// Everything that can happen to an engine. Any input is legal in any state.
#[derive(Debug, Clone)]
pub enum Input {
    /// The time that `poll_timeout` named has come, or others went in with a later time.
    Timeout,
    /// A datagram came.
    Datagram {
        /// Where it came from.
        from: SocketAddr,
        /// What it holds.
        packet: Packet,
    },
    /// A link stands: the answer to a dial, or somebody else's dial.
    LinkUp {
        /// The link.
        link: LinkId,
        /// Whom this peer dialled, where it did.
        dialled: Option<Target>,
    },
    /// A message came over a link.
    Received {
        /// Which.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// A link is closed or broken; the last input about it.
    LinkDown(LinkId),
    /// A dial made no link.
    DialFailed {
        /// Whom.
        target: Target,
        /// Why.
        error: DialError,
    },
    /// A supervisor joins; answered by [`Output::Joined`] or [`Output::JoinFailed`].
    Join {
        /// Names the session from now on.
        session: SessionId,
        /// Its namespace.
        scope: Scope,
        /// The member name wished for.
        name: NameChoice,
        /// The supervisor's process start.
        boot: BootId,
        /// What placement needs of it.
        metadata: MemberMetadata,
        /// How long the join may look for others before it forms a cluster alone.
        within: Duration,
    },
    /// A session asks for something; answered by [`Output::Answer`].
    Request {
        /// Which.
        session: SessionId,
        /// Names the request.
        call: CallId,
        /// What.
        request: MembershipRequest,
    },
    /// A session needs round trips to all others, or does not any more (R17).
    ProbeAll {
        /// Which.
        session: SessionId,
        /// Whether it does.
        on: bool,
    },
    /// A session was dropped: its member is a crashed one, unless it left before.
    Drop(SessionId),
}

/// One effect of an engine.
#[derive(Debug, Clone)]
pub enum Output {
    /// Send a datagram; it may be lost.
    Datagram {
        /// Where.
        to: SocketAddr,
        /// What.
        packet: Packet,
    },
    /// Make a link; answered by [`Input::LinkUp`] or [`Input::DialFailed`].
    Dial(Target),
    /// Send a message over a link; a link that cannot take it closes.
    Send {
        /// Which.
        link: LinkId,
        /// What.
        message: Message,
    },
    /// Close a link once what was sent is out, or does not get out soon; no input about it follows.
    Close(LinkId),
    /// A session began.
    Joined {
        /// Which.
        session: SessionId,
        /// Who the member is.
        me: MemberId,
    },
    /// A session did not come to be; nothing of it stays behind.
    JoinFailed {
        /// Which.
        session: SessionId,
        /// Why.
        error: MembershipError,
    },
    /// News for a session.
    Event {
        /// Which.
        session: SessionId,
        /// What.
        event: Event,
    },
    /// A member answered a session that had asked for round trips.
    Contact {
        /// Which.
        session: SessionId,
        /// The member.
        member: BootId,
        /// When it was asked.
        asked: Timestamp,
    },
    /// The answer to a request.
    Answer {
        /// Which.
        call: CallId,
        /// What.
        answer: Answer,
    },
}
