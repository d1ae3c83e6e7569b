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

/// Ready when a message is encoded or queued. See [`Negotiated`](crate::Negotiated).
#[pin_project(project = CallFutureState)]
#[derive(Debug)]
pub enum CallFuture<F> {
    /// The future of the connection's channel.
    Below(#[pin] F),
    /// The message is in the queues of all members.
    Done,
    /// It was called before `poll_ready` was ready.
    NotReady,
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
            CallFutureState::NotReady => {
                Poll::Ready(Err("called while there is no connection".into()))
            }
        }
    }
}
