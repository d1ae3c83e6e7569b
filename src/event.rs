//! Events: peers that connect and disconnect, messages that are lost, connections that are rejected.
//!
//! In: reports of connections, queues and listeners. Out: [`Event`]s to subscribers, their counts, and
//! few log lines. May touch: the clock for a log line.

use std::{
    fmt::{self, Display},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures_core::Stream;
use futures_util::stream::unfold;
use kyneta_uds_core::{
    BoxError, DisconnectReason, Inbound, Notice, RateLimit, Rejection, SharedError, SocketPath,
};
use kyneta_uds_handshake::{HandshakeError, PeerInfo};
use kyneta_uds_negotiate::Role;
use kyneta_uds_queue::{HandlerPanicked, QueueEvent};
use kyneta_uds_reconnect::State;
use kyneta_uds_unix::{DirectoryRisk, RejectReason};
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

use crate::{counts::Counts, waiting::Waiting};

/// How many events are kept for a slow reader.
const CAPACITY: usize = 4096;

/// The default of [`log_lines`](crate::Builder::log_lines).
pub(crate) const LOG_LINES: u32 = 600;

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
    /// This reader was too slow and has missed this many events.
    Missed(u64),
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

/// The [`Event`]s since it was made. A reader that falls behind by more than 4,096 events gets
/// [`Event::Missed`]; it delays no connection.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
}

impl Events {
    /// The next event; `None` after the last one.
    ///
    /// Cancel safe: no event is lost.
    pub async fn recv(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next event that has already happened, if any.
    pub fn try_recv(&mut self) -> Option<Event> {
        match self.receiver.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    /// The same as a `Stream`.
    pub fn into_stream(self) -> impl Stream<Item = Event> + Send {
        unfold(self, async |mut events| {
            Some((events.recv().await?, events))
        })
    }
}

/// Sends and counts events. Without subscribers an event costs two locks.
#[derive(Debug, Clone)]
pub(crate) struct EventSender {
    inner: Arc<Inner>,
}

/// An [`EventSender`] that does not keep readers from seeing the end.
#[derive(Debug, Clone)]
pub(crate) struct WeakEventSender {
    inner: Weak<Inner>,
}

impl WeakEventSender {
    /// A client waits for a connection. Also logged.
    pub(crate) fn not_connected(&self, waiting: Waiting) {
        if let Some(inner) = self.inner.upgrade() {
            let (for_ms, why) = (waiting.elapsed().as_millis(), waiting.why());
            tracing::warn!(for_ms, %why, "not connected");
            EventSender { inner }.send(Event::Waiting(waiting));
        }
    }
}

#[derive(Debug)]
struct Inner {
    sender: broadcast::Sender<Event>,
    counts: Mutex<Counts>,
    log: Mutex<RateLimit>,
}

impl EventSender {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                sender: broadcast::Sender::new(CAPACITY),
                counts: Mutex::default(),
                log: Mutex::new(RateLimit::new(LOG_LINES)),
            }),
        }
    }

    pub(crate) fn downgrade(&self) -> WeakEventSender {
        WeakEventSender {
            inner: Arc::downgrade(&self.inner),
        }
    }

    /// Sets the maximum of log lines a minute.
    pub(crate) fn log_lines(&self, per_minute: u32) {
        *lock(&self.inner.log) = RateLimit::new(per_minute);
    }

    pub(crate) fn subscribe(&self) -> Events {
        Events {
            receiver: self.inner.sender.subscribe(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        *lock(&self.inner.counts)
    }

    pub(crate) fn send(&self, event: Event) {
        lock(&self.inner.counts).count(&event);
        // An error means that there is no subscriber.
        let _ = self.inner.sender.send(event);
    }

    pub(crate) fn peer(&self, peer: &Arc<PeerInfo>, change: PeerChange) {
        if let Some(unsaid) = self.line() {
            let of = peer.credentials();
            let unsaid = (unsaid > 0).then_some(unsaid);
            tracing::info!(
                // Quoted: the peer chose it, and it may contain line breaks.
                peer = ?peer.identity().peer_id,
                uid = of.map(|of| of.uid),
                pid = of.and_then(|of| of.pid),
                %change,
                unsaid,
                "peer"
            );
        }
        self.send(Event::Peer {
            peer: peer.clone(),
            change,
        });
    }

    /// The number of lines left out before this one, or `None` if this one is left out too.
    fn line(&self) -> Option<u64> {
        let line = lock(&self.inner.log).take(Instant::now());
        if line.is_none() {
            lock(&self.inner.counts).log_lines_left_out += 1;
        }
        line
    }

    /// An accepted stream did not complete the handshake. One that closed at once was a probe.
    pub(crate) fn handshake_failed(&self, error: HandshakeError) {
        if !matches!(error, HandshakeError::Closed) {
            self.not_established(error);
        }
    }

    pub(crate) fn not_established(&self, error: impl Into<BoxError>) {
        let error = SharedError::new(error);
        // Debug level: any process can cause it, and it must not fill the log.
        tracing::debug!(%error, "an accepted connection was not established");
        self.send(Event::NotEstablished { error });
    }

    pub(crate) fn rejected(&self, reason: RejectReason) {
        self.send(Event::ConnectionRejected { reason });
    }

    pub(crate) fn unsafe_directory(&self, risk: DirectoryRisk) {
        self.send(Event::UnsafeDirectory { risk });
    }

    /// Sends the event of a queue, with its peer, and logs a message that is lost. What is not a message
    /// is reported by the channel, which knows the sender.
    pub(crate) fn queue(&self, to: &Arc<PeerInfo>, event: &QueueEvent) {
        let peer = to.clone();
        self.send(match event.clone() {
            QueueEvent::HighWater { messages, bytes } => Event::HighWater {
                peer,
                messages,
                bytes,
            },
            QueueEvent::Drained => Event::Drained { peer },
            QueueEvent::Refused(error) => {
                self.warn(to, &error, "a message was not sent");
                Event::Refused { peer, error }
            }
            QueueEvent::HandlerFailed(error) => {
                self.warn(to, &error, "the handler failed on a message");
                Event::HandlerFailed { peer, error }
            }
            QueueEvent::HandlerPanicked(panic) => {
                self.warn(to, &panic, "a message is lost");
                Event::HandlerPanicked { peer, panic }
            }
            _ => return,
        });
    }

    /// Sends the event of something received that is not a message.
    #[cold]
    pub(crate) fn inbound<M>(&self, peer: &Arc<PeerInfo>, inbound: &Inbound<M>) {
        match inbound {
            Inbound::Rejected(rejection) => {
                self.warn(
                    peer,
                    rejection,
                    "the peer sent something that is not a message",
                );
                self.send(Event::Rejected {
                    peer: peer.clone(),
                    rejection: rejection.clone(),
                });
            }
            Inbound::Noticed(notice) => {
                if let Notice::Gap { .. } = notice {
                    self.warn(peer, notice, "messages may be lost");
                }
                self.send(Event::Noticed {
                    peer: peer.clone(),
                    notice: *notice,
                });
            }
            _ => {}
        }
    }

    fn warn(&self, peer: &PeerInfo, error: &dyn Display, what: &str) {
        if let Some(unsaid) = self.line() {
            let peer = &peer.identity().peer_id;
            let unsaid = (unsaid > 0).then_some(unsaid);
            tracing::warn!(?peer, %error, unsaid, "{what}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under the locks, so they are never poisoned.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
