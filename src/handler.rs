//! The services that users supply: one for incoming messages, or one that makes it for each peer.
//!
//! Two names for bounds on tower services; no code.

use kyneta_uds_core::BoxError;
use tower_service::Service;

use crate::connection::{Connection, Incoming};

/// A service for the messages of a peer, called with one after the other. While it is not ready, or
/// its future is not, no more is read from that peer. A future that fails is an
/// [`Event::HandlerFailed`](crate::Event::HandlerFailed); a panic, of the future or of `call`, is an
/// [`Event::HandlerPanicked`](crate::Event::HandlerPanicked). Either costs that message, and the
/// connection goes on. A `poll_ready` that fails, or panics, ends the connection. While the handler works on
/// a message, the end of that peer may not be detected: spawn a task for long work.
///
/// It may await its own connection, as by `incoming.from().ready().await?.call(answer).await`: two ends that
/// answer each other this way do not deadlock.
///
/// `poll_ready` is called *before* there is a message, so that no message is read that cannot be
/// handled. It holds what `poll_ready` reserves: where clones of a handler share a
/// `concurrency_limit`, each idle connection holds one permit, and when no permit is left the other
/// connections are not read. Give each peer a limit of its own ([`MakeHandler`]), or acquire the
/// permit inside `call` ([backpressure](crate::guide::backpressure)).
///
/// Every tower service with these bounds is a handler.
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use kyneta_uds::{Handler, Incoming};
/// use tower::{ServiceBuilder, service_fn};
///
/// fn is_handler(_: impl Handler) {}
/// is_handler(
///     ServiceBuilder::new()
///         .timeout(Duration::from_secs(1)) // each message
///         .service(service_fn(async |incoming: Incoming| {
///             println!("{incoming:?}");
///             Ok::<(), Infallible>(())
///         })),
/// );
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a `Service<Incoming, Response = ()>`",
    note = "a handler is a tower service that takes `Incoming`, returns `()` and is `Send`"
)]
pub trait Handler:
    Service<Incoming, Response = (), Error: Into<BoxError>, Future: Send> + Send + 'static
{
}

impl<H> Handler for H where
    H: Service<Incoming, Response = (), Error: Into<BoxError>, Future: Send> + Send + 'static
{
}

/// A service that makes a [`Handler`] for each peer, as [`serve`](crate::serve) takes it.
/// `tower::make::Shared` makes one of a handler that can be cloned.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not make handlers",
    label = "not a `Service<Connection>` that returns a handler",
    note = "to clone one handler for all peers, say `tower::make::Shared::new(handler)`"
)]
pub trait MakeHandler:
    Service<Connection, Response = Self::Handler, Error: Into<BoxError> + Send, Future: Send>
    + Clone
    + Send
    + 'static
{
    /// The handler that it makes.
    type Handler: Handler;
}

impl<M> MakeHandler for M
where
    M: Service<Connection, Error: Into<BoxError> + Send, Future: Send> + Clone + Send + 'static,
    M::Response: Handler,
{
    type Handler = M::Response;
}
