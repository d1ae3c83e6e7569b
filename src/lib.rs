//! Messages between processes on one machine, over one Unix socket path, as a stack of Tower layers.
//!
//! Without a central process, start with a [`Peer`]: the process that starts first listens, the others
//! connect to it, and one of them takes over when it ends. With one, start with a [`Server`] and
//! [`Client`]s:
//!
//! ```
//! use kyneta_uds::{Client, DocId, Identity, Incoming, Interest, Server};
//! use tower::{Service as _, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("bus.sock");
//! let echo = service_fn(async |incoming: Incoming| {
//!     incoming.from().ready().await?.call(incoming.message).await
//! });
//! let builder = Server::builder(&path).identity(Identity::service("echo")?).relay(false);
//! let server = builder.listen(echo).await?;
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
//! How the roles differ: [`roles`]. Which stack to choose, what a sender may rely on, how to migrate
//! from the TypeScript package: the [`guide`].
//!
//! [`ChannelMsg`], [`DocId`] and [`Interest`] are messages of kyneta, a document synchronization framework.
//! For messages of your own, see [`cbor`].
//!
//! # The stack
//!
//! A role is a stack of layers over a connector. Each layer turns one make service into another; the
//! result is a cloneable handle, a `Service<ChannelMsg, Response = ()>`. Tower's own layers fit between
//! any two of them and on top. The stack of a peer, spelled out, is at [`join`]; one for messages of
//! your own, without a handshake, at [`cbor`].
//!
//! | layer | makes | from |
//! |---|---|---|
//! | [`QueueLayer`] | cloneable, bounded handles, each with one task | channels |
//! | [`NegotiateLayer`] | channels that listen or connect, and change role | channels |
//! | [`ReconnectLayer`] | channels that are connected again after a loss | channels |
//! | [`HandshakeLayer`] | channels whose peer is known | channels |
//! | [`CborLayer`] | channels: a `Service` to send, a `Stream` to receive | frame transports |
//! | [`FramingLayer`] | frame transports | byte streams |
//! | [`UnixConnector`] | byte streams | socket paths |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `hyperlocal` | yes | `HyperlocalConnector`: connects through the connector of the crate hyperlocal |
//! | `documents` | no | module `documents`: replicas that peers keep equal, as a TypeScript `Exchange` does |
//! | `store` | no | `documents::Redb`: documents in a file, with what `documents` adds |
//! | `machines` | no | module `machines`: links to other machines, over an engine of your choice |
//! | `status` | no | module `status`: what a role does, as a value, over HTTP on a Unix socket, as metrics |

// Only Linux hands over, and what goes over is saved and read by code for all.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accept_handler;
mod broadcast;
mod builder;
pub mod bus;
mod client;
mod connection;
mod connection_task;
mod counts;
mod dialed;
#[cfg(feature = "documents")]
#[cfg_attr(docsrs, doc(cfg(feature = "documents")))]
pub mod documents;
mod event;
mod event_outbox;
mod event_sender;
pub mod guide;
mod handler;
mod handoff;
#[cfg(feature = "hyperlocal")]
mod hyperlocal;
mod local_member;
mod looking;
#[cfg(feature = "machines")]
pub mod machines;
mod make_peer_channel;
mod observers;
mod owners;
mod peer;
mod peer_channel;
mod peers;
mod relay;
pub mod roles;
mod serve;
mod server;
mod shutdown;
mod stack;
#[cfg(feature = "status")]
pub mod status;
mod subject;
pub mod trace;
#[cfg(feature = "status")]
mod traffic;
mod waiting;

/// Messages, identities, socket paths, limits, and the traits between the layers
/// ([`Frames`], [`Channel`]).
pub mod protocol {
    #[doc(inline)]
    pub use kyneta_uds_core::*;
}

/// The layer that makes frames from bytes.
pub mod framing {
    #[doc(inline)]
    pub use kyneta_uds_framing::*;
}

pub mod cbor {
    //! The layer that makes channels of messages from frames: kyneta's messages, or any serde type.
    //!
    //! A stack for messages of your own has no handshake:
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

    #[doc(inline)]
    pub use kyneta_uds_cbor::*;
}

