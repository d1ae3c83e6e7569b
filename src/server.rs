//! The server: the peers of one listener, by id.
//!
//! In: a path, settings, a handler. Out: a [`Server`]. May touch: its peers; `serve` handles the accepted
//! connections.

use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use kyneta_uds_core::{
    ChannelMsg, DisconnectReason, PeerId, SocketPath, SocketPathError, WireVersion,
};
use kyneta_uds_hub::Hub;
use kyneta_uds_queue::Handle;
use kyneta_uds_relay::MemberFacts;
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use crate::{
    broadcast::{Broadcast, broadcast},
    builder::{Binds, Builder, Listens},
    connection::Connection,
    counts::Counts,
    event_sender::{EventSender, Events},
    local_member::{LocalHandler, local_member},
    peers::Peers,
    relay::Relay,
    stack::DefaultStack,
    waiting::{Waiting, WaitingNote},
};

/// The peers of a listener, by id. Cloneable; the listener lives until [`dispose`](Self::dispose) or
/// until the future that serves it ([`Serve`](crate::Serve)) is dropped. Dropping the last `Server`
/// does not end it. [Other roles](crate::roles) differ.
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
/// let once = ReconnectPolicy::off(); // else it would connect again
/// let client = Client::builder(&path).identity(me).reconnect(once).connect(ignore).await?;
///
/// let Some(Event::Peer { peer, change: PeerChange::Established }) = events.recv().await else {
///     panic!("a peer has connected");
/// };
/// assert_eq!(peer.identity().peer_id.as_str(), "billing-1");
///
/// // To all peers; `failed` names those that it did not reach.
/// let outcome = server.broadcast(ChannelMsg::Dismiss(DocId::new("settings")?)).await;
/// assert_eq!((outcome.sent.len(), outcome.failed.len()), (1, 0));
///
/// // One peer: its connection, and closing it.
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
    end: SetOnce<DisconnectReason>,
    /// The obstacle at its path.
    waiting: WaitingNote,
    /// Set when it is served, unless nothing is relayed.
    hub: OnceLock<Hub<ChannelMsg>>,
}

