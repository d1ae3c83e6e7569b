//! The leaderless role, made ready: whoever starts first listens, the others connect.
//!
//! In: a path, settings, a handler. Out: a [`Peer`]. May touch: what the stack touches, the path,
//! and a task of tokio's for itself and for each who connects.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::join_all;
use kyneta_uds_core::{
    ChannelMsg, DisconnectReason, Identity, PeerId, SharedError, SocketPath, SocketPathError,
};
use kyneta_uds_framing::WireMode;
use kyneta_uds_handshake::{HandshakeError, HandshakeLayer};
use kyneta_uds_negotiate::{AcceptHandler, NegotiateLayer, Role, RoleWait, RoleWatch, for_members};
use kyneta_uds_queue::{
    Flushed, Handle, NotQueued, Overflow, QueueConfig, Queueing, SendError, SendFuture, queue,
};
use kyneta_uds_unix::{Allow, AuthorizeLayer, DirectoryRisk, ListenerOptions, Refusal};
use tokio::time::{Instant, sleep_until, timeout};
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::{
    connection::Connection,
    connection_task::{ConnectionTask, Settings, settings_setters},
    counts::Counts,
    dialed::{Dialed, FromPresent, Tracked, Tracking},
    event::{Event, EventSender, Events},
    handler::Handler,
    peers::{Peers, Presence},
    shutdown::shut_down,
    stack::{DefaultStack, MakeChannel, default_stack},
    waiting::Waiting,
};

/// One of many on a path, none of them special: `Service<ChannelMsg, Response = ()>`, cloneable.
///
/// Whoever starts first listens, the others connect to it; when it goes, the next one takes over and
/// the rest connect to that one. The handle stays the same across every change of role, and so does
/// what the handler holds.
///
/// A message goes to the one who listens, or, if that is us, to all who are connected. While we
/// negotiate it waits, and then goes out in order; with nobody there, see
/// [`regroup`](PeerBuilder::regroup). What was on its way when a connection broke is not sent again:
/// its future says that it [may have been sent](SendError::may_have_been_sent). One for all is done
/// when the kernel has taken it for each, or that one has gone; who has gone, the events tell.
///
/// When the last clone is dropped, what waits is sent and it ends; [`dispose`](Self::dispose) also
/// tells the others that it was on purpose.
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
    /// Something is in the way that does not heal by itself: not permitted, not a socket, no
    /// directory. The source is a [`BindError`](crate::BindError), or holds a
    /// [`ConnectError`](crate::ConnectError).
    #[error("{path} cannot be joined")]
    InTheWay {
        /// Where.
        path: SocketPath,
        /// What.
        source: SharedError,
    },
    /// There was no role within the [`join_timeout`](PeerBuilder::join_timeout): a process listens and
    /// does not answer, or closes our connections at once, or another one holds the lock.
    #[error("{path} could not be joined within {waited:?}{}", Because(why))]
    TimedOut {
        /// Where.
        path: SocketPath,
        /// How long it was tried.
        waited: Duration,
        /// What was waited for last; absent when the time was less than a second.
        why: Option<Waiting>,
    },
    /// It ended before it had a role: the handler is not ready for any message, or the runtime ends.
    #[error("the peer at {path} ended before it had joined")]
    Ended {
        /// Where.
        path: SocketPath,
        /// Why.
        source: DisconnectReason,
    },
}

/// What was waited for, if that is known.
struct Because<'a>(&'a Option<Waiting>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(waiting) => write!(f, ": {}", waiting.why()),
            None => Ok(()),
        }
    }
}

