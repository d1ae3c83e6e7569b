//! The connecting role, made ready: one connection after the other, under one queue.
//!
//! In: a path, settings, a handler. Out: a [`Client`]. May touch: what the stack touches, and one
//! task of tokio's.

use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::{
    ChannelMsg, DisconnectReason, Identity, SharedError, SocketPath, SocketPathError,
};
use kyneta_uds_framing::WireMode;
use kyneta_uds_handshake::{HandshakeError, HandshakeLayer, PeerInfo};
use kyneta_uds_queue::{
    Flushed, Handle, NotQueued, QueueConfig, Queueing, SendError, SendFuture, queue,
};
use kyneta_uds_reconnect::{
    Failure, ReconnectLayer, ReconnectPolicy, Recover, State, StateWatch, Transitions, Wait,
};
use kyneta_uds_unix::{Allow, AuthorizeLayer, ConnectError, NotAllowed};
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::{
    connection::Connection,
    connection_task::{Settings, settings_setters},
    counts::Counts,
    dialed::{Dialed, FromPresent, Tracking},
    event::{Event, EventSender, Events},
    handler::Handler,
    peers::{Peers, Presence},
    shutdown::shut_down,
    stack::{DefaultStack, MakeChannel, default_stack},
    waiting::{Waiting, WaitingNote},
};

/// A client of one listener: `Service<ChannelMsg, Response = ()>`, cloneable.
///
/// When the connection is lost it comes back, as its policy says, and what waits in the queue goes
/// out on the next one, in order. What was on its way when it broke is not sent again: its future
/// says that it [may have been sent](SendError::may_have_been_sent).
///
/// When the last clone is dropped, what waits is sent and the connection ends;
/// [`dispose`](Self::dispose) also tells the listener that it was on purpose.
///
/// See the [crate](crate) for an example.
#[derive(Debug, Clone)]
pub struct Client {
    handle: Handle<ChannelMsg>,
    states: StateWatch,
    dialed: Dialed,
    last: LastError,
    guard: Arc<Guard>,
}

/// Closes the queue with the last clone.
#[derive(Debug)]
struct Guard {
    handle: Handle<ChannelMsg>,
    peers: Peers,
    unconnected: Arc<Unconnected>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// Why a client did not connect.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No socket can have this path.
    #[error(transparent)]
    Path(#[from] SocketPathError),
    /// Nobody could be connected to, or nobody introduced itself, as often as the policy allows.
    #[error("{path} could not be connected to{}", Tries(reason))]
    NotConnected {
        /// Where.
        path: SocketPath,
        /// Why it is not tried again: that it was tried as often as the policy allows, or what
        /// `last` says, too.
        reason: DisconnectReason,
        /// What the last attempt failed with; absent when the connection was closed.
        #[source]
        last: Option<SharedError>,
    },
}

impl ClientError {
    /// What the connector said last, if it is that which failed.
    pub fn connect_error(&self) -> Option<&ConnectError> {
        match self {
            Self::NotConnected { last, .. } => {
                chain(last.as_ref()?.get_ref()).find_map(|error| error.downcast_ref())
            }
            Self::Path(_) => None,
        }
    }
}

/// What the source does not say: how often it was tried, or that there is none.
struct Tries<'a>(&'a DisconnectReason);

impl std::fmt::Display for Tries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            DisconnectReason::Error(_) => Ok(()),
            reason => write!(f, ": {reason}"),
        }
    }
}

/// An error, what caused it, and so on.
fn causes(reason: &DisconnectReason) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: Option<&(dyn Error + 'static)> = match reason {
        DisconnectReason::Error(error) => Some(error.get_ref()),
        _ => None,
    };
    first.into_iter().flat_map(chain)
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (**error).source()
    })
}

/// An attempt to connect has not come to anything yet.
#[derive(Debug, thiserror::Error)]
#[error("the listener has not answered yet")]
struct NotYetAnswered;

/// Why a client is not connected, and since when. Tells from time to time.
#[derive(Debug)]
struct Unconnected {
    note: WaitingNote,
    events: EventSender,
}

impl Unconnected {
    fn failed(&self, why: SharedError) {
        if self.note.note(why) {
            let events = self.events.downgrade();
            self.note
                .remind(move |waiting| events.not_connected(waiting));
        }
    }

    fn changed(&self, state: &State) {
        match state {
            State::Connecting { .. } if self.note.get().is_none() => {
                self.failed(SharedError::new(NotYetAnswered));
            }
            State::Connected | State::Disconnected { .. } => {
                self.note.over();
            }
            _ => {}
        }
    }
}

/// The policy of a client: the user's. Two things more: a listener that is none to deal with, where none
/// other ever was, is not tried again; and what is in the way at the path is told of, once in a row.
#[derive(Debug, Clone)]
struct Healing<P> {
    policy: P,
    unconnected: Arc<Unconnected>,
    /// Whoever listens was one to deal with: that somebody else does may pass.
    was_useful: bool,
    /// Something has been in the way since the last time that nothing was.
    in_the_way: bool,
    events: EventSender,
    last: LastError,
}

