//! The peer: the process that starts first listens, the others connect to it.
//!
//! In: a path, settings, a handler. Out: a [`Peer`]. May touch: what the stack touches, the path,
//! and a task of tokio's for itself and for each accepted connection.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::join_all;
use kyneta_uds_core::{
    ChannelMsg, DisconnectReason, PeerId, SharedError, SocketPath, SocketPathError, WireVersion,
};
use kyneta_uds_hub::Hub;
use kyneta_uds_negotiate::{NegotiateLayer, Role, RoleWatch, for_members};
use kyneta_uds_queue::{
    Enqueue, Flushed, Handle, MessageBatch, NotQueued, QueueAll, SendError, SendFuture,
};
use kyneta_uds_relay::MemberFacts;
use kyneta_uds_unix::AuthorizeLayer;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{ServiceExt as _, make::Shared};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::{
    accept_handler::RoleAcceptHandler,
    broadcast::{Broadcast, broadcast},
    builder::{Binds, Builder, Connects, Listens, Settings},
    connection::Connection,
    counts::Counts,
    dialed::Dialed,
    event_sender::Events,
    handler::Handler,
    local_member::{LocalHandler, local_member},
    make_peer_channel::MakePeerChannel,
    peers::{Peers, Presence},
    shutdown::shut_down,
    stack::{DefaultStack, MakeChannel},
    waiting::Waiting,
};

/// One of several equal processes at a path: `Service<ChannelMsg, Response = ()>`, cloneable.
///
/// The process that starts first listens, the others connect to it; when it ends, one of them takes
/// over and the rest connect to that one. The handle and the handler's state stay the same across
/// every change of role.
///
/// A message goes to the listener, or, if this process listens, to all connected peers. During a
/// negotiation it waits, and is then sent in order; for a listener without peers see
/// [`regroup`](PeerBuilder::regroup). A message that was being sent when a connection broke is not sent
/// again: its future says that it [may have been sent](SendError::may_have_been_sent). A message to all
/// peers is done when the kernel has taken it for each peer that is still connected; the events report
/// the peers that have disconnected.
///
/// When the last clone is dropped, the queued messages are sent and the connections are closed;
/// [`dispose`](Self::dispose) also sends `depart`. [Other roles](crate::roles) differ.
///
/// ```
/// use kyneta_uds::{DocId, Identity, Incoming, Interest, Peer, Role};
/// use tower::{Service as _, ServiceExt as _, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let (seen, mut inbox) = tokio::sync::mpsc::channel(8);
/// let handler = service_fn(move |incoming: Incoming| {
///     let seen = seen.clone();
///     async move { seen.send(incoming.message).await }
/// });
/// let join = |name: &'static str| {
///     let (path, handler) = (path.clone(), handler.clone());
///     async move {
///         let identity = Identity::service(name).map_err(Box::new)?;
///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
///             Peer::builder(path).identity(identity).join(handler).await?,
///         )
///     }
/// };
/// let billing = join("billing-1").await?;
/// let mut search = join("search-1").await?;
/// assert_eq!((billing.role(), search.role()), (Role::Listener, Role::Connector));
///
/// let msg = Interest::new(DocId::new("settings")?);
/// search.ready().await?.call(msg.clone().into()).await?;
/// assert_eq!(inbox.recv().await, Some(msg.into()));
///
/// billing.dispose().await;
/// search.wait_for(|role| role == Role::Listener).await;
/// search.dispose().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Peer {
    handle: Handle<ChannelMsg>,
    guard: Arc<Guard>,
}

/// Ends it with the last clone.
#[derive(Debug)]
struct Guard {
    handle: Handle<ChannelMsg>,
    path: SocketPath,
    roles: RoleWatch,
    peers: Peers,
    regroup: Duration,
    hub: Option<Hub<ChannelMsg>>,
    #[cfg(feature = "machines")]
    links: Option<crate::machines::Host>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.roles.leave();
        self.handle.close();
    }
}

/// Why a path could not be joined.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No socket can have this path.
    #[error(transparent)]
    Path(#[from] SocketPathError),
    /// There is an obstacle at the path that needs an operator: not permitted, not a socket, no
    /// directory. The source is a [`BindError`](crate::BindError), or holds a
    /// [`ConnectError`](crate::ConnectError).
    #[error("{path} cannot be joined")]
    InTheWay {
        /// The path.
        path: SocketPath,
        /// The obstacle.
        source: SharedError,
    },
    /// There was no role within the [`join_timeout`](PeerBuilder::join_timeout): a process listens and
    /// does not answer, or closes our connections at once, or another one holds the lock.
    #[error("{path} could not be joined within {waited:?}{}", because(why.as_ref()))]
    TimedOut {
        /// The path.
        path: SocketPath,
        /// How long it was tried.
        waited: Duration,
        /// The last reason; absent when the time was less than a second.
        why: Option<Waiting>,
    },
    /// It ended before it had a role: the handler's `poll_ready` failed, or the runtime has ended.
    #[error("the peer at {path} ended before it had joined")]
    Ended {
        /// The path.
        path: SocketPath,
        /// The reason.
        source: DisconnectReason,
    },
}

