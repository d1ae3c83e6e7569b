//! The channel's polls.
//!
//! In: a poll. Out: its answer, from whatever the channel stands on now. May touch: the channel below, the
//! members' queues.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use kyneta_uds_core::{
    Admission, BoxError, Channel, ConnectionInfo, DisconnectReason, Inbound, Message, WireVersion,
};
use tokio::time::sleep;
use tower_service::Service;

use super::{HALF_CLOSE_TIMEOUT, Negotiated, Seat};
use crate::{
    accept_handler::AcceptHandler,
    future::CallFuture,
    machine::{Input, Role},
    make_channel::MakeChannel,
};

impl<S, A, M> Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    /// Ready, once, when the path has another listener than ours.
    fn poll_replaced(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.watch {
            Some(watch) => ready!(watch.poll_replaced(cx)),
            None => return Poll::Pending,
        }
        self.watch = None;
        tracing::info!(path = %self.path, "another process listens at the path: moving to it");
        Poll::Ready(())
    }
}

impl<S, A, M> Service<M> for Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    type Response = ();
    type Error = BoxError;
    type Future = CallFuture<<S::Channel as Service<M>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !matches!(self.seat, Seat::Connected(_)) {
            self.advance(cx);
        }
        match &mut self.seat {
            _ if self.loss.is_some() => Poll::Pending,
            Seat::Connected(channel) => match channel.poll_ready(cx) {
                Poll::Ready(Err(error)) => {
                    self.break_off(cx, error);
                    Poll::Pending
                }
                ready => ready.map_err(Into::into),
            },
            Seat::Listening(_, hub) | Seat::Leaving(hub) => hub.poll_ready(cx).map(Ok),
            Seat::Vacant if self.machine.role() == Role::Disposed => {
                Poll::Ready(Err(DisconnectReason::Intentional.into()))
            }
            Seat::Vacant | Seat::Parting(..) | Seat::Moving(..) => Poll::Pending,
        }
    }

    fn call(&mut self, msg: M) -> Self::Future {
        match &mut self.seat {
            Seat::Connected(channel) => CallFuture::Below(channel.call(msg)),
            Seat::Listening(_, hub) | Seat::Leaving(hub) => {
                hub.call(msg);
                CallFuture::Done
            }
            Seat::Vacant | Seat::Parting(..) | Seat::Moving(..) => CallFuture::Unready,
        }
    }
}

impl<S, A, M> Stream for Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    type Item = Result<Inbound<M>, BoxError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some((remnant, deadline)) = &mut this.remnant {
            match Pin::new(remnant).poll_next(cx) {
                Poll::Ready(Some(Ok(inbound))) => return Poll::Ready(Some(Ok(inbound))),
                Poll::Pending if deadline.as_mut().poll(cx).is_pending() => {}
                _ => this.remnant = None,
            }
        }
        loop {
            this.heed(cx);
            match &mut this.seat {
                Seat::Connected(channel) => match Pin::new(channel).poll_next(cx) {
                    Poll::Ready(Some(Ok(inbound))) => return Poll::Ready(Some(Ok(inbound))),
                    Poll::Ready(Some(Err(error))) => {
                        this.vacate(Some(DisconnectReason::error(error)));
                    }
                    Poll::Ready(None) => {
                        let seat = std::mem::replace(&mut this.seat, Seat::Vacant);
                        if let Seat::Connected(channel) = seat {
                            this.seat = Seat::Parting(channel, Box::pin(sleep(HALF_CLOSE_TIMEOUT)));
                        }
                    }
                    // Looked at when there is nothing to read: not once a message.
                    Poll::Pending => {
                        ready!(this.poll_replaced(cx));
                        this.tell(Input::PathMoved);
                    }
                },
                Seat::Vacant if this.machine.role() == Role::Disposed => return Poll::Ready(None),
                _ => {
                    if let Seat::Moving(channel, _) = &mut this.seat
                        && let Poll::Ready(Some(Ok(inbound))) = Pin::new(channel).poll_next(cx)
                    {
                        return Poll::Ready(Some(Ok(inbound)));
                    }
                    this.advance(cx);
                    if !matches!(this.seat, Seat::Connected(_)) && this.role() != Role::Disposed {
                        return Poll::Pending;
                    }
                    if let Seat::Leaving(_) | Seat::Parting(..) | Seat::Moving(..) = this.seat {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl<S, A, M> Channel<M> for Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !matches!(self.seat, Seat::Connected(_)) {
            self.advance(cx);
        }
        match &mut self.seat {
            _ if self.loss.is_some() => Poll::Pending,
            Seat::Connected(channel) => match channel.poll_flush(cx) {
                Poll::Ready(Err(error)) => {
                    self.break_off(cx, error);
                    Poll::Pending
                }
                flushed => flushed.map_err(Into::into),
            },
            Seat::Listening(_, hub) | Seat::Leaving(hub) => hub.poll_flush(cx).map(Ok),
            Seat::Parting(..) | Seat::Moving(..) => Poll::Pending,
            Seat::Vacant => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.role() != Role::Disposed {
            self.tell(Input::Dispose);
        }
        match &mut self.seat {
            Seat::Connected(channel) | Seat::Moving(channel, _) => {
                channel.poll_close(cx).map_err(Into::into)
            }
            Seat::Leaving(hub) => {
                hub.close();
                ready!(hub.poll_closed(cx));
                self.seat = Seat::Vacant;
                Poll::Ready(Ok(()))
            }
            _ => {
                self.seat = Seat::Vacant;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn buffered(&self) -> usize {
        match &self.seat {
            Seat::Connected(channel) | Seat::Parting(channel, _) | Seat::Moving(channel, _) => {
                channel.buffered()
            }
            Seat::Listening(_, hub) | Seat::Leaving(hub) => usize::from(!hub.is_flushed()),
            Seat::Vacant => 0,
        }
    }

    /// Each connection below is admitted before it is used.
    fn poll_admission(&mut self, _: &mut Context<'_>, _: Admission) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn worked(&self) -> u64 {
        match &self.seat {
            Seat::Connected(channel) | Seat::Parting(channel, _) | Seat::Moving(channel, _) => {
                channel.worked()
            }
            _ => 0,
        }
    }

    fn connection(&self) -> ConnectionInfo {
        match &self.seat {
            Seat::Connected(channel) | Seat::Parting(channel, _) | Seat::Moving(channel, _) => {
                channel.connection()
            }
            _ => ConnectionInfo::default(),
        }
    }

    /// Which wire version an attempt begins with is the maker's to say.
    fn begin_with(&mut self, _wire: WireVersion) -> bool {
        false
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.loss.take()
    }

    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        if let Seat::Connected(channel) | Seat::Moving(channel, _) = &mut self.seat {
            channel.interrupt(reason.clone());
            self.vacate(Some(reason));
        }
        true
    }
}
