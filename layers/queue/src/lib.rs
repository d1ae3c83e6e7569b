//! A Tower layer: channels become cloneable, bounded handles, with one task that drives each.
//!
//! ```
//! use kyneta_uds_cbor::CborLayer;
//! use kyneta_uds_core::{ChannelMsg, DocId};
//! use kyneta_uds_framing::FramingLayer;
//! use kyneta_uds_queue::QueueLayer;
//! use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let (a, b) = tokio::io::duplex(4096);
//! let (seen, mut inbox) = tokio::sync::mpsc::channel(8);
//! let stack = ServiceBuilder::new()
//!     .layer(QueueLayer::new(service_fn(move |msg: ChannelMsg| {
//!         let seen = seen.clone();
//!         async move { seen.send(msg).await }
//!     })))
//!     .layer(CborLayer::new())
//!     .layer(FramingLayer::new())
//!     .service(service_fn(async |io| Ok::<tokio::io::DuplexStream, std::io::Error>(io)));
//!
//! let mut alice = stack.clone().oneshot(a).await?;
//! let _bob = stack.oneshot(b).await?;
//! let msg = ChannelMsg::Dismiss(DocId::new("settings")?);
//! alice.ready().await?.call(msg.clone()).await?; // the kernel has taken it
//! assert_eq!(inbox.recv().await, Some(msg));
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | a maker of channels ([`Channel<M>`](kyneta_uds_core::Channel)) |
//! | gives above | a maker of [`Handle`]s, which are `Clone + Service<M, Response = ()>` |
//! | touches | the channel, tokio's clock; one task of tokio's for each channel |
//!
//! What comes in goes to a Tower service of the user's, one message after the other; while that
//! service is not ready, nothing is read, and the sender feels it through the kernel.
//!
//! # What `call` promises
//!
//! It accepts the message, in order. Its future resolves when the kernel has taken the bytes, or
//! fails with a [`SendError`] that says whether they may have been sent. Dropping the future never
//! un-sends. A slot that `poll_ready` reserved and `call` did not use goes to the next who waits
//! when the handle is dropped.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backlog;
mod budget;
mod config;
mod drive;
mod error;
mod future;
mod handle;
mod layer;
#[cfg(all(test, kyneta_loom))]
mod orders;
mod service;
mod shared;
mod sync;

pub use budget::Budget;
pub use config::{Overflow, QueueConfig, QueueEvent};
pub use drive::{Drive, Driver, queue};
pub use error::{Ended, SendError, Stalled, TooManyErrors, Undrained};
pub use future::{Closed, Flushed, Queueing, SendFuture};
pub use handle::Handle;
pub use layer::QueueLayer;
pub use service::{Queue, QueueFuture};
