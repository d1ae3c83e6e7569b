//! Accepts and serves, after axum's `serve`.
//!
//! In: a listener, a maker of handlers. Out: a future that lives as long as the listener. What is
//! accepted goes through the same stack as what connects.

use std::{
    future::{Future, IntoFuture, pending},
    io,
    panic::AssertUnwindSafe,
    pin::Pin,
    time::Duration,
};

use futures_util::{FutureExt as _, future::join_all};
use kyneta_uds_core::{ChannelMsg, DisconnectReason, SharedError};
use kyneta_uds_handshake::Handshake;
use kyneta_uds_queue::QueueConfig;
use kyneta_uds_unix::{Listener, ListenerEvent, Permit, UnixTarget};
use tokio::{
    net::UnixStream,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tracing::Instrument as _;

use crate::{
    builder::Builder,
    connection::Connection,
    connection_task::ConnectionTask,
    event::{Event, EventSender},
    handler::MakeHandler,
    server::{ServeDropped, Server},
    stack::{DefaultStack, MakeChannel},
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
    let server = Server::new(EventSender::new());
    let mut serve = Builder::new(Accepting::new(server.clone(), listener, make));
    serve.settings.events = server.event_sender().clone();
    serve
}

/// However a server's future ends, polled or not, those that wait for the end learn of it, and its
/// connections end.
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
            mut listener,
            make,
        } = self.role;
        let server = &serving.0;
        self.settings.configure(server.peers());
        #[cfg(feature = "status")]
        if let Some(path) = listener.path() {
            server.peers().about().at(path.clone());
        }
        if let Some(risk) = listener.risk() {
            let risk = risk.clone();
            server.event_sender().send(Event::UnsafeDirectory { risk });
        }
        let attendant = Attendant {
            server: server.clone(),
            maker: self.settings.handshake.layer(self.stack),
            make,
            queue: self.settings.queue,
        };
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
            refused: None,
        };
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                event = listener.next() => match event {
                    ListenerEvent::Accepted(stream, permit) => {
                        let span = permit.span();
                        let attending = attendant.clone().attend(stream, permit, tasks.clone());
                        let attending = told_of_panic(attending, server.clone());
                        tasks.spawn(attending.instrument(span));
                    }
                    ListenerEvent::Rejected(refusal) => {
                        server.event_sender().send(Event::TurnedAway { refusal });
                    }
                    ListenerEvent::Lost(_) => regain.regain(&mut listener).await,
                    _ => {}
                },
                () = regain.quiet() => regain.regained(&listener),
            }
        }
        // The path first: who comes now must not find a door behind which nobody opens.
        let closed = listener.close();
        server.disposing().cancel();
        join_all(server.connections().iter().map(Connection::dispose)).await;
        tasks.close();
        tasks.wait().await;
        server.ended(DisconnectReason::Intentional);
        closed
    }
}

/// Puts the socket file back when it has been removed. Those who are connected notice nothing.
struct Regain {
    server: Server,
    /// When the last try was refused, which has been said.
    refused: Option<Instant>,
}

impl Regain {
    /// A lost path is reported each second at least. After so long without a report it is ours again:
    /// whatever was in the way has been moved aside.
    const QUIET: Duration = Duration::from_secs(2);

    async fn regain(&mut self, listener: &mut Listener) {
        let Err(error) = listener.restore().await else {
            return self.regained(listener);
        };
        let error = SharedError::new(error);
        self.server.waiting_note().note(error.clone());
        if self.refused.replace(Instant::now()).is_none() {
            tracing::warn!(%error, "the path cannot be taken back; it is tried again");
            self.server.event_sender().send(Event::InTheWay { error });
        }
    }

    /// Ready when a path that was refused is ours without our doing.
    async fn quiet(&self) {
        match self.refused {
            Some(last) => sleep_until(last + Self::QUIET).await,
            None => pending().await,
        }
    }

    fn regained(&mut self, listener: &Listener) {
        self.refused = None;
        if let Some(after) = self.server.waiting_note().over()
            && let Some(path) = listener.path().cloned()
        {
            tracing::info!(%path, ?after, "the path is ours again");
            self.server
                .event_sender()
                .send(Event::Regained { path, after });
        }
    }
}

/// Sees one accepted stream through its handshake, and starts its session.
#[derive(Clone)]
struct Attendant<M, S> {
    server: Server,
    maker: Handshake<S>,
    make: M,
    queue: QueueConfig,
}

impl<M, S> Attendant<M, S> {
    async fn attend(self, stream: UnixStream, permit: Permit, tasks: TaskTracker)
    where
        M: MakeHandler,
        S: MakeChannel<In = ChannelMsg>,
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
            Err(error) => return server.event_sender().handshake_failed(error),
        };
        let session = ConnectionTask::new(channel, &queue, server.event_sender());
        let making = make.oneshot(Connection::clone(&session.connection));
        let made = tokio::select! {
            made = making => made,
            () = heard_out(&server) => return,
        };
        let handler = match made {
            Ok(handler) => handler,
            Err(error) => return server.event_sender().not_established(error),
        };
        let entry = server.peers().enter(session.connection.clone());
        if server.disposing().is_cancelled() {
            // Too late to be among those who are told `depart`.
            session.connection.handle().close();
        }
        // In a task of its own: this one is as large as the handshake was.
        session.spawn(handler, entry, (permit, tasks.token()));
    }
}

/// A panic of the user's code (a maker of handlers, `admit`) costs this connection, and is told. Not an
/// `async fn`: that would hold the handshake twice.
fn told_of_panic(attending: impl Future<Output = ()>, server: Server) -> impl Future<Output = ()> {
    // What the panic leaves behind is dropped, not used again.
    let attending = AssertUnwindSafe(attending).catch_unwind();
    attending.map(move |done| {
        if let Err(panic) = done {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref().map(String::as_str));
            let error = Panicked(text.unwrap_or("no text").to_owned());
            tracing::warn!(%error, "an accepted connection did not become a peer");
            server.event_sender().not_established(error);
        }
    })
}

/// Code that a server was given has panicked.
#[derive(Debug, thiserror::Error)]
#[error("making a peer of an accepted connection panicked: {0}")]
struct Panicked(String);

/// How long a handshake may go on after the end has begun.
const HEARD_OUT: Duration = Duration::from_millis(100);

/// Ready some time after the end has begun: what has been said by then is read, because a socket
/// that is closed with words unread resets the other end.
async fn heard_out(server: &Server) {
    server.disposing().cancelled().await;
    sleep(HEARD_OUT).await;
}
