//! The future of a message.
//!
//! In: a call on the channel. Out: when it is encoded or queued. Touches nothing.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use kyneta_uds_core::BoxError;
use pin_project::pin_project;

/// What becomes of a call on a [`Negotiated`] channel.
#[pin_project(project = CallFutureState)]
#[derive(Debug)]
pub enum CallFuture<F> {
    /// The connection's own.
    Below(#[pin] F),
    /// It is in the queues of all who were there.
    Done,
    /// There was no `poll_ready`.
    Unready,
}

impl<F, E> Future for CallFuture<F>
where
    F: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    type Output = Result<(), BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            CallFutureState::Below(below) => below.poll(cx).map_err(Into::into),
            CallFutureState::Done => Poll::Ready(Ok(())),
            CallFutureState::Unready => Poll::Ready(Err("called while nobody is connected".into())),
        }
    }
}
