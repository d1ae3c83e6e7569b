//! The channel after the handshake.
//!
//! In: the messages of the channel below. Out: the messages about documents; `establish` and `depart` are handled
//! here. May touch: that channel.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use kyneta_uds_core::{
    Admission, Channel, ChannelMsg, ConnectionInfo, DisconnectReason, Inbound, Look, Run,
    WireVersion,
};
use tokio::task::yield_now;
use tower_service::Service;

use crate::{
    machine::{HandshakeMachine, Reaction},
    peer_info::PeerInfo,
};

/// The most consecutive messages handled here in one poll, before the task yields.
const MAX_HANDLED_PER_POLL: u32 = 128;

/// The most bytes of such messages processed in one poll, before the task yields.
pub(crate) const MAX_WORKED_PER_POLL: u64 = 64 << 10;

/// A channel after the handshake: its peer is known, and it yields only messages about documents.
#[derive(Debug)]
pub struct Established<C> {
    inner: C,
    handshake: HandshakeMachine,
    peer: Arc<PeerInfo>,
}

impl<C> Established<C> {
    pub(crate) fn new(inner: C, handshake: HandshakeMachine, peer: PeerInfo) -> Self {
        Self {
            inner,
            handshake,
            peer: Arc::new(peer),
        }
    }

    pub(crate) const fn handshake(&self) -> &HandshakeMachine {
        &self.handshake
    }

    /// Handles a message that is not about a document; a message to be passed on is returned.
    fn handled(&mut self, msg: ChannelMsg) -> Option<ChannelMsg> {
        match self.handshake.received(msg) {
            Reaction::Deliver(msg) => Some(msg),
            Reaction::Departing => {
                self.peer.set_departing();
                None
            }
            Reaction::Nothing | Reaction::Established { .. } => None,
        }
    }

    /// The peer.
    pub fn peer(&self) -> &Arc<PeerInfo> {
        &self.peer
    }

    /// The inner channel.
    pub fn get_ref(&self) -> &C {
        &self.inner
    }

    pub(crate) const fn inner_mut(&mut self) -> &mut C {
        &mut self.inner
    }

    /// The inner channel, without what is known of the peer.
    pub fn into_inner(self) -> C {
        self.inner
    }
}

impl<C: Channel<ChannelMsg>> Service<ChannelMsg> for Established<C> {
    type Response = ();
    type Error = C::Error;
    type Future = C::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, msg: ChannelMsg) -> C::Future {
        self.inner.call(msg)
    }
}

impl<C: Channel<ChannelMsg, In = ChannelMsg>> Stream for Established<C> {
    type Item = Result<Inbound<ChannelMsg>, C::Error>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut handled = 0;
        let mut worked = 0;
        // One local, returned unchanged, so that messages about documents are not moved.
        let mut polled = Pin::new(&mut this.inner).poll_next(cx);
        while let Poll::Ready(Some(Ok(Inbound::Message(msg)))) = &mut polled
            && !msg.is_sync()
        {
            let msg = std::mem::replace(msg, ChannelMsg::Depart);
            polled = match this.handled(msg) {
                Some(msg) => Poll::Ready(Some(Ok(Inbound::Message(msg)))),
                None => Poll::Pending,
            };
            if polled.is_pending() {
                // The first one's bytes are not counted: it is one message at most.
                if handled == 0 {
                    worked = this.inner.worked();
                }
                handled += 1;
                let since = this.inner.worked().wrapping_sub(worked);
                if handled == MAX_HANDLED_PER_POLL || since >= MAX_WORKED_PER_POLL {
                    let _ = pin!(yield_now()).poll(cx);
                    return Poll::Pending;
                }
                polled = Pin::new(&mut this.inner).poll_next(cx);
            }
        }
        polled
    }
}

impl<C: Channel<ChannelMsg, In = ChannelMsg>> Channel<ChannelMsg> for Established<C> {
    type In = ChannelMsg;

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_close(cx)
    }

    #[inline]
    fn buffered(&self) -> usize {
        self.inner.buffered()
    }

    /// Ready at once: the handshake has shown that the peer serves the connection.
    fn poll_admission(&mut self, _: &mut Context<'_>, _: Admission) -> Poll<Result<(), C::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn worked(&self) -> u64 {
        self.inner.worked()
    }

    fn connection(&self) -> ConnectionInfo {
        self.inner.connection()
    }

    fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.inner.begin_with(wire)
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.inner.lost()
    }

    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        self.inner.interrupt(reason)
    }

    #[inline]
    fn keep(&mut self) -> bool {
        self.inner.keep()
    }

    fn free_kept(&mut self) {
        self.inner.free_kept();
    }

    #[inline]
    fn call_many<R: Run<ChannelMsg>>(&mut self, run: &mut R) -> Result<(), C::Error> {
        self.inner.call_many(run)
    }

    #[inline]
    fn look<L: Look<ChannelMsg>>(&mut self, look: &mut L) -> Option<Inbound<ChannelMsg>> {
        let mut looked = self.inner.look(look);
        if let Some(Inbound::Message(msg)) = &mut looked
            && !msg.is_sync()
        {
            let msg = std::mem::replace(msg, ChannelMsg::Depart);
            // What follows is for the caller to ask for: so one message is handled here.
            looked = self.handled(msg).map(Inbound::Message);
        }
        looked
    }
}
