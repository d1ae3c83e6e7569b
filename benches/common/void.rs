//! A channel in memory that accepts every message at once, and yields nothing, or always the same message.
//!
//! In: messages, which it drops. Out: copies of one message. It has no socket, so what is measured over it is the
//! layers.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use kyneta_uds::{
    Admission, Channel, ChannelMsg, ConnectionInfo, DisconnectReason, Inbound, WireVersion,
    protocol::Run,
};
use tower::Service;

#[derive(Debug, Default)]
pub(crate) struct Void {
    inbound: Option<ChannelMsg>,
}

impl Void {
    /// Yields this message forever.
    pub(crate) fn of(msg: ChannelMsg) -> Self {
        Self { inbound: Some(msg) }
    }
}

impl Service<ChannelMsg> for Void {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, msg: ChannelMsg) -> Self::Future {
        black_box(&msg);
        ready(Ok(()))
    }
}

impl Stream for Void {
    type Item = Result<Inbound<ChannelMsg>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &self.inbound {
            Some(msg) => Poll::Ready(Some(Ok(Inbound::Message(msg.clone())))),
            None => Poll::Pending,
        }
    }
}

impl Channel<ChannelMsg> for Void {
    type In = ChannelMsg;

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn buffered(&self) -> usize {
        0
    }

    fn poll_admission(
        &mut self,
        _: &mut Context<'_>,
        _: Admission,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn worked(&self) -> u64 {
        0
    }

    fn connection(&self) -> ConnectionInfo {
        ConnectionInfo::default()
    }

    fn begin_with(&mut self, _: WireVersion) -> bool {
        false
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        None
    }

    fn interrupt(&mut self, _: DisconnectReason) -> bool {
        false
    }

    #[inline]
    fn call_many<R: Run<ChannelMsg>>(&mut self, run: &mut R) -> Result<(), Infallible> {
        while let Some(msg) = run.front() {
            black_box(msg);
            run.called();
        }
        Ok(())
    }
}
