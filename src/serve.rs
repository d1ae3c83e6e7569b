//! Accepts and serves, after axum's `serve`.
//!
//! In: a listener, a make service of handlers. Out: a future that lives as long as the listener. The
//! `Acceptor` accepts; here are the handler of what it accepts, and the shutdown.

use std::{
    future::{Future, IntoFuture, pending},
    io,
    pin::Pin,
};

use futures_util::future::{join, join_all};
use kyneta_uds_core::{Channel, ChannelMsg, DisconnectReason, SharedError, SocketPath};
use kyneta_uds_handshake::{Established, HandshakeError};
use kyneta_uds_negotiate::{AcceptHandler, AcceptPanicked, Acceptor, AcceptorEvent};
use kyneta_uds_queue::{Handle, QueueConfig};
use kyneta_uds_unix::{BindError, DirectoryRisk, Listener, Permit, RejectReason};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use crate::{
    builder::Builder,
    connection::Connection,
    connection_task::ConnectionTask,
    event::{Event, EventSender},
    handler::MakeHandler,
    server::{ServeDropped, Server},
    stack::{DefaultStack, MakeChannel},
};

/// Serves a listener: for each peer that completes the handshake `make` is called with its
/// [`Connection`], and the handler that it makes gets what the peer sends. To clone one handler for all,
/// use `tower::make::Shared::new(handler)`.
///
/// ```
/// use kyneta_uds::{Identity, Incoming, Listener, serve};
/// use tower::{make::Shared, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// # let signal = async {};
/// let print = service_fn(async |incoming: Incoming| {
///     println!("{incoming:?}");
///     Ok::<(), std::convert::Infallible>(())
/// });
/// let listener = Listener::bind(&path).await?;
/// serve(listener, Shared::new(print))
///     .identity(Identity::service("printer")?)
///     .with_graceful_shutdown(signal)
///     .await?;
/// assert!(!path.exists());
/// # Ok(())
/// # }
/// ```
pub fn serve<M>(listener: Listener, make: M) -> Serve<M> {
    let server = Server::new(EventSender::new());
    let mut serve = Builder::new(Accepting::new(server.clone(), listener, make));
    serve.settings.events = server.event_sender().clone();
    serve
}

/// However a server's future ends, polled or not, tasks that wait for the end are woken, and its connections
/// end.
#[derive(Debug)]
struct Serving(Server);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.ended(DisconnectReason::error(ServeDropped));
    }
}

/// A listener about to be served; `.await` serves it. See [`serve`], and [`Builder`] for the settings.
pub type Serve<M, S = DefaultStack> = Builder<Accepting<M>, S>;

/// The settings that [`Serve`] alone has.
#[derive(Debug)]
pub struct Accepting<M> {
    serving: Serving,
    listener: Listener,
    make: M,
}

impl<M> Accepting<M> {
    pub(crate) fn new(server: Server, listener: Listener, make: M) -> Self {
        Self {
            serving: Serving(server),
            listener,
            make,
        }
    }
}

impl<M, S> Serve<M, S> {
    /// The peers, by id, for as long as it is served.
    pub fn server(&self) -> Server {
        self.role.serving.0.clone()
    }

    /// Serves until `signal` is ready, then as [`Server::dispose`].
    pub fn with_graceful_shutdown<F>(self, signal: F) -> WithGracefulShutdown<M, S, F>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        WithGracefulShutdown {
            serve: self,
            signal,
        }
    }
}

/// A listener about to be served until a signal. See [`Serve::with_graceful_shutdown`].
#[must_use = "a listener is served only while it is awaited"]
#[derive(Debug)]
pub struct WithGracefulShutdown<M, S, F> {
    serve: Serve<M, S>,
    signal: F,
}

type ServeFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl<M, S> IntoFuture for Serve<M, S>
where
    M: MakeHandler,
    S: MakeChannel<In = ChannelMsg>,
{
    type Output = io::Result<()>;
    type IntoFuture = ServeFuture;

    fn into_future(self) -> ServeFuture {
        Box::pin(self.run(pending()))
    }
}

impl<M, S, F> IntoFuture for WithGracefulShutdown<M, S, F>
where
    M: MakeHandler,
    S: MakeChannel<In = ChannelMsg>,
    F: Future<Output = ()> + Send + 'static,
{
    type Output = io::Result<()>;
    type IntoFuture = ServeFuture;

    fn into_future(self) -> ServeFuture {
        Box::pin(self.serve.run(self.signal))
    }
}

