//! The connections that this side makes, one after the other, under one queue.
//!
//! In: established channels. Out: the same, entered in the peers while they stand; and the sender
//! of each message for the user's handler; and the span that each is in. May touch: the peers.

use std::{
    collections::VecDeque,
    future::{Future, Ready, ready},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{self, Context, Poll},
};

use futures_core::Stream;
use futures_util::{
    TryFutureExt as _,
    future::{Either, ErrInto},
};
use kyneta_uds_core::{
    Admission, BoxError, Channel, ChannelMsg, ConnectionInfo, DisconnectReason, Inbound,
    Redial as _, WireVersion,
};
use kyneta_uds_handshake::{Established, Handshake, HandshakeError, PeerInfo};
use kyneta_uds_queue::{Driver, Handle, QueueConfig, QueueEvent, queue};
use kyneta_uds_unix::UnixTarget;
use pin_project::pin_project;
use tower_service::Service;
use tracing::{
    Instrument as _, Span,
    field::{Empty, debug},
    info_span,
};

use crate::{
    connection::{Connection, Incoming},
    peers::{PeerEntry, Peers},
    stack::MakeChannel,
};

/// What all connections that one side makes have in common.
#[derive(Debug, Clone)]
pub(crate) struct Dialed {
    inner: Arc<Inner>,
    /// Of the one queue that all of them are under.
    handle: Handle<ChannelMsg>,
}

#[derive(Debug)]
struct Inner {
    peers: Peers,
    /// The connection that stands, and its span.
    present: Mutex<Option<(Arc<Connection>, Span)>>,
    /// Counts its changes, so that a turn of the driver costs no lock.
    stood: AtomicU64,
    /// How many messages have come in. Only the driver's task counts.
    came_in: AtomicU64,
    /// The sender of the messages from this one on, for changes that the handler has not come to: the
    /// queue may read ahead, and a connection that has failed may still be read when the next one stands.
    senders: Mutex<VecDeque<(u64, Arc<Connection>)>>,
    /// Counts the changes of sender, so that a message costs no lock.
    changes: AtomicU64,
    /// The sender of the message that the handler was called with last.
    handling: Mutex<Option<Arc<Connection>>>,
    /// The senders of what has come in and is no message, in order, until the queue tells of it: one
    /// event each.
    noted: Mutex<VecDeque<Arc<Connection>>>,
}

impl Dialed {
    /// None yet, and the queue. Its events bear the name of the peer whose message it is, or that is there.
    pub(crate) fn new(peers: Peers, config: QueueConfig) -> (Self, Driver<ChannelMsg>) {
        let inner = Arc::new(Inner {
            peers,
            present: Mutex::new(None),
            stood: AtomicU64::new(0),
            came_in: AtomicU64::new(0),
            senders: Mutex::default(),
            changes: AtomicU64::new(0),
            handling: Mutex::default(),
            noted: Mutex::default(),
        });
        // Weak: connections hold the queue's handle.
        let weak = Arc::downgrade(&inner);
        let (handle, driver) = queue(config.and_on_event(move |event| {
            if let Some(inner) = weak.upgrade()
                && let Some(connection) = inner.whose(event)
            {
                let events = inner.peers.events();
                events.queue(connection.shared_peer(), event);
            }
        }));
        (Self { inner, handle }, driver)
    }

    /// The queue that all of them are under.
    pub(crate) const fn handle(&self) -> &Handle<ChannelMsg> {
        &self.handle
    }

    /// The connection that stands, if any.
    pub(crate) fn present(&self) -> Option<Arc<Connection>> {
        self.inner.standing()
    }

    fn set(&self, connection: Arc<Connection>, span: Span) {
        *self.inner.present() = Some((connection, span));
        self.inner.stood.fetch_add(1, Ordering::Release);
    }

    /// The driver of the queue, in the span of the connection that stands.
    pub(crate) fn in_span<D>(&self, driver: D) -> InSpan<D> {
        InSpan {
            driver,
            dialed: self.clone(),
            stood: 0,
            span: Span::none(),
        }
    }

