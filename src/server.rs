//! The listening role, made ready: the peers of one listener, by id.
//!
//! In: a path, settings, a handler. Out: a [`Server`]. May touch: the directory of its peers; what is
//! accepted is `serve`'s.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::join_all;
use kyneta_uds_core::{
    ChannelMsg, DisconnectReason, Identity, PeerId, SocketPath, SocketPathError,
};
use kyneta_uds_framing::WireMode;
use kyneta_uds_handshake::HandshakeLayer;
use kyneta_uds_queue::QueueConfig;
use kyneta_uds_unix::{BindError, ListenerOptions};
use tokio_util::sync::CancellationToken;
use tower::make::Shared;

use crate::{
    broadcast::{Broadcast, broadcast},
    connection::Connection,
    connection_task::{Settings, settings_setters},
    counts::Counts,
    event::{EventSender, Events},
    handler::Handler,
    peers::Peers,
    serve::serve_as,
    stack::{DefaultStack, MakeChannel, default_stack},
    waiting::{Waiting, WaitingNote},
};

/// The peers of a listener, by id. Cloneable; the listener lives until [`dispose`](Self::dispose) or
/// until the future that serves it ([`Serve`](crate::Serve)) is dropped. Dropping the last `Server`
/// does not end it.
///
/// ```
/// use kyneta_uds::{
///     ChannelMsg, Client, DocId, Event, Identity, Incoming, PeerChange, PeerId, ReconnectPolicy,
///     Server,
/// };
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let ignore = service_fn(async |_: Incoming| Ok::<(), std::convert::Infallible>(()));
/// let builder = Server::builder(&path);
/// let mut events = builder.events(); // from the start on
/// let server = builder.listen(ignore).await?;
/// let me = Identity::service("billing-1")?;
/// let once = ReconnectPolicy::off(); // else it would come back
/// let client = Client::builder(&path).identity(me).reconnect(once).connect(ignore).await?;
///
/// let Some(Event::Peer { peer, change: PeerChange::Established }) = events.recv().await else {
///     panic!("somebody has introduced itself");
/// };
/// assert_eq!(peer.identity().peer_id.as_str(), "billing-1");
///
/// // To all of them; `failed` says whom it did not reach.
/// let outcome = server.broadcast(ChannelMsg::Dismiss(DocId::new("settings")?)).await;
/// assert_eq!((outcome.sent.len(), outcome.failed.len()), (1, 0));
///
/// // To one of them, or without it.
/// let billing = PeerId::new("billing-1")?;
/// let connection = server.connection(&billing).ok_or("gone")?;
/// assert!(connection.is_connected());
/// server.disconnect(&billing).await;
/// assert_eq!(client.closed().await.kind(), "closed");
/// server.dispose().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    peers: Peers,
    disposing: CancellationToken,
    disposed: CancellationToken,
    /// Why it ended; set before `disposed`.
    end: OnceLock<DisconnectReason>,
    /// What is in the way of its path.
    waiting: WaitingNote,
}

/// The future that served a listener was dropped: its runtime has ended, or code that it was given
/// panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task that served the listener was dropped")]
pub struct ServeDropped;

