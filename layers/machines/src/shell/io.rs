//! The byte stream of a link, which ends when a newer link takes its place.
//!
//! In: the engine's stream. Out: the same bytes; a word when it is dropped. May touch: that stream.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use pin_project::{pin_project, pinned_drop};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::link::DownReason;

/// The bytes of a link. After the link has been replaced every read and write fails: what the other side still sends on
/// it is not read.
#[pin_project(PinnedDrop)]
pub struct LinkIo<Io> {
    #[pin]
    io: Io,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    end: EndWatch,
    ended: Option<Box<dyn FnOnce(DownReason) + Send>>,
}

/// Why the stream of a link has ended, seen from outside. Cloneable; it stays after the stream was dropped.
#[derive(Debug, Clone)]
pub struct EndWatch {
    seen: Arc<OnceLock<DownReason>>,
    cut: CancellationToken,
}

impl EndWatch {
    /// Why the link is down, if its stream is not used any more: what its reads and writes have met, or else that this
    /// machine has ended it, with `why`. `None` if it was replaced or [knocked](DownReason::Knocked) away: then an event
    /// of the links says so.
    ///
    /// ```
    /// use kyneta_uds_machines::{DownReason, LinkIo};
    /// use tokio::io::{AsyncRead, AsyncReadExt as _};
    ///
    /// async fn count<Io: AsyncRead + Unpin>(mut link: LinkIo<Io>) -> (u64, Option<DownReason>) {
    ///     let end = link.end();
    ///     let mut bytes = 0;
    ///     while bytes < 1_000_000 && link.read_u8().await.is_ok() {
    ///         bytes += 1;
    ///     }
    ///     drop(link);
    ///     (bytes, end.reason("it has sent enough"))
    /// }
    /// ```
    pub fn reason(&self, why: impl fmt::Display) -> Option<DownReason> {
        match self.seen.get() {
            Some(seen) => Some(seen.clone()),
            None if self.cut.is_cancelled() => None,
            None => Some(DownReason::EndedHere(why.to_string())),
        }
    }

    /// The first end counts: what comes after it follows from it.
    fn met(&self, reason: impl FnOnce() -> DownReason) {
        self.seen.get_or_init(reason);
    }

    fn failed<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &done {
            self.met(|| of_error(error));
        }
        done
    }
}

/// As [`Accept::Io`](crate::Accept::Io) says.
fn of_error(error: &io::Error) -> DownReason {
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::TimedOut => DownReason::IdleTimeout(text),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            DownReason::Closed(text)
        }
        _ => DownReason::Failed(text),
    }
}

impl<Io> LinkIo<Io> {
    pub(super) fn new(
        io: Io,
        cut: CancellationToken,
        ended: impl FnOnce(DownReason) + Send + 'static,
    ) -> Self {
        let seen = Arc::default();
        Self {
            io,
            cut: Box::pin(cut.clone().cancelled_owned()),
            end: EndWatch { seen, cut },
            ended: Some(Box::new(ended)),
        }
    }

    /// Sees why it ends.
    pub fn end(&self) -> EndWatch {
        self.end.clone()
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
        let (before, room) = (buf.filled().len(), buf.remaining());
        let read = this.end.failed(this.io.poll_read(cx, buf));
        if matches!(read, Poll::Ready(Ok(()))) && room > 0 && buf.filled().len() == before {
            this.end.met(|| DownReason::Finished);
        }
        read
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
        this.end.failed(this.io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        alive(this.cut, cx)?;
        this.end.failed(this.io.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        alive(this.cut, cx)?;
        this.end.failed(this.io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }
}

#[pinned_drop]
impl<Io> PinnedDrop for LinkIo<Io> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if let Some(ended) = this.ended.take() {
            let reason = this.end.reason("its stream was dropped");
            // Of a link that was cut the end is known already.
            ended(reason.unwrap_or(DownReason::Replaced));
        }
    }
}

impl<Io> fmt::Debug for LinkIo<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkIo").finish_non_exhaustive()
    }
}
