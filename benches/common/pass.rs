//! A pass-through layer, as a user would write it: it wraps a channel into a channel, or a handle into a service.
//!
//! It adds nothing, so what it costs is what a layer costs.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use kyneta_uds::{
    Admission, ByReference, Channel, ConnectionInfo, DisconnectReason, Inbound, Look, WireVersion,
    protocol::Run,
};
use tower::Service;

/// Passes everything on. With `TRACE` it has a `tracing` call site, without a subscriber.
#[derive(Debug)]
pub(crate) struct Pass<S, const TRACE: bool = false>(S);

pub(crate) fn one<S>(inner: S) -> Pass<S> {
    Pass(inner)
}

pub(crate) fn five<S>(inner: S) -> Pass<Pass<Pass<Pass<Pass<S>>>>> {
    one(one(one(one(one(inner)))))
}

pub(crate) fn traced<S>(inner: S) -> Pass<S, true> {
    Pass(inner)
}

impl<S: Service<R>, R, const TRACE: bool> Service<R> for Pass<S, TRACE> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        if TRACE {
            tracing::trace!("call");
        }
        self.0.call(request)
    }
}

impl<S: Stream + Unpin, const TRACE: bool> Stream for Pass<S, TRACE> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl<S: Channel<M>, M, const TRACE: bool> Channel<M> for Pass<S, TRACE> {
    type In = S::In;

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_close(cx)
    }

    fn buffered(&self) -> usize {
        self.0.buffered()
    }

    fn poll_admission(
        &mut self,
        cx: &mut Context<'_>,
        admission: Admission,
    ) -> Poll<Result<(), S::Error>> {
        self.0.poll_admission(cx, admission)
    }

    #[inline]
    fn worked(&self) -> u64 {
        self.0.worked()
    }

    fn connection(&self) -> ConnectionInfo {
        self.0.connection()
    }

    fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.0.begin_with(wire)
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.0.lost()
    }

    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        self.0.interrupt(reason)
    }

    /// Without `TRACE` it looks at no message.
    #[inline]
    fn call_many<R: Run<M>>(&mut self, run: &mut R) -> Result<(), S::Error> {
        if TRACE {
            return Ok(());
        }
        self.0.call_many(run)
    }

    #[inline]
    fn look<L: Look<S::In>>(&mut self, look: &mut L) -> Option<Inbound<S::In>>
    where
        S::In: ByReference,
    {
        self.0.look(look)
    }
}
