//! Accepts and serves, after axum's `serve`.
//!
//! In: a listener, a make service of handlers. Out: a future that lives as long as the listener. The
//! `Acceptor` accepts and `RoleAcceptHandler` takes what it accepts; the shutdown is here.

use std::{
    future::{Future, IntoFuture, pending},
    io,
    pin::Pin,
};

use futures_util::future::{join, join_all};
use kyneta_uds_core::{ChannelMsg, DisconnectReason, SharedError, SocketPath};
use kyneta_uds_negotiate::{Acceptor, AcceptorEvent, for_members};
use kyneta_uds_unix::{BindError, Listener};
use tokio_util::task::TaskTracker;
use tower::{make::Shared, util::MapResponse};
use tower_layer::Layer as _;

use crate::{
    accept_handler::RoleAcceptHandler,
    builder::{Builder, Listens},
    connection::Connection,
    event::Event,
    event_sender::EventSender,
    handler::{Handler, MakeHandler},
    handoff::{Handoffs, Offering, Taken},
    peer_channel::PeerChannel,
    server::{ServeDropped, Server, ServerBuilder},
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
    let mut serve = Builder::listening(Accepting::new(server.clone(), listener, make));
    serve.settings.events = server.event_sender().clone();
    serve
}

impl<S: MakeChannel<In = ChannelMsg>> ServerBuilder<S> {
    /// Binds the path and serves it in a task of its own. Each connection gets a clone of `handler`,
    /// called with one message after the other.
    ///
    /// Cancel safe: a dropped attempt leaves nothing at the path.
    ///
    /// # Errors
    /// [`BindError`], with the path: in use, not permitted, not a socket.
    pub async fn listen(self, handler: impl Handler + Clone) -> Result<Server, BindError> {
        let path = self.role.path.clone()?;
        let listener = self.settings.listener.clone().bind(path.clone()).await?;
        let offering = Offering::of_role(&self.settings, &path);
        Ok(self.serve(listener, offering, handler, None))
    }

    /// Serves a listener in a task of its own.
    pub(crate) fn serve(
        self,
        listener: Listener,
        offering: Option<Offering>,
        handler: impl Handler + Clone,
        taken: Option<Taken<S::Channel>>,
    ) -> Server {
        let server = Server::new(self.settings.events.clone());
        server.relays(&self.settings.relay); // before its task runs: for a local member
        let role = Accepting::new(server.clone(), listener, Shared::new(handler));
        let serve = Builder {
            role,
            stack: self.stack,
            settings: self.settings,
        };
        tokio::spawn(async move {
            if let Err(error) = serve.run(pending(), offering, taken).await {
                tracing::warn!(%error, "the socket file could not be removed");
            }
        });
        server
    }
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

impl<M> Listens for Accepting<M> {}

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
        Box::pin(self.run(pending(), None, None))
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
        Box::pin(self.serve.run(self.signal, None, None))
    }
}

impl<M, S> Serve<M, S>
where
    M: MakeHandler,
    S: MakeChannel<In = ChannelMsg>,
{
    async fn run(
        mut self,
        signal: impl Future<Output = ()>,
        offering: Option<Offering>,
        taken: Option<Taken<S::Channel>>,
    ) -> io::Result<()> {
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
        server.relays(&self.settings.relay);
        let hub = server.hub().cloned();
        let queue = match hub {
            Some(_) => for_members(self.settings.queue),
            None => self.settings.queue,
        };
        let handler = RoleAcceptHandler {
            handoff: self.settings.handoff,
            make,
            hub: hub.clone(),
            member: None,
            queue,
            peers: server.peers().clone(),
            tasks: tasks.clone(),
            disposing: server.disposing().clone(),
        };
        let events = server.event_sender().clone();
        let handoffs = Handoffs::start(server, offering, taken, handler.clone()).await;
        let make_channel = MapResponse::new(self.settings.handshake.layer(self.stack), {
            move |channel| PeerChannel::not_entered(channel, events.clone())
        });
        let mut acceptor = Acceptor::new(listener, make_channel, handler);
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
                asking = handoffs.asked() => {
                    if handoffs.hand_over(asking, &mut acceptor).await {
                        handoffs.leave(acceptor, &tasks).await;
                        return Ok(());
                    }
                }
                event = acceptor.next() => match event {
                    AcceptorEvent::PathLost(_) => acceptor.restore(),
                    AcceptorEvent::RestoreFailed { error, .. } => in_the_way(server, error),
                    AcceptorEvent::Restored => restored(server, path.as_ref()),
                    _ => {}
                }
            }
        }
        handoffs.close();
        // The path first: a process that connects from now on must not reach a socket that accepts no more.
        let closed = acceptor.close();
        server.disposing().cancel();
        server.event_sender().observers().end();
        if let Some(hub) = hub {
            // The others need not be told of each member that leaves.
            hub.close();
        }
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
