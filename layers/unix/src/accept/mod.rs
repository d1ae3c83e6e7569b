//! Accepting that never dies, after axum and hyper-util.
//!
//! In: a listening socket, and those that stood at the path before it. Out: accepted streams; at the
//! end, those who still wait are turned away in order. May touch: the sockets, tokio's clock.

use std::{
    future::poll_fn,
    io::{self, Read as _},
    net::Shutdown,
    os::fd::{AsRawFd as _, RawFd},
    os::unix::net::{UnixListener as ForeignListener, UnixStream as ForeignStream},
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::RateLimit;
pub(crate) mod admission;
mod outage;
mod rate;

use tokio::{
    net::{UnixListener, UnixStream},
    time::{Instant, sleep},
};

use self::outage::Outage;
use crate::fs::raised;

/// How long to wait when the system is out of something: long enough for a connection to end.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(100);

/// Log lines a minute of outages.
const LINES: u32 = 10;

/// How many at most are turned away at the end; more than any backlog holds.
const MOST_WAITING: usize = 65_536;

/// A listening socket, and those that nobody can connect to any more, though some still wait there.
#[derive(Debug)]
pub(crate) struct Sockets {
    current: UnixListener,
    former: Vec<ForeignListener>,
    outage: Outage,
    /// Of outages: where one descriptor at a time is freed they begin and end ten times a second.
    lines: RateLimit,
}

impl From<UnixListener> for Sockets {
    fn from(current: UnixListener) -> Self {
        Self {
            current,
            former: Vec::new(),
            outage: Outage::default(),
            lines: RateLimit::new(LINES),
        }
    }
}

impl Sockets {
    /// Goes on with another socket. Those who wait at the one before are accepted first.
    pub(crate) fn replace(&mut self, next: UnixListener) {
        match std::mem::replace(&mut self.current, next).into_std() {
            Ok(former) => self.former.push(former),
            Err(error) => tracing::error!(%error, "those who waited at the old socket are lost"),
        }
    }

    /// The number of its descriptor.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.current.as_raw_fd()
    }

    /// Goes on with a descriptor above this one, if it can be had.
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
                Err(error) if is_about_one(&error) => {}
                Err(error) => {
                    let now = Instant::now();
                    if self.outage.failed(now) && self.lines.take(now.into_std()).is_some() {
                        tracing::error!(
                            %error,
                            "nobody can be accepted; tried again every {OUT_OF_RESOURCES:?}"
                        );
                    }
                    sleep(OUT_OF_RESOURCES).await;
                }
            }
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
        let polled = match self.accept_former() {
            Some(accepted) => Poll::Ready(accepted),
            None => self.current.poll_accept(cx).map_ok(|(stream, _)| stream),
        };
        // A socket at which nobody waits works as well.
        let works = match &polled {
            Poll::Ready(Err(error)) => is_about_one(error),
            Poll::Ready(Ok(_)) | Poll::Pending => true,
        };
        if works
            && let Some(lasted) = self.outage.worked(Instant::now)
            && self.lines.take(Instant::now().into_std()).is_some()
        {
            tracing::warn!(?lasted, "connections are accepted again");
        }
        polled
    }

    /// `None` when nobody waits at a former socket any more; they are closed then.
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

    /// Ends those who wait in order: without it, closing the listener resets them (the reference
    /// crashes of that).
    pub(crate) fn turn_away(self) {
        // Asked directly: what tokio has not been told of yet waits just as well.
        let current = self.current.into_std().ok();
        self.former.into_iter().chain(current).for_each(turn_away);
    }
}

/// Concerns one connection, which is gone; the next may be taken at once.
fn is_about_one(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
    )
}

fn turn_away(socket: ForeignListener) {
    for _ in 0..MOST_WAITING {
        match socket.accept() {
            Ok((stream, _)) => end(stream),
            Err(error) if is_about_one(&error) => {}
            Err(_) => return,
        }
    }
}

/// Ends one that was accepted, in order.
pub(crate) fn hang_up(stream: UnixStream) {
    // One that cannot be had is closed all the same.
    if let Ok(stream) = stream.into_std() {
        end(stream);
    }
}

/// Reads what nobody will hear: a socket that is closed with words unread resets the other end.
/// Shut down first, so that no more can come and reading does not wait.
fn end(mut stream: ForeignStream) {
    let mut unread = [0; 4096];
    if stream.shutdown(Shutdown::Both).is_ok() {
        while matches!(stream.read(&mut unread), Ok(1..)) {}
    }
}
