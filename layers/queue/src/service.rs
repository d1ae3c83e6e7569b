//! Makes a channel, a handle to it, and spawns the task that drives it.
//!
//! In: a target. Out: a [`Handle`]. May touch: the maker below, tokio's spawn.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{BoxError, Channel, Message};
use tower_service::Service;

use crate::{config::QueueConfig, driver::queue, handle::Handle, handler_source::HandlerSource};

/// Makes handles out of channels. See [`QueueLayer`](crate::QueueLayer).
pub struct Queue<S, H, M> {
    inner: S,
    handler_source: HandlerSource<H, M>,
    config: QueueConfig,
    message: PhantomData<fn(M)>,
}

impl<S, H, M> Queue<S, H, M> {
    pub(crate) fn new(inner: S, handler_source: HandlerSource<H, M>, config: QueueConfig) -> Self {
        Self {
            inner,
            handler_source,
            config,
            message: PhantomData,
        }
    }

    /// The maker below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, H, M, T> Service<T> for Queue<S, H, M>
where
    S: Service<T, Response: Channel<M, In: Message, Future: Send> + Send + 'static>,
    H: Service<<S::Response as Channel<M>>::In, Response = (), Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    M: Message,
{
    type Response = Handle<M>;
    type Error = S::Error;
    type Future = QueueFuture<S::Future, H, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, target: T) -> Self::Future {
        QueueFuture {
            inner: self.inner.call(target),
            parts: Some((self.handler_source.clone(), self.config.clone())),
            message: PhantomData,
        }
    }
}

/// Waits for the channel, then spawns its driver. Must be polled inside a tokio runtime.
#[must_use = "futures do nothing unless they are awaited"]
#[pin_project::pin_project]
pub struct QueueFuture<F, H, M> {
    #[pin]
    inner: F,
    parts: Option<(HandlerSource<H, M>, QueueConfig)>,
    message: PhantomData<fn(M)>,
}

impl<F, C, E, H, M> Future for QueueFuture<F, H, M>
where
    F: Future<Output = Result<C, E>>,
    C: Channel<M, In: Message, Future: Send> + Send + 'static,
    H: Service<C::In, Response = (), Error: Into<BoxError>, Future: Send> + Send + 'static,
    M: Message,
{
    type Output = Result<Handle<M>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let channel = ready!(this.inner.poll(cx))?;
        let Some((handler_source, config)) = this.parts.take() else {
            return Poll::Pending;
        };
        let (handle, driver) = queue(config);
        tokio::spawn(driver.drive(channel, handler_source.of(&handle)));
        Poll::Ready(Ok(handle))
    }
}

impl<S: Clone, H: Clone, M> Clone for Queue<S, H, M> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.handler_source.clone(),
            self.config.clone(),
        )
    }
}

impl<S: fmt::Debug, H, M> fmt::Debug for Queue<S, H, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<F, H, M> fmt::Debug for QueueFuture<F, H, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueFuture").finish_non_exhaustive()
    }
}
