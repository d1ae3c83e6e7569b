//! The connecting role, made ready: one connection, established at once.
//!
//! In: a path, settings, a handler. Out: a [`Client`]. May touch: what the stack touches, and one
//! task of tokio's.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use kyneta_uds_core::{ChannelMsg, DisconnectReason, Identity, SocketPath, SocketPathError};
use kyneta_uds_establish::{EstablishError, EstablishLayer, PeerInfo};
use kyneta_uds_framing::WireMode;
use kyneta_uds_queue::{QueueConfig, SendError, SendFuture};
use kyneta_uds_unix::ConnectError;
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::{
    connection::Connection,
    event::{EventSender, Events},
    handler::Handler,
    session::{Session, Settings, settings_setters},
    stack::{DefaultStack, MakeChannel, default_stack},
};

/// A client of one listener: `Service<ChannelMsg, Response = ()>`, cloneable.
///
/// It connects once. When the last clone is dropped, what waits is sent and the connection ends;
/// [`dispose`](Self::dispose) also tells the listener that it was on purpose.
///
/// See the [crate](crate) for an example.
#[derive(Debug, Clone)]
pub struct Client {
    connection: Connection,
    guard: Arc<Guard>,
}

/// Closes the connection with the last clone.
#[derive(Debug)]
struct Guard {
    connection: Arc<Connection>,
    events: EventSender,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.connection.handle().close();
    }
}

/// Why a client did not connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No socket can have this path.
    #[error(transparent)]
    Path(#[from] SocketPathError),
    /// Nobody could be connected to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A layer of the stack gave up, or nobody introduced itself.
    #[error("{path}: {source}")]
    Establish {
        /// Where.
        path: SocketPath,
        /// Why.
        source: EstablishError,
    },
}

impl ClientError {
    fn new(path: SocketPath, error: EstablishError) -> Self {
        let source = match error {
            EstablishError::Make(error) => match error.downcast() {
                Ok(error) => return Self::Connect(*error),
                Err(error) => EstablishError::Make(error),
            },
            error => error,
        };
        Self::Establish { path, source }
    }
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
            events: EventSender::new(),
        }
    }

    /// Who listens.
    pub fn peer(&self) -> &PeerInfo {
        self.connection.peer()
    }

    /// The one connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What happens beside the messages, from now on. For all from the start on, ask the builder.
    pub fn events(&self) -> Events {
        self.guard.events.subscribe()
    }

    /// True while messages are let in.
    pub fn is_connected(&self) -> bool {
        self.connection.is_connected()
    }

    /// Ready, with the reason, when the connection has ended.
    pub async fn closed(&self) -> DisconnectReason {
        self.connection.closed().await
    }

    /// Tells the listener that this side leaves on purpose, sends what waits, and ends the
    /// connection, within the queue's drain timeout and 500 ms more if the queue is full. See
    /// [`Connection::dispose`].
    pub async fn dispose(self) -> DisconnectReason {
        self.connection.dispose().await
    }
}

impl Service<ChannelMsg> for Client {
    type Response = ();
    type Error = SendError;
    type Future = SendFuture<ChannelMsg>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.connection.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, msg: ChannelMsg) -> SendFuture<ChannelMsg> {
        self.connection.call(msg)
    }
}

/// What a [`Client`] is made from.
#[derive(Debug)]
pub struct ClientBuilder<S = DefaultStack> {
    path: Result<SocketPath, SocketPathError>,
    settings: Settings<S>,
    events: EventSender,
}

impl<S> ClientBuilder<S> {
    settings_setters!("client");

    /// A stack of one's own below the handshake. [`default_stack`] by default.
    pub fn stack<S2: MakeChannel>(self, stack: S2) -> ClientBuilder<S2> {
        let Self {
            path,
            settings,
            events,
        } = self;
        ClientBuilder {
            path,
            settings: settings.stack(stack),
            events,
        }
    }

    /// What happens beside the messages, from the start on.
    pub fn events(&self) -> Events {
        self.events.subscribe()
    }
}

impl<S: MakeChannel> ClientBuilder<S> {
    /// Connects and introduces itself; ready when the listener has answered. What comes in goes to
    /// `handler`, one message after the other.
    ///
    /// Cancel safe: a dropped attempt leaves nothing behind.
    ///
    /// # Errors
    /// [`ClientError`]: nobody there, not permitted, no answer, with the path.
    pub async fn connect(self, handler: impl Handler) -> Result<Client, ClientError> {
        let Settings {
            stack,
            establish,
            queue,
        } = self.settings;
        let path = self.path?;
        let connecting = establish.layer(stack).oneshot(path.clone().into());
        let channel = connecting
            .await
            .map_err(|error| ClientError::new(path, error))?;
        let session = Session::new(channel, &queue, &self.events);
        let connection = session.connection.clone();
        tokio::spawn(session.run(handler, ()));
        Ok(Client {
            connection: Connection::clone(&connection),
            guard: Arc::new(Guard {
                connection,
                events: self.events,
            }),
        })
    }
}
