//! The peer: the process that starts first listens, the others connect to it.
//!
//! In: a path, settings, a handler. Out: a [`Peer`]. May touch: what the stack touches, the path,
//! and a task of tokio's for itself and for each accepted connection.

mod builder;
mod error;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::join_all;
use kyneta_uds_core::{ChannelMsg, DisconnectReason, MessageRef, PeerId, SocketPath, WireVersion};
use kyneta_uds_hub::Hub;
use kyneta_uds_negotiate::{Role, RoleWatch};
use kyneta_uds_queue::{
    Enqueue, EnqueueRef, Flushed, Handle, MessageBatch, NotQueued, QueueAll, SendError, SendFuture,
};
use kyneta_uds_relay::MemberFacts;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep_until, timeout},
};
use tower_service::Service;

use crate::{
    broadcast::{Broadcast, broadcast},
    connection::Connection,
    counts::Counts,
    event_sender::Events,
    local_member::{LocalHandler, local_member},
    peers::{Peers, Presence},
    shutdown::shut_down,
    waiting::Waiting,
};

pub use self::{
    builder::{PeerBuilder, PeerOptions},
    error::JoinError,
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
    /// Locked while it hands over to another process, or is disposed of.
    handing_over: Arc<Mutex<()>>,
    /// As the listener it is offered to successors, or cannot be.
    offered: watch::Receiver<bool>,
    #[cfg(feature = "machines")]
    links: Option<crate::machines::Host>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.roles.leave();
        self.handle.close();
    }
}

impl Peer {
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
                Ok(role) => {
                    self.offered().await;
                    Ok(role)
                }
                Err(source) => Err(JoinError::InTheWay { path: path(), source }),
            },
        }
    }

    /// Waits until a successor finds it, if one is to.
    async fn offered(&self) {
        let mut offered = self.guard.offered.clone();
        tokio::select! {
            // An error: nothing is offered.
            _ = offered.wait_for(|is_offered| *is_offered) => {}
            _ = self.wait_for(|role| role != Role::Listener) => {}
        }
    }

    pub(crate) async fn joined_within(self, limit: Option<Duration>) -> Result<Self, JoinError> {
        let joined = match limit {
            Some(limit) => timeout(limit, self.joined()).await,
            None => Ok(self.joined().await),
        };
        match joined {
            Ok(joined) => joined.map(|_| self),
            Err(_) => Err(JoinError::TimedOut {
                path: self.guard.path.clone(),
                waited: limit.unwrap_or_default(),
                why: self.waiting(),
            }),
        }
    }

    /// Calls `then` if its first role is that of a connector.
    #[cfg(target_os = "linux")]
    pub(crate) fn once_connected(&self, then: impl FnOnce() + Send + 'static) {
        let roles = self.guard.roles.clone();
        tokio::spawn(async move {
            let role = roles.wait_for(|role| role != Role::Negotiating).await;
            if role == Role::Connector {
                then();
            }
        });
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
    ///
    /// If the future is dropped, the copies that are queued are sent all the same, the others are not.
    pub async fn broadcast(&self, msg: ChannelMsg) -> Broadcast {
        broadcast(self.connections(), msg).await
    }

    /// Sends a peer `depart` and what waits for it, and closes its connections. `None` when there is
    /// no such peer. It may connect again.
    ///
    /// Of the listener that this peer is connected to, it ends this peer
    /// ([`Connection::dispose`]).
    ///
    /// If the future is dropped before a queue is closed, that connection goes on.
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
            presence.mark_unchanged();
            let present = self.guard.peers.present();
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

    #[cfg(all(feature = "machines", feature = "status"))]
    pub(crate) fn host(&self) -> Option<&crate::machines::Host> {
        self.guard.links.as_ref()
    }

    /// Why the links to other machines cannot be started while this peer listens, such as an address that another process
    /// has. `None` when they are started, and where there are to be none.
    #[cfg(feature = "machines")]
    pub fn links_failure(&self) -> Option<crate::machines::LinksFailure> {
        self.guard.links.as_ref()?.failure()
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
    /// queue's drain timeout; twice that and 500 ms for a listener with a peer that does not read. Links to other machines
    /// end in good order, which takes 2.5 s at most.
    ///
    /// A handler that waits for it holds its own connection open, for the drain timeout: spawn a task that ends the role.
    pub async fn dispose(&self) -> DisconnectReason {
        // What another process takes over is not given up.
        let _disposing = self.guard.handing_over.lock().await;
        self.guard.roles.leave();
        if let Some(hub) = &self.guard.hub {
            hub.close();
        }
        let connected = self.guard.peers.connections();
        let reason = shut_down(&self.handle, !connected.is_empty()).await;
        join_all(connected.iter().map(Connection::closed)).await;
        #[cfg(feature = "machines")]
        if let Some(links) = &self.guard.links {
            links.finished().await;
        }
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
