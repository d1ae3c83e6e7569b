//! What happens beside the messages: peers that come and go, messages that cannot be passed on.
//!
//! In: what connections, queues and listeners tell. Out: [`Event`]s to whoever subscribed, a count of
//! them, and few log lines. May touch: the clock for a log line.

use std::{
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures_core::Stream;
use futures_util::stream::unfold;
use kyneta_uds_core::{
    BoxError, DisconnectReason, Notice, PerMinute, Rejection, SharedError, SocketPath,
};
use kyneta_uds_handshake::{HandshakeError, PeerInfo};
use kyneta_uds_negotiate::Role;
use kyneta_uds_queue::{HandlerPanicked, QueueEvent};
use kyneta_uds_reconnect::State;
use kyneta_uds_unix::{DirectoryRisk, Refusal};
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

use crate::{counts::Counts, waiting::Waiting};

/// How many events wait for a reader that is slow.
const CAPACITY: usize = 4096;

/// Log lines a minute about peers, unless chosen otherwise.
pub(crate) const LOG_LINES: u32 = 600;

/// What happens beside the messages.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A peer has come or gone.
    Peer {
        /// Which one.
        peer: Arc<PeerInfo>,
        /// How.
        change: PeerChange,
    },
    /// Something that a peer sent is no message; its connection goes on.
    Rejected {
        /// Which one.
        peer: Arc<PeerInfo>,
        /// Why.
        rejection: Rejection,
    },
    /// A message to a peer could not be encoded and was not sent.
    Refused {
        /// Which one.
        peer: Arc<PeerInfo>,
        /// Why.
        error: SharedError,
    },
    /// The user's handler failed on a message.
    HandlerFailed {
        /// Whose message.
        peer: Arc<PeerInfo>,
        /// Why.
        error: SharedError,
    },
    /// The user's handler panicked on a message, which is lost. The connection goes on, and the next
    /// message goes to the handler all the same.
    HandlerPanicked {
        /// Whose message.
        peer: Arc<PeerInfo>,
        /// What the panic said.
        panic: HandlerPanicked,
    },
    /// The numbers of a peer's frames show that some are missing, or that one came twice and was
    /// dropped once. Only wire version 3 has them.
    Noticed {
        /// Which one.
        peer: Arc<PeerInfo>,
        /// What they show.
        notice: Notice,
    },
    /// A peer's queue has become full.
    HighWater {
        /// Whose queue.
        peer: Arc<PeerInfo>,
        /// How many messages wait.
        messages: usize,
        /// How many bytes they hold.
        bytes: usize,
    },
    /// A peer's queue that was full is empty again.
    Drained {
        /// Whose queue.
        peer: Arc<PeerInfo>,
    },
    /// A peer has introduced itself with the id of one that is here already. Both are served.
    DuplicatePeer {
        /// The later one.
        peer: Arc<PeerInfo>,
    },
    /// A peer has introduced itself with this side's own id. It is served.
    SelfConnection {
        /// That one.
        peer: Arc<PeerInfo>,
    },
    /// Where a [`Client`](crate::Client) stands from now on.
    State(State),
    /// What a [`Peer`](crate::Peer) is from now on.
    Role(Role),
    /// A [`Peer`](crate::Peer) has no role, or a [`Client`](crate::Client) no connection, for a second or
    /// longer. Told again after pauses that grow up to a minute.
    Waiting(Waiting),
    /// Something is in a [`Peer`](crate::Peer)'s way, or in a [`Client`](crate::Client)'s, or in that of
    /// a listener whose path was lost, that does not heal by itself; it is tried again all the same, by a
    /// client as often as its policy says.
    InTheWay {
        /// What.
        error: SharedError,
    },
    /// The path of a [`Server`](crate::Server) that something was in the way of is its own again.
    Regained {
        /// Where.
        path: SocketPath,
        /// How long new peers could not find it.
        after: Duration,
    },
    /// The directory of the path that was bound lets others replace the socket.
    UnsafeDirectory {
        /// Who may, and what to do about it.
        risk: DirectoryRisk,
    },
    /// Somebody has connected, and was hung up on at once: not allowed, or one too many.
    TurnedAway {
        /// Who, and why.
        refusal: Refusal,
    },
    /// An accepted connection did not become a peer. A probe is not reported.
    NotEstablished {
        /// Why.
        error: SharedError,
    },
    /// This reader was slow and has missed events.
    Missed(u64),
}

/// How a peer has come or gone (wire section 3.5).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PeerChange {
    /// It has introduced itself.
    Established,
    /// It is back within the departure timeout.
    Reconnected,
    /// Its last connection has ended without a `depart`. It may come back.
    Disconnected(DisconnectReason),
    /// Its last connection has ended after a `depart`, or it has not come back within the departure
    /// timeout.
    Departed,
}

