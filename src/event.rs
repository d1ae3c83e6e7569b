//! Events: peers that connect and disconnect, messages that are lost, connections that are rejected.
//!
//! Values alone. Touches nothing: `event_sender` sends them.

use std::{
    fmt::{self, Display},
    sync::Arc,
    time::Duration,
};

use kyneta_uds_core::{
    DisconnectReason, DocId, Notice, PeerId, Rejection, SharedError, SocketPath,
};
use kyneta_uds_handshake::PeerInfo;
use kyneta_uds_hub::RouterPanicked;
use kyneta_uds_negotiate::Role;
use kyneta_uds_queue::HandlerPanicked;
use kyneta_uds_reconnect::State;
use kyneta_uds_relay::Diagnostic;
use kyneta_uds_unix::{DirectoryRisk, RejectReason};

use crate::waiting::Waiting;

/// What a role reports beside the messages.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A peer has connected or disconnected.
    Peer {
        /// The peer.
        peer: Arc<PeerInfo>,
        /// The change.
        change: PeerChange,
    },
    /// A peer sent something that is not a message; its connection goes on.
    Rejected {
        /// The peer.
        peer: Arc<PeerInfo>,
        /// The reason.
        rejection: Rejection,
    },
    /// A message to a peer could not be encoded and was not sent.
    Refused {
        /// The peer.
        peer: Arc<PeerInfo>,
        /// The reason.
        error: SharedError,
    },
    /// The handler returned an error for a message.
    HandlerFailed {
        /// The sender of the message.
        peer: Arc<PeerInfo>,
        /// The handler's error.
        error: SharedError,
    },
    /// The handler panicked on a message, which is lost. The connection goes on, and the handler is
    /// called with the next message.
    HandlerPanicked {
        /// The sender of the message.
        peer: Arc<PeerInfo>,
        /// The panic's message.
        panic: HandlerPanicked,
    },
    /// The sequence numbers of a peer's frames show that frames are missing, or that one arrived twice
    /// and was dropped once. Only wire version 3 has them.
    Noticed {
        /// The peer.
        peer: Arc<PeerInfo>,
        /// What the numbers show.
        notice: Notice,
    },
    /// A peer's queue is full.
    HighWater {
        /// The peer.
        peer: Arc<PeerInfo>,
        /// The messages in the queue.
        messages: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// A peer's queue that was full is empty again.
    Drained {
        /// The peer.
        peer: Arc<PeerInfo>,
    },
    /// A peer has connected with the id of a connected peer. Both are served.
    DuplicatePeer {
        /// The later of the two.
        peer: Arc<PeerInfo>,
    },
    /// A peer has connected with this side's own id. It is served.
    SelfConnection {
        /// The peer.
        peer: Arc<PeerInfo>,
    },
    /// The new state of a [`Client`](crate::Client).
    State(State),
    /// The new role of a [`Peer`](crate::Peer).
    Role(Role),
    /// A [`Peer`](crate::Peer) has had no role, or a [`Client`](crate::Client) no connection, for a second or
    /// longer. Repeated after intervals that grow to a minute.
    Waiting(Waiting),
    /// An obstacle at the path that needs an operator: a [`Peer`](crate::Peer) cannot bind or connect, a
    /// [`Client`](crate::Client) cannot connect, or a listener cannot take its path back. It is tried
    /// again all the same, by a client as often as its policy allows.
    InTheWay {
        /// The obstacle.
        error: SharedError,
    },
    /// A [`Server`](crate::Server) owns its path again after an obstacle.
    Regained {
        /// The path.
        path: SocketPath,
        /// How long new peers could not connect.
        after: Duration,
    },
    /// The directory of the bound path lets other users replace the socket.
    UnsafeDirectory {
        /// Which users, and the remedy.
        risk: DirectoryRisk,
    },
    /// An accepted connection was closed at once: not allowed, or over a limit.
    ConnectionRejected {
        /// Why, with the credentials of the process.
        reason: RejectReason,
    },
    /// An accepted connection did not complete the handshake, or no handler could be made for it. A
    /// probe is not reported.
    NotEstablished {
        /// The reason.
        error: SharedError,
    },
    /// Of the [relay](crate::Builder::relay): a message of a member, or a part of it, had no effect.
    Diagnostic {
        /// Which member; `None` for a local one.
        peer: Option<PeerId>,
        /// About which document, if about one.
        doc: Option<DocId>,
        /// Why.
        diagnostic: Diagnostic,
    },
    /// Of the [relay](crate::Builder::relay): a member sends more than its [`Rates`](crate::Rates) allow. Nothing is
    /// read from it for a time, and nothing is lost.
    HeldBack {
        /// Which member; `None` for a local one.
        peer: Option<PeerId>,
        /// For how long.
        pause: Duration,
    },
    /// Of the [relay](crate::Builder::relay): the router has panicked. All members are disconnected; they may connect
    /// again, to a new router.
    RouterPanicked(RouterPanicked),
    /// A link to another machine came up, or there is none.
    #[cfg(feature = "machines")]
    Link {
        /// Which machine; its key, if that is not named here.
        machine: String,
        /// What has happened.
        change: crate::machines::LinkChange,
    },
    /// The links of this machine could not be started, and why: each error once in a row. It is tried again every second;
    /// [`Peer::links_failure`](crate::Peer::links_failure) counts the attempts. Also when the engine ends or panics later.
    #[cfg(feature = "machines")]
    MachinesFailed {
        /// The engine's error.
        error: SharedError,
    },
    /// A [`Server`](crate::Server) or a [`Peer`](crate::Peer) that offers a handoff has handed everything over to this process. It is the last event.
    HandedOver {
        /// The successor.
        pid: u32,
    },
    /// A [`Server`](crate::Server) or a [`Peer`](crate::Peer) has taken everything over.
    TookOver {
        /// The former process.
        pid: u32,
        /// How many connections.
        connections: usize,
        /// How long they were frozen, at most: until the first is served again.
        pause: Duration,
    },
    /// A handoff was asked for and did not take place: this process serves on.
    NotHandedOver {
        /// Why.
        error: SharedError,
    },
    /// A [`Peer`](crate::Peer) that was to take over has not: the process that listens serves on. The peer joins as always.
    NotTakenOver {
        /// Why.
        error: SharedError,
    },
    /// This reader was too slow and has missed this many events.
    MissedEvents(u64),
}

/// How a peer's presence has changed (wire section 3.5).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PeerChange {
    /// It has completed the handshake.
    Established,
    /// It has returned within the departure timeout.
    Reconnected,
    /// Its last connection has ended without a `depart`. It may return.
    Disconnected(DisconnectReason),
    /// Its last connection has ended after a `depart`, or it has not returned within the departure
    /// timeout.
    Departed,
}

impl Display for PeerChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Established => f.write_str("established"),
            Self::Reconnected => f.write_str("reconnected"),
            Self::Disconnected(reason) => write!(f, "disconnected ({})", reason.kind()),
            Self::Departed => f.write_str("departed"),
        }
    }
}
