//! One link as a member of the hub: the stack of any connection, over the engine's bytes.
//!
//! In: a byte stream. Out: a member, for as long as the stream lasts. May touch: the stream, the hub.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_cbor::CborLayer;
use kyneta_uds_core::{ChannelMsg, DisconnectReason, Identity, Redial, WireVersion};
use kyneta_uds_framing::{FramingLayer, WireMode};
use kyneta_uds_handshake::{HandshakeError, HandshakeLayer};
use kyneta_uds_hub::{Hub, RelayHandler};
use kyneta_uds_machines::{LinkIo, MachineName, Role};
use kyneta_uds_queue::{Overflow, QueueConfig, queue};
use kyneta_uds_relay::MemberFacts;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{ServiceExt as _, service_fn};
use tower_layer::Layer as _;
use tower_service::Service;

use super::side::Queue;

/// How long the queue of a link may stay full: members of this machine wait for it once, and not longer.
const FULL: Duration = Duration::from_secs(1);

/// A link is a target once: it is not dialed again by a layer.
struct Once<Io> {
    io: Option<LinkIo<Io>>,
    role: Role,
}

impl<Io> Redial for Once<Io> {
    /// The side that has dialed speaks first.
    fn redial(&self) -> Option<Self> {
        let (io, role) = (None, self.role);
        (role == Role::Dials).then_some(Self { io, role })
    }
}

/// Makes the link a member of the hub until it ends, and says why it has ended; `up` is called when it is one.
///
/// # Errors
/// The handshake's: it has become no member.
pub(super) async fn link<Io>(
    hub: Hub<ChannelMsg>,
    me: MachineName,
    machine: MachineName,
    role: Role,
    io: LinkIo<Io>,
    up: impl FnOnce(Queue),
) -> Result<DisconnectReason, HandshakeError>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // The name of a machine is shorter than any limit of an id.
    let named = |name: &MachineName| {
        Identity::service(name.as_str()).map_err(|error| HandshakeError::Make(error.into()))
    };
    let (identity, theirs) = (named(&me)?, named(&machine)?);
    let once = service_fn(|target: Once<Io>| {
        let again = || io::Error::other("a link is dialed by the engine alone");
        ready(target.io.ok_or_else(again))
    });
    let framing = FramingLayer::new().wire(WireMode::Fixed(WireVersion::V3));
    let stack = CborLayer::new().layer(framing.layer(once));
    let io = Some(io);
    let target = Once { io, role };
    let handshake = HandshakeLayer::new(identity).layer(stack);
    let channel = handshake.oneshot(target).await?;
    let peer = channel.peer().clone();
    let config = QueueConfig::default().overflow(Overflow::Disconnect { after: FULL });
    let (handle, driver) = queue(config);
    up(Queue::Documents(handle.clone()));
    let facts = MemberFacts::link(peer.wire()).identity(theirs); // whatever it calls itself
    let member = hub.enter(facts, handle);
    Ok(driver
        .drive(channel, RelayHandler::new(Ignore, member))
        .await)
}

/// What comes over a link goes to the router alone.
#[derive(Debug)]
struct Ignore;

impl Service<ChannelMsg> for Ignore {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: ChannelMsg) -> Self::Future {
        ready(Ok(()))
    }
}