    /// The changes of sender up to this message, and the first message of the next one.
    #[cold]
    fn senders_up_to(&self, message: u64) -> (Vec<(u64, Arc<Connection>)>, u64) {
        let mut senders = self.inner.senders();
        let due = senders.partition_point(|(first, _)| *first <= message);
        // Dropped by the caller, outside the lock.
        let due = senders.drain(..due).collect();
        (due, senders.front().map_or(u64::MAX, |(first, _)| *first))
    }

    /// What comes in from here on is of this connection. Returns the count of this change.
    #[cold]
    fn sends(&self, connection: Arc<Connection>) -> u64 {
        let first = self.inner.came_in.load(Ordering::Relaxed);
        self.inner.senders().push_back((first, connection));
        self.inner.changes.fetch_add(1, Ordering::Release) + 1
    }

    /// Forgets a connection that has ended, unless another has taken its place.
    fn leave(&self, connection: &Arc<Connection>) {
        let left = self
            .inner
            .present()
            .take_if(|(present, _)| Arc::ptr_eq(present, connection));
        if left.is_some() {
            self.inner.stood.fetch_add(1, Ordering::Release);
        }
    }
}

impl Inner {
    /// The connection that an event of the queue is about. A message may be read, and handled, when the
    /// connection that it came from has ended.
    fn whose(&self, event: &QueueEvent) -> Option<Arc<Connection>> {
        let sender = match event {
            QueueEvent::HandlerFailed(_) | QueueEvent::HandlerPanicked(_) => {
                lock(&self.handling).clone()
            }
            QueueEvent::Rejected(_) | QueueEvent::Noticed(_) => lock(&self.noted).pop_front(),
            _ => None,
        };
        sender.or_else(|| self.standing())
    }

    fn standing(&self) -> Option<Arc<Connection>> {
        let present = self.present();
        present.as_ref().map(|(connection, _)| connection.clone())
    }

    fn present(&self) -> MutexGuard<'_, Option<(Arc<Connection>, Span)>> {
        lock(&self.present)
    }

    fn senders(&self) -> MutexGuard<'_, VecDeque<(u64, Arc<Connection>)>> {
        lock(&self.senders)
    }
}

/// No code that can panic runs under these locks, so poison means nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A driver, each of whose turns is in the span of the connection that stands when it begins.
#[pin_project]
#[derive(Debug)]
pub(crate) struct InSpan<D> {
    #[pin]
    driver: D,
    dialed: Dialed,
    stood: u64,
    span: Span,
}

impl<D: Future> Future for InSpan<D> {
    type Output = D::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<D::Output> {
        let this = self.project();
        let stood = this.dialed.inner.stood.load(Ordering::Acquire);
        if stood != *this.stood {
            *this.stood = stood;
            let present = this.dialed.inner.present();
            *this.span = present
                .as_ref()
                .map_or_else(Span::none, |(_, span)| span.clone());
        }
        let _inside = this.span.enter();
        this.driver.poll(cx)
    }
}

/// A maker whose channels are entered in the peers. What was accepted passes untouched: its own
/// session enters it.
#[derive(Debug, Clone)]
pub(crate) struct Tracking<S> {
    inner: Handshake<S>,
    dialed: Dialed,
}

impl<S> Tracking<S> {
    pub(crate) fn new(inner: Handshake<S>, dialed: Dialed) -> Self {
        Self { inner, dialed }
    }
}

