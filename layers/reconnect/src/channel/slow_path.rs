//! What the polls do besides passing on what a connection that lives has to say.
//!
//! In: a poll, and what the connection has just answered to it. Out: its answer. May touch: the
//! channel below.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{BoxError, Channel, DisconnectReason, Inbound, Redial};
use tower_service::Service;

use super::{Parting, Phase, Reconnecting, Way};
use crate::policy::Recover;

/// What `poll_ready` and `poll_flush` say.
type Written<E> = Poll<Result<(), E>>;

impl<S, T, P> Reconnecting<S, T, P>
where
    S: Service<T, Error: Into<BoxError>>,
    P: Recover,
    T: Redial,
{
    /// Sees to the other direction of a connection that has ended in one. Ready when it is gone.
    fn poll_part<M, C>(&mut self, cx: &mut Context<'_>) -> Poll<()>
    where
        S: Service<T, Response = C>,
        C: Channel<M>,
    {
        let Phase::Parting(channel, Parting { way, deadline }) = &mut self.phase else {
            return Poll::Ready(());
        };
        let late = deadline.as_mut().poll(cx).is_ready();
        match way {
            Way::Flush => match channel.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.release(DisconnectReason::Closed),
                Poll::Pending if !late => return Poll::Pending,
                Poll::Ready(Err(_)) | Poll::Pending => self.lose(DisconnectReason::Closed),
            },
            Way::Read(_) if !late => return Poll::Pending,
            Way::Read(reason) => {
                let reason = reason.clone();
                self.lose(reason);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Ready(())
    }

    /// Does `act` on the connection, as soon as there is one and no loss is untold. Without any,
    /// `idle` says whether there is nothing to do.
    #[cold]
    pub(super) fn poll_out<M, C>(
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
                Phase::Up(channel) => {
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
                    self.part(Way::Read(reason));
                }
                Phase::Parting(..) => ready!(self.poll_part(cx)),
                Phase::Last(channel, _) => {
                    let done = failed.map_or_else(|| act(channel, cx), |e| Poll::Ready(Err(e)));
                    return done.map_err(DisconnectReason::error);
                }
                Phase::Readying | Phase::Connecting(_) | Phase::Waiting(_) => {
                    if self.poll_connect(cx).is_ready() {
                        continue;
                    }
                    if idle && self.lost.is_none() {
                        return Poll::Ready(Ok(()));
                    }
                    break;
                }
                Phase::Over(reason, _) => return Poll::Ready(Err(reason.clone())),
                Phase::Closed => return Poll::Ready(Err(DisconnectReason::Intentional)),
            }
        }
        if self.lost.is_some() {
            self.waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// All that the stream has to do besides passing on what a connection yields. `ended` is what
    /// the connection has ended with, just now.
    #[cold]
    pub(super) fn poll_in<M, C>(
        &mut self,
        cx: &mut Context<'_>,
        mut ended: Option<Option<C::Error>>,
    ) -> Poll<Option<Result<Inbound<M>, DisconnectReason>>>
    where
        S: Service<T, Response = C>,
        C: Channel<M>,
    {
        loop {
            match &mut self.phase {
                Phase::Up(channel) => {
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
                        (None, true) => self.part(Way::Flush),
                        (None, false) => self.end(DisconnectReason::Closed, true),
                        (Some(reason), true) => self.lose(reason),
                        (Some(reason), false) => self.release(reason),
                    }
                }
                Phase::Parting(channel, parting) => {
                    if let Way::Read(reason) = &parting.way {
                        let reason = match Pin::new(channel).poll_next(cx) {
                            Poll::Ready(Some(Ok(inbound))) => {
                                self.prove(matches!(inbound, Inbound::Message(_)), cx);
                                return Poll::Ready(Some(Ok(inbound)));
                            }
                            Poll::Pending => None,
                            Poll::Ready(Some(Err(_))) => Some(reason.clone()),
                            // It had left in good order, which is why writing failed.
                            Poll::Ready(None) => Some(DisconnectReason::Closed),
                        };
                        if let Some(reason) = reason {
                            cx.waker().wake_by_ref();
                            self.lose(reason);
                            continue;
                        }
                    }
                    ready!(self.poll_part(cx));
                }
                Phase::Last(_, true) | Phase::Over(_, true) | Phase::Closed => {
                    return Poll::Ready(None);
                }
                Phase::Last(channel, false) => {
                    let next = match ended {
                        Some(end) => Poll::Ready(end.map(Err)),
                        None => Pin::new(channel).poll_next(cx),
                    };
                    return next.map_err(DisconnectReason::error);
                }
                Phase::Readying | Phase::Connecting(_) | Phase::Waiting(_) => {
                    ready!(self.poll_connect(cx));
                }
                Phase::Over(reason, told) => {
                    *told = true;
                    return Poll::Ready(Some(Err(reason.clone())));
                }
            }
        }
    }
}
