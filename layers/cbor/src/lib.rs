//! A Tower layer: frame transports become channels of CBOR messages.
//!
//! ```
//! use std::{future::poll_fn, io, pin::Pin};
//!
//! use futures_core::Stream;
//! use kyneta_uds_cbor::CborLayer;
//! use kyneta_uds_core::{Channel, ChannelMsg, DocId, Inbound};
//! use kyneta_uds_framing::FramingLayer;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (ours, theirs) = tokio::io::duplex(1024);
//! let connect = |stream| {
//!     ServiceBuilder::new()
//!         .layer(CborLayer::new())
//!         .layer(FramingLayer::new())
//!         .service_fn(|stream| async { Ok::<_, io::Error>(stream) })
//!         .oneshot(stream)
//! };
//! let (mut ours, mut theirs) = (connect(ours).await?, connect(theirs).await?);
//!
//! let msg = ChannelMsg::Dismiss(DocId::new("settings")?);
//! ours.ready().await?.call(msg.clone()).await?;
//! poll_fn(|cx| ours.poll_flush(cx)).await?;
//!
//! let inbound = poll_fn(|cx| Pin::new(&mut theirs).poll_next(cx)).await;
//! assert_eq!(inbound.transpose()?, Some(Inbound::Message(msg)));
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | a make service of frame transports ([`Frames`](kyneta_uds_core::Frames)), usually a `FramingLayer` |
//! | gives above | a make service of [`CborChannel`]s, each a `Service<M, Response = ()>` out and a `Stream` in ([`Channel`](kyneta_uds_core::Channel)) |
//! | touches | the transport; no clock, no task, no tokio |
//!
//! The codec is a parameter. [`ChannelCodec`], the default, is the protocol's own: it writes the same bytes as the
//! reference, reads strictly and with limits, and does not copy large data. [`SerdeCodec`] is for any message type
//! that implements serde's traits. Both are pure and can be used without a connection:
//!
//! ```
//! use bytes::Bytes;
//! use kyneta_uds_cbor::{ChannelCodec, Codec};
//! use kyneta_uds_core::{Payload, WriteBuf};
//!
//! // {"t": 2}
//! let wire = Bytes::from_static(b"\xa1\x61t\x02");
//! let mut codec = ChannelCodec::new();
//! let msg = codec.decode(Payload::new(&wire, 0..wire.len()))?;
//! assert_eq!(msg.kind(), "depart");
//!
//! // A payload that is not a message is rejected, with the place and the reason.
//! let wire = Bytes::from_static(b"\xa1\x61t\x05");
//! let rejection = codec.decode(Payload::new(&wire, 0..wire.len())).unwrap_err();
//! assert_eq!(rejection.to_string(), "not a message: t: no message type");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod channel;
mod codec;
mod encoded_size;
mod error;
mod future;
mod layer;
mod saved;
mod service;

pub use channel::CborChannel;
pub use codec::{ChannelCodec, Codec, DecodeLimits, Looked, SerdeCodec};
pub use encoded_size::encoded_size;
pub use error::{CborError, EncodeError};
pub use future::CborFuture;
pub use layer::CborLayer;
pub use saved::SaveCodec;
pub use service::Cbor;