/// The future that served a listener was dropped: its runtime has ended, or a user's code panicked.
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
        Builder::listening(ServerOptions {
            path: path.try_into().map_err(SocketPathError::from),
        })
    }

    pub(crate) fn new(events: EventSender) -> Self {
        Self {
            inner: Arc::new(Inner {
                peers: Peers::new(events),
                disposing: CancellationToken::new(),
                end: SetOnce::new(),
                waiting: WaitingNote::default(),
                hub: OnceLock::new(),
            }),
        }
    }

    /// The connection of a peer; the latest, if there are several.
    pub fn connection(&self, peer: &PeerId) -> Option<Connection> {
        self.peers().connection(peer)
    }

    /// All connections, in no particular order.
    pub fn connections(&self) -> Vec<Connection> {
        self.peers().connections()
    }

    /// True while there is a connection of the peer.
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.peers().is_present(peer)
    }

    /// The number of connections.
    pub fn connection_count(&self) -> usize {
        self.peers().connection_count()
    }

    /// Sends a peer `depart` and what waits for it, and closes its connections. `None` when there is
    /// no such peer. It may connect again.
    ///
    /// If the future is dropped before a queue is closed, that connection goes on.
    pub async fn disconnect(&self, peer: &PeerId) -> Option<DisconnectReason> {
        self.peers().disconnect(peer).await
    }

    /// Sends a message to every peer; ready when the kernel has taken or refused every copy. A peer
    /// whose queue is full delays its own copy and the end of this future, nothing else.
    ///
    /// If the future is dropped, the copies that are queued are sent all the same, the others are not.
    pub async fn broadcast(&self, msg: ChannelMsg) -> Broadcast {
        broadcast(self.connections(), msg).await
    }

    /// A member of the hub inside this process: what is sent with the handle goes to the router, as if a
    /// connected peer had sent it, and what the router has for it goes to `handler`. It leaves when the last
    /// handle is dropped. `None` where nothing is [relayed](crate::Builder::relay), and before it is served.
    ///
    /// ```
    /// use kyneta_uds::{ChannelMsg, DocEntry, DocId, Incoming, ReplicaType, SchemaHash, Server};
    /// use tower::{Service as _, ServiceExt as _, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// # let ignore = service_fn(async |_: Incoming| Ok::<(), std::convert::Infallible>(()));
    /// let server = Server::builder(&path).listen(ignore).await?;
    /// let print = service_fn(async |msg| Ok::<_, std::io::Error>(println!("{msg:?}")));
    /// let mut local = server.local_member(print).ok_or("nothing is relayed")?;
    ///
    /// let loro = ReplicaType::new("loro", 1.0, 0.0)?;
    /// let entry = DocEntry::new(DocId::new("settings")?, loro, SchemaHash::new("02ab")?);
    /// local.ready().await?.call(ChannelMsg::Present(vec![entry])).await?; // all peers are shown it
    /// # server.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn local_member(&self, handler: impl LocalHandler) -> Option<Handle<ChannelMsg>> {
        let facts = MemberFacts::local(WireVersion::V3);
        Some(local_member(self.hub()?, facts, handler))
    }

    #[cfg(feature = "documents")]
    pub(crate) fn local_member_as(
        &self,
        facts: MemberFacts,
        handler: impl LocalHandler,
    ) -> Option<Handle<ChannelMsg>> {
        Some(local_member(self.hub()?, facts, handler))
    }

    /// How often each limit was reached, and other failures.
    pub fn counts(&self) -> Counts {
        self.event_sender().counts()
    }

    /// The events from now on; those from the start on are [the builder's](crate::Builder::events).
    pub fn events(&self) -> Events {
        self.event_sender().subscribe()
    }

    /// Why new peers cannot connect, and since when: another process has taken the path, or there is
    /// another obstacle. It does not affect connected peers, and the path is taken back as soon as that
    /// is possible. `None` while there is no obstacle.
    pub fn waiting(&self) -> Option<Waiting> {
        self.inner.waiting.get()
    }

    /// Ready, with the reason, when it has ended: [`DisconnectReason::Intentional`] after
    /// [`dispose`](Self::dispose) or a graceful shutdown, [`ServeDropped`] when the future that served
    /// it was dropped.
    ///
    /// Cancel safe.
    pub async fn closed(&self) -> DisconnectReason {
        self.inner.end.wait().await.clone()
    }

    /// Stops accepting and gives up the path, then sends every peer what is queued for it and `depart`,
    /// and closes its connection. Ready when that is done, within the queue's drain timeout and 500 ms
    /// more where a queue is full. Dropping the future does not stop it.
    ///
    /// A handler that waits for it holds its own connection open, for the drain timeout: spawn a task that ends the role.
    pub async fn dispose(&self) -> DisconnectReason {
        self.inner.disposing.cancel();
        let reason = self.closed().await;
        // Connections are left if the serving future was dropped.
        let left = self.connections();
        join_all(left.iter().map(Connection::closed)).await;
        reason
    }

    pub(crate) fn hub(&self) -> Option<&Hub<ChannelMsg>> {
        self.inner.hub.get()
    }

    /// It is served, with a hub unless nothing is relayed. Later calls have no effect.
    pub(crate) fn relays(&self, relay: &Relay) {
        if self.hub().is_none()
            && let Some(hub) = relay.hub(self.event_sender())
        {
            let _ = self.inner.hub.set(hub);
        }
    }

    pub(crate) fn disposing(&self) -> &CancellationToken {
        &self.inner.disposing
    }

    /// It has ended. Later calls do not change the reason.
    pub(crate) fn ended(&self, reason: DisconnectReason) {
        self.inner.disposing.cancel();
        if let Some(hub) = self.hub() {
            hub.close();
        }
        self.inner.waiting.over();
        for connection in self.connections() {
            connection.handle().close();
        }
        let _ = self.inner.end.set(reason);
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

/// The settings of a [`Server`]. See [`Builder`].
pub type ServerBuilder<S = DefaultStack> = Builder<ServerOptions, S>;

/// The settings that a server alone has.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub(crate) path: Result<SocketPath, SocketPathError>,
}

impl Listens for ServerOptions {}
impl Binds for ServerOptions {}