impl<M, S> Serve<M, S>
where
    M: MakeHandler,
    S: MakeChannel<In = ChannelMsg>,
{
    async fn run(mut self, signal: impl Future<Output = ()>) -> io::Result<()> {
        let Accepting {
            serving,
            listener,
            make,
        } = self.role;
        let server = &serving.0;
        self.settings.configure(server.peers());
        let path = listener.path().cloned();
        #[cfg(feature = "status")]
        if let Some(path) = path.clone() {
            server.peers().about().at(path);
        }
        let tasks = TaskTracker::new();
        let handler = ServerAcceptHandler {
            server: server.clone(),
            make,
            queue: self.settings.queue,
            tasks: tasks.clone(),
        };
        let mut acceptor =
            Acceptor::new(listener, self.settings.handshake.layer(self.stack), handler);
        let shutdown = async {
            tokio::select! {
                () = signal => {}
                () = server.disposing().cancelled() => {}
            }
        };
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                event = acceptor.next() => match event {
                    AcceptorEvent::PathLost(_) => acceptor.restore(),
                    AcceptorEvent::RestoreFailed { error, .. } => in_the_way(server, error),
                    AcceptorEvent::Restored => restored(server, path.as_ref()),
                    _ => {}
                }
            }
        }
        // The path first: a process that connects from now on must not reach a socket at which no one accepts.
        let closed = acceptor.close();
        server.disposing().cancel();
        let handshakes = async { while !matches!(acceptor.next().await, AcceptorEvent::Closed) {} };
        let connections = server.connections();
        join(
            handshakes,
            join_all(connections.iter().map(Connection::dispose)),
        )
        .await;
        tasks.close();
        tasks.wait().await;
        server.ended(DisconnectReason::Intentional);
        closed
    }
}

/// The socket file cannot be put back. Connections that stand are not affected.
fn in_the_way(server: &Server, error: BindError) {
    let error = SharedError::new(error);
    if server.waiting_note().note(error.clone()) {
        tracing::warn!(%error, "the path cannot be taken back; it is tried again");
        server.event_sender().send(Event::InTheWay { error });
    }
}

fn restored(server: &Server, path: Option<&SocketPath>) {
    if let Some(after) = server.waiting_note().over()
        && let Some(path) = path.cloned()
    {
        tracing::info!(%path, ?after, "the path is ours again");
        server.event_sender().send(Event::Regained { path, after });
    }
}

/// Makes a handler for each accepted connection, and starts its connection task.
#[derive(Clone)]
struct ServerAcceptHandler<M> {
    server: Server,
    make: M,
    queue: QueueConfig,
    tasks: TaskTracker,
}

impl<M, C> AcceptHandler<Established<C>, HandshakeError, ChannelMsg> for ServerAcceptHandler<M>
where
    M: MakeHandler,
    C: Channel<ChannelMsg, In = ChannelMsg, Future: Send, Error: Send> + Send + 'static,
{
    async fn accept(self, channel: Established<C>, permit: Permit) -> Option<Handle<ChannelMsg>> {
        let task = ConnectionTask::new(channel, &self.queue, self.server.event_sender());
        let connection = task.connection.clone();
        let handler = match self.make.oneshot(Connection::clone(&connection)).await {
            Ok(handler) => handler,
            Err(error) => {
                self.server.event_sender().not_established(error);
                return None;
            }
        };
        let entry = self.server.peers().enter(connection.clone());
        if self.server.disposing().is_cancelled() {
            // Too late to be sent `depart` with the others.
            connection.handle().close();
        }
        // In a task of its own: this one is as large as the handshake was.
        task.spawn(handler, entry, (permit, self.tasks.token()));
        Some(connection.handle().clone())
    }

    fn accept_failed(&self, error: HandshakeError) {
        self.server.event_sender().handshake_failed(error);
    }

    fn panicked(&self, error: AcceptPanicked) {
        self.server.event_sender().not_established(error);
    }

    fn rejected(&self, reason: &RejectReason) {
        self.server.event_sender().rejected(*reason);
    }

    fn directory_risk(&self, risk: &DirectoryRisk) {
        self.server.event_sender().unsafe_directory(risk.clone());
    }
}
