//! One stream of a connection, as a byte stream. Dropping it loses nothing that was written.
//!
//! In: iroh's stream. Out: bytes. May touch: a task of tokio's after its end.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use iroh::endpoint::{Connection, PathId, RecvStream, SendStream, VarInt};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime,
    time::timeout,
};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long a stream that was dropped may take until the other side has what was written.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// The byte stream of a connection. When it is dropped, the connection is closed as soon as the other side has all
/// that was written, at the latest after a second.
pub struct IrohStream {
    /// Until it is dropped.
    send: Option<SendStream>,
    recv: RecvStream,
    connection: Connection,
    /// Until the connection is closed.
    open: TaskTrackerToken,
}

impl IrohStream {
    pub(crate) fn new(
        connection: Connection,
        (send, recv): (SendStream, RecvStream),
        open: TaskTrackerToken,
    ) -> Self {
        let send = Some(send);
        Self {
            send,
            recv,
            connection,
            open,
        }
    }

    /// Looks at the round trip of the connection, as QUIC estimates it from its acknowledgements; `None` when the
    /// connection has ended. It does not keep the connection open. As for
    /// [`Links::round_trip`](kyneta_uds_machines::Links::round_trip):
    ///
    /// ```
    /// use kyneta_uds_iroh::{IrohEngine, IrohStream};
    /// use kyneta_uds_machines::{LinksBuilder, Links, SameKey};
    /// # use std::net::SocketAddr;
    ///
    /// fn start(links: LinksBuilder<SocketAddr>, engine: &IrohEngine) -> Result<Links<IrohStream>, SameKey> {
    ///     Ok(links.start(engine.connector(), engine.acceptor())?.round_trip(IrohStream::round_trip))
    /// }
    /// ```
    pub fn round_trip(&self) -> impl Fn() -> Option<Duration> + Send + Sync + use<> {
        let connection = self.connection.weak_handle();
        move || connection.upgrade()?.rtt(PathId::ZERO)
    }

    /// What the connection says of its end says more than what the stream says. The kind is as
    /// [`Accept::Io`](kyneta_uds_machines::Accept::Io) has it.
    fn lost<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        done.map_err(|error| match self.connection.close_reason() {
            Some(reason) => io::Error::from(reason),
            None => error,
        })
    }

    fn send(&mut self) -> io::Result<Pin<&mut SendStream>> {
        let send = self.send.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Pin::new(send))
    }
}

impl AsyncRead for IrohStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = AsyncRead::poll_read(Pin::new(&mut self.recv), cx, buf);
        self.lost(read)
    }
}

impl AsyncWrite for IrohStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = AsyncWrite::poll_write(self.send()?, cx, bytes);
        self.lost(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = AsyncWrite::poll_flush(self.send()?, cx);
        self.lost(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(self.send()?, cx)
    }
}

impl Drop for IrohStream {
    fn drop(&mut self) {
        let Some(mut send) = self.send.take() else {
            return;
        };
        let (connection, open) = (self.connection.clone(), self.open.clone());
        let done = VarInt::from_u32(0);
        match runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                // It is an error if it was shut down before: then there is only the wait.
                let _ = send.finish();
                let _ = timeout(LINGER, send.stopped()).await;
                connection.close(done, b"done");
                drop(open);
            })),
            Err(_) => connection.close(done, b"dropped"),
        }
    }
}

impl fmt::Debug for IrohStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrohStream")
            .field("to", &self.connection.remote_id())
            .finish_non_exhaustive()
    }
}