/// The [`Event`]s from the moment it was made. A reader that falls behind by more than 4,096 events
/// gets [`Event::Missed`] instead of slowing anybody down.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
}

impl Events {
    /// The next event; `None` when there will be no more.
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

/// Where events are sent, and counted. With nobody listening they cost two locks each.
#[derive(Debug, Clone)]
pub(crate) struct EventSender {
    inner: Arc<Inner>,
}

/// As an [`EventSender`], but that readers see the end although it is there.
#[derive(Debug, Clone)]
pub(crate) struct WeakEventSender {
    inner: Weak<Inner>,
}

impl WeakEventSender {
    /// A client waits. The log is told, too.
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
    log: Mutex<PerMinute>,
}

impl EventSender {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                sender: broadcast::Sender::new(CAPACITY),
                counts: Mutex::default(),
                log: Mutex::new(PerMinute::new(LOG_LINES)),
            }),
        }
    }

    pub(crate) fn downgrade(&self) -> WeakEventSender {
        WeakEventSender {
            inner: Arc::downgrade(&self.inner),
        }
    }

    /// How many lines a minute are logged from now on.
    pub(crate) fn log_lines(&self, per_minute: u32) {
        *lock(&self.inner.log) = PerMinute::new(per_minute);
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
        // Nobody listening is no fault.
        let _ = self.inner.sender.send(event);
    }

    pub(crate) fn peer(&self, peer: &Arc<PeerInfo>, change: PeerChange) {
        if let Some(unsaid) = self.line() {
            let of = peer.credentials();
            let unsaid = (unsaid > 0).then_some(unsaid);
            tracing::info!(
                // Quoted: it is what a stranger says, line breaks and all.
                peer = ?peer.identity().peer_id,
                uid = of.map(|of| of.uid),
                pid = of.and_then(|of| of.pid),
                ?change,
                unsaid,
                "peer"
            );
        }
        self.send(Event::Peer {
            peer: peer.clone(),
            change,
        });
    }

    /// May a line that strangers cause be logged? After so many that were not.
    fn line(&self) -> Option<u64> {
        let line = lock(&self.inner.log).take(Instant::now());
        if line.is_none() {
            lock(&self.inner.counts).log_lines_left_out += 1;
        }
        line
    }

    /// An accepted stream has come to nothing in the handshake. A probe is part of normal life.
    pub(crate) fn not_introduced(&self, error: HandshakeError) {
        if !matches!(error, HandshakeError::Closed) {
            self.not_established(error);
        }
    }

    pub(crate) fn not_established(&self, error: impl Into<BoxError>) {
        let error = SharedError::new(error);
        // It is an event already, and a stranger must not fill anybody's log.
        tracing::debug!(%error, "an accepted connection did not become a peer");
        self.send(Event::NotEstablished { error });
    }

    /// Passes on what a queue tells, with the peer's name to it.
    pub(crate) fn queue(&self, peer: &Arc<PeerInfo>, event: &QueueEvent) {
        self.log(peer, event);
        let peer = peer.clone();
        self.send(match event {
            QueueEvent::HighWater { messages, bytes } => Event::HighWater {
                peer,
                messages: *messages,
                bytes: *bytes,
            },
            QueueEvent::Drained => Event::Drained { peer },
            QueueEvent::Rejected(rejection) => Event::Rejected {
                peer,
                rejection: rejection.clone(),
            },
            QueueEvent::Refused(error) => Event::Refused {
                peer,
                error: error.clone(),
            },
            QueueEvent::HandlerFailed(error) => Event::HandlerFailed {
                peer,
                error: error.clone(),
            },
            QueueEvent::HandlerPanicked(panic) => Event::HandlerPanicked {
                peer,
                panic: panic.clone(),
            },

            QueueEvent::Noticed(notice) => Event::Noticed {
                peer,
                notice: *notice,
            },
            _ => return,
        });
    }

    /// A message that is lost has a log line, whether or not there is a reader of events.
    fn log(&self, peer: &PeerInfo, event: &QueueEvent) {
        let (error, what): (&dyn Display, _) = match event {
            QueueEvent::Rejected(rejection) => (rejection, "the peer sent what is no message"),
            QueueEvent::Refused(error) => (error, "a message was not sent"),
            QueueEvent::HandlerFailed(error) => (error, "the handler failed on a message"),
            QueueEvent::HandlerPanicked(panic) => (panic, "a message is lost"),

            QueueEvent::Noticed(notice @ Notice::Gap { .. }) => (notice, "messages may be lost"),
            // The queue fills and empties; a frame that came twice loses nothing.
            _ => return,
        };
        if let Some(unsaid) = self.line() {
            let peer = &peer.identity().peer_id;
            let unsaid = (unsaid > 0).then_some(unsaid);
            tracing::warn!(?peer, %error, unsaid, "{what}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under the locks, so poison means nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
