//! The exchange of `establish` on one connection.
//!
//! In: a channel. Out: the peer. May touch: that channel.

use std::{future::poll_fn, io, pin::Pin, time::Duration};

use kyneta_uds_core::{
    Channel, ChannelMsg, Establish, FrameFault, Inbound, Rejection, WireVersion,
};
use tokio::task::yield_now;

use crate::{
    admission::is_admission,
    channel::MAX_WORKED_PER_POLL,
    config::HandshakeConfig,
    error::HandshakeError,
    machine::{HandshakeMachine, Reaction, Side},
    peer_info::PeerInfo,
};

/// The wire versions of a peer that writes in the other one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OtherVersion {
    pub(crate) theirs: WireVersion,
    pub(crate) ours: WireVersion,
}

impl OtherVersion {
    pub(crate) const fn error(self, waited: Duration) -> HandshakeError {
        let Self { theirs, ours } = self;
        HandshakeError::OtherVersion {
            theirs,
            ours,
            waited,
        }
    }
}

/// Performs the handshake: until the peer is known and has an answer. `other` is set when the peer writes in the other
/// wire version.
pub(crate) async fn exchange<C: Channel<ChannelMsg, In = ChannelMsg>>(
    channel: &mut C,
    handshake: &mut HandshakeMachine,
    config: &HandshakeConfig,
    other: &mut Option<OtherVersion>,
) -> Result<PeerInfo, HandshakeError> {
    if handshake.side() == Side::Connecting {
        send_establish(channel, config.establish.clone()).await?;
    }
    let mut early_messages = 0;
    let mut worked = channel.worked();
    let before_first = worked;
    loop {
        if channel.worked().wrapping_sub(worked) >= MAX_WORKED_PER_POLL {
            yield_now().await;
            worked = channel.worked();
        }
        let limit = config.max_early_messages;
        if early_messages > limit {
            return Err(HandshakeError::TooManyEarlyMessages { limit });
        }
        early_messages += 1;
        let inbound = poll_fn(|cx| Pin::new(&mut *channel).poll_next(cx)).await;
        let msg = match inbound {
            Some(Ok(Inbound::Message(msg))) => msg,
            Some(Ok(Inbound::Rejected(rejection))) => {
                let read = channel.worked().wrapping_sub(before_first);
                if early_messages == 1 && is_admission(&rejection, read, channel.connection().wire)
                {
                    return Err(other_protocol(channel, handshake.side()).await);
                }
                tracing::debug!(%rejection, "message rejected during the handshake");
                if let Rejection::Frame(FrameFault::OtherVersion { got, expected }) = rejection {
                    let (theirs, ours) = (got, expected);
                    *other = Some(OtherVersion { theirs, ours });
                }
                continue;
            }
            Some(Ok(Inbound::Noticed(notice))) => {
                tracing::debug!(%notice, "frames missing or repeated during the handshake");
                continue;
            }
            // A kind of item that this version of the layer does not know.
            Some(Ok(_)) => continue,
            Some(Err(error)) => return Err(HandshakeError::Channel(error.into())),
            None => return Err(HandshakeError::Closed { tried: Vec::new() }),
        };
        if let Reaction::Established { peer, answer } = handshake.received(msg) {
            let peer = PeerInfo::new(peer, channel.connection());
            if !config.admits(&peer) {
                return Err(HandshakeError::NotAdmitted {
                    peer: peer.identity().peer_id.clone(),
                    credentials: peer.credentials(),
                    source: io::ErrorKind::PermissionDenied.into(),
                });
            }
            if answer {
                send_establish(channel, config.answer(&peer)).await?;
            }
            return Ok(peer);
        }
    }
}

/// A side that connects and is not admitted asks with an empty frame. Any message tells it what is spoken here, and
/// `depart` makes no peer known.
async fn other_protocol<C: Channel<ChannelMsg>>(channel: &mut C, side: Side) -> HandshakeError {
    if side == Side::Accepting {
        // It may have closed the connection.
        let _ = send(channel, ChannelMsg::Depart).await;
    }
    HandshakeError::OtherProtocol
}

/// Sends this side's `establish`. A peer may have closed the connection before or after that.
async fn send_establish<C: Channel<ChannelMsg, In = ChannelMsg>>(
    channel: &mut C,
    establish: Establish,
) -> Result<(), HandshakeError> {
    let sent = send(channel, establish.into()).await;
    sent.map_err(|error| HandshakeError::Channel(error.into()).closed_if_broken_pipe())
}

async fn send<C: Channel<ChannelMsg>>(channel: &mut C, msg: ChannelMsg) -> Result<(), C::Error> {
    poll_fn(|cx| channel.poll_ready(cx)).await?;
    channel.call(msg).await?;
    poll_fn(|cx| channel.poll_flush(cx)).await
}
