//! Whether a stream is cut, for both of its halves: two tasks may use them, and the end wakes both.
//!
//! In: a token. Out: ready once it is cancelled. Touches nothing.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

#[derive(Debug)]
pub(crate) struct Cut {
    read: Pin<Box<WaitForCancellationFutureOwned>>,
    write: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Cut {
    pub(crate) fn new(token: &CancellationToken) -> Self {
        let half = || Box::pin(token.clone().cancelled_owned());
        let (read, write) = (half(), half());
        Self { read, write }
    }

    /// Of the half that reads.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.read.as_mut().poll(cx)
    }

    /// Of the half that writes.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.write.as_mut().poll(cx)
    }
}
