//! One message for the user's handler, until the handler has done with it.
//!
//! In: the handler, a message. Out: why it failed, if it did. May touch: the user's handler. It is written by hand because
//! the message is moved once so, and most handlers are ready at once.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{BoxError, SharedError};
use pin_project::pin_project;
use tower_service::Service;

use super::incoming::BusIncoming;

/// Ready when the handler has handled the message, has failed or has panicked.
#[pin_project]
pub(super) struct HandOver<'a, M, H: Service<BusIncoming<M>>> {
    handler: &'a mut H,
    incoming: Option<BusIncoming<M>>,
    #[pin]
    running: Option<H::Future>,
}

impl<'a, M, H: Service<BusIncoming<M>>> HandOver<'a, M, H> {
    #[inline]
    pub(super) const fn new(handler: &'a mut H, incoming: BusIncoming<M>) -> Self {
        Self {
            handler,
            incoming: Some(incoming),
            running: None,
        }
    }
}

impl<M, H> HandOver<'_, M, H>
where
    H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>>,
{
    fn poll_handler(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), H::Error>> {
        let mut this = self.project();
        if this.running.is_none() {
            ready!(this.handler.poll_ready(cx))?;
            let Some(incoming) = this.incoming.take() else {
                return Poll::Ready(Ok(()));
            };
            this.running.set(Some(this.handler.call(incoming)));
        }
        match this.running.as_pin_mut() {
            Some(running) => running.poll(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<M, H> Future for HandOver<'_, M, H>
where
    H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>>,
{
    type Output = Result<(), SharedError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.poll_handler(cx))) {
            Ok(polled) => polled.map_err(SharedError::new),
            Err(panic) => Poll::Ready(Err(panicked("the handler", &*panic))),
        }
    }
}

/// Code of the user's panicked.
#[cold]
pub(super) fn panicked(what: &str, panic: &(dyn Any + Send)) -> SharedError {
    SharedError::new(kyneta_uds_core::panicked(what, panic))
}
