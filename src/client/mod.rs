//! The client: one connection after the other, under one queue.
//!
//! In: a path, settings, a handler. Out: a [`Client`]. May touch: what the stack touches, and one
//! task of tokio's.

mod error;
mod policy;

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use kyneta_uds_core::{
    ChannelMsg, DisconnectReason, MessageRef, SharedError, SocketPath, SocketPathError,
};
use kyneta_uds_handshake::PeerInfo;
use kyneta_uds_queue::{
    Enqueue, EnqueueRef, Flushed, Handle, MessageBatch, NotQueued, QueueAll, SendError, SendFuture,
};
use kyneta_uds_reconnect::{
    ReconnectLayer, ReconnectPolicy, Recover, State, StateWatch, Transitions,
};
use kyneta_uds_unix::{AccessPolicy, AuthorizeLayer};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service;

pub use self::error::ClientError;
use self::policy::{Attempts, ClientPolicy};
use crate::{
    builder::{Builder, Connects, Settings},
    connection::Connection,
    counts::Counts,
    dialed::Dialed,
    event_sender::Events,
    handler::Handler,
    make_peer_channel::MakePeerChannel,
    peers::{Peers, Presence},
    shutdown::{DEPART_TIMEOUT, shut_down},
    stack::{DefaultStack, MakeChannel},
    waiting::Waiting,
};

/// A client of one listener: `Service<ChannelMsg, Response = ()>`, cloneable.
///
/// When the connection is lost, its policy decides when it connects again; the messages in the queue
/// are sent on the next connection, in order. A message that was being sent when the connection broke
/// is not sent again: its future says that it [may have been sent](SendError::may_have_been_sent).
///
/// When the last clone is dropped, the queued messages are sent and the connection is closed;
/// [`dispose`](Self::dispose) also sends `depart`. [Other roles](crate::roles) differ.
///
/// ```
/// use kyneta_uds::{Client, DocId, Incoming, Interest, Server};
/// use tower::{Service as _, ServiceExt as _, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let print = service_fn(async |incoming: Incoming| {
///     println!("{incoming:?}");
///     Ok::<(), std::convert::Infallible>(())
/// });
/// let server = Server::builder(&path).listen(print).await?;
/// let mut client = Client::builder(&path).connect(print).await?;
/// let msg = Interest::new(DocId::new("settings")?);
/// client.ready().await?.call(msg.into()).await?; // the kernel has taken it
/// client.dispose().await;
/// # server.dispose().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    handle: Handle<ChannelMsg>,
    states: StateWatch,
    guard: Arc<Guard>,
}

/// Closes the queue with the last clone.
#[derive(Debug)]
struct Guard {
    handle: Handle<ChannelMsg>,
    peers: Peers,
    attempts: Arc<Attempts>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.handle.close();
    }
}

