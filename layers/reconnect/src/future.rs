//! The future of a channel, ready at once when it connects.

use std::{
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{
    TryFutureExt as _,
    future::{Either, MapOk},
};
use pin_project::pin_project;
use tower_service::Service;

use crate::channel::Reconnecting;

/// Resolves to a channel: at once to one that connects, to an accepted one when the make service below has
/// made it.
#[must_use = "futures do nothing unless they are awaited"]
#[pin_project]
pub struct ReconnectFuture<S: Service<T>, T, P, M> {
    #[pin]
    inner: Inner<S, T, P, M>,
}

type Inner<S, T, P, M> = Either<
    MapOk<<S as Service<T>>::Future, fn(<S as Service<T>>::Response) -> Reconnecting<S, T, P, M>>,
    Ready<Result<Reconnecting<S, T, P, M>, <S as Service<T>>::Error>>,
>;

impl<S: Service<T>, T, P, M> ReconnectFuture<S, T, P, M> {
    pub(crate) fn passing(accepted: S::Future) -> Self {
        Self {
            inner: Either::Left(accepted.map_ok(Reconnecting::passed)),
        }
    }

    pub(crate) fn made(channel: Reconnecting<S, T, P, M>) -> Self {
        Self {
            inner: Either::Right(ready(Ok(channel))),
        }
    }
}

impl<S: Service<T>, T, P, M> Future for ReconnectFuture<S, T, P, M> {
    type Output = Result<Reconnecting<S, T, P, M>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}

impl<S: Service<T>, T, P, M> fmt::Debug for ReconnectFuture<S, T, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectFuture").finish_non_exhaustive()
    }
}
