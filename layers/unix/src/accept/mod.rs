//! Accepting that survives all errors, after axum and hyper-util.
//!
//! In: a listening socket, and the former sockets of its path. Out: accepted streams; on closing, pending
//! connections are closed in order. May touch: the sockets, tokio's clock.

pub(crate) mod admission;
mod outage;
mod rate;

use std::{
    future::poll_fn,
    io::{self, Read as _},
    net::Shutdown,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
    os::unix::net::{UnixListener as ForeignListener, UnixStream as ForeignStream},
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::RateLimit;
use tokio::{
    net::{UnixListener, UnixStream},
    time::{Instant, sleep},
};

use self::outage::Outage;
use crate::{bind::BACKLOG, fs::raised};

/// Pause when the system is out of a resource, such as file descriptors.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Log lines a minute about outages.
const LOG_LINES: u32 = 10;

/// Pending connections closed at most; more than any backlog holds.
const MAX_PENDING: usize = 65_536;

/// A listening socket, and former ones, which no process can connect to but which still have pending
/// connections.
#[derive(Debug)]
pub(crate) struct ListeningSockets {
    current: UnixListener,
    former: Vec<ForeignListener>,
    outage: Outage,
    /// Limits the log: where one descriptor at a time is freed, an outage begins and ends ten times a second.
    log: RateLimit,
}

impl From<UnixListener> for ListeningSockets {
    fn from(current: UnixListener) -> Self {
        Self {
            current,
            former: Vec::new(),
            outage: Outage::default(),
            log: RateLimit::new(LOG_LINES),
        }
    }
}

impl ListeningSockets {
    /// Continues with another socket. Pending connections at the former one are accepted first.
    pub(crate) fn replace(&mut self, next: UnixListener) {
        match std::mem::replace(&mut self.current, next).into_std() {
            Ok(former) => self.former.push(former),
            Err(error) => {
                tracing::error!(%error, "the pending connections of the former socket are lost");
            }
        }
    }

    /// Goes on with the sockets of another process.
    pub(crate) fn resume(current: UnixListener, former: Vec<ForeignListener>) -> Self {
        Self {
            former,
            ..Self::from(current)
        }
    }

    /// Copies of all, the current one first.
    pub(crate) fn copies(&self) -> io::Result<Vec<OwnedFd>> {
        let former = self.former.iter().map(|former| former.as_fd());
        let all = [self.current.as_fd()].into_iter().chain(former);
        all.map(|socket| socket.try_clone_to_owned()).collect()
    }

    pub(crate) fn listen_again(&self) -> io::Result<()> {
        Ok(rustix::net::listen(&self.current, BACKLOG as i32)?)
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.current.as_raw_fd()
    }

    /// Moves to a descriptor above this one, if possible.
    pub(crate) fn raise_above(&mut self, below: RawFd) {
        let raised = raised(&self.current, below).map(ForeignListener::from);
        if let Some(Ok(raised)) = raised.map(UnixListener::from_std) {
            self.current = raised;
        }
    }

    /// The next stream.
    pub(crate) async fn accept(&mut self) -> UnixStream {
        loop {
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Ok(stream) => return stream,
                Err(error) if concerns_one(&error) => {}
                Err(error) => {
                    let now = Instant::now();
                    if self.outage.failed(now) && self.log.take(now.into_std()).is_some() {
                        tracing::error!(
                            %error,
                            "connections cannot be accepted; retrying every {RETRY_INTERVAL:?}"
                        );
                    }
                    sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
        let polled = match self.accept_former() {
            Some(accepted) => Poll::Ready(accepted),
            None => self.current.poll_accept(cx).map_ok(|(stream, _)| stream),
        };
        // A socket without pending connections works as well.
        let fails = matches!(&polled, Poll::Ready(Err(error)) if !concerns_one(error));
        if !fails
            && let Some(lasted) = self.outage.worked(Instant::now)
            && self.log.take(Instant::now().into_std()).is_some()
        {
            tracing::warn!(?lasted, "connections are accepted again");
        }
        polled
    }

    /// `None` when no former socket has a pending connection; they are closed then.
    fn accept_former(&mut self) -> Option<io::Result<UnixStream>> {
        while let Some(former) = self.former.first() {
            match former.accept() {
                Ok((stream, _)) => {
                    let stream = stream.set_nonblocking(true).map(|()| stream);
                    return Some(stream.and_then(UnixStream::from_std));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.former.remove(0);
                }
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }

    /// Closes pending connections in order: otherwise closing the listener resets them, and the reference
    /// crashes on a reset.
    pub(crate) fn close(self) {
        // Not by tokio, which may not know of all pending connections yet.
        let current = self.current.into_std().ok();
        let sockets = self.former.into_iter().chain(current);
        sockets.for_each(close_pending);
    }
}

/// True when the error concerns one connection, which is gone; the next can be accepted at once.
fn concerns_one(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
    )
}

fn close_pending(socket: ForeignListener) {
    for _ in 0..MAX_PENDING {
        match socket.accept() {
            Ok((stream, _)) => close(stream),
            Err(error) if concerns_one(&error) => {}
            Err(_) => return,
        }
    }
}

/// Closes an accepted connection without a reset.
pub(crate) fn close_orderly(stream: UnixStream) {
    // After an error it is closed all the same.
    if let Ok(stream) = stream.into_std() {
        close(stream);
    }
}

/// Reads and discards what has arrived: closing a socket with unread bytes resets the other end. Shut down
/// first, so that no more can arrive and reading does not wait.
fn close(mut stream: ForeignStream) {
    let mut unread = [0; 4096];
    if stream.shutdown(Shutdown::Both).is_ok() {
        while matches!(stream.read(&mut unread), Ok(1..)) {}
    }
}
