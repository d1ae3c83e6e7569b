//! The channel's polls.
//!
//! In: a poll. Out: its answer, from the connection or from the members' queues. May touch: these two.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use kyneta_uds_core::{
    Admission, BoxError, ByReference, Channel, ConnectionInfo, DisconnectReason, HalfClose,
    Inbound, Look, Message, Run, WireVersion, undisturbed,
};
use tower_service::Service;

use super::{Link, Negotiated};
use crate::{
    accept_handler::AcceptHandler,
    fan_out::FanOut,
    future::CallFuture,
    machine::{Input, Role},
    make_channel::MakeChannel,
};

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
        self.poll_write(cx, false, Service::poll_ready, FanOut::poll_ready)
    }

    fn call(&mut self, msg: M) -> Self::Future {
        match &mut self.link {
            Link::Connected(channel) => CallFuture::Below(channel.call(msg)),
            Link::Listening(_, fan_out) | Link::Draining(fan_out) => {
                if !fan_out.call(msg) {
                    undisturbed(|| self.settings.accept_handler.unheard());
                }
                CallFuture::Done
            }
            Link::Idle | Link::HalfClosed(_) => CallFuture::NotReady,
        }
    }
}

impl<S, A, M> Stream for Negotiated<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    type Item = Result<Inbound<S::In>, BoxError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(former) = &mut this.former {
            match former.poll_next(cx) {
                Poll::Ready(Ok(inbound)) => return Poll::Ready(Some(Ok(inbound))),
                Poll::Ready(Err(_)) => this.former = None,
                Poll::Pending => {}
            }
        }
        loop {
            this.check_leave(cx);
            match &mut this.link {
                Link::Connected(channel) => match Pin::new(channel).poll_next(cx) {
                    Poll::Ready(Some(Ok(inbound))) => return Poll::Ready(Some(Ok(inbound))),
                    Poll::Ready(Some(Err(error))) => {
                        this.vacate(Some(DisconnectReason::error(error)));
                    }
                    Poll::Ready(None) => this.link.half_close(HalfClose::ReadClosed),
                    // Only when there is nothing to read: not once a message.
                    Poll::Pending => {
                        ready!(this.poll_replaced(cx));
                        this.feed(Input::PathMoved);
                    }
                },
                Link::HalfClosed(half) => match ready!(half.poll_next(cx)) {
                    Ok(inbound) => return Poll::Ready(Some(Ok(inbound))),
                    Err(end) => this.half_closed(cx, end),
                },
                Link::Idle if this.machine.role() == Role::Disposed => return Poll::Ready(None),
                _ => {
                    this.advance(cx);
                    let has_ended = this.role() == Role::Disposed;
                    if !matches!(&this.link, Link::Connected(_))
                        && !matches!(&this.link, Link::Idle if has_ended)
                    {
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
    type In = S::In;

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.poll_write(cx, true, Channel::poll_flush, FanOut::poll_flush)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.holding.is_some() {
            self.advance(cx);
            if self.holding.is_some() {
                return Poll::Pending;
            }
        }
        if self.role() != Role::Disposed {
            self.feed(Input::Dispose);
        }
        if let Some(channel) = self.link.channel_mut() {
            return channel.poll_close(cx).map_err(Into::into);
        }
        if let Link::Draining(fan_out) = &mut self.link {
            fan_out.close();
            ready!(fan_out.poll_closed(cx));
        }
        self.link = Link::Idle;
        Poll::Ready(Ok(()))
    }

    fn buffered(&self) -> usize {
        match &self.link {
            Link::Listening(_, fan_out) | Link::Draining(fan_out) => {
                usize::from(!fan_out.is_flushed())
            }
            link => link.channel().map_or(0, S::Channel::buffered),
        }
    }

    /// Each connection below is admitted before it is used.
    fn poll_admission(&mut self, _: &mut Context<'_>, _: Admission) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn worked(&self) -> u64 {
        self.link.channel().map_or(0, S::Channel::worked)
    }

    fn connection(&self) -> ConnectionInfo {
        let channel = self.link.channel();
        channel.map(S::Channel::connection).unwrap_or_default()
    }

    /// The make service below chooses the wire version of each attempt.
    fn begin_with(&mut self, _wire: WireVersion) -> bool {
        false
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.loss.take()
    }

    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        if let Some(channel) = self.link.channel_mut() {
            channel.interrupt(reason.clone());
            self.vacate(Some(reason));
        }
        true
    }

    #[inline]
    fn keep(&mut self) -> bool {
        self.link.channel_mut().is_some_and(S::Channel::keep)
    }

    fn free_kept(&mut self) {
        if let Some(channel) = self.link.channel_mut() {
            channel.free_kept();
        }
    }

    fn call_many<R: Run<M>>(&mut self, run: &mut R) -> Result<(), BoxError> {
        match &mut self.link {
            Link::Connected(channel) => channel.call_many(run).map_err(Into::into),
            // Each member gets a message of its own.
            _ => Ok(()),
        }
    }

    /// After what the former connection still yields.
    fn look<L: Look<S::In>>(&mut self, look: &mut L) -> Option<Inbound<S::In>>
    where
        S::In: ByReference,
    {
        match &mut self.link {
            Link::Connected(channel) if self.former.is_none() && self.leave.is_some() => {
                channel.look(look)
            }
            _ => None,
        }
    }
}
