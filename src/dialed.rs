//! The connections that this side makes, one after the other, under one queue.
//!
//! In: the peer and the span of each connection. Out: its entry in the peers; the queue; the current
//! connection's span, in which the driver is polled. May touch: the peers.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use kyneta_uds_core::{ChannelMsg, DisconnectReason, Look, ignore_poison};
use kyneta_uds_handshake::PeerInfo;
use kyneta_uds_queue::{Driver, Handle, QueueConfig, QueueEvent, queue};
use pin_project::pin_project;
use tower_service::Service;
use tracing::{
    Span,
    field::{Empty, debug},
    info_span,
};

use crate::{
    connection::{Connection, Incoming},
    event_sender::EventSender,
    looking::{IncomingRef, MayLook},
    peers::{PeerEntry, Peers},
};

/// What the connections that one side makes have in common.
#[derive(Debug, Clone)]
pub(crate) struct Dialed {
    peers: Peers,
    handle: Handle<ChannelMsg>,
    shared: Arc<Shared>,
}

/// Holds no handle: the queue's events hold it.
#[derive(Debug)]
struct Shared {
    events: EventSender,
    /// The peer and the span of the current connection. The span is not cloned under the lock: a subscriber's code does
    /// that.
    current: Mutex<Option<(Arc<PeerInfo>, Arc<Span>)>>,
    /// Counts the changes of `current`, so that a poll of the driver takes no lock.
    changes: AtomicU64,
    /// The sender of the message that the handler was last called with.
    at_work: Mutex<Option<Arc<PeerInfo>>>,
}

impl Dialed {
    /// No connection yet, and the queue.
    pub(crate) fn new(peers: Peers, config: QueueConfig) -> (Self, Driver<ChannelMsg>) {
        let shared = Arc::new(Shared {
            events: peers.events().clone(),
            current: Mutex::default(),
            changes: AtomicU64::new(0),
            at_work: Mutex::default(),
        });
        // Weak: a user's handle must not keep the readers of events waiting for the end.
        let weak = Arc::downgrade(&shared);
        let (handle, driver) = queue(config.and_on_event(move |event| {
            if let Some(shared) = weak.upgrade()
                && let Some(peer) = shared.peer_of(event)
            {
                shared.events.queue(&peer, event);
            }
        }));
        let dialed = Self {
            peers,
            handle,
            shared,
        };
        (dialed, driver)
    }

    /// The handle of the queue.
    pub(crate) const fn handle(&self) -> &Handle<ChannelMsg> {
        &self.handle
    }

    pub(crate) fn events(&self) -> &EventSender {
        self.peers.events()
    }

    /// Enters a connection in the peers.
    pub(crate) fn enter(&self, peer: Arc<PeerInfo>, span: Span) -> (Arc<Connection>, DialedEntry) {
        record(&span, &peer);
        let connection = Connection::new(self.handle.clone(), peer.clone()).dialed();
        let connection = Arc::new(connection);
        let former =
            ignore_poison(self.shared.current.lock()).replace((peer.clone(), Arc::new(span)));
        drop(former);
        self.shared.changes.fetch_add(1, Ordering::Release);
        let entry = DialedEntry {
            entry: self.peers.enter(connection.clone()),
            peer,
            shared: self.shared.clone(),
        };
        (connection, entry)
    }

    /// Drives the queue; each poll is in the span of the current connection.
    pub(crate) fn in_span<D>(&self, driver: D) -> InSpan<D> {
        InSpan {
            driver,
            shared: self.shared.clone(),
            changes: 0,
            span: Span::none(),
        }
    }

    /// The user's handler, wrapped so that its failures are reported with the right sender.
    pub(crate) fn handler<H>(&self, handler: H) -> NoteSender<MayLook<H>> {
        NoteSender {
            handler: MayLook(handler),
            sender: None,
            shared: self.shared.clone(),
        }
    }
}

impl Shared {
    /// The span of the current connection.
    fn span(&self) -> Span {
        let current = ignore_poison(self.current.lock());
        let span = current.as_ref().map(|(_, span)| span.clone());
        drop(current);
        span.map_or_else(Span::none, |span| Span::clone(&span))
    }

