//! A Tower layer: the handshake, after which the peer is known.
//!
//! ```
//! use futures_util::StreamExt as _;
//! use kyneta_uds_cbor::CborLayer;
//! use kyneta_uds_core::{Identity, Redial};
//! use kyneta_uds_handshake::HandshakeLayer;
//! use kyneta_uds_framing::FramingLayer;
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! // The ends of a pipe instead of a socket; the flag says which end connects.
//! struct Pipe(tokio::io::DuplexStream, bool);
//! impl Redial for Pipe {
//!     fn redial(&self) -> Option<Self> {
//!         self.1.then(|| Pipe(tokio::io::duplex(1).0, true))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let stack = |name| {
//!     let identity = Identity::service(name)?;
//!     Ok::<_, kyneta_uds_core::TextTooLong>(
//!         ServiceBuilder::new()
//!             .layer(HandshakeLayer::new(identity))
//!             .layer(CborLayer::new())
//!             .layer(FramingLayer::new())
//!             .service(service_fn(async |pipe: Pipe| Ok::<_, std::io::Error>(pipe.0))),
//!     )
//! };
//! let (a, b) = tokio::io::duplex(4096);
//! let (alice, bob) = tokio::try_join!(
//!     stack("alice")?.oneshot(Pipe(a, true)),
//!     stack("bob")?.oneshot(Pipe(b, false)),
//! )?;
//! assert_eq!(alice.peer().identity().peer_id.as_str(), "bob");
//! assert_eq!(bob.peer().identity().peer_id.as_str(), "alice");
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | a make service of channels of [`ChannelMsg`](kyneta_uds_core::ChannelMsg) |
//! | gives above | a make service of [`Established`] channels: the handshake is complete, the peer is known, and only messages about documents pass |
//! | touches | the channel, tokio's clock; no task |
//!
//! Without the feature `tokio`, which is on by default, the crate has [`HandshakeMachine`] and [`is_admission`] alone, and
//! depends on no runtime.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
#[cfg(feature = "tokio")]
mod channel;
#[cfg(feature = "tokio")]
mod config;
#[cfg(feature = "tokio")]
mod error;
#[cfg(feature = "tokio")]
mod exchange;
#[cfg(feature = "tokio")]
mod layer;
mod machine;
#[cfg(feature = "tokio")]
mod peer_info;
#[cfg(feature = "tokio")]
mod saved;
#[cfg(feature = "tokio")]
mod service;

pub use admission::is_admission;
#[cfg(feature = "tokio")]
pub use channel::Established;
#[cfg(feature = "tokio")]
pub use error::HandshakeError;
#[cfg(feature = "tokio")]
pub use layer::HandshakeLayer;
pub use machine::{HandshakeMachine, Reaction, Side};
#[cfg(feature = "tokio")]
pub use peer_info::PeerInfo;
#[cfg(feature = "tokio")]
pub use service::Handshake;
