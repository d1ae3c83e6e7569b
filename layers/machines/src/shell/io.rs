//! The byte stream of a link, which ends when a newer link takes its place.
//!
//! In: the engine's stream. Out: the same bytes; a word when it is dropped. May touch: that stream.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use pin_project::{pin_project, pinned_drop};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::{cut::Cut, link::DownReason};

/// The bytes of a link. After the link has been replaced every read and write fails: what the other side still sends on
/// it is not read.
#[pin_project(PinnedDrop)]
pub struct LinkIo<Io> {
    #[pin]
    io: Io,
    cut: Cut,
    end: EndWatch,
    ended: Option<Box<dyn FnOnce(DownReason) + Send>>,
}

/// Why the stream of a link has ended, seen from outside. Cloneable; it stays after the stream was dropped.
#[derive(Debug, Clone)]
pub struct EndWatch {
    seen: Arc<Seen>,
    cut: CancellationToken,
}

/// What reads and writes have met, the first end of each. That of reads counts: a machine that ends in good order takes no
/// more, so writes may fail before what it has said is read to the end.
#[derive(Debug, Default)]
struct Seen {
    read: OnceLock<DownReason>,
    written: OnceLock<DownReason>,
}

impl EndWatch {
    /// Why the link is down, if its stream is not used any more: what its reads have met, or else its writes, or else that this
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
        match self.seen.read.get().or_else(|| self.seen.written.get()) {
            Some(seen) => Some(seen.clone()),
            None if self.cut.is_cancelled() => None,
            None => Some(DownReason::EndedHere(why.to_string())),
        }
    }

    /// A write, or a flush.
    fn written<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &done {
            self.seen.written.get_or_init(|| of_error(error));
        }
        done
    }

    /// A read; `is_end`: it has come to the end.
    fn read(&self, done: Poll<io::Result<()>>, is_end: bool) -> Poll<io::Result<()>> {
        match &done {
            Poll::Ready(Err(error)) => {
                self.seen.read.get_or_init(|| of_error(error));
            }
            Poll::Ready(Ok(())) if is_end => {
                self.seen.read.get_or_init(|| DownReason::Finished);
            }
            _ => {}
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
            cut: Cut::new(&cut),
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

fn alive(is_cut: Poll<()>) -> io::Result<()> {
    match is_cut {
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
        alive(this.cut.poll_read(cx))?;
        let (before, room) = (buf.filled().len(), buf.remaining());
        let done = this.io.poll_read(cx, buf);
        this.end
            .read(done, room > 0 && buf.filled().len() == before)
    }
}

impl<Io: AsyncWrite> AsyncWrite for LinkIo<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        alive(this.cut.poll_write(cx))?;
        this.end.written(this.io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        alive(this.cut.poll_write(cx))?;
        this.end.written(this.io.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        alive(this.cut.poll_write(cx))?;
        this.end.written(this.io.poll_flush(cx))
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_test::io::Builder;

    use super::*;

    #[tokio::test]
    async fn the_end_of_what_is_read_says_more_than_a_write_that_fails_before_it() {
        let stopped = io::Error::from(io::ErrorKind::ConnectionReset);
        let io = Builder::new().write_error(stopped).build();
        let mut link = LinkIo::new(io, CancellationToken::new(), |_| {});
        let end = link.end();
        link.write_all(b"more").await.unwrap_err();
        assert!(matches!(end.reason("unused"), Some(DownReason::Closed(_))));
        assert_eq!(link.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(end.reason("unused"), Some(DownReason::Finished));
    }
}
