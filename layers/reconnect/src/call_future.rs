//! The future of a message.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use kyneta_uds_core::{BoxError, DisconnectReason};
use pin_project::pin_project;

use crate::error::NotConnected;

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