/// The reason of the wait, if there is one.
fn because(why: Option<&Waiting>) -> String {
    why.map_or_else(String::new, |waiting| format!(": {}", waiting.why()))
}

impl Peer {
    /// A peer at `path`.
    pub fn builder<P>(path: P) -> PeerBuilder
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        Builder::listening(PeerOptions {
            path: path.try_into().map_err(SocketPathError::from),
            regroup: Duration::from_secs(5),
            join_timeout: Some(Duration::from_secs(30)),
            #[cfg(feature = "machines")]
            machines: None,
        })
    }

    /// The present role.
    pub fn role(&self) -> Role {
        self.guard.roles.role()
    }

    /// Why there has been no role for a second or more, and for how long; or, as the listener, why new peers
    /// cannot connect: an obstacle at its path. `None` otherwise.
    pub fn waiting(&self) -> Option<Waiting> {
        self.guard.roles.waiting().as_ref().map(Waiting::for_role)
    }

    /// Waits for a role, or for [`Role::Disposed`], the last one. A role of very short duration may be
    /// missed; the [events](Self::events) report each.
    ///
    /// Cancel safe.
    pub async fn wait_for(&self, wanted: impl Fn(Role) -> bool) -> Role {
        self.guard.roles.wait_for(wanted).await
    }

    /// The connection of a peer; the latest, if there are several.
    pub fn connection(&self, peer: &PeerId) -> Option<Connection> {
        self.guard.peers.connection(peer)
    }

    /// Waits for its first role, for as long as that takes; at once when there is one.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`JoinError::InTheWay`], although it is tried again; [`JoinError::Ended`].
    pub async fn joined(&self) -> Result<Role, JoinError> {
        let Guard { path, roles, .. } = &*self.guard;
        let path = || path.clone();
        tokio::select! {
            biased;
            source = self.closed() => Err(JoinError::Ended { path: path(), source }),
            joined = roles.joined() => match joined {
                Ok(Role::Disposed) => {
                    let source = self.closed().await;
                    Err(JoinError::Ended { path: path(), source })
                }
                Ok(role) => Ok(role),
                Err(source) => Err(JoinError::InTheWay { path: path(), source }),
            },
        }
    }

    /// All connections, in no particular order: the one to the listener, or, as the listener, those of
    /// all peers.
    pub fn connections(&self) -> Vec<Connection> {
        self.guard.peers.connections()
    }

    /// True while there is a connection of the peer.
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.guard.peers.is_present(peer)
    }

    /// The number of connections.
    pub fn connection_count(&self) -> usize {
        self.guard.peers.connection_count()
    }

    /// Sends a message to every connected peer; ready when every kernel has taken or refused it. A
    /// peer whose queue is full delays its own copy and the end of this future, nothing else. Unlike
    /// `call`, it does not wait for peers to connect, and reports the peers that it did not reach.
    pub async fn broadcast(&self, msg: ChannelMsg) -> Broadcast {
        broadcast(self.connections(), msg).await
    }

    /// Sends a peer `depart` and what waits for it, and closes its connections. `None` when there is
    /// no such peer. It may connect again.
    ///
    /// Of the listener that this peer is connected to, it ends this peer
    /// ([`Connection::dispose`]).
    pub async fn disconnect(&self, peer: &PeerId) -> Option<DisconnectReason> {
        self.guard.peers.disconnect(peer).await
    }

    /// Waits until a peer is connected, and is true then. False as a listener that has had no peer for
    /// the [regroup](PeerBuilder::regroup) time or since its start, and after the end.
    ///
    /// Cancel safe.
    pub async fn wait_for_peers(&self) -> bool {
        let mut presence = self.guard.peers.presence();
        let far = Instant::now() + Duration::from_secs(86_400);
        loop {
            let present = *presence.borrow_and_update();
            let role = self.role();
            let expected_until = match (present, role) {
                (Presence::Connected(_), _) => return true,
                (_, Role::Disposed) | (Presence::Never, Role::Listener) => return false,
                (Presence::Gone(since), Role::Listener) => {
                    since.checked_add(self.guard.regroup).unwrap_or(far)
                }
                _ => far,
            };
            if expected_until <= Instant::now() {
                return false;
            }
            tokio::select! {
                _ = self.closed() => return false,
                _ = presence.changed() => {}
                _ = self.wait_for(|now| now != role) => {}
                () = sleep_until(expected_until) => {}
            }
        }
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

    /// The messages in the queue to all peers, and their bytes. Each [connection](Self::connection) of a
    /// listener has a queue of its own below it.
    pub fn queued(&self) -> (usize, usize) {
        self.handle.queued()
    }

    #[cfg(feature = "status")]
    pub(crate) fn peers(&self) -> &Peers {
        &self.guard.peers
    }

    #[cfg(feature = "status")]
    pub(crate) const fn handle(&self) -> &Handle<ChannelMsg> {
        &self.handle
    }

    #[cfg(feature = "status")]
    pub(crate) fn hub(&self) -> Option<&Hub<ChannelMsg>> {
        self.guard.hub.as_ref()
    }

    /// The links to other machines: while this peer listens, those that it runs.
    #[cfg(feature = "machines")]
    pub fn links(&self) -> Vec<crate::machines::LinkState> {
        let links = self.guard.links.as_ref();
        links.map(crate::machines::Host::status).unwrap_or_default()
    }

    /// A member of this peer's hub inside this process: as [`Server::local_member`](crate::Server::local_member).
    /// While this peer is a connector its hub has no other members; those of the path are members of the
    /// listener's. `None` where nothing is [relayed](crate::Builder::relay).
    pub fn local_member(&self, handler: impl LocalHandler) -> Option<Handle<ChannelMsg>> {
        let hub = self.guard.hub.as_ref()?;
        let facts = MemberFacts::local(WireVersion::V3);
        Some(local_member(hub, facts, handler))
    }

    #[cfg(feature = "documents")]
    pub(crate) fn local_member_as(
        &self,
        facts: MemberFacts,
        handler: impl LocalHandler,
    ) -> Option<Handle<ChannelMsg>> {
        Some(local_member(self.guard.hub.as_ref()?, facts, handler))
    }

    /// How often each limit was reached, and other failures.
    pub fn counts(&self) -> Counts {
        self.guard.peers.events().counts()
    }

    /// The events from now on; those from the start on are [the builder's](crate::Builder::events).
    pub fn events(&self) -> Events {
        self.guard.peers.events().subscribe()
    }

    /// Ready, with the reason, when it has ended.
    ///
    /// Cancel safe.
    pub async fn closed(&self) -> DisconnectReason {
        self.handle.closed().await
    }

    /// Leaves the group: a listener gives up its path, and another peer can take over at once. Sends every
    /// connected peer what is queued for it and `depart`, and closes the connections. Takes at most the
    /// queue's drain timeout; twice that and 500 ms for a listener with a peer that does not read.
    pub async fn dispose(&self) -> DisconnectReason {
        self.guard.roles.leave();
        if let Some(hub) = &self.guard.hub {
            hub.close();
        }
        let connected = self.guard.peers.connections();
        let reason = shut_down(&self.handle, !connected.is_empty()).await;
        join_all(connected.iter().map(Connection::closed)).await;
        reason
    }
}