    /// The peer that an event of the queue is about. A message may be handled when its connection has
    /// ended.
    fn peer_of(&self, event: &QueueEvent) -> Option<Arc<PeerInfo>> {
        let sender = match event {
            QueueEvent::HandlerFailed(_) | QueueEvent::HandlerPanicked(_) => {
                ignore_poison(self.at_work.lock()).clone()
            }
            _ => None,
        };
        let current = || {
            ignore_poison(self.current.lock())
                .as_ref()
                .map(|(peer, _)| peer.clone())
        };
        sender.or_else(current)
    }
}

/// The entry of a dialed connection in the peers.
#[derive(Debug)]
pub(crate) struct DialedEntry {
    entry: PeerEntry,
    peer: Arc<PeerInfo>,
    shared: Arc<Shared>,
}

impl DialedEntry {
    pub(crate) fn leave(&mut self, reason: DisconnectReason) {
        self.entry.leave(reason);
    }
}

impl Drop for DialedEntry {
    fn drop(&mut self) {
        let left = ignore_poison(self.shared.current.lock())
            .take_if(|(peer, _)| Arc::ptr_eq(peer, &self.peer));
        if left.is_some() {
            self.shared.changes.fetch_add(1, Ordering::Release);
        }
    }
}

/// A driver that is polled in the span of the current connection.
#[pin_project]
#[derive(Debug)]
pub(crate) struct InSpan<D> {
    #[pin]
    driver: D,
    shared: Arc<Shared>,
    changes: u64,
    span: Span,
}

impl<D: Future> Future for InSpan<D> {
    type Output = D::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<D::Output> {
        let this = self.project();
        let changes = this.shared.changes.load(Ordering::Acquire);
        if changes != *this.changes {
            *this.changes = changes;
            *this.span = this.shared.span();
        }
        let _inside = this.span.enter();
        this.driver.poll(cx)
    }
}

/// Notes the sender of the message that the handler works on. One comparison a message.
#[derive(Debug)]
pub(crate) struct NoteSender<H> {
    handler: H,
    sender: Option<Arc<PeerInfo>>,
    shared: Arc<Shared>,
}

impl<H> NoteSender<H> {
    #[inline]
    fn note(&mut self, sender: &Arc<PeerInfo>) {
        let noted = self.sender.as_ref();
        if !noted.is_some_and(|noted| Arc::ptr_eq(noted, sender)) {
            self.note_now(sender);
        }
    }

    #[cold]
    fn note_now(&mut self, sender: &Arc<PeerInfo>) {
        self.sender = Some(sender.clone());
        *ignore_poison(self.shared.at_work.lock()) = Some(sender.clone());
    }
}

impl<H: Service<Incoming>> Service<Incoming> for NoteSender<H> {
    type Response = H::Response;
    type Error = H::Error;
    type Future = H::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), H::Error>> {
        self.handler.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, incoming: Incoming) -> H::Future {
        self.note(incoming.shared_peer());
        self.handler.call(incoming)
    }
}

impl<H: Look<Incoming>> Look<Incoming> for NoteSender<H> {
    #[inline]
    fn more(&self) -> bool {
        self.handler.more()
    }

    #[inline]
    fn look(&mut self, msg: IncomingRef<'_>) {
        self.note(msg.shared_peer());
        self.handler.look(msg);
    }

    #[inline]
    fn round_begins(&mut self) {
        self.handler.round_begins();
    }

    #[inline]
    fn round_over(&mut self) {
        self.handler.round_over();
    }
}

/// The span of a dialed connection, from the first attempt on. It has the fields of an accepted one's
/// ([`ConnectionPermit::span`](crate::ConnectionPermit::span)), to be recorded when the peer is known.
pub(crate) fn span() -> Span {
    info_span!(
        "connection",
        uid = Empty,
        gid = Empty,
        pid = Empty,
        peer = Empty,
        wire = Empty,
    )
}

fn record(span: &Span, peer: &PeerInfo) {
    if let Some(of) = peer.credentials() {
        span.record("uid", of.uid);
        span.record("gid", of.gid);
        span.record("pid", of.pid);
    }
    // Quoted: the peer chose it, and it may contain line breaks.
    span.record("peer", debug(&peer.identity().peer_id));
    span.record("wire", peer.wire().byte());
}