impl Peer {
    /// One of many at `path`.
    pub fn builder<P>(path: P) -> PeerBuilder
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        let mut settings = Settings::new(default_stack(WireMode::Auto));
        // One who does not read holds up the others once, and not for ever.
        settings.queue = settings.queue.overflow(Overflow::Disconnect {
            after: Duration::from_secs(5),
        });
        PeerBuilder {
            path: path.try_into().map_err(SocketPathError::from),
            listener: ListenerOptions::new(),
            allow_listener: None,
            settings,
            regroup: Duration::from_secs(5),
            join_timeout: Some(Duration::from_secs(30)),
            events: EventSender::new(),
        }
    }

    /// The present role.
    pub fn role(&self) -> Role {
        self.guard.roles.role()
    }

    /// Why there has been no role for a second or more, and for how long; or, as the listener, why new peers
    /// cannot find it: something is in the way at its path. `None` otherwise.
    pub fn waiting(&self) -> Option<Waiting> {
        self.guard.roles.waiting().as_ref().map(Waiting::for_role)
    }

    /// Waits for a role, or for [`Role::Disposed`], after which there is no other. One that lasts shorter
    /// than it takes to look may be missed; the [events](Self::events) tell of each.
    ///
    /// Cancel safe.
    pub async fn wait_for(&self, wanted: impl Fn(Role) -> bool) -> Role {
        self.guard.roles.wait_for(wanted).await
    }

    /// A handle to a peer that we are connected with. Of two with the same id it is the later one.
    pub fn connection(&self, peer: &PeerId) -> Option<Connection> {
        self.guard.peers.connection(peer)
    }

    /// Waits for its first role, for as long as that takes; at once when there is one.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`JoinError::InTheWay`], although it is tried again, and [`JoinError::Ended`].
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

    /// Handles to all that we are connected with: the one who listens, or all who are connected to
    /// us. In no particular order.
    pub fn connections(&self) -> Vec<Connection> {
        self.guard.peers.connections()
    }

    /// True when we are connected with the peer.
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.guard.peers.is_present(peer)
    }

    /// How many connections there are.
    pub fn connection_count(&self) -> usize {
        self.guard.peers.connection_count()
    }

    /// Waits until somebody is there to hear a message, and is true then. False when we listen, and
    /// nobody is there, or was within the [regroup](PeerBuilder::regroup) time; or when we have
    /// ended.
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

    /// Waits for room and queues a message, without waiting for the kernel, or for anybody to be
    /// there. See [`Handle::queue`].
    ///
    /// # Errors
    /// [`SendError`], as of `poll_ready` and `call`.
    pub fn queue(&mut self, msg: ChannelMsg) -> Queueing<'_, ChannelMsg> {
        self.handle.queue(msg)
    }

    /// Queues a message if there is room now; else gives it back. See [`Handle::try_queue`].
    ///
    /// # Errors
    /// [`NotQueued`], with the message.
    #[allow(clippy::result_large_err)] // What makes it large is the message that it gives back.
    pub fn try_queue(&mut self, msg: ChannelMsg) -> Result<(), NotQueued<ChannelMsg>> {
        self.handle.try_queue(msg)
    }

    /// Ready when the kernel has taken all that was called so far, or some of it was lost with a
    /// connection. See [`Handle::flushed`].
    pub fn flushed(&self) -> Flushed<ChannelMsg> {
        self.handle.flushed()
    }

    /// How many messages wait for all, and how many bytes they hold. Those that wait for one of
    /// many wait in its [connection](Self::connection)'s queue.
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

    /// How often each of the bounds was met, and what else went wrong.
    pub fn counts(&self) -> Counts {
        self.guard.peers.events().counts()
    }

    /// What happens beside the messages, from now on. For all from the start on, ask the builder.
    pub fn events(&self) -> Events {
        self.guard.peers.events().subscribe()
    }

    /// Ready, with the reason, when it has been disposed of.
    pub async fn closed(&self) -> DisconnectReason {
        self.handle.closed().await
    }

    /// Leaves: a listener gives up its path, and the next one may take over at once; the others are
    /// told `depart`, get what waits for them, and are disconnected. Within the queue's drain
    /// timeout, twice that and 500 ms for a listener one of whose peers does not read.
    pub async fn dispose(&self) -> DisconnectReason {
        self.guard.roles.leave();
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

/// What a [`Peer`] is made from. A clone makes another peer, with events of its own.
#[derive(Debug)]
pub struct PeerBuilder<S = DefaultStack> {
    path: Result<SocketPath, SocketPathError>,
    listener: ListenerOptions,
    allow_listener: Option<Allow>,
    settings: Settings<S>,
    regroup: Duration,
    join_timeout: Option<Duration>,
    events: EventSender,
}

impl<S: Clone> Clone for PeerBuilder<S> {
    fn clone(&self) -> Self {
        Self {
            path: self.path.clone(),
            listener: self.listener.clone(),
            allow_listener: self.allow_listener.clone(),
            settings: self.settings.clone(),
            regroup: self.regroup,
            join_timeout: self.join_timeout,
            events: EventSender::new(),
        }
    }
}

impl<S> PeerBuilder<S> {
    settings_setters!("peer");

    /// The file's mode, who may come in, and how many. [`ListenerOptions::new`] by default.
    pub fn listener(mut self, options: ListenerOptions) -> Self {
        self.listener = options;
        self
    }

    /// Whom to find listening. By default whomever the [`listener`](Self::listener)'s options allow
    /// in: a group is of one mind about who belongs. Somebody else at the path is
    /// [`Event::InTheWay`].
    pub fn allow_listener(mut self, allow: Allow) -> Self {
        self.allow_listener = Some(allow);
        self
    }

    /// How long one whom nobody is connected with, as the listener, holds on to messages for all,
    /// from the moment that somebody last was: after a change of listener the others take a moment
    /// to come. Then, and where nobody ever was, and at once when it leaves, they go to nobody and
    /// count as sent. 5 s by default.
    pub fn regroup(mut self, regroup: Duration) -> Self {
        self.regroup = regroup;
        self
    }

    /// How long [`join`](Self::join) tries before it fails with [`JoinError::TimedOut`]; `None` to try
    /// for ever. 30 s by default. Once joined, a peer that loses its role is not given up.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kyneta_uds::Peer;
    ///
    /// let patient = Peer::builder("/run/app/bus.sock").join_timeout(None);
    /// let brisk = Peer::builder("/run/app/bus.sock").join_timeout(Duration::from_secs(3));
    /// ```
    pub fn join_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.join_timeout = timeout.into();
        self
    }

    /// A stack of one's own below the handshake, for what connects and for what is accepted. One whose
    /// connector hides who listens (a `HyperlocalConnector`) can tell no listener from another: it
    /// takes [`allow_listener(Allow::anyone())`](Self::allow_listener).
    /// [`default_stack`] by default.
    pub fn stack<S2: MakeChannel>(self, stack: S2) -> PeerBuilder<S2> {
        let Self {
            path,
            listener,
            allow_listener,
            settings,
            regroup,
            join_timeout,
            events,
        } = self;
        PeerBuilder {
            path,
            listener,
            allow_listener,
            settings: settings.stack(stack),
            regroup,
            join_timeout,
            events,
        }
    }

    /// What happens beside the messages, from the start on.
    pub fn events(&self) -> Events {
        self.events.subscribe()
    }
}