impl<S: MakeChannel<In = ChannelMsg>> Service<UnixTarget> for Tracking<S> {
    type Response = Tracked<S::Channel>;
    type Error = HandshakeError;
    type Future = Pin<Box<dyn Future<Output = Result<Tracked<S::Channel>, HandshakeError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        self.inner.poll_ready(cx)
    }

    // Boxed: once a connection.
    fn call(&mut self, target: UnixTarget) -> Self::Future {
        let (entry, span) = match target.redial() {
            Some(_) => (Entry::Awaited(self.dialed.clone()), span()),
            // The one in whose span it was accepted goes on.
            None => (Entry::None, Span::none()),
        };
        let established = self.inner.call(target).instrument(span.clone());
        Box::pin(async move {
            let inner = established.await?;
            Ok(Tracked {
                inner,
                entry,
                span,
                closing: false,
            })
        })
    }
}

/// The span of a connection that this side makes, from the first attempt on. As that of one that is
/// accepted ([`Permit::span`](crate::Permit::span)), but that nobody is known yet.
fn span() -> Span {
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
    // Quoted: it is what a stranger says, line breaks and all.
    span.record("peer", debug(&peer.identity().peer_id));
    span.record("wire", peer.wire().byte());
}

/// An established channel whose peer is in the peers from the first poll to the end.
#[derive(Debug)]
pub(crate) struct Tracked<C> {
    inner: Established<C>,
    entry: Entry,
    span: Span,
    /// This side has ended it; the peer's own end follows.
    closing: bool,
}

#[derive(Debug)]
enum Entry {
    None,
    /// Entered with the first poll, when whoever asked for the channel has said that it stands.
    Awaited(Dialed),
    Entered(Entered),
}

/// A connection that is in the peers.
#[derive(Debug)]
struct Entered {
    dialed: Dialed,
    connection: Arc<Connection>,
    entry: PeerEntry,
    /// The change of sender that was its own; 0 before its first message.
    sent: u64,
}

impl Entered {
    /// A message of its has come in.
    #[inline]
    fn sends(&mut self) {
        let inner = &self.dialed.inner;
        if self.sent == 0 || inner.changes.load(Ordering::Acquire) != self.sent {
            self.sent = self.dialed.sends(self.connection.clone());
        }
        // Not `fetch_add`: only the driver's task writes.
        let so_far = inner.came_in.load(Ordering::Relaxed);
        inner.came_in.store(so_far + 1, Ordering::Relaxed);
    }

    /// Something of its has come in that is no message.
    #[cold]
    fn is_noted(&self) {
        lock(&self.dialed.inner.noted).push_back(self.connection.clone());
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.dialed.leave(&self.connection);
    }
}

impl<C> Tracked<C> {
    pub(crate) fn into_inner(self) -> Established<C> {
        self.inner
    }

    #[inline]
    fn enter(&mut self) {
        if let Entry::Awaited(_) = self.entry {
            self.enter_now();
        }
    }

    #[cold]
    fn enter_now(&mut self) {
        if let Entry::Awaited(dialed) = std::mem::replace(&mut self.entry, Entry::None) {
            let peer = self.inner.peer().clone();
            record(&self.span, &peer);
            let connection = Connection::new(dialed.handle.clone(), peer);
            #[cfg(feature = "status")]
            let connection = connection.sharing();
            let connection = Arc::new(connection);
            dialed.set(connection.clone(), self.span.clone());
            let entry = dialed.inner.peers.enter(connection.clone());
            self.entry = Entry::Entered(Entered {
                dialed,
                connection,
                entry,
                sent: 0,
            });
        }
    }

    #[cold]
    fn leave(&mut self, reason: DisconnectReason) {
        if let Entry::Entered(mut entered) = std::mem::replace(&mut self.entry, Entry::None) {
            entered.entry.leave(reason);
        }
    }
}

impl<C: Channel<ChannelMsg>> Service<ChannelMsg> for Tracked<C> {
    type Response = ();
    type Error = BoxError;
    type Future = ErrInto<C::Future, BoxError>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.enter();
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, msg: ChannelMsg) -> Self::Future {
        self.inner.call(msg).err_into()
    }
}