impl Service<ChannelMsg> for Peer {
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

/// The settings of a [`Peer`]. See [`Builder`].
pub type PeerBuilder<S = DefaultStack> = Builder<PeerOptions, S>;

/// The settings that a peer alone has.
#[derive(Debug, Clone)]
pub struct PeerOptions {
    path: Result<SocketPath, SocketPathError>,
    regroup: Duration,
    join_timeout: Option<Duration>,
    #[cfg(feature = "machines")]
    machines: Option<crate::machines::Machines>,
}

impl Listens for PeerOptions {}
impl Binds for PeerOptions {}
impl Connects for PeerOptions {}

impl<S> PeerBuilder<S> {
    /// How long a listener without connections keeps messages to all peers after the last peer
    /// disconnected: after a change of listener the others take a moment to connect. Later, before the
    /// first peer, and while it leaves, such messages are dropped and count as sent. 5 s by default.
    pub fn regroup(mut self, regroup: Duration) -> Self {
        self.role.regroup = regroup;
        self
    }

    /// How long [`join`](Self::join) tries before it fails with [`JoinError::TimedOut`]; `None`: without
    /// limit. 30 s by default. A peer that has joined and loses its role tries without limit.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kyneta_uds::Peer;
    ///
    /// let unlimited = Peer::builder("/run/app/bus.sock").join_timeout(None);
    /// let short = Peer::builder("/run/app/bus.sock").join_timeout(Duration::from_secs(3));
    /// ```
    pub fn join_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.role.join_timeout = timeout.into();
        self
    }
}

