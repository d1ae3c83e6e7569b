//! The future of one connection: in, a frame transport; out, a channel over it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use crate::channel::CborChannel;

/// Resolves to a channel. Dropping it abandons the connection attempt.
#[must_use = "futures do nothing unless they are awaited"]
#[pin_project::pin_project]
pub struct CborFuture<Fut, C> {
    #[pin]
    frames: Fut,
    /// Taken when the channel is made.
    codec: Option<C>,
}

impl<Fut, C> CborFuture<Fut, C> {
    pub(crate) const fn new(frames: Fut, codec: C) -> Self {
        Self {
            frames,
            codec: Some(codec),
        }
    }
}

impl<Fut, F, E, C> Future for CborFuture<Fut, C>
where
    Fut: Future<Output = Result<F, E>>,
{
    type Output = Result<CborChannel<F, C>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let frames = ready!(this.frames.poll(cx))?;
        match this.codec.take() {
            Some(codec) => Poll::Ready(Ok(CborChannel::new(frames, codec))),
            // Polled again after completion, where any answer is allowed.
            None => Poll::Pending,
        }
    }
}

impl<Fut, C> fmt::Debug for CborFuture<Fut, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CborFuture").finish_non_exhaustive()
    }
}