/// The error of the last attempt, for `ClientError` once the policy has given up.
#[derive(Debug, Clone, Default)]
struct LastError(Arc<Mutex<Option<SharedError>>>);

impl LastError {
    fn set(&self, error: Option<SharedError>) {
        let before = std::mem::replace(&mut *self.lock(), error);
        // An error of the user's is not dropped under the lock.
        drop(before);
    }

    fn get(&self) -> Option<SharedError> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<SharedError>> {
        // Nothing that can panic runs under the lock, so poison means nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Recover> Recover for Healing<P> {
    fn recover(&mut self, failure: Failure<'_>) -> Result<Wait, DisconnectReason> {
        self.unconnected.failed(match failure.reason() {
            DisconnectReason::Error(error) => error.clone(),
            reason => SharedError::new(reason.clone()),
        });
        self.was_useful |= failure.attempts() == 0;
        let reason = failure.reason();
        let error = match reason {
            DisconnectReason::Error(error) => Some(error.clone()),
            _ => None,
        };
        self.last.set(error.clone());
        let in_the_way = causes(reason).any(is_in_the_way);
        if let Some(error) = error.filter(|_| in_the_way && !self.in_the_way) {
            tracing::warn!(%error, "something is in the way");
            self.events.send(Event::InTheWay { error });
        }
        self.in_the_way = in_the_way;
        if !self.was_useful && causes(reason).any(is_another) {
            return Err(reason.clone());
        }
        self.policy.recover(failure)
    }

    fn is_on(&self) -> bool {
        self.policy.is_on()
    }
}

/// Something at the path, which the user may have to see to: or a server that is about to set the
/// file's mode.
fn is_in_the_way(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(|error| {
        matches!(
            error,
            ConnectError::NotPermitted { .. }
                | ConnectError::NotASocket { .. }
                | ConnectError::Symlink { .. }
        )
    })
}

/// Another process listens than the expected one, or a link leads there.
fn is_another(error: &(dyn Error + 'static)) -> bool {
    let connects = matches!(error.downcast_ref(), Some(ConnectError::Symlink { .. }));
    let admits = matches!(
        error.downcast_ref(),
        Some(HandshakeError::NotAdmitted { .. })
    );
    connects || admits || error.is::<NotAllowed>()
}

impl Client {
    /// A client of the listener at `path`.
    pub fn builder<P>(path: P) -> ClientBuilder
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        ClientBuilder {
            path: path.try_into().map_err(SocketPathError::from),
            settings: Settings::new(default_stack(WireMode::Auto)),
            allow_listener: Allow::anyone(),
            reconnect: ReconnectPolicy::new(),
            events: EventSender::new(),
        }
    }

    /// Who listens, while it is connected.
    pub fn peer(&self) -> Option<Arc<PeerInfo>> {
        Some(self.dialed.present()?.shared_peer().clone())
    }

    /// The connection that stands, if any. It ends when it is lost; the client goes on.
    pub fn connection(&self) -> Option<Connection> {
        Some(Connection::of(&self.dialed.present()?))
    }

    /// Where it stands.
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

    /// Where it stands, for those who wait for it in ways of their own.
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

    /// Why it is not connected, and since when. `None` while it is connected, and when it has ended,
    /// which [`closed`](Self::closed) tells the reason of.
    pub fn waiting(&self) -> Option<Waiting> {
        self.guard.unconnected.note.get()
    }

    /// How often each of the bounds was met, and what else went wrong.
    pub fn counts(&self) -> Counts {
        self.guard.peers.events().counts()
    }

    /// What happens beside the messages, from now on. For all from the start on, ask the builder.
    pub fn events(&self) -> Events {
        self.guard.peers.events().subscribe()
    }

    /// True while it is connected.
    pub fn is_connected(&self) -> bool {
        self.states.is_connected()
    }

    /// Waits for room and queues a message, without waiting for the kernel, or for a connection
    /// while there is none. See [`Handle::queue`].
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

    /// How many messages wait, and how many bytes they hold.
    pub fn queued(&self) -> (usize, usize) {
        self.handle.queued()
    }

    /// Ready, with the reason, when it has ended for good: disposed of, or given up.
    pub async fn closed(&self) -> DisconnectReason {
        self.handle.closed().await
    }

    /// Tells the listener that this side leaves on purpose, sends what waits, and ends the
    /// connection, within the queue's drain timeout and 500 ms more if the queue is full. With no
    /// connection, what waits has as long to find one.
    pub async fn dispose(self) -> DisconnectReason {
        // What waits may find a connection yet: then it goes out before the `depart`.
        let heard = self.is_connected() || self.queued().0 > 0;
        shut_down(&self.handle, heard).await
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

/// What a [`Client`] is made from. A clone makes another client, with events of its own.
#[derive(Debug)]
pub struct ClientBuilder<S = DefaultStack, P = ReconnectPolicy> {
    path: Result<SocketPath, SocketPathError>,
    settings: Settings<S>,
    allow_listener: Allow,
    reconnect: P,
    events: EventSender,
}

impl<S: Clone, P: Clone> Clone for ClientBuilder<S, P> {
    fn clone(&self) -> Self {
        Self {
            path: self.path.clone(),
            settings: self.settings.clone(),
            allow_listener: self.allow_listener.clone(),
            reconnect: self.reconnect.clone(),
            events: EventSender::new(),
        }
    }
}

impl<S, P> ClientBuilder<S, P> {
    settings_setters!("client");

    /// Whether and when it comes back. [`ReconnectPolicy::new`] by default;
    /// [`ReconnectPolicy::off`] is one connection. A path that is not permitted or is no socket is an
    /// attempt that came to nothing like any other, and [`Event::InTheWay`]: a server that binds and
    /// then sets the file's mode makes it so for a moment. A listener that is not
    /// [allowed](Self::allow_listener) or not admitted, and a symbolic link, are final before the
    /// first connection, whatever the policy says.
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
        let Self {
            path,
            settings,
            allow_listener,
            events,
            ..
        } = self;
        ClientBuilder {
            path,
            settings,
            allow_listener,
            reconnect: policy,
            events,
        }
    }

    /// A stack of one's own below the handshake. [`default_stack`] by default.
    pub fn stack<S2: MakeChannel>(self, stack: S2) -> ClientBuilder<S2, P> {
        let Self {
            path,
            settings,
            allow_listener,
            reconnect,
            events,
        } = self;
        ClientBuilder {
            path,
            allow_listener,
            settings: settings.stack(stack),
            reconnect,
            events,
        }
    }

    /// Whom to find listening. Whoever does by default; with
    /// [`Allow::same_uid`] a socket that another user has bound at the path is none to talk to.
    pub fn allow_listener(mut self, allow: Allow) -> Self {
        self.allow_listener = allow;
        self
    }

    /// What happens beside the messages, from the start on.
    pub fn events(&self) -> Events {
        self.events.subscribe()
    }
}

impl<S, P> ClientBuilder<S, P>
where
    S: MakeChannel,
    P: Recover + Clone + Send + 'static,
{
    /// Connects and introduces itself; ready when the listener has answered. What comes in goes to
    /// `handler`, one message after the other. While nobody listens, it tries as long as its policy
    /// says: by default for some minutes.
    ///
    /// Cancel safe: a dropped attempt leaves nothing behind.
    ///
    /// # Errors
    /// [`ClientError`]: nobody there, not permitted, no answer, with the path.
    pub async fn connect(self, handler: impl Handler) -> Result<Client, ClientError> {
        let path = self.path.clone()?;
        let client = self.connect_lazy(handler).await?;
        let mut presence = client.guard.peers.presence();
        // Somebody was here, if only for a moment.
        let here = presence.wait_for(|presence| *presence != Presence::Never);
        tokio::select! {
            biased;
            _ = here => Ok(client),
            reason = client.closed() => {
                let last = match &reason {
                    DisconnectReason::Error(error) => Some(error.clone()),
                    _ => client.last.get(),
                };
                Err(ClientError::NotConnected { path, reason, last })
            }
        }
    }

    /// As [`connect`](Self::connect), without waiting for the connection: messages wait for it in
    /// the queue.
    ///
    /// # Errors
    /// [`ClientError`]: no socket can have this path, or the stack fails before it is asked.
    pub async fn connect_lazy(mut self, handler: impl Handler) -> Result<Client, ClientError> {
        let path = self.path?;
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
        let events = peers.events().clone();
        let unconnected = Arc::new(Unconnected {
            note: WaitingNote::default(),
            events: events.clone(),
        });
        let changing = unconnected.clone();
        let last = LastError::default();
        let layer = ReconnectLayer::new(Healing {
            policy: self.reconnect,
            unconnected: unconnected.clone(),
            was_useful: false,
            in_the_way: false,
            events: events.clone(),
            last: last.clone(),
        })
        .on_transition(move |transition| {
            changing.changed(&transition.to);
            events.send(Event::State(transition.to.clone()));
        });
        let states = layer.state_watch();
        let stack = AuthorizeLayer::new(self.allow_listener).layer(stack);
        let maker = layer.layer(Tracking::new(handshake.layer(stack), dialed.clone()));
        let channel = maker.oneshot(path.clone().into()).await.map_err(|error| {
            let error = SharedError::new(error);
            ClientError::NotConnected {
                path,
                reason: DisconnectReason::Error(error.clone()),
                last: Some(error),
            }
        })?;
        let (handle, driver) = queue(channel, dialed.watch(config));
        dialed.under(handle.clone());
        let handler = FromPresent::new(handler, dialed.clone());
        tokio::spawn(dialed.in_span(driver.drive(handler)));
        let guard = Arc::new(Guard {
            handle: handle.clone(),
            peers,
            unconnected,
        });
        Ok(Client {
            handle,
            states,
            dialed,
            last,
            guard,
        })
    }
}
