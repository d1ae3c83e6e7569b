//! The polls when there is no connection, or when it has just ended.
//!
//! In: a poll, and the error or end that the connection has just answered with. Out: its answer. May
//! touch: the channel below.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{
    BoxError, Channel, DisconnectReason, HalfClose, HalfClosedEnd, Inbound, Redial,
};
use tower_service::Service;

use super::{Phase, Reconnecting, Written};
use crate::policy::Recover;

impl<S, T, P, M> Reconnecting<S, T, P, M>
where
    S: Service<T, Error: Into<BoxError>>,
    P: Recover,
    T: Redial,
{
    /// A half-closed connection is finished.
    fn half_closed<E>(&mut self, cx: &mut Context<'_>, end: HalfClosedEnd<E>) {
        let Phase::HalfClosed(half, reason) = &self.phase else {
            return;
        };
        cx.waker().wake_by_ref();
        match (half.state(), end) {
            (HalfClose::ReadClosed, HalfClosedEnd::Complete) => {
                self.release(DisconnectReason::Closed);
            }
            // The peer had left in good order, which is why writing failed.
            (_, HalfClosedEnd::Complete) => self.lose(DisconnectReason::Closed),
            _ => self.lose(reason.clone()),
        }
    }

    /// Does `act` on the connection, as soon as there is one and every loss is reported. Without a
    /// connection, `idle` is ready at once.
    #[cold]
    pub(super) fn poll_out<C>(
        &mut self,
        cx: &mut Context<'_>,
        mut failed: Option<C::Error>,
        idle: bool,
        act: fn(&mut C, &mut Context<'_>) -> Written<C::Error>,
    ) -> Poll<Result<(), DisconnectReason>>
    where
        S: Service<T, Response = C>,
        C: Channel<M>,
    {
        loop {
            match &mut self.phase {
                Phase::Connected(channel) => {
                    if failed.is_none() {
                        if self.lost.is_some() {
                            break;
                        }
                        match act(channel, cx) {
                            Poll::Ready(Err(error)) => failed = Some(error),
                            other => return other.map_err(DisconnectReason::error),
                        }
                    }
                    let Some(error) = failed.take() else {
                        continue;
                    };
                    let reason = DisconnectReason::error(error);
                    cx.waker().wake_by_ref();
                    if !self.comes_back() {
                        self.end(reason.clone(), false);
                        return Poll::Ready(Err(reason));
                    }
                    self.half_close(HalfClose::WriteFailed, reason);
                }
                Phase::HalfClosed(half, _) => {
                    let end = ready!(half.poll_write(cx));
                    self.half_closed(cx, end);
                }
                Phase::Last(channel, _) => {
                    let done = failed.map_or_else(|| act(channel, cx), |e| Poll::Ready(Err(e)));
                    return done.map_err(DisconnectReason::error);
                }
                Phase::AwaitingReady | Phase::Connecting(_) | Phase::Waiting(_) => {
                    if self.poll_connect(cx).is_ready() {
                        continue;
                    }
                    if idle && self.lost.is_none() {
                        return Poll::Ready(Ok(()));
                    }
                    break;
                }
                Phase::GivenUp(reason, _) => return Poll::Ready(Err(reason.clone())),
                Phase::Closed => return Poll::Ready(Err(DisconnectReason::Intentional)),
            }
        }
        if self.lost.is_some() {
            self.waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// All that the stream does besides passing on what a connection yields. `ended` is what
    /// the connection has just ended with.
    #[cold]
    pub(super) fn poll_in<C>(
        &mut self,
        cx: &mut Context<'_>,
        mut ended: Option<Option<C::Error>>,
    ) -> Poll<Option<Result<Inbound<C::In>, DisconnectReason>>>
    where
        S: Service<T, Response = C>,
        C: Channel<M>,
    {
        loop {
            match &mut self.phase {
                Phase::Connected(channel) => {
                    let end = match ended.take() {
                        Some(end) => end,
                        None => match Pin::new(channel).poll_next(cx) {
                            Poll::Ready(Some(Ok(inbound))) => {
                                self.prove(matches!(inbound, Inbound::Message(_)), cx);
                                return Poll::Ready(Some(Ok(inbound)));
                            }
                            Poll::Pending => {
                                self.prove(false, cx);
                                return Poll::Pending;
                            }
                            Poll::Ready(Some(Err(error))) => Some(error),
                            Poll::Ready(None) => None,
                        },
                    };
                    cx.waker().wake_by_ref();
                    match (end.map(DisconnectReason::error), self.comes_back()) {
                        (None, true) => {
                            self.half_close(HalfClose::ReadClosed, DisconnectReason::Closed);
                        }
                        (None, false) => self.end(DisconnectReason::Closed, true),
                        (Some(reason), true) => self.lose(reason),
                        (Some(reason), false) => self.release(reason),
                    }
                }
                Phase::HalfClosed(half, _) => match ready!(half.poll_next(cx)) {
                    Ok(inbound) => {
                        self.prove(matches!(inbound, Inbound::Message(_)), cx);
                        return Poll::Ready(Some(Ok(inbound)));
                    }
                    Err(end) => self.half_closed(cx, end),
                },
                Phase::Last(_, true) | Phase::GivenUp(_, true) | Phase::Closed => {
                    return Poll::Ready(None);
                }
                Phase::Last(channel, false) => {
                    let next = match ended {
                        Some(end) => Poll::Ready(end.map(Err)),
                        None => Pin::new(channel).poll_next(cx),
                    };
                    return next.map_err(DisconnectReason::error);
                }
                Phase::AwaitingReady | Phase::Connecting(_) | Phase::Waiting(_) => {
                    ready!(self.poll_connect(cx));
                }
                Phase::GivenUp(reason, reported) => {
                    *reported = true;
                    return Poll::Ready(Some(Err(reason.clone())));
                }
            }
        }
    }
}