impl<C: Channel<ChannelMsg, In = ChannelMsg>> Stream for Tracked<C> {
    type Item = Result<Inbound<ChannelMsg>, BoxError>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.enter();
        let polled = match task::ready!(Pin::new(&mut this.inner).poll_next(cx)) {
            Some(Ok(inbound)) => {
                if let Entry::Entered(entered) = &mut this.entry {
                    match &inbound {
                        Inbound::Message(_) => entered.sends(),
                        Inbound::Rejected(_) | Inbound::Noticed(_) => entered.is_noted(),
                        // Of a kind that the queue does not know either.
                        _ => {}
                    }
                }
                Some(Ok(inbound))
            }
            Some(Err(error)) => {
                let reason = DisconnectReason::error(error);
                this.leave(reason.clone());
                Some(Err(reason.into()))
            }
            None => {
                this.leave(if this.closing {
                    DisconnectReason::Intentional
                } else {
                    DisconnectReason::Closed
                });
                None
            }
        };
        Poll::Ready(polled)
    }
}

impl<C: Channel<ChannelMsg, In = ChannelMsg>> Channel<ChannelMsg> for Tracked<C> {
    type In = ChannelMsg;

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_flush(cx).map_err(Into::into)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.closing = true;
        self.inner.poll_close(cx).map_err(Into::into)
    }

    #[inline]
    fn buffered(&self) -> usize {
        self.inner.buffered()
    }

    fn poll_admission(
        &mut self,
        cx: &mut Context<'_>,
        admission: Admission,
    ) -> Poll<Result<(), BoxError>> {
        self.inner.poll_admission(cx, admission).map_err(Into::into)
    }

    #[inline]
    fn worked(&self) -> u64 {
        self.inner.worked()
    }

    fn connection(&self) -> ConnectionInfo {
        self.inner.connection()
    }

    fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.inner.begin_with(wire)
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.inner.lost()
    }

    /// Its own end is a loss of whoever makes another.
    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        self.leave(reason);
        false
    }
}

/// Gives a user's handler the sender of each message. One reference count a message.
#[derive(Debug)]
pub(crate) struct FromPresent<H> {
    handler: H,
    dialed: Dialed,
    /// The sender of the next message.
    known: Option<Arc<Connection>>,
    /// How many messages it has been called with.
    handled: u64,
    /// The message with which the sender changes next, as far as is known.
    next: u64,
    /// Changes of sender that are known.
    changes: u64,
}

impl<H> FromPresent<H> {
    pub(crate) fn new(handler: H, dialed: Dialed) -> Self {
        Self {
            handler,
            dialed,
            known: None,
            handled: 0,
            next: u64::MAX,
            changes: 0,
        }
    }

    #[inline]
    fn know_the_sender(&mut self) {
        let changes = self.dialed.inner.changes.load(Ordering::Acquire);
        if changes != self.changes || self.handled == self.next {
            self.changes = changes;
            let (mut due, next) = self.dialed.senders_up_to(self.handled);
            self.next = next;
            if let Some((_, sender)) = due.pop() {
                let former = lock(&self.dialed.inner.handling).replace(sender.clone());
                drop(former);
                self.known = Some(sender);
            }
        }
        self.handled += 1;
    }
}

impl<H: Service<Incoming, Response = (), Error: Into<BoxError>>> Service<ChannelMsg>
    for FromPresent<H>
{
    type Response = ();
    type Error = BoxError;
    /// The handler at work; or at once, for a message from a connection that was never entered.
    type Future = Either<ErrInto<H::Future, BoxError>, Ready<Result<(), BoxError>>>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.handler.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, message: ChannelMsg) -> Self::Future {
        self.know_the_sender();
        match &self.known {
            Some(from) => {
                #[cfg(feature = "status")]
                if from.traffic().is_over() {
                    self.dialed.inner.peers.comes_in_late();
                }
                let incoming = Incoming::new(message, from.clone());
                Either::Left(self.handler.call(incoming).err_into())
            }
            None => Either::Right(ready(Err("a message from nobody".into()))),
        }
    }
}
