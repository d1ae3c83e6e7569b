//! The future of [`Framing`](crate::Framing): wraps the response of the inner future.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;

use crate::{config::FramingConfig, stream::ByteStream, transport::FrameTransport};

/// Resolves to a [`FrameTransport`]. Dropping it drops the inner service's future.
///
/// ```
/// use kyneta_uds_framing::FramingLayer;
/// use tower::{Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::io::Error> {
/// let mut framing = FramingLayer::new()
///     .layer(service_fn(|size| async move { Ok::<_, std::io::Error>(tokio::io::duplex(size).0) }));
/// let transport = framing.call(64).await?;
/// # let _ = transport;
/// # Ok(())
/// # }
/// ```
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct FramingFuture<F> {
    #[pin]
    inner: F,
    config: FramingConfig,
}

impl<F> FramingFuture<F> {
    pub(crate) const fn new(inner: F, config: FramingConfig) -> Self {
        Self { inner, config }
    }
}

impl<F, Io, E> Future for FramingFuture<F>
where
    F: Future<Output = Result<Io, E>>,
    Io: ByteStream,
{
    type Output = Result<FrameTransport<Io>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let io = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(FrameTransport::new(io, this.config.clone())))
    }
}
