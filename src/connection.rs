//! A handle to one connection, and the messages that arrive on it.
//!
//! In: messages to the peer, and from it. Out: futures of their results, and [`Incoming`]s. May touch:
//! the queue, and tokio's clock while it is disposed of.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Poll},
};

use kyneta_uds_core::{
    Bytes, ChannelMsg, DisconnectReason, Message, MessageRef, PeerId, ignore_poison,
};
use kyneta_uds_handshake::PeerInfo;
use kyneta_uds_queue::{Enqueue, Handle, MessageBatch, NotQueued, SendError, SendFuture};
use kyneta_uds_relay::MemberKey;
use tokio::sync::Notify;
use tower_service::Service;

use crate::shutdown::shut_down;
#[cfg(feature = "status")]
use crate::traffic::Traffic;

/// A cloneable handle to one peer: `Service<ChannelMsg, Response = ()>`.
///
/// `poll_ready` reserves a permit of the peer's queue, `call` uses it; the future resolves when the
/// kernel has taken the bytes. After the connection has ended, all of them fail.
///
/// ```
/// use kyneta_uds::{ChannelMsg, Connection, DocId, SendError};
/// use tower::{Service as _, ServiceExt as _};
///
/// async fn dismiss(peer: &mut Connection, docs: Vec<DocId>) -> Result<(), SendError> {
///     for doc in docs {
///         peer.queue(ChannelMsg::Dismiss(doc)).await?; // waits for room in the queue only
///     }
///     peer.flushed().await?; // the kernel has taken all of them
///     // One message, until the kernel has taken it.
///     match peer.ready().await?.call(ChannelMsg::Depart).await {
///         Err(error) if error.may_have_been_sent() => Ok(()), // sending it again may repeat it
///         done => done,
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Connection {
    handle: Handle<ChannelMsg>,
    peer: Arc<PeerInfo>,
    end: Arc<End>,
}

/// The end of one connection. The queue may outlive it. Every idle connection holds one.
#[derive(Debug, Default)]
struct End {
    reason: OnceLock<DisconnectReason>,
    /// Of those that wait for the reason.
    woken: Notify,
    /// This side has made the connection.
    is_dialed: bool,
    #[cfg(feature = "status")]
    traffic: Traffic,
    /// What is there of it for another process, while it is handed over.
    handed: Mutex<Option<Box<Handed>>>,
    /// The key under which the router of a hub knows it.
    member: OnceLock<MemberKey>,
}

/// How far a connection is handed over.
#[derive(Debug)]
enum Handed {
    /// Bytes that are still written here are given to the other process.
    Ahead(Vec<Bytes>),
    /// The other process has them, under this number.
    IsAhead(u64),
    /// It is frozen, and this is its state.
    Aside(Aside),
}

type Aside = (std::os::fd::OwnedFd, kyneta_uds_core::SavedBytes);

impl End {
    #[inline]
    fn check(&self) -> Result<(), SendError> {
        match self.reason.get() {
            None => Ok(()),
            Some(reason) => Err(over(reason)),
        }
    }

    async fn wait(&self) -> DisconnectReason {
        loop {
            // Made before the look: what comes between wakes it.
            let woken = self.woken.notified();
            if let Some(reason) = self.reason.get() {
                return reason.clone();
            }
            woken.await;
        }
    }
}

#[cold]
fn over(reason: &DisconnectReason) -> SendError {
    SendError::Disconnected {
        reason: reason.clone(),
        maybe_sent: false,
    }
}

/// Queues a message while the connection exists. Not an enum of the two cases: that would move the
/// message once more.
struct Gated<'a, Q = Enqueue<'a, ChannelMsg>> {
    end: &'a End,
    queueing: Q,
}

impl<Q: Future<Output = Result<(), SendError>> + Unpin> Future for Gated<'_, Q> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.end.check()?;
        Pin::new(&mut self.queueing).poll(cx)
    }
}

impl Connection {
    pub(crate) fn new(handle: Handle<ChannelMsg>, peer: Arc<PeerInfo>) -> Self {
        Self {
            handle,
            peer,
            end: Arc::default(),
        }
    }

    /// This side has made it: it uses one queue with those before and after it.
    pub(crate) fn dialed(mut self) -> Self {
        self.end = Arc::new(End {
            reason: OnceLock::new(),
            woken: Notify::new(),
            is_dialed: true,
            #[cfg(feature = "status")]
            traffic: Traffic::after(self.handle.gone_out()),
            handed: Mutex::default(),
            member: OnceLock::new(),
        });
        self
    }

