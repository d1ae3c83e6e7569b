//! The bound on the stack below: what makes channels.
//!
//! In: a stack. Out: its channel and error types, and a sentence where it does not fit. Touches nothing.

use std::future::Future;

use kyneta_uds_core::{BoxError, Channel, ChannelMsg};
use kyneta_uds_unix::UnixTarget;
use tower_service::Service;

/// A make service of channels of `M` over Unix streams: any stack up to there.
///
/// ```
/// use kyneta_uds_cbor::CborLayer;
/// use kyneta_uds_core::ChannelMsg;
/// use kyneta_uds_framing::FramingLayer;
/// use kyneta_uds_negotiate::MakeChannel;
/// use kyneta_uds_unix::UnixConnector;
/// use tower::ServiceBuilder;
///
/// fn makes_channels(_: impl MakeChannel<In = ChannelMsg>) {}
/// makes_channels(
///     ServiceBuilder::new()
///         .layer(CborLayer::new())
///         .layer(FramingLayer::new())
///         .service(UnixConnector::new()),
/// );
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stack that makes channels",
    label = "not a make service of channels of `{M}` over Unix streams",
    note = "from the top: `HandshakeLayer` below a `NegotiateLayer` if the peers are to introduce themselves, any layers of yours, `CborLayer`, `FramingLayer`, then a connector such as `UnixConnector`"
)]
pub trait MakeChannel<M = ChannelMsg>:
    Service<
        UnixTarget,
        Response = Self::Channel,
        Error = Self::MakeError,
        Future: Future<Output = Result<Self::Channel, Self::MakeError>> + Send,
    > + Reusable
    + Send
    + 'static
{
    /// What a message comes in as ([`Channel::In`]).
    type In;
    /// What it makes.
    type Channel: Channel<M, In = Self::In, Future: Send, Error: Send> + Send + 'static;
    /// Why it could not.
    type MakeError: Into<BoxError> + Send + 'static;
}

impl<S, M> MakeChannel<M> for S
where
    S: Service<UnixTarget, Error: Into<BoxError> + Send + 'static, Future: Send>
        + Reusable
        + Send
        + 'static,
    S::Response: Channel<M, Future: Send, Error: Send> + Send + 'static,
{
    type In = <S::Response as Channel<M>>::In;
    type Channel = S::Response;
    type MakeError = S::Error;
}

/// `Clone`, and a sentence where it is missing: each connection that a peer makes or accepts takes a clone of
/// the stack below it.
#[diagnostic::on_unimplemented(
    message = "this stack makes channels one at a time, and cannot be cloned for each connection: `{Self}`",
    label = "a layer below the `NegotiateLayer` is not `Clone`",
    note = "tower's `rate_limit` is one: put tower's `buffer` directly above it, whose clones share it"
)]
pub trait Reusable: Clone {}

#[diagnostic::do_not_recommend]
impl<S: Clone> Reusable for S {}
