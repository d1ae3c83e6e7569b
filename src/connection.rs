//! One connection to one known peer, and what it brings in.
//!
//! In: messages to the peer, and from it. Out: futures that tell what became of each, and
//! [`Incoming`]s. May touch: the queue, tokio's clock when it is disposed of.

use std::{
    fmt,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use kyneta_uds_core::{ChannelMsg, DisconnectReason, PeerId};
use kyneta_uds_handshake::PeerInfo;
use kyneta_uds_queue::{Handle, NotQueued, Queueing, SendError, SendFuture};
use tokio::sync::Notify;
use tower_service::Service;

#[cfg(feature = "status")]
use crate::peers::Traffic;
use crate::shutdown::shut_down;

/// A cloneable handle to one peer: `Service<ChannelMsg, Response = ()>`.
///
/// `poll_ready` reserves a slot in the peer's queue, `call` uses it; the future resolves when the
/// kernel has taken the bytes. It lives on after the connection has ended, and then fails.
///
/// ```
/// use kyneta_uds::{ChannelMsg, Connection, DocId, SendError};
/// use tower::{Service as _, ServiceExt as _};
///
/// async fn dismiss(peer: &mut Connection, docs: Vec<DocId>) -> Result<(), SendError> {
///     for doc in docs {
///         peer.queue(ChannelMsg::Dismiss(doc)).await?; // waits for room alone
///     }
///     peer.flushed().await?; // the kernel has them all
///     // One message, and until the kernel has it.
///     match peer.ready().await?.call(ChannelMsg::Depart).await {
///         Err(error) if error.may_have_been_sent() => Ok(()), // again might be twice
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

/// The end of one connection. A queue may outlive it.
#[derive(Debug, Default)]
struct End {
    reason: OnceLock<DisconnectReason>,
    /// Wakes those who wait for it. The smallest that tokio has: every idle connection holds one.
    told: Notify,
    #[cfg(feature = "status")]
    traffic: Traffic,
}

impl End {
    #[inline]
    fn check(&self) -> Result<(), SendError> {
        match self.reason.get() {
            None => Ok(()),
            Some(reason) => Err(over(reason)),
        }
    }

    async fn told(&self) -> DisconnectReason {
        loop {
            let mut told = pin!(self.told.notified());
            // From here on it is told; looked at only then, the reason cannot be missed.
            told.as_mut().enable();
            if let Some(reason) = self.reason.get() {
                return reason.clone();
            }
            told.await;
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

/// Lets a message into the queue while the connection stands. Not an enum of the two cases: that
/// would move the message once more.
struct Gated<'a> {
    end: &'a End,
    queueing: Queueing<'a, ChannelMsg>,
}

impl Future for Gated<'_> {
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

    /// Of those that share a queue, one after the other.
    #[cfg(feature = "status")]
    pub(crate) fn sharing(mut self) -> Self {
        let traffic = Traffic::after(self.handle.gone_out());
        self.end = Arc::new(End {
            traffic,
            ..End::default()
        });
        self
    }

    #[cfg(feature = "status")]
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.end.traffic
    }

    /// One to hand out.
    pub(crate) fn of(shared: &Arc<Self>) -> Self {
        Self::clone(shared)
    }

    /// It has ended. Said once.
    pub(crate) fn ended(&self, reason: DisconnectReason) {
        #[cfg(feature = "status")]
        self.end.traffic.end(self.handle.gone_out());
        // The first one stays.
        let _ = self.end.reason.set(reason);
        self.end.told.notify_waiters();
    }

    /// Who is at the other end.
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

    /// Ready when the kernel has taken all that was called so far.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] when the connection ended first.
    pub async fn flushed(&self) -> Result<(), SendError> {
        self.handle.flushed().await
    }

    /// True while messages are let in.
    pub fn is_connected(&self) -> bool {
        self.end.check().is_ok() && !self.handle.is_closed()
    }

    /// Ready, with the reason, when the connection has ended.
    ///
    /// Cancel safe.
    pub async fn closed(&self) -> DisconnectReason {
        tokio::select! {
            biased;
            reason = self.end.told() => reason,
            reason = self.handle.closed() => reason,
        }
    }

    /// Tells the peer that this side leaves on purpose, sends what waits, and ends the connection.
    /// Takes at most the queue's drain timeout, and up to 500 ms before it when the queue is full: then
    /// the peer may not be told.
    ///
    /// Of a connection that this side has made, it ends the [`Client`](crate::Client) or
    /// [`Peer`](crate::Peer) that made it: what waits is the same.
    ///
    /// Cancel safe, but what has not been done by then is not: dropped before the queue was closed, the
    /// connection goes on.
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

/// A message and where it came from: what a handler is called with.
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

    /// Who sent it.
    pub fn peer(&self) -> &PeerInfo {
        self.from.peer()
    }

    /// A handle to answer with. A handler that waits for the connection's own end
    /// ([`closed`](Connection::closed), [`dispose`](Connection::dispose)) holds that end up until
    /// the drain timeout: spawn such waiting.
    pub fn from(&self) -> Connection {
        Connection::clone(&self.from)
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

/// Gives a user's handler the sender of each message. One reference count a message.
#[derive(Debug, Clone)]
pub(crate) struct WithSender<H> {
    pub(crate) handler: H,
    pub(crate) from: Arc<Connection>,
}

impl<H: Service<Incoming>> Service<ChannelMsg> for WithSender<H> {
    type Response = H::Response;
    type Error = H::Error;
    type Future = H::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), H::Error>> {
        self.handler.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, message: ChannelMsg) -> H::Future {
        self.handler.call(Incoming::new(message, self.from.clone()))
    }
}