impl Client {
    /// A client of the listener at `path`.
    pub fn builder<P>(path: P) -> ClientBuilder
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        Builder::new(ClientOptions {
            path: path.try_into().map_err(SocketPathError::from),
            reconnect: ReconnectPolicy::new(),
        })
    }

    /// The listener, while it is connected.
    pub fn peer(&self) -> Option<Arc<PeerInfo>> {
        Some(self.connection()?.shared_peer().clone())
    }

    /// The current connection, if any. It ends when it is lost; the client goes on.
    pub fn connection(&self) -> Option<Connection> {
        self.guard.peers.connections().pop()
    }

    /// The present state.
    pub fn state(&self) -> State {
        self.states.state()
    }

    /// Waits for a state. See [`StateWatch::wait_for`].
    ///
    /// Cancel safe.
    pub async fn wait_for(&self, wanted: impl FnMut(&State) -> bool) -> State {
        self.states.wait_for(wanted).await
    }

    /// Each transition from one state to another, from now on.
    pub fn transitions(&self) -> Transitions {
        self.states.transitions()
    }

    /// The state, to watch by other means than [`wait_for`](Self::wait_for).
    pub fn states(&self) -> &StateWatch {
        &self.states
    }

    #[cfg(feature = "status")]
    pub(crate) fn peers(&self) -> &Peers {
        &self.guard.peers
    }

    #[cfg(feature = "status")]
    pub(crate) const fn handle(&self) -> &Handle<ChannelMsg> {
        &self.handle
    }

    /// Why it is not connected, and since when. `None` while it is connected, and after the end, whose
    /// reason [`closed`](Self::closed) returns.
    pub fn waiting(&self) -> Option<Waiting> {
        self.guard.attempts.waiting()
    }

    /// How often each limit was reached, and other failures.
    pub fn counts(&self) -> Counts {
        self.guard.peers.events().counts()
    }

    /// The events from now on; those from the start on are [the builder's](crate::Builder::events).
    pub fn events(&self) -> Events {
        self.guard.peers.events().subscribe()
    }

    /// True while it is connected.
    pub fn is_connected(&self) -> bool {
        self.states.is_connected()
    }

    /// Waits for room and queues a message, without waiting for the kernel or for a connection. See
    /// [`Handle::queue`].
    ///
    /// # Errors
    /// [`SendError`], as of `poll_ready` and `call`.
    pub fn queue(&mut self, msg: ChannelMsg) -> Enqueue<'_, ChannelMsg> {
        self.handle.queue(msg)
    }

    /// Queues the messages of a batch, as many at once as there is room for: cheaper than one by one. See
    /// [`Handle::queue_all`].
    ///
    /// # Errors
    /// [`SendError`], for the first message that is left in the batch.
    pub fn queue_all<'a>(
        &'a mut self,
        batch: &'a mut MessageBatch<ChannelMsg>,
    ) -> QueueAll<'a, ChannelMsg> {
        self.handle.queue_all(batch)
    }

    /// As [`queue`](Self::queue), of a message by reference: cheaper for small offers. See [`Handle::queue_ref`].
    ///
    /// # Errors
    /// [`SendError`], as of `poll_ready` and `call`.
    #[inline]
    pub fn queue_ref<'a>(&'a mut self, msg: impl Into<MessageRef<'a>>) -> EnqueueRef<'a> {
        self.handle.queue_ref(msg)
    }

    /// Queues a message if there is room now; else returns it. See [`Handle::try_queue`].
    ///
    /// # Errors
    /// [`NotQueued`], with the message.
    #[allow(clippy::result_large_err)] // The error holds the message.
    pub fn try_queue(&mut self, msg: ChannelMsg) -> Result<(), NotQueued<ChannelMsg>> {
        self.handle.try_queue(msg)
    }

    /// Ready when the kernel has taken all messages of earlier calls, or some were lost with a
    /// connection. See [`Handle::flushed`].
    pub fn flushed(&self) -> Flushed<ChannelMsg> {
        self.handle.flushed()
    }

    /// The messages in the queue, and their bytes.
    pub fn queued(&self) -> (usize, usize) {
        self.handle.queued()
    }

    /// Ready, with the reason, when it has ended: disposed of, or its policy has given up.
    ///
    /// Cancel safe.
    pub async fn closed(&self) -> DisconnectReason {
        self.handle.closed().await
    }

    /// Sends the queued messages and `depart`, and closes the connection, within the queue's drain
    /// timeout and 500 ms more if the queue is full. Without a connection, the queued messages wait as
    /// long for one; without messages, an attempt under way has 500 ms to become one, so that the listener learns that it
    /// leaves.
    pub fn dispose(&self) -> impl Future<Output = DisconnectReason> + Send + use<> {
        let this = self.clone();
        async move {
            // A message in the queue may still get a connection; then `depart` follows it.
            let can_be_sent = this.queued().0 > 0 || this.is_or_gets_connected().await;
            shut_down(&this.handle, can_be_sent).await
        }
    }

    /// Waits for an attempt under way: the listener may have accepted it already.
    async fn is_or_gets_connected(&self) -> bool {
        let attempt = self.wait_for(|state| !matches!(state, State::Connecting { .. }));
        let _ = timeout(DEPART_TIMEOUT, attempt).await;
        self.is_connected()
    }
}

impl Service<ChannelMsg> for Client {
    type Response = ();
    type Error = SendError;
    type Future = SendFuture<ChannelMsg>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.handle.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, msg: ChannelMsg) -> SendFuture<ChannelMsg> {
        self.handle.call(msg)
    }
}

/// The settings of a [`Client`]. See [`Builder`].
pub type ClientBuilder<S = DefaultStack, P = ReconnectPolicy> = Builder<ClientOptions<P>, S>;

/// The settings that a client alone has.
#[derive(Debug, Clone)]
pub struct ClientOptions<P> {
    path: Result<SocketPath, SocketPathError>,
    reconnect: P,
}

