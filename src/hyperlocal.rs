//! A stack's bottom on hyperlocal's connector, for programs that already have one.
//!
//! In: a [`UnixTarget`]. Out: hyperlocal's stream, or the accepted one. hyperlocal hides the socket,
//! so a connection made here knows no credentials.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper_util::rt::TokioIo;
use hyperlocal::{UnixStream as HyperlocalStream, Uri};
use kyneta_uds_core::Target;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};
use tokio_util::either::Either;
use tower_service::Service;

use kyneta_uds_unix::{ConnectError, UnixTarget, no_symlink};

/// Connects through [`hyperlocal::UnixConnector`]. Pathnames only: abstract names have no URI.
///
/// ```
/// use kyneta_uds::{CborLayer, FramingLayer, HyperlocalConnector, SocketPath};
/// use tower::{ServiceBuilder, ServiceExt as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("a.sock");
/// # let listener = tokio::net::UnixListener::bind(&path)?;
/// let stack = ServiceBuilder::new()
///     .layer(CborLayer::new())
///     .layer(FramingLayer::new())
///     .service(HyperlocalConnector::new());
/// let channel = stack.oneshot(SocketPath::new(&path)?.into()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct HyperlocalConnector {
    inner: hyperlocal::UnixConnector,
}

impl HyperlocalConnector {
    /// A connector without settings.
    pub fn new() -> Self {
        Self::default()
    }
}

/// hyperlocal's stream, or an accepted one. A type of our own, so that another version of hyperlocal
/// asks for none of ours.
#[derive(Debug)]
pub struct HyperlocalIo(Either<TokioIo<HyperlocalStream>, UnixStream>);

impl Service<UnixTarget> for HyperlocalConnector {
    type Response = HyperlocalIo;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<HyperlocalIo, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        // hyperlocal's is always ready.
        Poll::Ready(Ok(()))
    }

    // Boxed: once a connection.
    fn call(&mut self, target: UnixTarget) -> Self::Future {
        let mut inner = self.inner;
        Box::pin(async move {
            let path = match target {
                Target::Accepted(stream) => return Ok(HyperlocalIo(Either::Right(stream))),
                Target::Connect(path) => no_symlink(path)?,
            };
            let Some(pathname) = path.as_pathname() else {
                let source = io::Error::new(
                    io::ErrorKind::Unsupported,
                    "hyperlocal cannot name an abstract socket",
                );
                return Err(ConnectError::Io { path, source });
            };
            let uri: hyper::Uri = Uri::new(pathname, "/").into();
            match inner.call(uri).await {
                Ok(stream) => Ok(HyperlocalIo(Either::Left(TokioIo::new(stream)))),
                Err(error) => Err(ConnectError::new(path, error)),
            }
        })
    }
}

impl AsyncRead for HyperlocalIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for HyperlocalIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
