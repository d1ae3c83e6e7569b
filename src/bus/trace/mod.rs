//! Trace context: which trace a message belongs to, across processes.
//!
//! An envelope has room for W3C's `traceparent`. A layer around the handle puts the present one in; each received message
//! has it as [`BusIncoming::trace`], and a layer around the handler makes a span of it. What is the present one, and how a
//! span gets its parent, is up to the library that records traces. With a task-local in its place:
//!
//! ```
//! use kyneta_uds::{Bus, BusIncoming, Identity, bus::trace::{PutTraceLayer, TakeTraceLayer, TraceParent}};
//! use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};
//!
//! tokio::task_local! {
//!     static PRESENT: TraceParent;
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("bus.sock");
//! let (seen, mut traces) = tokio::sync::mpsc::unbounded_channel();
//! let handler = ServiceBuilder::new()
//!     .layer(TakeTraceLayer::new(|incoming: &BusIncoming<String>| {
//!         let trace = incoming.trace.map(|trace| trace.to_string());
//!         tracing::info_span!("incoming", from = %incoming.from, trace)
//!     }))
//!     .service(service_fn(move |incoming: BusIncoming<String>| {
//!         std::future::ready(seen.send(incoming.trace))
//!     }));
//! let shop = Bus::<String>::builder(&path).identity(Identity::service("shop")?).join(handler.clone()).await?;
//! let till = Bus::<String>::builder(&path).identity(Identity::service("till")?).join(handler).await?;
//!
//! let mut publish = ServiceBuilder::new()
//!     .layer(PutTraceLayer::new(|| PRESENT.try_with(|trace| *trace).ok()))
//!     .service(till.clone());
//! let trace: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
//! PRESENT.scope(trace, async { publish.ready().await?.call("sold".into()).await }).await?;
//! assert_eq!(traces.recv().await, Some(Some(trace)));
//! # till.dispose().await;
//! # shop.dispose().await;
//! # Ok(())
//! # }
//! ```
//!
//! The [guide](crate::guide::bus#tracing-across-processes) says how OpenTelemetry's propagator is plugged in.
//!
//! [`BusIncoming::trace`]: crate::bus::BusIncoming::trace

mod parent;
mod put;
mod take;

pub(crate) use self::parent::SIZE;
pub use self::{
    parent::{InvalidTraceParent, TraceParent},
    put::{CarriesTrace, PutTrace, PutTraceLayer},
    take::{TakeTrace, TakeTraceLayer},
};
