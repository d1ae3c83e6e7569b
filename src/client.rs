//! The client: one connection after the other, under one queue.
//!
//! In: a path, settings, a handler. Out: a [`Client`]. May touch: what the stack touches, and one
//! task of tokio's.

use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use kyneta_uds_core::{ChannelMsg, DisconnectReason, SharedError, SocketPath, SocketPathError};
use kyneta_uds_handshake::{HandshakeError, PeerInfo};
use kyneta_uds_queue::{Flushed, Handle, NotQueued, Queueing, SendError, SendFuture};
use kyneta_uds_reconnect::{
    Failure, ReconnectLayer, ReconnectPolicy, Recover, State, StateWatch, Transitions, Wait,
};
use kyneta_uds_unix::{AccessPolicy, AuthorizeLayer, ConnectError, NotAllowed};
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::{
    builder::{Builder, Connects, Settings},
    connection::Connection,
    counts::Counts,
    dialed::{Dialed, MakePeerChannel},
    event::{Event, EventSender, Events},
    handler::Handler,
    peers::{Peers, Presence},
    shutdown::shut_down,
    stack::{DefaultStack, MakeChannel},
    waiting::{Waiting, WaitingNote},
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

/// Why a client did not connect.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No socket can have this path.
    #[error(transparent)]
    Path(#[from] SocketPathError),
    /// No connection or handshake succeeded in as many attempts as the policy allows.
    #[error("{path} could not be connected to{}", Tries(reason))]
    NotConnected {
        /// The path.
        path: SocketPath,
        /// Why it is not tried again: the limit of attempts, or the error in `last`.
        reason: DisconnectReason,
        /// The error of the last attempt; absent when the connection was closed.
        #[source]
        last: Option<SharedError>,
    },
}

impl ClientError {
    /// The connector's last error, if the connector failed.
    pub fn connect_error(&self) -> Option<&ConnectError> {
        match self {
            Self::NotConnected { last, .. } => {
                chain(last.as_ref()?.get_ref()).find_map(|error| error.downcast_ref())
            }
            Self::Path(_) => None,
        }
    }
}

/// The part of the text that the source does not have: the attempts, or that there is no source.
struct Tries<'a>(&'a DisconnectReason);

impl std::fmt::Display for Tries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            DisconnectReason::Error(_) => Ok(()),
            reason => write!(f, ": {reason}"),
        }
    }
}

/// An error and its sources.
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

/// The first attempt to connect is not finished.
#[derive(Debug, thiserror::Error)]
#[error("the listener has not answered yet")]
struct NotYetAnswered;

/// Why a client is not connected, since when, and the error of its last attempt. Reports the wait at
/// intervals.
#[derive(Debug)]
struct Attempts {
    note: WaitingNote,
    last: Mutex<Option<SharedError>>,
    events: EventSender,
}

impl Attempts {
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
        self.events.send(Event::State(state.clone()));
    }

    fn last(&self) -> MutexGuard<'_, Option<SharedError>> {
        // No code that can panic runs under the lock, so it is never poisoned.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The user's policy, with two additions: a listener that is not allowed is not tried again if there
/// was no other before, and a series of attempts with an obstacle at the path is reported once.
#[derive(Debug, Clone)]
struct Healing<P> {
    policy: P,
    attempts: Arc<Attempts>,
    /// There was a connection to an allowed listener: another listener may be temporary.
    was_connected: bool,
    /// The last attempt found an obstacle at the path.
    obstructed: bool,
}

impl<P: Recover> Recover for Healing<P> {
    fn recover(&mut self, failure: Failure<'_>) -> Result<Wait, DisconnectReason> {
        self.attempts.failed(match failure.reason() {
            DisconnectReason::Error(error) => error.clone(),
            reason => SharedError::new(reason.clone()),
        });
        self.was_connected |= failure.attempts() == 0;
        let reason = failure.reason();
        let error = match reason {
            DisconnectReason::Error(error) => Some(error.clone()),
            _ => None,
        };
        // A user's error is not dropped under the lock.
        let former = std::mem::replace(&mut *self.attempts.last(), error.clone());
        drop(former);
        let obstructed = causes(reason).any(is_obstacle);
        if let Some(error) = error.filter(|_| obstructed && !self.obstructed) {
            tracing::warn!(%error, "there is an obstacle at the path");
            self.attempts.events.send(Event::InTheWay { error });
        }
        self.obstructed = obstructed;
        if !self.was_connected && causes(reason).any(is_final) {
            return Err(reason.clone());
        }
        self.policy.recover(failure)
    }

    fn is_on(&self) -> bool {
        self.policy.is_on()
    }
}

/// An obstacle at the path, which an operator may have to remove; or a server that has bound and has
/// not set the file's mode yet.
fn is_obstacle(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(|error| {
        matches!(
            error,
            ConnectError::NotPermitted { .. }
                | ConnectError::NotASocket { .. }
                | ConnectError::Symlink { .. }
        )
    })
}

/// The listener is not allowed or does not admit us, or the path is a symbolic link.
fn is_final(error: &(dyn Error + 'static)) -> bool {
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
        self.guard.attempts.note.get()
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
    pub fn queue(&mut self, msg: ChannelMsg) -> Queueing<'_, ChannelMsg> {
        self.handle.queue(msg)
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
    /// long for one.
    pub fn dispose(&self) -> impl Future<Output = DisconnectReason> + Send + use<> {
        let this = self.clone();
        async move {
            // A message in the queue may still get a connection; then `depart` follows it.
            let can_be_sent = this.is_connected() || this.queued().0 > 0;
            shut_down(&this.handle, can_be_sent).await
        }
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
    /// is a failed attempt like others, and [`Event::InTheWay`]: it may be a server that has bound and
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
        let attempts = Arc::new(Attempts {
            note: WaitingNote::default(),
            last: Mutex::default(),
            events: peers.events().clone(),
        });
        let changing = attempts.clone();
        let layer = ReconnectLayer::new(Healing {
            policy: self.role.reconnect,
            attempts: attempts.clone(),
            was_connected: false,
            obstructed: false,
        })
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
        tokio::spawn(dialed.in_span(driver.drive(channel, handler)));
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
