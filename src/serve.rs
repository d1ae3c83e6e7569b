//! Accepts and serves, after axum's `serve`.
//!
//! In: a listener, a maker of handlers. Out: a future that lives as long as the listener. What is
//! accepted goes through the same stack as what connects.

use std::{
    future::{Future, IntoFuture, pending},
    io,
    pin::Pin,
    time::Duration,
};

use futures_util::future::join_all;
use kyneta_uds_core::{Identity, SharedError};
use kyneta_uds_establish::{EstablishLayer, EstablishService};
use kyneta_uds_framing::WireMode;
use kyneta_uds_queue::QueueConfig;
use kyneta_uds_unix::{Listener, ListenerEvent, Permit, UnixTarget};
use tokio::{net::UnixStream, time::sleep};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tracing::Instrument as _;

use crate::{
    connection::Connection,
    event::{Event, EventSender},
    handler::MakeHandler,
    server::Server,
    session::{Session, Settings, settings_setters},
    stack::{DefaultStack, MakeChannel, default_stack},
};

/// Serves a listener: for each peer that introduces itself `make` is called with its
/// [`Connection`], and the handler it makes gets what the peer sends. To clone one handler for all,
/// say `tower::make::Shared::new(handler)`.
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
    serve_as(
        Server::new(EventSender::new()),
        listener,
        make,
        Settings::new(default_stack(WireMode::Auto)),
    )
}

pub(crate) fn serve_as<M, S>(
    server: Server,
    listener: Listener,
    make: M,
    settings: Settings<S>,
) -> Serve<M, S> {
    Serve {
        server,
        listener,
        make,
        settings,
    }
}

/// A listener about to be served; `.await` serves it. See [`serve`].
#[must_use = "a listener is served only while it is awaited"]
#[derive(Debug)]
pub struct Serve<M, S = DefaultStack> {
    server: Server,
    listener: Listener,
    make: M,
    settings: Settings<S>,
}

impl<M, S> Serve<M, S> {
    settings_setters!("server");

    /// A stack of one's own below the handshake. [`default_stack`] by default.
    pub fn stack<S2: MakeChannel>(self, stack: S2) -> Serve<M, S2> {
        let Self {
            server,
            listener,
            make,
            settings,
        } = self;
        Serve {
            server,
            listener,
            make,
            settings: settings.stack(stack),
        }
    }

    /// The peers, by id, for as long as it is served.
    pub fn server(&self) -> Server {
        self.server.clone()
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
    S: MakeChannel,
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
    S: MakeChannel,
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
    S: MakeChannel,
{
    async fn run(mut self, signal: impl Future<Output = ()>) -> io::Result<()> {
        let server = self.server;
        self.settings.introduce(server.roster());
        #[cfg(feature = "status")]
        if let Some(path) = self.listener.path() {
            server.roster().about().at(path.clone());
        }
        if let Some(risk) = self.listener.risk() {
            let risk = risk.clone();
            server.event_sender().send(Event::UnsafeDirectory { risk });
        }
        let Settings {
            stack,
            establish,
            queue,
            ..
        } = self.settings;
        let attendant = Attendant {
            server: server.clone(),
            maker: establish.layer(stack),
            make: self.make,
            queue,
        };
        // However this future ends, those who wait for the end learn of it, and tasks with it.
        let _disposed = server.disposed().clone().drop_guard();
        let _disposing = server.disposing().clone().drop_guard();
        let _abandoned = Abandoned(server.clone());
        let tasks = TaskTracker::new();
        let shutdown = async {
            tokio::select! {
                () = signal => {}
                () = server.disposing().cancelled() => {}
            }
        };
        tokio::pin!(shutdown);
        let mut regain = Regain {
            server: server.clone(),
            refused: false,
        };
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                event = self.listener.next() => match event {
                    ListenerEvent::Accepted(stream, permit) => {
                        let span = permit.span();
                        let attending = attendant.clone().attend(stream, permit, tasks.clone());
                        tasks.spawn(attending.instrument(span));
                    }
                    ListenerEvent::Refused(refusal) => {
                        server.event_sender().send(Event::TurnedAway { refusal });
                    }
                    ListenerEvent::Lost(_) => regain.regain(&mut self.listener).await,
                    _ => {}
                },
            }
        }
        // The path first: who comes now must not find a door behind which nobody opens.
        let closed = self.listener.close();
        server.disposing().cancel();
        join_all(server.connections().iter().map(Connection::dispose)).await;
        tasks.close();
        tasks.wait().await;
        closed
    }
}

/// Puts the socket file back when it has been removed. Those who are connected notice nothing.
struct Regain {
    server: Server,
    /// The last try was refused, which has been said.
    refused: bool,
}

impl Regain {
    /// While the path stays lost, this comes again ten times a second.
    async fn regain(&mut self, listener: &mut Listener) {
        let regained = listener.restore().await;
        let refused = regained.is_err();
        if let Err(error) = regained
            && !self.refused
        {
            let error = SharedError::new(error);
            self.server.event_sender().send(Event::InTheWay { error });
        }
        self.refused = refused;
    }
}

/// Sees one accepted stream through its handshake, and starts its session.
#[derive(Clone)]
struct Attendant<M, S> {
    server: Server,
    maker: EstablishService<S>,
    make: M,
    queue: QueueConfig,
}

impl<M, S> Attendant<M, S> {
    async fn attend(self, stream: UnixStream, permit: Permit, tasks: TaskTracker)
    where
        M: MakeHandler,
        S: MakeChannel,
    {
        let Self {
            server,
            maker,
            make,
            queue,
        } = self;
        let established = tokio::select! {
            established = maker.oneshot(UnixTarget::Accepted(stream)) => established,
            () = heard_out(&server) => return,
        };
        let channel = match established {
            Ok(channel) => channel,
            Err(error) => return server.event_sender().not_introduced(error),
        };
        let session = Session::new(channel, &queue, server.event_sender());
        let making = make.oneshot(Connection::clone(&session.connection));
        let made = tokio::select! {
            made = making => made,
            () = heard_out(&server) => return,
        };
        let handler = match made {
            Ok(handler) => handler,
            Err(error) => return server.event_sender().not_established(error),
        };
        let presence = server.roster().enter(session.connection.clone());
        if server.disposing().is_cancelled() {
            // Too late to be among those who are told `depart`.
            session.connection.handle().close();
        }
        // In a task of its own: this one is as large as the handshake was.
        session.spawn(handler, presence, (permit, tasks.token()));
    }
}

/// Ends the connections of a server whose future is dropped. After an orderly end there are none.
struct Abandoned(Server);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.disposing().cancel();
        for connection in self.0.connections() {
            connection.handle().close();
        }
    }
}

/// How long a handshake may go on after the end has begun.
const HEARD_OUT: Duration = Duration::from_millis(100);

/// Ready some time after the end has begun: what has been said by then is read, because a socket
/// that is closed with words unread resets the other end.
async fn heard_out(server: &Server) {
    server.disposing().cancelled().await;
    sleep(HEARD_OUT).await;
}
