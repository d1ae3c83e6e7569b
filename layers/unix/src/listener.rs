//! The listening end of a path.
//!
//! In: a path, or a listening socket. Out: accepted streams. May touch: the path, its lock file and a temporary
//! name beside it, each only while it is still ours.

use std::{future::poll_fn, io, pin::pin, sync::Arc, task::Poll};

use kyneta_uds_core::{SocketPath, SocketPathError};
use tokio::net::{UnixListener, UnixStream};

use crate::{
    accept::{
        ListeningSockets,
        admission::{Admission, ConnectionPermit, Limits, RejectReason},
        close_orderly,
    },
    bind::{self, BindError, BoundPath},
    credentials::peer_credentials,
    directory::DirectoryRisk,
    options::ListenerOptions,
    watch::{PathLoss, Trigger, poll_loss, restore},
};

/// A bound Unix socket. Dropping it closes it and removes its file, if the file is still its own.
///
/// A user who can write to the directory can put another socket, or a link, in its place;
/// [`risk`](Self::risk) reports a directory where another user can. No symbolic link is followed at the path,
/// at its lock or at the temporary name. In a directory with the sticky bit, such as /tmp, no other user can
/// change our files, but any user may create files of these names before us. An abstract name has no
/// directory: every process of the network namespace may take it first, and may connect; the credentials are
/// the only protection, on both sides.
///
/// ```
/// use kyneta_uds_unix::Listener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let listener = Listener::bind(&path).await?;
/// let second = Listener::bind(&path).await;
/// assert!(second.unwrap_err().to_string().contains("in use"));
/// drop(listener);
/// assert!(!path.exists());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    /// `None` once closed.
    sockets: Option<ListeningSockets>,
    /// `None` when there is no file, or the file is not ours to remove.
    bound: Option<BoundPath>,
    /// When to check the path. `None` before the first [`next`](Self::next).
    trigger: Option<Trigger>,
    admission: Arc<Admission>,
}

/// What happens to a listener.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenerEvent {
    /// A new connection. Keep the permit as long as the stream.
    Accepted(UnixStream, ConnectionPermit),
    /// A new connection was rejected, and closed at once.
    Rejected(RejectReason),
    /// The path is not ours any more: new connections do not reach us.
    Lost(PathLoss),
}

impl ListenerOptions {
    /// Takes over a socket that another process has opened (socket activation): its file, if it has one, is
    /// never removed, and its mode stays as it is.
    pub fn adopt(self, socket: UnixListener) -> Listener {
        Listener::new(socket, None, self.limits)
    }

    /// Binds a path. A path never has two listeners: a lock beside it (`PATH.lock`) decides among processes
    /// that use the lock, and a live listener of any other process is never replaced. The path appears with
    /// its mode set and its listener ready.
    ///
    /// Cancel safe: a dropped attempt leaves nothing at the path.
    ///
    /// # Errors
    /// [`BindError`] says which obstacle is at the path. No file is changed except a stale socket file, and
    /// that one only unless [`cleanup`](Self::cleanup) is off.
    pub async fn bind<P>(self, path: P) -> Result<Listener, BindError>
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        let path = path.try_into().map_err(SocketPathError::from)?;
        match path.as_pathname() {
            Some(_) => {
                let (socket, bound) = bind::bind(path, self.bind_options()).await?;
                Ok(Listener::new(socket, Some(bound), self.limits))
            }
            None => Ok(self.adopt(bind::bind_abstract(&path)?)),
        }
    }
}

impl Listener {
    fn new(socket: UnixListener, bound: Option<BoundPath>, limits: Limits) -> Self {
        Self {
            sockets: Some(socket.into()),
            bound,
            trigger: None,
            admission: Admission::new(limits),
        }
    }

    /// A listener that another process has made.
    pub(crate) fn resumed(sockets: ListeningSockets, bound: BoundPath, limits: Limits) -> Self {
        Self {
            sockets: Some(sockets),
            bound: Some(bound),
            trigger: None,
            admission: Admission::new(limits),
        }
    }

    pub(crate) const fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    pub(crate) const fn sockets(&self) -> Option<&ListeningSockets> {
        self.sockets.as_ref()
    }

    pub(crate) const fn bound(&self) -> Option<&BoundPath> {
        self.bound.as_ref()
    }

    /// Closes the descriptors, and nothing else.
    pub(crate) fn take_apart(&mut self) {
        self.trigger = None;
        if let Some(bound) = self.bound.take() {
            bound.leave();
        }
        self.sockets = None;
    }