    #[cfg(feature = "status")]
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.end.traffic
    }

    /// A clone for a user.
    pub(crate) fn of(shared: &Arc<Self>) -> Self {
        Self::clone(shared)
    }

    /// This side has made it.
    #[cfg(any(feature = "documents", target_os = "linux"))]
    pub(crate) fn is_dialed(&self) -> bool {
        self.end.is_dialed
    }

    /// Both are handles to one connection, not only to one queue.
    #[cfg(feature = "documents")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.end, &other.end)
    }

    /// It is a member of a hub.
    pub(crate) fn set_member(&self, key: MemberKey) {
        let _ = self.end.member.set(key);
    }

    pub(crate) fn member(&self) -> Option<MemberKey> {
        self.end.member.get().copied()
    }

    fn set_handed(&self, handed: Option<Handed>) -> Option<Handed> {
        let former = {
            let mut place = ignore_poison(self.end.handed.lock());
            std::mem::replace(&mut *place, handed.map(Box::new))
        };
        former.map(|former| *former)
    }

    /// Bytes that the stream has not taken, and that are written on.
    pub(crate) fn set_ahead(&self, bytes: Vec<Bytes>) {
        self.set_handed(Some(Handed::Ahead(bytes)));
    }

    /// They go to the other process, under this number.
    pub(crate) fn take_ahead(&self, number: u64) -> Option<Vec<Bytes>> {
        let mut handed = ignore_poison(self.end.handed.lock());
        let handed = handed.as_deref_mut()?;
        match std::mem::replace(handed, Handed::IsAhead(number)) {
            Handed::Ahead(bytes) => Some(bytes),
            other => {
                *handed = other;
                None
            }
        }
    }

    /// The number under which the other process has bytes of it.
    pub(crate) fn is_ahead(&self) -> Option<u64> {
        match ignore_poison(self.end.handed.lock()).as_deref() {
            Some(Handed::IsAhead(number)) => Some(*number),
            _ => None,
        }
    }

    /// It is frozen, and this is its state.
    pub(crate) fn set_aside(&self, state: Aside) {
        self.set_handed(Some(Handed::Aside(state)));
    }

    pub(crate) fn take_aside(&self) -> Option<Aside> {
        match self.set_handed(None) {
            Some(Handed::Aside(aside)) => Some(aside),
            _ => None,
        }
    }

    /// It was not handed over.
    pub(crate) fn thaw(&self) {
        self.set_handed(None);
        self.handle.thaw();
    }

    /// The connection has ended. Those that wait for it are woken by [`wake`](Self::wake). Later calls have no effect.
    pub(crate) fn ended(&self, reason: DisconnectReason) {
        #[cfg(feature = "status")]
        self.end.traffic.end(self.handle.gone_out());
        // A copy of its stream would hold it open.
        self.set_handed(None);
        let _ = self.end.reason.set(reason);
    }

    /// Wakes those that wait for the end: they may be code of the user, so it is to be called under no lock.
    pub(crate) fn wake(&self) {
        self.end.woken.notify_waiters();
    }

    /// The process at the other end.
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }

    pub(crate) fn shared_peer(&self) -> &Arc<PeerInfo> {
        &self.peer
    }

    /// The peer's id.
    pub fn peer_id(&self) -> &PeerId {
        &self.peer.identity().peer_id
    }

    /// The queue's handle.
    pub fn handle(&self) -> &Handle<ChannelMsg> {
        &self.handle
    }

    /// Waits for room and queues a message, without waiting for the kernel. See [`Handle::queue`].
    ///
    /// # Errors
    /// [`SendError`], as of `poll_ready` and `call`.
    #[inline]
    pub fn queue(
        &mut self,
        msg: ChannelMsg,
    ) -> impl Future<Output = Result<(), SendError>> + Send + use<'_> {
        Gated {
            end: &self.end,
            queueing: self.handle.queue(msg),
        }
    }

    /// Queues the messages of a batch, as many at once as there is room for: cheaper than one by one. See
    /// [`Handle::queue_all`].
    ///
    /// # Errors
    /// [`SendError`], for the first message that is left in the batch.
    pub fn queue_all<'a>(
        &'a mut self,
        batch: &'a mut MessageBatch<ChannelMsg>,
    ) -> impl Future<Output = Result<(), SendError>> + Send + use<'a> {
        Gated {
            end: &self.end,
            queueing: self.handle.queue_all(batch),
        }
    }

    /// As [`queue`](Self::queue), of a message by reference: cheaper for small offers. See [`Handle::queue_ref`].
    ///
    /// # Errors
    /// [`SendError`], as of `poll_ready` and `call`.
    #[inline]
    pub fn queue_ref<'a, R: Into<MessageRef<'a>>>(
        &'a mut self,
        msg: R,
    ) -> impl Future<Output = Result<(), SendError>> + Send + use<'a, R> {
        Gated {
            end: &self.end,
            queueing: self.handle.queue_ref(msg),
        }
    }

    /// Queues a message if there is room now; else gives it back. See [`Handle::try_queue`].
    ///
    /// # Errors
    /// [`NotQueued`], with the message.
    #[allow(clippy::result_large_err)] // What makes it large is the message that it gives back.
    pub fn try_queue(&mut self, msg: ChannelMsg) -> Result<(), NotQueued<ChannelMsg>> {
        match self.end.check() {
            Ok(()) => self.handle.try_queue(msg),
            Err(error) => Err(NotQueued {
                error,
                message: msg,
            }),
        }
    }

    /// Ready when the kernel has taken all messages of earlier calls.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] when the connection ended first.
    pub async fn flushed(&self) -> Result<(), SendError> {
        self.handle.flushed().await
    }

    /// True while messages can be queued.
    pub fn is_connected(&self) -> bool {
        self.end.check().is_ok() && !self.handle.is_closed()
    }

    /// Ready, with the reason, when the connection has ended.
    ///
    /// Cancel safe.
    pub async fn closed(&self) -> DisconnectReason {
        tokio::select! {
            biased;
            reason = self.end.wait() => reason,
            reason = self.handle.closed() => reason,
        }
    }

    /// Sends `depart` after the queued messages, and closes the connection. Takes at most the queue's
    /// drain timeout, and up to 500 ms before it when the queue is full: then `depart` may not be sent.
    ///
    /// For a connection that this side has made, it ends the [`Client`](crate::Client) or
    /// [`Peer`](crate::Peer) that made it: they have the same queue.
    ///
    /// If the future is dropped before the queue is closed, the connection goes on.
    pub async fn dispose(&self) -> DisconnectReason {
        shut_down(&self.handle, self.is_connected()).await
    }
}

