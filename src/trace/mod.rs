//! A layer that reports each message to `tracing`: its kind, its latency, its result.
//!
//! In: a tower service of messages, a sender's or a handler's. Out: the same service; each call is in a
//! span, and events report its end. May touch: the clock, if there is a subscriber.
//!
//! It follows tower-http: one layer, a default for each part of it, and a closure to replace a part. It
//! wraps any service of messages:
//!
//! | above | the span | from the call until |
//! |---|---|---|
//! | a [`Client`](crate::Client), [`Peer`](crate::Peer), [`Connection`](crate::Connection), [`Handle`](crate::Handle) | `send` | the kernel has taken it |
//! | a [`Handler`](crate::Handler) | `process` | the handler is done with it |
//!
//! ```
//! use kyneta_uds::{Client, DocId, Incoming, Interest, Server, trace::{DefaultMakeSpan, TraceLayer}};
//! use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};
//! use tracing::Level;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("bus.sock");
//! let handler = ServiceBuilder::new()
//!     .layer(TraceLayer::new())
//!     .service(service_fn(async |_: Incoming| Ok::<(), std::convert::Infallible>(())));
//! let server = Server::builder(&path).listen(handler.clone()).await?;
//!
//! let mut traced = ServiceBuilder::new()
//!     .layer(TraceLayer::new().make_span_with(DefaultMakeSpan::new().level(Level::INFO)))
//!     .service(Client::builder(&path).connect(handler).await?);
//! let msg = Interest::new(DocId::new("settings")?);
//! traced.ready().await?.call(msg.into()).await?;
//! # server.dispose().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Cost
//!
//! Without a subscriber to the span (none at all, or a filter at `info`), a message costs one check of
//! the callsite in `tracing`: no clock is read, and of the closures only that for failures is called,
//! without a latency. Figures that are always counted are in the `status` module, with that feature.

mod future;
mod layer;
mod make_span;
mod outcome;
mod service;

pub use future::TraceFuture;
pub use layer::TraceLayer;
pub use make_span::{DefaultMakeSpan, MakeSpan};
pub use outcome::{
    DefaultOnFailure, DefaultOnRequest, DefaultOnResponse, OnFailure, OnRequest, OnResponse,
};
pub use service::Trace;
