//! Sends events to subscribers, counts and logs them.
//!
//! In: reports of connections, queues and listeners. Out: [`Event`]s to subscribers, their counts, and
//! few log lines. May touch: the clock for a log line.

use std::{
    fmt::Display,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use futures_core::Stream;
use futures_util::stream::unfold;
use kyneta_uds_core::{BoxError, Inbound, Notice, RateLimit, SharedError, ignore_poison};
use kyneta_uds_handshake::{HandshakeError, PeerInfo};
use kyneta_uds_hub::HubEvent;
use kyneta_uds_queue::QueueEvent;
use kyneta_uds_relay::MemberFacts;
use kyneta_uds_unix::{DirectoryRisk, RejectReason};
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

use crate::{
    counts::Counts,
    event::{Event, PeerChange},
    event_outbox::EventOutbox,
    observers::Observers,
    waiting::Waiting,
};

/// How many events are kept for a slow reader.
const CAPACITY: usize = 4096;

/// The default of [`log_lines`](crate::Builder::log_lines).
pub(crate) const LOG_LINES: u32 = 600;

/// The [`Event`]s since it was made. A reader that falls behind by more than 4,096 events gets
/// [`Event::MissedEvents`]; it delays no connection.
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
            Err(RecvError::Lagged(missed)) => Some(Event::MissedEvents(missed)),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next event that has already happened, if any.
    pub fn try_recv(&mut self) -> Option<Event> {
        match self.receiver.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Lagged(missed)) => Some(Event::MissedEvents(missed)),
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

/// Sends and counts events, in the order in which they are said, and under no lock. Without subscribers an event costs
/// three locks.
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

impl WeakEventSender {
    /// Sends the event of a hub. A diagnostic is logged at debug level: any member can cause it.
    pub(crate) fn hub(&self, event: &HubEvent) {
        let Some(inner) = self.inner.upgrade() else {
            return;
        };
        let id = |member: &MemberFacts| {
            let identity = member.identity.as_ref();
            identity.map(|identity| identity.peer_id.clone())
        };
        let event = match event {
            HubEvent::Diagnostic {
                member,
                doc,
                diagnostic,
            } => {
                let peer = id(member);
                tracing::debug!(?peer, ?doc, %diagnostic, "a message had no effect");
                Event::Diagnostic {
                    peer,
                    doc: doc.clone(),
                    diagnostic: *diagnostic,
                }
            }
            HubEvent::HeldBack { member, pause } => {
                let (peer, pause) = (id(member), *pause);
                tracing::debug!(?peer, ?pause, "a member sends too much");
                Event::HeldBack { peer, pause }
            }
            HubEvent::RouterPanicked(panic) => Event::RouterPanicked(panic.clone()),
            // `HubEvent` may get more variants.
            _ => return,
        };
        EventSender { inner }.send(event);
    }
}

#[derive(Debug)]
struct Inner {
    outbox: EventOutbox<Event>,
    sender: broadcast::Sender<Event>,
    /// Another process goes on: what ends here has not ended.
    handed_over: AtomicBool,
    counts: Mutex<Counts>,
    log: Mutex<RateLimit>,
    observers: Observers,
}

impl EventSender {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                outbox: EventOutbox::new(Event::MissedEvents),
                sender: broadcast::Sender::new(CAPACITY),
                handed_over: AtomicBool::new(false),
                counts: Mutex::default(),
                log: Mutex::new(RateLimit::new(LOG_LINES)),
                observers: Observers::default(),
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
        *ignore_poison(self.inner.log.lock()) = RateLimit::new(per_minute);
    }

    /// The connections that look on.
    #[inline]
    pub(crate) fn observers(&self) -> &Observers {
        &self.inner.observers
    }

    pub(crate) fn subscribe(&self) -> Events {
        Events {
            receiver: self.inner.sender.subscribe(),
        }
    }

    /// A message to all was dropped. No event: one that is alone may send many.
    pub(crate) fn unheard(&self) {
        ignore_poison(self.inner.counts.lock()).unheard += 1;
    }

    pub(crate) fn counts(&self) -> Counts {
        *ignore_poison(self.inner.counts.lock())
    }

    pub(crate) fn send(&self, event: Event) {
        if self.counts_in(&event) {
            let take = |event| self.take(event);
            self.inner.outbox.send(event, take);
        }
    }

    /// Says an event under a lock: it is sent by [`send_said`](Self::send_said), after the lock.
    pub(crate) fn say(&self, event: Event) {
        if self.counts_in(&event) {
            self.inner.outbox.push(event);
        }
    }

    /// Sends the events that were said, unless another thread is at it.
    pub(crate) fn send_said(&self) {
        self.inner.outbox.deliver(|event| self.take(event));
    }

    /// Counts an event. False after the last one.
    fn counts_in(&self, event: &Event) -> bool {
        let is_last = self.inner.handed_over.load(Ordering::Acquire);
        if !is_last {
            ignore_poison(self.inner.counts.lock()).count(event);
        }
        !is_last
    }

    /// Hands an event to the subscribers, and then to the log: what takes the line may panic.
    fn take(&self, event: Event) {
        let change = match &event {
            Event::Peer { peer, change } => Some((peer.clone(), change.clone())),
            _ => None,
        };
        // An error means that there is no subscriber.
        let _ = self.inner.sender.send(event);
        if let Some((peer, change)) = change {
            self.log_peer(&peer, &change);
        }
    }

    /// The last event: everything goes on in another process.
    pub(crate) fn handed_over(&self, pid: u32) {
        tracing::info!(pid, "handed over");
        self.send(Event::HandedOver { pid });
        self.inner.handed_over.store(true, Ordering::Release);
    }

    fn log_peer(&self, peer: &PeerInfo, change: &PeerChange) {
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
    }

    /// The number of lines left out before this one, or `None` if this one is left out too.
    fn line(&self) -> Option<u64> {
        let line = ignore_poison(self.inner.log.lock()).take(Instant::now());
        if line.is_none() {
            ignore_poison(self.inner.counts.lock()).log_lines_left_out += 1;
        }
        line
    }

    /// An accepted stream did not complete the handshake. One that closed at once was a probe.
    pub(crate) fn handshake_failed(&self, error: HandshakeError) {
        if !matches!(error, HandshakeError::Closed { .. }) {
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