impl Service<ChannelMsg> for Connection {
    type Response = ();
    type Error = SendError;
    type Future = SendFuture<ChannelMsg>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.end.check()?;
        self.handle.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, msg: ChannelMsg) -> SendFuture<ChannelMsg> {
        self.handle.call(msg)
    }
}

/// A message and its sender: the request of a handler.
#[derive(Clone)]
pub struct Incoming {
    /// The message; never an `establish` or a `depart`.
    pub message: ChannelMsg,
    from: Arc<Connection>,
}

impl Incoming {
    #[inline]
    pub(crate) fn new(message: ChannelMsg, from: Arc<Connection>) -> Self {
        #[cfg(feature = "status")]
        from.traffic().count_received();
        Self { message, from }
    }

    /// The sender.
    pub fn peer(&self) -> &PeerInfo {
        self.from.peer()
    }

    #[inline]
    pub(crate) fn shared_peer(&self) -> &Arc<PeerInfo> {
        &self.from.peer
    }

    pub(crate) const fn shared_connection(&self) -> &Arc<Connection> {
        &self.from
    }

    /// The connection to answer on. A handler that waits for the end of the connection
    /// ([`closed`](Connection::closed), [`dispose`](Connection::dispose)) delays that end until the
    /// drain timeout: spawn a task for it.
    pub fn from(&self) -> Connection {
        Connection::clone(&self.from)
    }
}

impl AsRef<ChannelMsg> for Incoming {
    #[inline]
    fn as_ref(&self) -> &ChannelMsg {
        &self.message
    }
}

impl Message for Incoming {
    #[inline]
    fn size(&self) -> usize {
        // Of the message alone: the connection is shared.
        self.message.size()
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("peer", self.from.peer_id())
            .field("message", &self.message)
            .finish()
    }
}