impl<P> Connects for ClientOptions<P> {}

impl<S, P> ClientBuilder<S, P> {
    /// Whether and when it connects again. [`ReconnectPolicy::new`] by default; with
    /// [`ReconnectPolicy::off`] there is one connection. A path that is not permitted or is not a socket
    /// is a failed attempt like others, and [`Event::InTheWay`](crate::Event::InTheWay): it may be a server that has bound and
    /// has not set the file's mode yet. A listener that is not [allowed](Self::allow_listener) or does
    /// not admit this side, and a symbolic link, are final before the first connection, whatever the
    /// policy says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kyneta_uds::{Client, ReconnectPolicy};
    ///
    /// let policy = ReconnectPolicy::new().max_attempts(3).base(Duration::from_millis(50));
    /// let client = Client::builder("/run/app/bus.sock").reconnect(policy);
    /// ```
    pub fn reconnect<P2>(self, policy: P2) -> ClientBuilder<S, P2>
    where
        P2: Recover + Clone + Send + 'static,
    {
        Builder {
            role: ClientOptions {
                path: self.role.path,
                reconnect: policy,
            },
            stack: self.stack,
            settings: self.settings,
        }
    }
}

impl<S, P> ClientBuilder<S, P>
where
    S: MakeChannel<In = ChannelMsg>,
    P: Recover + Clone + Send + 'static,
{
    /// Connects; ready when the handshake is complete. `handler` is called with the incoming messages,
    /// one after the other. While no process listens, it tries as long as its policy says: by default
    /// for some minutes.
    ///
    /// Cancel safe: a dropped attempt leaves nothing behind.
    ///
    /// # Errors
    /// [`ClientError`], with the path: no process listens, not permitted, no answer.
    pub async fn connect(self, handler: impl Handler) -> Result<Client, ClientError> {
        let path = self.role.path.clone()?;
        let client = self.connect_lazy(handler).await?;
        let mut presence = client.guard.peers.presence();
        // There was a connection, if only for a moment.
        let connected = presence.wait_for(|presence| *presence != Presence::Never);
        tokio::select! {
            biased;
            _ = connected => Ok(client),
            reason = client.closed() => {
                let last = match &reason {
                    DisconnectReason::Error(error) => Some(error.clone()),
                    _ => client.guard.attempts.last().clone(),
                };
                Err(ClientError::NotConnected { path, reason, last })
            }
        }
    }

    /// As [`connect`](Self::connect), without waiting for the connection: messages wait for it in
    /// the queue.
    ///
    /// # Errors
    /// [`ClientError`]: no socket can have this path, or the stack fails before the first attempt.
    pub async fn connect_lazy(mut self, handler: impl Handler) -> Result<Client, ClientError> {
        let path = self.role.path?;
        let peers = Peers::new(self.settings.events.clone());
        self.settings.configure(&peers);
        #[cfg(feature = "status")]
        peers.about().at(path.clone());
        let Settings {
            handshake,
            queue: config,
            allow_listener,
            ..
        } = self.settings;
        let (dialed, driver) = Dialed::new(peers.clone(), config);
        let attempts = Arc::new(Attempts::new(peers.events().clone()));
        let changing = attempts.clone();
        let policy = ClientPolicy::new(self.role.reconnect, attempts.clone());
        let layer = ReconnectLayer::new(policy)
            .on_transition(move |transition| changing.changed(&transition.to));
        let states = layer.state_watch();
        let stack = AuthorizeLayer::new(allow_listener.unwrap_or_else(AccessPolicy::anyone))
            .layer(self.stack);
        let maker = layer.layer(MakePeerChannel::new(handshake.layer(stack), dialed.clone()));
        let channel = maker.oneshot(path.clone().into()).await.map_err(|error| {
            let error = SharedError::new(error);
            ClientError::NotConnected {
                path,
                reason: DisconnectReason::Error(error.clone()),
                last: Some(error),
            }
        })?;
        let handle = dialed.handle().clone();
        let handler = dialed.handler(handler);
        tokio::spawn(dialed.in_span(driver.drive_looking(channel, handler)));
        let guard = Arc::new(Guard {
            handle: handle.clone(),
            peers,
            attempts,
        });
        Ok(Client {
            handle,
            states,
            guard,
        })
    }
}
