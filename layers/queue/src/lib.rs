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
//! service is not ready, nothing is read, and the sender waits for the kernel.
//!
//! # Answering from a handler
//!
//! A handler may await its own connection: `handle.ready().await?.call(answer).await` is safe. Two ends that
//! do so could each wait for the other to read. So while the handler waits and the kernel takes nothing,
//! messages are read ahead: twice [`QueueConfig::max_bytes`] and 4 MiB at most, within the [`Budget`] that
//! queues share. Until the handler has answered them, what other senders queue waits, or finds the queue
//! full. Whenever the kernel has taken all that was written, one of them is accepted after every few answers,
//! and whenever the handler waits for something else, which may be one of them. So a peer that asks faster
//! than it reads the answers delays other senders for as long as it does. A handler that is slow for other
//! reasons is not read ahead for.
//!
//! A panic of the handler loses the message that it was processing:
//! [`QueueEvent::HandlerPanicked`]. One of its `poll_ready` ends the connection.
//!
//! # What `call` promises
//!
//! It accepts the message, in order. Its future resolves when the kernel has taken the bytes, or
//! fails with a [`SendError`] that says whether they may have been sent. Dropping the future does not
//! cancel the send. A permit that `poll_ready` reserved and `call` did not use goes to the next sender that
//! waits when the handle is dropped, or when it was held for 100 ms with nothing else in the way.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod budget;
mod config;
mod counts;
mod current_handler;
mod driver;
mod enqueue;
mod enqueue_ref;
mod error;
mod future;
mod handle;
mod handler_source;
mod layer;
#[cfg(all(test, kyneta_loom))]
mod loom_tests;
mod send_queue;
mod service;
mod shared;
mod sync;
mod weak;

pub use batch::{MessageBatch, QueueAll};
pub use budget::Budget;
pub use config::{Overflow, QueueConfig, QueueEvent};
pub use counts::QueueCounts;
pub use driver::{ByRef, ByValue, Drive, Driver, queue};
pub use enqueue::Enqueue;
pub use enqueue_ref::EnqueueRef;
pub use error::{
    DrainTimedOut, Ended, HandlerPanicked, NotQueued, SendError, Stalled, TooManyErrors,
};
pub use future::{Closed, Flushed, SendFuture};
pub use handle::Handle;
pub use layer::QueueLayer;
pub use service::{Queue, QueueFuture};
pub use weak::WeakHandle;
