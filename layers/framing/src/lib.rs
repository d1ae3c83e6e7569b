//! A Tower layer: byte streams become frame transports.
//!
//! ```
//! use std::{future::poll_fn, io};
//!
//! use kyneta_uds_core::{Frame, Frames};
//! use kyneta_uds_framing::FramingLayer;
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (ours, theirs) = tokio::io::duplex(1024);
//! let connect = |stream| {
//!     ServiceBuilder::new()
//!         .layer(FramingLayer::new())
//!         .service_fn(|stream| async { Ok::<_, io::Error>(stream) })
//!         .oneshot(stream)
//! };
//! let (mut ours, mut theirs) = (connect(ours).await?, connect(theirs).await?);
//!
//! ours.write_frame(|payload| Ok(payload.put_slice(b"hello")), |_, _| "too large")?;
//! poll_fn(|cx| ours.poll_flush(cx)).await?;
//!
//! let text = poll_fn(|cx| {
//!     theirs.poll_frame(cx).map(|frame| match frame {
//!         Some(Ok(Frame::Payload(payload))) => payload.as_slice().to_vec(),
//!         other => panic!("{other:?}"),
//!     })
//! });
//! assert_eq!(text.await, b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | a make service of byte streams: any `Service<T>` whose response is `AsyncRead + AsyncWrite` ([`ByteStream`]), usually a connector |
//! | gives above | a make service of [`FrameTransport`]s, which implement [`Frames`](kyneta_uds_core::Frames), for the CBOR layer |
//! | touches | the stream; no clock, no task |
//!
//! The parts without I/O can be used alone: [`FrameParser`] takes bytes and yields frames, [`FrameWriter`] writes
//! frames into a buffer. Without the feature `tokio`, which is on by default, the crate has only these, and depends on
//! no runtime.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "tokio"), allow(dead_code))] // Budgets are the transport's.

mod budget;
mod config;
#[cfg(feature = "tokio")]
mod credentials;
mod error;
#[cfg(feature = "tokio")]
mod future;
#[cfg(feature = "tokio")]
mod layer;
mod parser;
mod read_buf;
#[cfg(feature = "tokio")]
mod saved;
#[cfg(feature = "tokio")]
mod service;
#[cfg(feature = "tokio")]
mod stream;
#[cfg(feature = "tokio")]
mod transport;
mod writer;

pub use budget::InboundBudget;
pub use config::{FramingConfig, WireMode};
pub use error::FramingError;
#[cfg(feature = "tokio")]
pub use future::FramingFuture;
#[cfg(feature = "tokio")]
pub use layer::FramingLayer;
pub use parser::FrameParser;
#[cfg(feature = "tokio")]
pub use service::Framing;
#[cfg(feature = "tokio")]
pub use stream::ByteStream;
#[cfg(feature = "tokio")]
pub use transport::FrameTransport;
pub use writer::FrameWriter;