#[cfg(feature = "machines")]
impl<S> PeerBuilder<S> {
    /// Links to other machines, while this peer listens: the documents of the members pass between the machines. None by
    /// default. It needs the [relay](Self::relay). See [`machines`](crate::machines).
    pub fn machines(mut self, machines: crate::machines::Machines) -> Self {
        self.role.machines = Some(machines);
        self
    }
}

impl<S: MakeChannel<In = ChannelMsg>> PeerBuilder<S> {
    /// Joins the group at the path; ready when there is a role: connected to the listener, or listening.
    /// Each connection gets a clone of `handler`, called with one message after the other.
    ///
    /// If a process listens and does not answer, it waits as long as the
    /// [`join_timeout`](Self::join_timeout) allows. [`Event::Waiting`](crate::Event::Waiting) and the log say why.
    ///
    /// Cancel safe: a dropped attempt leaves nothing behind.
    ///
    /// # Errors
    /// [`JoinError`], with the path: not permitted, not a socket, no directory; no role in time; a
    /// handler whose `poll_ready` fails.
    pub async fn join(self, handler: impl Handler + Clone) -> Result<Peer, JoinError> {
        let limit = self.role.join_timeout;
        let peer = self.join_lazy(handler).await?;
        let joined = match limit {
            Some(limit) => timeout(limit, peer.joined()).await,
            None => Ok(peer.joined().await),
        };
        match joined {
            Ok(joined) => joined.map(|_| peer),
            Err(_) => Err(JoinError::TimedOut {
                path: peer.guard.path.clone(),
                waited: limit.unwrap_or_default(),
                why: peer.waiting(),
            }),
        }
    }

    /// As [`join`](Self::join), without waiting for a role: messages wait for it in the queue, and
    /// [`Peer::joined`] waits for it. The [`join_timeout`](Self::join_timeout) does not apply.
    ///
    /// ```
    /// use kyneta_uds::{Incoming, Peer, Role};
    /// use tower::service_fn;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let ignore = service_fn(async |_: Incoming| Ok::<(), std::convert::Infallible>(()));
    /// let peer = Peer::builder(&path).join_lazy(ignore).await?;
    /// assert_eq!(peer.joined().await?, Role::Listener);
    /// # peer.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`JoinError::Path`]: no socket can have this path.
    pub async fn join_lazy(mut self, handler: impl Handler + Clone) -> Result<Peer, JoinError> {
        #[cfg(feature = "machines")]
        let machines = self.role.machines.take();
        let PeerOptions { path, regroup, .. } = self.role;
        let path = path?;
        let peers = Peers::new(self.settings.events.clone());
        self.settings.configure(&peers);
        #[cfg(feature = "status")]
        peers.about().at(path.clone());
        let Settings {
            handshake,
            queue: config,
            listener,
            allow_listener,
            relay,
            ..
        } = self.settings;
        let hub = relay.hub(peers.events());
        let allow_listener = allow_listener.unwrap_or_else(|| listener.allows().clone());
        let (dialed, driver) = Dialed::new(peers.clone(), config.clone());
        let accept_handler = RoleAcceptHandler {
            make: Shared::new(handler.clone()),
            hub: hub.clone(),
            queue: for_members(config),
            peers: peers.clone(),
            tasks: TaskTracker::new(),
            disposing: CancellationToken::new(),
        };
        let negotiate = NegotiateLayer::with_accept_handler(accept_handler)
            .listener(listener)
            .allow_listener(allow_listener.clone())
            .regroup(regroup);
        let roles = negotiate.role_watch();
        #[cfg(feature = "machines")]
        let links = machines
            .zip(hub.clone())
            .map(|(machines, hub)| machines.start(hub, peers.events().clone(), roles.clone()));
        let maker = MakePeerChannel::new(
            handshake.layer(AuthorizeLayer::new(allow_listener).layer(self.stack)),
            dialed.clone(),
        );
        let Ok(channel) = negotiate.layer(maker).oneshot(path.clone()).await;
        let handle = dialed.handle().clone();
        let peer = Peer {
            handle: handle.clone(),
            guard: Arc::new(Guard {
                handle,
                path,
                roles,
                peers,
                regroup,
                hub,
                #[cfg(feature = "machines")]
                links,
            }),
        };
        let handler = dialed.handler(handler);
        tokio::spawn(dialed.in_span(driver.drive(channel, handler)));
        Ok(peer)
    }
}
