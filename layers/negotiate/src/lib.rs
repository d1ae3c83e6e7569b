//! A Tower layer: channels become channels that listen or connect, whichever the path asks for.
//!
//! ```
//! use kyneta_uds_cbor::CborLayer;
//! use kyneta_uds_core::{ChannelMsg, DocId, SocketPath};
//! use kyneta_uds_framing::FramingLayer;
//! use kyneta_uds_negotiate::{NegotiateLayer, machine::Role};
//! use kyneta_uds_queue::QueueLayer;
//! use kyneta_uds_unix::UnixConnector;
//! use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let dir = tempfile::tempdir()?;
//! let path = SocketPath::new(dir.path().join("bus.sock"))?;
//! let (seen, mut inbox) = tokio::sync::mpsc::channel(8);
//! let handler = service_fn(move |msg: ChannelMsg| {
//!     let seen = seen.clone();
//!     async move { seen.send(msg).await }
//! });
//! let mut roles = Vec::new();
//! let mut peers = Vec::new();
//! for _ in 0..2 {
//!     let negotiate = NegotiateLayer::new(handler.clone());
//!     let role = negotiate.role_watch();
//!     let stack = ServiceBuilder::new()
//!         .layer(QueueLayer::new(handler.clone()))
//!         .layer(negotiate)
//!         .layer(CborLayer::new())
//!         .layer(FramingLayer::new())
//!         .service(UnixConnector::new());
//!     peers.push(stack.oneshot(path.clone()).await?);
//!     roles.push(role.settled().await?);
//! }
//! assert_eq!(roles, [Role::Listener, Role::Connector]);
//!
//! let msg = ChannelMsg::Dismiss(DocId::new("settings")?);
//! for peer in &mut peers {
//!     peer.ready().await?.call(msg.clone()).await?;
//!     assert_eq!(inbox.recv().await, Some(msg.clone()));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | a make service of channels over Unix streams ([`MakeChannel`]), which is `Clone` |
//! | gives above | a make service of [`Negotiated`] channels, which never end by themselves |
//! | touches | the make service, the path and the files beside it, tokio's clock, randomness; as the listener, one task for each accepted connection |
//!
//! The process that starts first listens, the others connect; when the listener ends, one of the others takes
//! its place, and the rest connect to that one. What is sent goes to the listener, or to all connected peers;
//! what comes in on accepted connections goes to the [`AcceptHandler`].
//!
//! [`Acceptor`] is the listening end by itself, for a server that does not negotiate.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod accept_handler;
mod acceptor;
mod channel;
mod classify;
mod entrance;
mod fan_out;
mod future;
mod holding;
mod layer;
pub mod machine;
mod make_channel;
mod per_peer;
mod probe;
mod role_wait;
mod role_watch;
mod service;
mod settings;

pub use accept_handler::{AcceptHandler, AcceptPanicked};
pub use acceptor::{Acceptor, AcceptorEvent};
pub use channel::Negotiated;
pub use entrance::Entrance;
pub use future::CallFuture;
pub use holding::Held;
pub use layer::NegotiateLayer;
pub use machine::{Only, Role, WaitReason};
pub use make_channel::{MakeChannel, Reusable};
pub use per_peer::{PerPeer, for_members};
pub use role_wait::RoleWait;
pub use role_watch::RoleWatch;
pub use service::Negotiate;
