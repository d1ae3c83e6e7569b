//! The byte stream of a session, whose end loses nothing that was written.
//!
//! In: a session. Out: bytes. May touch: the session.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use kyneta_uds_machines::MachineName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::session::Session;

/// The byte stream of two machines. When it is dropped, the server still gets all that was written, for a second at most.
/// What is written is on its way at once; shutting it down waits until the server has stored all.
pub struct NatsStream {
    session: Arc<Session>,
    to: MachineName,
}

impl NatsStream {
    pub(crate) fn new(session: Arc<Session>, to: MachineName) -> Self {
        Self { session, to }
    }
}

impl AsyncRead for NatsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.session.poll_read(cx, buf)
    }
}

impl AsyncWrite for NatsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.session.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_finish(cx)
    }
}

impl Drop for NatsStream {
    fn drop(&mut self) {
        self.session.dropped();
    }
}

impl fmt::Debug for NatsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsStream")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}
