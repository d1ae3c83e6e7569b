//! The channel after the handshake: messages about documents pass, the rest is seen to here.
//!
//! In: the messages of the channel below. Out: those about documents. May touch: that channel.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_core::Stream;
use kyneta_uds_core::{
    Admission, Channel, ChannelMsg, ConnectionInfo, Credentials, DisconnectReason, Establish,
    Identity, Inbound, WireVersion,
};
use tokio::task::yield_now;
use tower_service::Service;

use crate::machine::{HandshakeMachine, Reaction};

/// How many messages in a row that do not go on are passed over in one poll, before others have their turn.
const MOST_IGNORED: u32 = 128;

/// Bytes of the connection that are worked on for such messages in one poll, before others have their turn.
pub(crate) const MOST_WORKED: u64 = 64 << 10;

/// Who is at the other end of an [`Established`] channel. Shared: it outlives the channel.
#[derive(Debug)]
pub struct PeerInfo {
    establish: Establish,
    wire: WireVersion,
    credentials: Option<Credentials>,
    departing: AtomicBool,
}

impl PeerInfo {
    pub(crate) fn new(establish: Establish, connection: ConnectionInfo) -> Self {
        Self {
            establish,
            // An established channel has read a frame, which settled it.
            wire: connection.wire.unwrap_or(WireVersion::V3),
            credentials: connection.credentials,
            departing: AtomicBool::new(false),
        }
    }

    /// Who the peer says it is.
    pub fn identity(&self) -> &Identity {
        &self.establish.identity
    }

    /// All that it said of itself.
    pub fn establish(&self) -> &Establish {
        &self.establish
    }

    /// The wire version that it speaks.
    pub fn wire(&self) -> WireVersion {
        self.wire
    }

    /// Who the kernel says it is; absent when the connector hides the socket.
    pub fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }

    /// True once it has said that it leaves on purpose.
    pub fn is_departing(&self) -> bool {
        self.departing.load(Ordering::Relaxed)
    }
}

/// A channel whose peer has introduced itself. What it yields are the messages about documents.
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

    /// Who is at the other end.
    pub fn peer(&self) -> &Arc<PeerInfo> {
        &self.peer
    }

    /// The channel below.
    pub fn get_ref(&self) -> &C {
        &self.inner
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
        let mut ignored = 0;
        let mut worked = 0;
        // One local, returned as it stands: what most messages are is not moved on its way.
        let mut polled = Pin::new(&mut this.inner).poll_next(cx);
        while let Poll::Ready(Some(Ok(Inbound::Message(msg)))) = &mut polled
            && !msg.is_sync()
        {
            let msg = std::mem::replace(msg, ChannelMsg::Depart);
            polled = match this.handshake.received(msg) {
                // Documents alone are delivered.
                Reaction::Deliver(msg) => Poll::Ready(Some(Ok(Inbound::Message(msg)))),
                Reaction::Departing => {
                    this.peer.departing.store(true, Ordering::Relaxed);
                    Poll::Pending
                }
                Reaction::Nothing | Reaction::Established { .. } => Poll::Pending,
            };
            if polled.is_pending() {
                // What the first one took is not known here, and is at most one message.
                if ignored == 0 {
                    worked = this.inner.worked();
                }
                ignored += 1;
                let since = this.inner.worked().wrapping_sub(worked);
                if ignored == MOST_IGNORED || since >= MOST_WORKED {
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

    /// The peer has answered: it serves the connection.
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
}
