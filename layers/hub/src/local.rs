//! A member inside this process: a channel in memory, with a queue and a task as a connection has them.
//!
//! In: what local code sends. Out: what the hub routes to it. May touch: a task of tokio's for each.

use std::{
    convert::Infallible,
    fmt,
    future::Ready,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use kyneta_uds_core::{Admission, Channel, ConnectionInfo, DisconnectReason, Inbound, WireVersion};
use kyneta_uds_queue::{QueueConfig, queue};
use kyneta_uds_relay::MemberFacts;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use tower_service::Service;

use crate::{handler::RelayHandler, hub::Hub, rates::Metered};

/// How many messages may be between the two ends, in each direction.
const CAPACITY: usize = 16;

/// A channel in memory between local code and a hub: what is sent on it goes to the router, and what the router
/// has for this member is read from it. It ends when it is dropped, and with the hub. Nothing is encoded.
///
/// Code that does not read is as slow a member as a process that does not: see [`Hub::local`].
pub struct LocalChannel<M> {
    to_other: PollSender<M>,
    from_other: mpsc::Receiver<M>,
}

impl<M: Metered> Hub<M> {
    /// A member in this process, until the channel is dropped. Its queue has the bounds of `config`: if local code
    /// does not read, the member ends as its overflow policy says.
    ///
    /// It must be called inside a tokio runtime.
    pub fn local(&self, facts: MemberFacts, config: QueueConfig) -> LocalChannel<M> {
        let (ours, theirs) = LocalChannel::pair();
        let (handle, driver) = queue(config);
        let relay = RelayHandler::new(Ignore, self.enter(facts, handle));
        tokio::spawn(driver.drive(theirs, relay));
        ours
    }
}

impl<M: Metered> LocalChannel<M> {
    /// Both ends.
    fn pair() -> (Self, Self) {
        let ((to_a, from_b), (to_b, from_a)) = (mpsc::channel(CAPACITY), mpsc::channel(CAPACITY));
        let end = |to_other, from_other| Self {
            to_other: PollSender::new(to_other),
            from_other,
        };
        (end(to_b, from_b), end(to_a, from_a))
    }
}

/// The handler of a local member: what it sends goes to the router alone.
#[derive(Debug)]
struct Ignore;

impl<M> Service<M> for Ignore {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: M) -> Self::Future {
        std::future::ready(Ok(()))
    }
}

/// The other end of a channel in memory is gone: the hub has ended, or local code has dropped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other end of the local channel is gone")]
pub struct LocalClosed;

impl<M: Metered> Service<M> for LocalChannel<M> {
    type Response = ();
    type Error = LocalClosed;
    type Future = Ready<Result<(), LocalClosed>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LocalClosed>> {
        self.to_other.poll_reserve(cx).map_err(|_| LocalClosed)
    }

    fn call(&mut self, msg: M) -> Self::Future {
        std::future::ready(self.to_other.send_item(msg).map_err(|_| LocalClosed))
    }
}

impl<M: Metered> Stream for LocalChannel<M> {
    type Item = Result<Inbound<M>, LocalClosed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let msg = ready!(self.from_other.poll_recv(cx));
        Poll::Ready(msg.map(|msg| Ok(Inbound::Message(msg))))
    }
}

impl<M: Metered> Channel<M> for LocalChannel<M> {
    type In = M;

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LocalClosed>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LocalClosed>> {
        self.to_other.close();
        Poll::Ready(Ok(()))
    }

    fn buffered(&self) -> usize {
        0
    }

    fn connection(&self) -> ConnectionInfo {
        ConnectionInfo::default()
    }

    fn begin_with(&mut self, _: WireVersion) -> bool {
        false
    }

    fn poll_admission(
        &mut self,
        _: &mut Context<'_>,
        _: Admission,
    ) -> Poll<Result<(), LocalClosed>> {
        Poll::Ready(Ok(()))
    }

    fn worked(&self) -> u64 {
        0
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        None
    }

    fn interrupt(&mut self, _: DisconnectReason) -> bool {
        false
    }
}

impl<M> fmt::Debug for LocalChannel<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalChannel").finish_non_exhaustive()
    }
}