    /// Binds a path with [`ListenerOptions::new`].
    ///
    /// # Errors
    /// As [`ListenerOptions::bind`].
    pub async fn bind<P>(path: P) -> Result<Self, BindError>
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        ListenerOptions::new().bind(path).await
    }

    /// The path, as given when it was bound. `None` for an abstract name, for a socket that was handed over, and
    /// once closed.
    pub fn path(&self) -> Option<&SocketPath> {
        Some(&self.bound.as_ref()?.path)
    }

    /// What another user may do to the path because of its directory; also logged as a warning when the path is
    /// bound. `None` when the directory is safe; for an abstract name, which has no directory; and for a socket
    /// that was handed over, which is not checked.
    pub fn risk(&self) -> Option<&DirectoryRisk> {
        self.bound.as_ref()?.risk.as_ref()
    }

    /// The next connection, and its permit: keep it as long as the stream. Never fails. A connection that was
    /// aborted before it was accepted is skipped; a rejected one is closed, with a log line. When out of file
    /// descriptors it retries every 100 ms, with one log line at the beginning and one at the end. Pending for
    /// ever once closed.
    ///
    /// Cancel safe.
    pub async fn accept(&mut self) -> (UnixStream, ConnectionPermit) {
        loop {
            let stream = accept(&mut self.sockets).await;
            if let ListenerEvent::Accepted(stream, permit) = admit(&self.admission, stream) {
                return (stream, permit);
            }
        }
    }

    /// The next connection, as [`accept`](Self::accept), or a rejected one, or the loss of the path.
    ///
    /// A loss is noticed only while this is awaited: on Linux at once (inotify(7)); elsewhere, and on Linux
    /// when the user has no inotify instance left, within a second. While the path stays lost it is reported
    /// again, after pauses that grow from 100 ms to one second. A renamed directory above the path is noticed
    /// within four seconds. A removed lock file is made and locked again without an event. A socket that was
    /// handed over and an abstract name are not watched.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// use kyneta_uds_unix::{Listener, ListenerEvent, PathLoss};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let mut listener = Listener::bind(&path).await?;
    /// std::fs::remove_file(&path)?;
    /// assert!(matches!(listener.next().await, ListenerEvent::Lost(PathLoss::Gone)));
    /// listener.restore().await?;
    /// assert!(path.exists());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> ListenerEvent {
        self.start_watch();
        let mut accepted = pin!(accept(&mut self.sockets));
        poll_fn(|cx| {
            if let (Some(bound), Some(trigger)) = (&mut self.bound, &mut self.trigger)
                && let Some(loss) = poll_loss(bound, trigger, cx)
            {
                return Poll::Ready(ListenerEvent::Lost(loss));
            }
            let stream = accepted.as_mut().poll(cx);
            stream.map(|stream| admit(&self.admission, stream))
        })
        .await
    }

    /// A killed process closes its descriptors from the highest to the lowest, and the inotify instance takes
    /// long. So the socket, the lock, and the connections accepted from now on get higher numbers than it.
    fn start_watch(&mut self) {
        let (Some(sockets), Some(bound), None) =
            (&mut self.sockets, &mut self.bound, &self.trigger)
        else {
            return;
        };
        if bound.options.inotify {
            // Frees their present numbers; the instance takes the lowest free one.
            let highest = sockets.descriptor().max(bound.lock_descriptor());
            sockets.raise_above(highest);
            bound.raise_lock_above(highest);
        }
        let trigger = Trigger::new(bound);
        #[cfg(target_os = "linux")]
        if let Some(inotify) = trigger.descriptor() {
            sockets.raise_above(inotify);
            bound.raise_lock_above(inotify);
        }
        self.trigger = Some(trigger);
    }

    /// Puts a new socket at the path when no file, or a stale one, is there. Pending connections at the former
    /// socket are still accepted. Changes nothing while the path is ours. Waits 20 ms first: a process that
    /// removes a path is often about to bind it.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`ListenerOptions::bind`]; [`BindError::InUse`] when another process has the path, or the lock beside
    /// it. The listener stays as it was.
    pub async fn restore(&mut self) -> Result<(), BindError> {
        if let (Some(sockets), Some(bound)) = (&mut self.sockets, &mut self.bound)
            && let Some(socket) = restore(bound).await?
        {
            sockets.replace(socket);
            self.trigger = None;
        }
        Ok(())
    }

    /// Removes the file, if it is still ours, releases the lock, so that the next listener can take over at
    /// once, and closes the socket. Pending connections are closed in order, not reset.
    ///
    /// # Errors
    /// When the file could not be removed.
    pub fn close(&mut self) -> io::Result<()> {
        // Our own removal is not to be reported.
        self.trigger = None;
        // The file first, so that no connection arrives while the backlog is emptied.
        let removed = self.bound.take().map_or(Ok(()), BoundPath::remove);
        if let Some(sockets) = self.sockets.take() {
            sockets.close();
        }
        removed
    }
}

impl From<UnixListener> for Listener {
    /// As [`ListenerOptions::adopt`], for processes of our own user.
    fn from(socket: UnixListener) -> Self {
        ListenerOptions::new().adopt(socket)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the socket file could not be removed");
        }
    }
}

/// Admits a connection, or closes it.
fn admit(admission: &Arc<Admission>, stream: UnixStream) -> ListenerEvent {
    match admission.admit(peer_credentials(&stream)) {
        Ok(permit) => ListenerEvent::Accepted(stream, permit),
        Err(reason) => {
            close_orderly(stream);
            ListenerEvent::Rejected(reason)
        }
    }
}

/// Pending for ever once closed.
async fn accept(sockets: &mut Option<ListeningSockets>) -> UnixStream {
    match sockets {
        Some(sockets) => sockets.accept().await,
        None => std::future::pending().await,
    }
}