pub mod handshake {
    //! The layer in which two processes exchange their identities.
    //!
    //! A layer of your own above it sees the peer of each channel, [`Established::peer`]. (One that adds the
    //! sender to each message: `examples/layer_below_queue.rs`.)
    //!
    //! ```
    //! use kyneta_uds::{BoxError, CborLayer, ChannelMsg, Established, FramingLayer, HandshakeLayer};
    //! use kyneta_uds::{Identity, Incoming, QueueLayer, Server, SocketPath, UnixConnector};
    //! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
    //!
    //! # #[tokio::main(flavor = "current_thread")]
    //! # async fn main() -> Result<(), BoxError> {
    //! # let dir = tempfile::tempdir()?;
    //! # let path = SocketPath::new(dir.path().join("bus.sock"))?;
    //! # let ignore = service_fn(async |_: Incoming| Ok::<(), BoxError>(()));
    //! # let hub = Identity::service("hub")?;
    //! # let server = Server::builder(path.clone()).identity(hub).listen(ignore).await?;
    //! let print = service_fn(async |msg: ChannelMsg| Ok::<_, BoxError>(println!("{msg:?}")));
    //! let (report, mut peers) = tokio::sync::mpsc::unbounded_channel();
    //! let stack = ServiceBuilder::new()
    //!     .layer(QueueLayer::new(print))
    //!     .map_response(move |channel: Established<_>| {
    //!         let _ = report.send(channel.peer().identity().peer_id.clone());
    //!         channel
    //!     })
    //!     .layer(HandshakeLayer::new(Identity::service("billing-1")?))
    //!     .layer(CborLayer::new())
    //!     .layer(FramingLayer::new())
    //!     .service(UnixConnector::new());
    //! let handle = stack.oneshot(path.into()).await?;
    //! assert_eq!(peers.recv().await.ok_or("no peer")?.as_str(), "hub");
    //! # drop(handle);
    //! # server.dispose().await;
    //! # Ok(())
    //! # }
    //! ```

    #[doc(inline)]
    pub use kyneta_uds_handshake::*;
}

/// The layer whose channels are connected again after a loss.
pub mod reconnect {
    #[doc(inline)]
    pub use kyneta_uds_reconnect::*;
}

/// The layer whose channels listen or connect, and change role.
pub mod negotiate {
    #[doc(inline)]
    pub use kyneta_uds_negotiate::*;
}

/// What a listener passes between its members: the router, and the hub that runs it.
pub mod routing {
    #[doc(inline)]
    pub use crate::relay::Relay;
    #[doc(inline)]
    pub use kyneta_uds_hub::*;
    #[doc(inline)]
    pub use kyneta_uds_relay::*;
}

/// The layer that makes cloneable, bounded handles from channels.
pub mod queue {
    #[doc(inline)]
    pub use kyneta_uds_queue::*;
}

/// The connector, the listener that owns a path, and access policies.
pub mod unix {
    #[cfg(feature = "hyperlocal")]
    pub use crate::hyperlocal::{HyperlocalConnector, HyperlocalIo};
    #[doc(inline)]
    pub use kyneta_uds_unix::*;
}

// What users start with. Everything else can be imported from here too, and is shown in its module.
#[doc(inline)]
pub use crate::{
    bus::{Bus, BusIncoming},
    cbor::CborLayer,
    framing::FramingLayer,
    handshake::HandshakeLayer,
    negotiate::{NegotiateLayer, Role},
    protocol::{
        BoxError, ChannelMsg, Data, DisconnectReason, DocEntry, DocId, Identity, Interest, Offer,
        PeerId, SocketPath, Version,
    },
    queue::{QueueConfig, QueueLayer, SendError},
    reconnect::{ReconnectLayer, ReconnectPolicy},
    roles::{
        Client, ClientError, Connection, Event, Events, Handler, Incoming, JoinError, MakeHandler,
        Peer, PeerChange, Server, connect, default_stack, join, serve,
    },
    unix::{BindError, Listener, UnixConnector},
};

// The layers negotiate and reconnect each have one: no glob decides.
#[doc(no_inline)]
pub use crate::reconnect::CallFuture;
// So have the switch and a machine.
#[doc(no_inline)]
pub use crate::routing::Effect;
#[doc(no_inline)]
pub use crate::{
    cbor::*, framing::*, handshake::*, negotiate::*, protocol::*, queue::*, reconnect::*, roles::*,
    routing::*, unix::*,
};

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
