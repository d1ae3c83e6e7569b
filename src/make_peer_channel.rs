//! Connects, or takes an accepted stream, and performs the handshake.
//!
//! In: a target. Out: a [`PeerChannel`]. May touch: the stack below.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use kyneta_uds_core::{ChannelMsg, Redial as _};
use kyneta_uds_handshake::{Handshake, HandshakeError};
use kyneta_uds_unix::UnixTarget;
use tower_service::Service;
use tracing::Instrument as _;

use crate::{
    dialed::{Dialed, span},
    peer_channel::PeerChannel,
    stack::MakeChannel,
};

/// A make service of [`PeerChannel`]s. The connection task enters an accepted one.
#[derive(Debug, Clone)]
pub(crate) struct MakePeerChannel<S> {
    inner: Handshake<S>,
    dialed: Dialed,
}

impl<S> MakePeerChannel<S> {
    pub(crate) fn new(inner: Handshake<S>, dialed: Dialed) -> Self {
        Self { inner, dialed }
    }
}

impl<S: MakeChannel<In = ChannelMsg>> Service<UnixTarget> for MakePeerChannel<S> {
    type Response = PeerChannel<S::Channel>;
    type Error = HandshakeError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, HandshakeError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        self.inner.poll_ready(cx)
    }

    // Boxed: once a connection.
    fn call(&mut self, target: UnixTarget) -> Self::Future {
        let dialed = self.dialed.clone();
        if target.redial().is_none() {
            let established = self.inner.call(target);
            return Box::pin(async move {
                let events = dialed.events().clone();
                Ok(PeerChannel::not_entered(established.await?, events))
            });
        }
        let span = span();
        let established = self.inner.call(target).instrument(span.clone());
        Box::pin(async move { Ok(PeerChannel::dialed(established.await?, dialed, span)) })
    }
}