impl Server {
    /// A server at `path`.
    pub fn builder<P>(path: P) -> ServerBuilder
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        ServerBuilder {
            path: path.try_into().map_err(SocketPathError::from),
            listener: ListenerOptions::new(),
            settings: Settings::new(default_stack(WireMode::Auto)),
            events: EventSender::new(),
        }
    }

    pub(crate) fn new(events: EventSender) -> Self {
        Self {
            inner: Arc::new(Inner {
                peers: Peers::new(events),
                disposing: CancellationToken::new(),
                disposed: CancellationToken::new(),
                end: OnceLock::new(),
                waiting: WaitingNote::default(),
            }),
        }
    }

    /// A handle to a peer. Of two with the same id it is the later one.
    pub fn connection(&self, peer: &PeerId) -> Option<Connection> {
        self.peers().connection(peer)
    }

    /// Handles to all peers, in no particular order.
    pub fn connections(&self) -> Vec<Connection> {
        self.peers().connections()
    }

    /// True when the peer has introduced itself and its connection stands.
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.peers().is_present(peer)
    }

    /// How many connections have introduced themselves.
    pub fn connection_count(&self) -> usize {
        self.peers().connection_count()
    }

    /// Tells a peer `depart`, sends what waits for it, and ends its connections. `None` when there
    /// is no such peer.
    pub async fn disconnect(&self, peer: &PeerId) -> Option<DisconnectReason> {
        let connections = self.peers().connections_of(peer);
        let reasons = join_all(connections.iter().map(Connection::dispose)).await;
        reasons.into_iter().next_back()
    }

    /// Sends a message to every peer; ready when every kernel has taken it or has refused. A peer
    /// whose queue is full holds up its own copy and the end of this future, nothing else.
    pub async fn broadcast(&self, msg: ChannelMsg) -> Broadcast {
        broadcast(self.connections(), msg).await
    }

    /// How often each of the bounds was met, and what else went wrong.
    pub fn counts(&self) -> Counts {
        self.event_sender().counts()
    }

    /// What happens beside the messages, from now on. For all from the start on, ask the builder.
    pub fn events(&self) -> Events {
        self.event_sender().subscribe()
    }

    /// What keeps new peers from finding it, and since when: another process has taken the path, or
    /// something else is in its way. Peers that are connected notice nothing, and the path is taken
    /// back as soon as that is possible. `None` when all is well.
    pub fn waiting(&self) -> Option<Waiting> {
        self.inner.waiting.get()
    }

    /// Ready, with the reason, when it has ended: [`DisconnectReason::Intentional`] after
    /// [`dispose`](Self::dispose) or a graceful shutdown, [`ServeDropped`] when the future that served
    /// it was dropped.
    ///
    /// Cancel safe.
    pub async fn closed(&self) -> DisconnectReason {
        self.inner.disposed.cancelled().await;
        let end = self.inner.end.get().cloned();
        end.unwrap_or(DisconnectReason::Intentional)
    }

    /// Ends it: no more are accepted and the path is given up, then every peer is told `depart`,
    /// gets what waits for it, and is disconnected. Ready when all that is done, within the queue's
    /// drain timeout and 500 ms more where a queue is full. Dropping the future does not stop it.
    pub async fn dispose(&self) {
        self.inner.disposing.cancel();
        self.inner.disposed.cancelled().await;
        // Its future may have been dropped with peers left.
        let left = self.connections();
        join_all(left.iter().map(Connection::closed)).await;
    }

    pub(crate) fn disposing(&self) -> &CancellationToken {
        &self.inner.disposing
    }

    /// It has ended. The first reason stays.
    pub(crate) fn ended(&self, reason: DisconnectReason) {
        let _ = self.inner.end.set(reason);
        self.inner.disposing.cancel();
        // It looks after no path any more.
        self.inner.waiting.over();
        for connection in self.connections() {
            connection.handle().close();
        }
        self.inner.disposed.cancel();
    }

    pub(crate) fn waiting_note(&self) -> &WaitingNote {
        &self.inner.waiting
    }

    pub(crate) fn event_sender(&self) -> &EventSender {
        self.inner.peers.events()
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.inner.peers
    }
}

/// What a [`Server`] is made from. A clone makes another server, with events of its own.
#[derive(Debug)]
pub struct ServerBuilder<S = DefaultStack> {
    path: Result<SocketPath, SocketPathError>,
    listener: ListenerOptions,
    settings: Settings<S>,
    events: EventSender,
}

impl<S: Clone> Clone for ServerBuilder<S> {
    fn clone(&self) -> Self {
        Self {
            path: self.path.clone(),
            listener: self.listener.clone(),
            settings: self.settings.clone(),
            events: EventSender::new(),
        }
    }
}

impl<S> ServerBuilder<S> {
    settings_setters!("server");

    /// The file's mode, who may come in, and how many. [`ListenerOptions::new`] by default.
    pub fn listener(mut self, options: ListenerOptions) -> Self {
        self.listener = options;
        self
    }

    /// A stack of one's own below the handshake, for what is accepted. [`default_stack`] by
    /// default.
    pub fn stack<S2: MakeChannel>(self, stack: S2) -> ServerBuilder<S2> {
        let Self {
            path,
            listener,
            settings,
            events,
        } = self;
        ServerBuilder {
            path,
            listener,
            settings: settings.stack(stack),
            events,
        }
    }

    /// What happens beside the messages, from the start on.
    pub fn events(&self) -> Events {
        self.events.subscribe()
    }
}

impl<S: MakeChannel> ServerBuilder<S> {
    /// Binds the path and serves it in a task of its own. What comes in goes to `handler`, of which
    /// each peer gets a clone, one message of a peer after the other.
    ///
    /// # Errors
    /// [`BindError`]: in use, not permitted, not a socket, with the path.
    pub async fn listen(self, handler: impl Handler + Clone) -> Result<Server, BindError> {
        let listener = self.listener.bind(self.path?).await?;
        let server = Server::new(self.events);
        let serve = serve_as(
            server.clone(),
            listener,
            Shared::new(handler),
            self.settings,
        );
        tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::warn!(%error, "the socket file could not be removed");
            }
        });
        Ok(server)
    }
}
