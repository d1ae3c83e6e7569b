//! The default stack of the roles, and the bound on stacks of users.
//!
//! In: layers. Out: a make service of channels. Touches nothing.

use kyneta_uds_cbor::{Cbor, CborLayer, ChannelCodec};
use kyneta_uds_core::SocketPath;
use kyneta_uds_framing::{Framing, FramingLayer, WireMode};
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service;

pub(crate) use kyneta_uds_negotiate::MakeChannel;
use kyneta_uds_unix::{UnixConnector, UnixTarget};

/// CBOR with aliasing, over frames of either wire version, over Unix streams.
pub type DefaultStack = Cbor<Framing<UnixConnector>, ChannelCodec>;

/// The default stack, with a wire version. All connections that it and its clones make share an
/// [`InboundBudget`](crate::InboundBudget) of 256 MiB; in a stack of your own, set it by
/// [`FramingLayer::inbound_budget`].
///
/// ```
/// use kyneta_uds::{WireMode, WireVersion, default_stack};
/// let old_peers_only = default_stack(WireMode::Fixed(WireVersion::V2));
/// ```
pub fn default_stack(wire: WireMode) -> DefaultStack {
    CborLayer::new().layer(FramingLayer::new().wire(wire).layer(UnixConnector::new()))
}

/// Makes one connection with a stack, as `stack.oneshot(target)` does. For a stack in the wrong order
/// the compiler's error names the mistake, where that of `oneshot` says that there is no such method.
///
/// ```
/// use kyneta_uds::{CborLayer, FramingLayer, SocketPath, UnixConnector, connect};
/// use tower::ServiceBuilder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("a.sock");
/// # let listener = tokio::net::UnixListener::bind(&path)?;
/// let stack = ServiceBuilder::new()
///     .layer(CborLayer::new())
///     .layer(FramingLayer::new())
///     .service(UnixConnector::new());
/// let channel = connect(stack, SocketPath::new(&path)?).await?;
/// # Ok(())
/// # }
/// ```
///
/// Cancel safe: a dropped attempt leaves nothing behind.
///
/// # Errors
/// The stack's.
pub async fn connect<S>(stack: S, target: impl Into<UnixTarget>) -> Result<S::Response, S::Error>
where
    S: Service<UnixTarget>,
{
    stack.oneshot(target.into()).await
}

/// Joins the peers at a path with a stack that has a `NegotiateLayer`, as `stack.oneshot(path)` does. For
/// a stack in the wrong order the compiler's error names the mistake, as with [`connect`].
///
/// ```
/// use kyneta_uds::{
///     BoxError, ChannelMsg, CborLayer, HandshakeLayer, FramingLayer, Identity, NegotiateLayer,
///     QueueLayer, Role, SocketPath, UnixConnector, join,
/// };
/// use std::time::Duration;
/// use tower::{ServiceBuilder, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let print = service_fn(async |msg: ChannelMsg| Ok::<_, BoxError>(println!("{msg:?}")));
/// let negotiate = NegotiateLayer::new(print); // handles accepted connections
/// let roles = negotiate.role_watch();
/// let stack = ServiceBuilder::new()
///     .layer(QueueLayer::new(print)) // handles the connection to the listener
///     .layer(negotiate)
///     .layer(HandshakeLayer::new(Identity::service("billing-1")?))
///     .timeout(Duration::from_secs(2))
///     .layer(CborLayer::new())
///     .layer(FramingLayer::new())
///     .service(UnixConnector::new());
/// let handle = join(stack, SocketPath::new(&path)?).await?;
/// assert_eq!(roles.settled().await?, Role::Listener);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The stack's.
pub async fn join<S>(stack: S, path: SocketPath) -> Result<S::Response, S::Error>
where
    S: Service<SocketPath>,
{
    stack.oneshot(path).await
}
