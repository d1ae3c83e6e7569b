//! The futures: of a channel, ready at once when it connects; and of a message.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{BoxError, DisconnectReason};
use pin_project::pin_project;
use tower_service::Service;

use crate::{channel::Reconnecting, error::NotConnected};

/// Resolves to a channel: at once to one that connects, to an accepted one when the make service below has
/// made it.
#[must_use = "futures do nothing unless they are awaited"]
#[pin_project]
pub struct ReconnectFuture<S: Service<T>, T, P, M> {
    #[pin]
    state: State<S::Future, Reconnecting<S, T, P, M>>,
}

#[pin_project(project = StateProj)]
enum State<F, C> {
    Passing(#[pin] F),
    Made(Option<C>),
}

impl<S: Service<T>, T, P, M> ReconnectFuture<S, T, P, M> {
    pub(crate) const fn passing(accepted: S::Future) -> Self {
        Self {
            state: State::Passing(accepted),
        }
    }

    pub(crate) const fn made(channel: Reconnecting<S, T, P, M>) -> Self {
        Self {
            state: State::Made(Some(channel)),
        }
    }
}

impl<S: Service<T>, T, P, M> Future for ReconnectFuture<S, T, P, M> {
    type Output = Result<Reconnecting<S, T, P, M>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Passing(accepted) => {
                let channel = ready!(accepted.poll(cx))?;
                Poll::Ready(Ok(Reconnecting::passed(channel)))
            }
            StateProj::Made(channel) => match channel.take() {
                Some(channel) => Poll::Ready(Ok(channel)),
                // Polled again after it was ready.
                None => Poll::Pending,
            },
        }
    }
}

impl<S: Service<T>, T, P, M> fmt::Debug for ReconnectFuture<S, T, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectFuture").finish_non_exhaustive()
    }
}

/// The future of a message, as of the channel below. Without a connection it fails.
#[must_use = "futures do nothing unless they are awaited"]
#[pin_project]
pub struct CallFuture<F> {
    /// Absent when there was no connection.
    #[pin]
    inner: Option<F>,
}

impl<F> CallFuture<F> {
    pub(crate) const fn new(inner: Option<F>) -> Self {
        Self { inner }
    }
}

impl<F, E> Future for CallFuture<F>
where
    F: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    type Output = Result<(), DisconnectReason>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => inner.poll(cx).map_err(DisconnectReason::error),
            None => Poll::Ready(Err(DisconnectReason::error(NotConnected(())))),
        }
    }
}

impl<F> fmt::Debug for CallFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture").finish_non_exhaustive()
    }
}
