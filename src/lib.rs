//! Messages between services on one machine, over one Unix socket path, as a stack of Tower layers.
//!
//! A stack is a maker of channels. At its bottom stands a connector; every layer turns one maker
//! into another; what comes out on top is a cloneable handle that is a
//! `Service<ChannelMsg, Response = ()>`.
//!
//! | layer | from a maker of | to a maker of |
//! |---|---|---|
//! | [`FramingLayer`] | byte streams | frame transports |
//! | [`CborLayer`] | frame transports | channels: a `Service` out, a `Stream` in |
//! | [`HandshakeLayer`] | channels | channels to a peer that has introduced itself |
//! | [`ReconnectLayer`] | channels | channels that come back after a loss |
//! | [`NegotiateLayer`] | channels | channels that listen or connect, and change role |
//! | [`QueueLayer`] | channels | cloneable, bounded handles, with one task below each |
//!
//! Tower's own layers fit between any two of them and on top.
//!
//! # Ready-made
//!
//! ```
//! use kyneta_uds::{Client, DocId, Identity, Incoming, Interest, Server};
//! use tower::{Service as _, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("bus.sock");
//! // Echoes what it gets.
//! let echo = service_fn(async |incoming: Incoming| {
//!     incoming.from().ready().await?.call(incoming.message).await
//! });
//! let server = Server::builder(&path).identity(Identity::service("echo")?).listen(echo).await?;
//!
//! let (seen, mut inbox) = tokio::sync::mpsc::channel(8);
//! let mut client = Client::builder(&path)
//!     .identity(Identity::service("billing-1")?)
//!     .connect(service_fn(move |incoming: Incoming| {
//!         let seen = seen.clone();
//!         async move { seen.send(incoming.message).await }
//!     }))
//!     .await?;
//!
//! let msg = Interest::new(DocId::new("settings")?);
//! client.ready().await?.call(msg.clone().into()).await?;
//! assert_eq!(inbox.recv().await, Some(msg.into()));
//! client.dispose().await;
//! server.dispose().await;
//! # Ok(())
//! # }
//! ```
//!
//! Without a server: whoever starts first listens, the others connect, and survivors take over. See
//! [`Peer`]; the same stack spelled out is at [`join`].
//!
//! Which stack to choose, what a sender may rely on, how to come from the TypeScript package: the
//! [`guide`].
//!
//! # Messages of your own
//!
//! Any serde type, without kyneta's handshake: [`CborLayer::typed`], and no [`HandshakeLayer`].
//!
//! ```
//! use kyneta_uds::{CborLayer, FramingLayer, Listener, Message, QueueLayer, SocketPath};
//! use kyneta_uds::{UnixConnector, UnixTarget};
//! use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};
//!
//! #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
//! struct Tick(u64);
//! impl Message for Tick {
//!     fn size(&self) -> usize {
//!         self.0.size()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = SocketPath::new(dir.path().join("ticks.sock"))?;
//! let (seen, mut inbox) = tokio::sync::mpsc::channel(8);
//! let stack = ServiceBuilder::new()
//!     .layer(QueueLayer::new(service_fn(move |tick: Tick| {
//!         let seen = seen.clone();
//!         async move { seen.send(tick).await }
//!     })))
//!     .layer(CborLayer::typed::<Tick>())
//!     .layer(FramingLayer::new())
//!     .service(UnixConnector::new());
//!
//! let mut listener = Listener::bind(path.clone()).await?;
//! let mut ours = stack.clone().oneshot(path.into()).await?;
//! let (stream, _permit) = listener.accept().await;
//! let _theirs = stack.oneshot(UnixTarget::Accepted(stream)).await?;
//! ours.ready().await?.call(Tick(7)).await?;
//! assert_eq!(inbox.recv().await, Some(Tick(7)));
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `hyperlocal` | yes | `HyperlocalConnector`: a stack's bottom on hyperlocal's connector |
//! | `status` | no | [`status`]: what a role is doing, as a value, over HTTP on a Unix socket, as metrics |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod broadcast;
mod client;
mod connection;
mod connection_task;
mod counts;
mod dialed;
mod event;
pub mod guide;
mod handler;
#[cfg(feature = "hyperlocal")]
mod hyperlocal;
mod peer;
mod peers;
mod serve;
mod server;
mod shutdown;
mod stack;
#[cfg(feature = "status")]
pub mod status;
pub mod trace;
mod waiting;

pub use kyneta_uds_cbor::{
    Cbor, CborChannel, CborError, CborFuture, CborLayer, ChannelCodec, Codec, DecodeLimits,
    EncodeError, SerdeCodec, encoded_size,
};
pub use kyneta_uds_core::*;
pub use kyneta_uds_framing::{
    ByteStream, FrameParser, FrameTransport, FrameWriter, Framing, FramingConfig, FramingError,
    FramingFuture, FramingLayer, InboundBudget, WireMode,
};
pub use kyneta_uds_handshake::{
    Established, Handshake, HandshakeError, HandshakeLayer, HandshakeMachine, PeerInfo, Reaction,
    Side,
};
pub use kyneta_uds_negotiate::{
    AcceptHandler, Negotiate, NegotiateLayer, Negotiated, PerPeer, Role, RoleWait, RoleWatch,
    WaitReason,
};
pub use kyneta_uds_queue::{
    Budget, Closed, Drive, Driver, Ended, Flushed, Handle, HandlerPanicked, NotQueued, Overflow,
    Queue, QueueConfig, QueueCounts, QueueEvent, QueueFuture, QueueLayer, Queueing, SendError,
    SendFuture, Stalled, TooManyErrors, Undrained, WeakHandle, queue,
};
pub use kyneta_uds_reconnect::{
    Backoffs, Failure, Jitter, Missed, Reconnect, ReconnectLayer, ReconnectPolicy, Reconnecting,
    Recover, State, StateKind, StateWatch, Transition, Transitions, Wait,
};
pub use kyneta_uds_unix::{
    Allow, Authorize, AuthorizeFuture, AuthorizeLayer, BindError, ConnectError, DirectoryRisk,
    Listener, ListenerEvent, ListenerOptions, Lost, NotAllowed, Permit, Refusal, ReplacementWatch,
    UnixConnector, UnixTarget, no_symlink,
};

pub use crate::{
    broadcast::Broadcast,
    client::{Client, ClientBuilder, ClientError},
    connection::{Connection, Incoming},
    counts::Counts,
    event::{Event, Events, PeerChange},
    handler::{Handler, MakeHandler},
    peer::{JoinError, Peer, PeerBuilder},
    serve::{Serve, WithGracefulShutdown, serve},
    server::{ServeDropped, Server, ServerBuilder},
    stack::{DefaultStack, MakeChannel, connect, default_stack, join},
    waiting::Waiting,
};

#[cfg(feature = "hyperlocal")]
pub use crate::hyperlocal::{HyperlocalConnector, HyperlocalIo};

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