impl<S: MakeChannel> PeerBuilder<S> {
    /// Joins the others at the path; ready when there is a role: connected to the one who listens,
    /// or listening. What comes in goes to `handler`, of which each connection gets a clone, one
    /// message of a peer after the other.
    ///
    /// A listener that is there and does not answer is waited for, as long as the
    /// [`join_timeout`](Self::join_timeout) says. Meanwhile [`Event::Waiting`] and the log tell why.
    ///
    /// Cancel safe: a dropped attempt leaves nothing behind.
    ///
    /// # Errors
    /// [`JoinError`]: not permitted, not a socket, no directory, with the path; no role in time; a
    /// handler that is never ready.
    pub async fn join(self, handler: impl Handler + Clone) -> Result<Peer, JoinError> {
        let limit = self.join_timeout;
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
    /// [`Peer::joined`] waits for it. The [`join_timeout`](Self::join_timeout) does not count.
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
        let path = self.path?;
        let allow_listener = self
            .allow_listener
            .unwrap_or_else(|| self.listener.allows().clone());
        let peers = Peers::new(self.events);
        self.settings.introduce(&peers);
        #[cfg(feature = "status")]
        peers.about().at(path.clone());
        let Settings {
            stack,
            handshake,
            queue: config,
            ..
        } = self.settings;
        let dialed = Dialed::new(peers.clone());
        let host = Attending {
            handler: handler.clone(),
            queue: for_members(config.clone()),
            peers: peers.clone(),
        };
        let negotiate = NegotiateLayer::with_accept_handler(host)
            .listener(self.listener)
            .allow_listener(allow_listener.clone())
            .regroup(self.regroup);
        let roles = negotiate.role_watch();
        let maker = Tracking::new(
            handshake.layer(AuthorizeLayer::new(allow_listener).layer(stack)),
            dialed.clone(),
        );
        let Ok(channel) = negotiate.layer(maker).oneshot(path.clone()).await;
        let (handle, driver) = queue(channel, dialed.watch(config));
        dialed.under(handle.clone());
        let peer = Peer {
            handle: handle.clone(),
            guard: Arc::new(Guard {
                handle,
                path,
                roles,
                peers,
                regroup: self.regroup,
            }),
        };
        let handler = FromPresent::new(handler, dialed.clone());
        tokio::spawn(dialed.in_span(driver.drive(handler)));
        Ok(peer)
    }
}

/// Attends to those who connect to us: a session and a clone of the handler for each.
#[derive(Clone)]
struct Attending<H> {
    handler: H,
    queue: QueueConfig,
    peers: Peers,
}

impl<H, C> AcceptHandler<Tracked<C>, HandshakeError, ChannelMsg> for Attending<H>
where
    H: Handler + Clone,
    C: kyneta_uds_core::Channel<ChannelMsg, Future: Send, Error: Send> + Send + 'static,
{
    fn attend(&self, channel: Tracked<C>) -> Handle<ChannelMsg> {
        let events = self.peers.events();
        let session = ConnectionTask::new(channel.into_inner(), &self.queue, events);
        let handle = session.connection.handle().clone();
        let entry = self.peers.enter(session.connection.clone());
        session.spawn(self.handler.clone(), entry, ());
        handle
    }

    fn not_attended(&self, error: HandshakeError) {
        self.peers.events().not_introduced(error);
    }

    fn not_admitted(&self, refusal: &Refusal) {
        let refusal = *refusal;
        self.peers.events().send(Event::TurnedAway { refusal });
    }

    fn at_risk(&self, risk: &DirectoryRisk) {
        let risk = risk.clone();
        self.peers.events().send(Event::UnsafeDirectory { risk });
    }

    fn announced(&self, role: Role) {
        self.peers.events().send(Event::Role(role));
    }

    fn waiting(&self, waiting: &RoleWait) {
        let waiting = Waiting::for_role(waiting);
        self.peers.events().send(Event::Waiting(waiting));
    }

    fn refused(&self, error: &SharedError) {
        let error = error.clone();
        let causes: &(dyn std::error::Error + 'static) = error.get_ref();
        tracing::warn!(error = causes, "something is in the way");
        self.peers.events().send(Event::InTheWay { error });
    }
}
