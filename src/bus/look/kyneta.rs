//! Looks at a path whose listener speaks the kyneta protocol.
//!
//! In: a path. Out: what a listener of this library says. May touch: one connection; another for the other wire
//! version.

use std::{future::poll_fn, pin::Pin, time::Duration};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream::BoxStream};
use kyneta_uds_core::{BoxError, Channel, ChannelMsg, Features, Inbound, Observe, SocketPath};
use kyneta_uds_framing::WireMode;
use kyneta_uds_handshake::{HandshakeError, HandshakeLayer, PeerInfo};
use kyneta_uds_unix::AuthorizeLayer;
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use super::{ANSWER, LookError, Passed, Present, SILENCE, bus::listeners, not_connected};
use crate::{
    builder::anonymous,
    bus::{info::MemberInfo, wire::Wire},
    observers::report,
    stack::default_stack,
};

/// A connection to a listener of kyneta's that only looks on.
pub(super) struct KynetaLook {
    reports: BoxStream<'static, Result<Wire, BoxError>>,
}

impl std::fmt::Debug for KynetaLook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KynetaLook").finish_non_exhaustive()
    }
}

impl KynetaLook {
    /// Connects and asks.
    pub(super) async fn new(
        path: &SocketPath,
        observe: Observe,
    ) -> Result<(Self, Vec<Present>), LookError> {
        let no_bus = || LookError::NoBus { path: path.clone() };
        let handshake = HandshakeLayer::new(anonymous())
            .features(Features::default())
            .observe(observe)
            .timeout(SILENCE);
        let stack = AuthorizeLayer::new(listeners()).layer(default_stack(WireMode::Auto));
        let channel = match handshake.layer(stack).oneshot(path.clone().into()).await {
            Ok(channel) => channel,
            Err(HandshakeError::Unanswered { .. }) => {
                let path = path.clone();
                let listener = None;
                return Err(LookError::Silent { path, listener });
            }
            Err(HandshakeError::OtherProtocol) => {
                return Err(LookError::OtherProtocol { path: path.clone() });
            }
            Err(HandshakeError::Closed { .. }) => {
                return Err(LookError::Rejected { path: path.clone() });
            }
            Err(HandshakeError::Make(error)) => return Err(not_connected(path, error)),
            Err(_) => return Err(no_bus()),
        };
        let listener = channel.peer().clone();
        // An older one tells the members where it is asked for documents.
        if listener.establish().observe != Some(observe) {
            leave(channel).await;
            return Err(LookError::NotTold {
                path: path.clone(),
                listener: listener.identity().peer_id.clone(),
            });
        }
        let mut look = Self {
            reports: reports(channel).boxed(),
        };
        let members = async {
            while let Some(report) = look.reports.next().await {
                if let Wire::Members(members) = report? {
                    return Ok(Some(members));
                }
            }
            Ok(None)
        };
        let members = match timeout(ANSWER, members).await {
            Ok(Ok(Some(members))) => members,
            Ok(Err(error)) => return Err(not_connected(path, error)),
            Ok(Ok(None)) => return Err(LookError::Rejected { path: path.clone() }),
            Err(_) => return Err(no_bus()),
        };
        let members = members.iter().filter_map(Present::read);
        let present = std::iter::once(itself(&listener)).chain(members).collect();
        Ok((look, present))
    }

    /// The next message that has passed.
    pub(super) async fn next(&mut self) -> Result<Option<Passed>, BoxError> {
        while let Some(report) = self.reports.next().await {
            if let Wire::Passed(passed) = report? {
                return Ok(Some((*passed).into()));
            }
        }
        Ok(None)
    }
}

/// The listener, which has introduced itself.
fn itself(listener: &PeerInfo) -> Present {
    let (identity, credentials) = (listener.identity(), listener.credentials());
    Present {
        member: MemberInfo::new(identity, kyneta_uds_bus::Incarnation(0), credentials),
        since: None,
        waits: 0,
    }
}

/// What the listener reports; anything else is left out.
fn reports<C>(channel: C) -> impl Stream<Item = Result<Wire, BoxError>> + Send
where
    C: Channel<ChannelMsg, In = ChannelMsg, Error: Into<BoxError> + Send> + Send + 'static,
{
    channel.filter_map(async |inbound| match inbound {
        Ok(Inbound::Message(msg)) => report::read(msg).map(Ok),
        Ok(_) => None,
        Err(error) => Some(Err(error.into())),
    })
}

/// A listener of another implementation has taken this side for a peer: it is told that it leaves.
async fn leave<C: Channel<ChannelMsg, In = ChannelMsg>>(mut channel: C) {
    let left = async {
        poll_fn(|cx| channel.poll_ready(cx)).await?;
        channel.call(ChannelMsg::Depart).await?;
        poll_fn(|cx| Pin::new(&mut channel).poll_close(cx)).await
    };
    // It may have closed the connection.
    let _ = timeout(Duration::from_secs(1), left).await;
}
