//! A Tower layer: channels become channels that reconnect after a loss.
//!
//! ```
//! use futures_util::StreamExt as _;
//! use kyneta_uds_cbor::CborLayer;
//! use kyneta_uds_core::{Inbound, Redial};
//! use kyneta_uds_framing::FramingLayer;
//! use kyneta_uds_reconnect::{ReconnectLayer, ReconnectPolicy, StateKind};
//! use std::{io, time::Duration};
//! use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! // A target that can be connected to again; usually it is a socket's path.
//! struct Somewhere;
//! impl Redial for Somewhere {
//!     fn redial(&self) -> Option<Self> {
//!         Some(Self)
//!     }
//! }
//!
//! // The other end sends one number (in CBOR, framed) and closes.
//! async fn connect(_: Somewhere) -> io::Result<DuplexStream> {
//!     let (ours, mut theirs) = duplex(64);
//!     theirs.write_all(&[3, 0, 0, 0, 0, 1, 0, 0, 0, 1, 7]).await?;
//!     Ok(ours)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let layer = ReconnectLayer::new(ReconnectPolicy::new().base(Duration::from_millis(1)));
//! let states = layer.state_watch();
//! let mut channel = ServiceBuilder::new()
//!     .layer(layer)
//!     .layer(CborLayer::typed::<u8>())
//!     .layer(FramingLayer::new())
//!     .service(service_fn(connect))
//!     .oneshot(Somewhere)
//!     .await?;
//! // One stream over three connections.
//! for _ in 0..3 {
//!     let inbound = channel.next().await.ok_or("a channel that reconnects does not end")??;
//!     assert_eq!(inbound, Inbound::Message(7));
//! }
//! assert_eq!(states.state().kind(), StateKind::Connected);
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | a make service of channels, and a target that can be connected to again ([`Redial`](kyneta_uds_core::Redial)) |
//! | gives above | a make service of [`Reconnecting`] channels; an accepted one passes untouched |
//! | touches | the make service, tokio's clock, randomness for the backoff; no task |
//!
//! A policy ([`Recover`]) decides whether and when it reconnects: [`ReconnectPolicy`], any of tower's backoffs
//! ([`Backoffs`]), or your own. [`StateWatch`] reports its state.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod call_future;
mod channel;
mod error;
mod future;
mod layer;
mod lifecycle;
mod machine;
mod policy;
mod service;
mod state_watch;
mod tower_backoff;

pub use call_future::CallFuture;
pub use channel::Reconnecting;
pub use error::{NotConnected, NotRedialable};
pub use future::ReconnectFuture;
pub use layer::ReconnectLayer;
pub use machine::{Effect, Input, Machine, Outcome, State, StateKind, Transition};
pub use policy::{Failure, Jitter, ReconnectPolicy, Recover, Wait};
pub use service::Reconnect;
pub use state_watch::{Missed, StateWatch, Transitions};
pub use tower_backoff::Backoffs;
