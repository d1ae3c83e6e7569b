//! The byte stream of a link, which ends when a newer link takes its place.
//!
//! In: the engine's stream. Out: the same bytes; a word when it is dropped. May touch: that stream.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::{pin_project, pinned_drop};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The bytes of a link. After the link has been replaced every read and write fails: what the other side still sends on
/// it is not read.
#[pin_project(PinnedDrop)]
pub struct LinkIo<Io> {
    #[pin]
    io: Io,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: Option<Box<dyn FnOnce() + Send>>,
}

impl<Io> LinkIo<Io> {
    pub(super) fn new(
        io: Io,
        cut: CancellationToken,
        ended: impl FnOnce() + Send + 'static,
    ) -> Self {
        Self {
            io,
            cut: Box::pin(cut.cancelled_owned()),
            ended: Some(Box::new(ended)),
        }
    }

    /// The engine's stream.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }
}

fn alive(
    cut: &mut Pin<Box<WaitForCancellationFutureOwned>>,
    cx: &mut Context<'_>,
) -> io::Result<()> {
    match cut.as_mut().poll(cx) {
        Poll::Ready(()) => Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "another link takes the place of this one",
        )),
        Poll::Pending => Ok(()),
    }
}

impl<Io: AsyncRead> AsyncRead for LinkIo<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        alive(this.cut, cx)?;
        this.io.poll_read(cx, buf)
    }
}

impl<Io: AsyncWrite> AsyncWrite for LinkIo<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        alive(this.cut, cx)?;
        this.io.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        alive(this.cut, cx)?;
        this.io.poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        alive(this.cut, cx)?;
        this.io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }
}

#[pinned_drop]
impl<Io> PinnedDrop for LinkIo<Io> {
    fn drop(self: Pin<&mut Self>) {
        if let Some(ended) = self.project().ended.take() {
            ended();
        }
    }
}

impl<Io> fmt::Debug for LinkIo<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkIo").finish_non_exhaustive()
    }
}
