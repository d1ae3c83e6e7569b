//! The listening end of a path.
//!
//! In: a path, or a socket that somebody else has opened. Out: accepted streams. May touch: the
//! path, its lock file and a temporary name beside it, and only what is still ours of them.

mod accept;
mod changes;
pub mod claim;
mod error;
mod files;
mod lock;
mod notice;
mod own;
mod take;
pub mod watch;

use std::{
    future::poll_fn,
    io,
    os::unix::fs::PermissionsExt as _,
    pin::pin,
    task::{Context, Poll},
};

use kyneta_uds_core::{SocketPath, SocketPathError};
use tokio::net::{UnixListener, UnixStream};

use self::{accept::Sockets, notice::Notice, own::Owned};
pub use self::{changes::prepare, error::BindError, watch::Lost};

/// A bound Unix socket. Dropping it closes it and removes its file, if the file is still its own.
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
    sockets: Option<Sockets>,
    /// `None` when there is no file, or it is somebody else's to remove.
    owned: Option<Owned>,
    /// When to look after the path; from the first time that somebody asks on.
    notice: Option<Notice>,
}

/// What happens to a listener.
#[derive(Debug)]
pub enum ListenerEvent {
    /// Somebody has connected.
    Accepted(UnixStream),
    /// The path is not ours any more: nobody new can find us.
    Lost(Lost),
}

/// How a path is bound.
///
/// ```
/// use kyneta_uds_unix::ListenerOptions;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let shared_with_group = ListenerOptions::new().mode(0o660).bind(&path).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerOptions {
    mode: u32,
    cleanup: bool,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ListenerOptions {
    /// Mode 0600, stale files removed.
    pub const fn new() -> Self {
        Self {
            mode: 0o600,
            cleanup: true,
        }
    }

    /// The file's permission bits, in force before the path is visible. 0600 by default. An
    /// abstract name has no file and so no mode.
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o777;
        self
    }

    /// Whether a socket file behind which nobody listens any more is removed. True by default;
    /// when false, it is [`BindError::Stale`].
    pub const fn cleanup(mut self, cleanup: bool) -> Self {
        self.cleanup = cleanup;
        self
    }

    /// Binds a path. Never two at once: a lock beside the path (`PATH.lock`) decides among those
    /// who keep it, and a live listener is never replaced. The path appears with its mode set and
    /// with somebody listening behind it.
    ///
    /// # Errors
    /// [`BindError`] says what is in the way, with the path. No file is touched but a stale socket
    /// file, and that one unless [`cleanup`](Self::cleanup) is off.
    pub async fn bind<P>(self, path: P) -> Result<Listener, BindError>
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        let path = path.try_into().map_err(SocketPathError::from)?;
        match path.as_pathname() {
            Some(_) => {
                let (socket, owned) = own::bind(path, self).await?;
                Ok(Listener::new(socket, Some(owned)))
            }
            None => Ok(Listener::new(own::bind_abstract(&path)?, None)),
        }
    }

    fn permissions(self) -> std::fs::Permissions {
        std::fs::Permissions::from_mode(self.mode)
    }
}

impl Listener {
    fn new(socket: UnixListener, owned: Option<Owned>) -> Self {
        Self {
            sockets: Some(socket.into()),
            owned,
            notice: None,
        }
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

    /// The next connection. Never fails: a connection that was given up before it was accepted is
    /// skipped, and out of file descriptors it waits and tries again. Pending for ever once closed.
    ///
    /// Cancel safe.
    pub async fn accept(&mut self) -> UnixStream {
        accept(&mut self.sockets).await
    }

    /// The next connection, as [`accept`](Self::accept), or that the path is not ours any more. It
    /// is noticed while this is asked: on Linux as soon as the kernel tells (inotify(7)), else within
    /// 100 ms; and as long as the path stays lost it is said again every 100 ms.
    /// A lock file that somebody has removed is made and locked again without a word. A socket that
    /// was handed over and an abstract name are not watched.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// use kyneta_uds_unix::{Listener, ListenerEvent, Lost};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let mut listener = Listener::bind(&path).await?;
    /// std::fs::remove_file(&path)?;
    /// assert!(matches!(listener.next().await, ListenerEvent::Lost(Lost::Gone)));
    /// listener.restore().await?;
    /// assert!(path.exists());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> ListenerEvent {
        let Self {
            sockets,
            owned,
            notice,
        } = self;
        let mut accepted = pin!(accept(sockets));
        poll_fn(|cx| {
            if let Some(lost) = owned
                .as_mut()
                .and_then(|owned| look_after(owned, notice, cx))
            {
                return Poll::Ready(ListenerEvent::Lost(lost));
            }
            accepted.as_mut().poll(cx).map(ListenerEvent::Accepted)
        })
        .await
    }

    /// Puts a new socket in the path's place when nothing, or a stale file, is there. Those who wait
    /// to be accepted are still accepted. Nothing changes while the path is ours. It waits 20 ms
    /// first: who removes a path is often about to bind it.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`ListenerOptions::bind`]; [`BindError::InUse`] when the path, or the lock beside it, is
    /// somebody else's now. This listener goes on as it was.
    pub async fn restore(&mut self) -> Result<(), BindError> {
        if let (Some(sockets), Some(owned)) = (&mut self.sockets, &mut self.owned)
            && let Some(socket) = owned.restore().await?
        {
            sockets.replace(socket);
            self.notice = None;
        }
        Ok(())
    }

    /// Removes the file, if it is still ours, gives up the lock, so that the next one can take over at
    /// once, and closes the socket. Those who wait to be accepted get an orderly end.
    ///
    /// # Errors
    /// When the file could not be removed.
    pub fn close(&mut self) -> io::Result<()> {
        // The file first, so that nobody comes while the backlog is emptied.
        let removed = self.owned.take().map_or(Ok(()), Owned::remove);
        if let Some(sockets) = self.sockets.take() {
            sockets.turn_away();
        }
        removed
    }
}

impl From<UnixListener> for Listener {
    /// A socket that somebody else has opened (socket activation): its file is never removed.
    fn from(socket: UnixListener) -> Self {
        Self::new(socket, None)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the socket file could not be removed");
        }
    }
}

/// Pending for ever once closed.
async fn accept(sockets: &mut Option<Sockets>) -> UnixStream {
    match sockets {
        Some(sockets) => sockets.accept().await,
        None => std::future::pending().await,
    }
}

/// Looks when it is time to, and is woken when it is again.
fn look_after(
    owned: &mut Owned,
    notice: &mut Option<Notice>,
    cx: &mut Context<'_>,
) -> Option<Lost> {
    loop {
        let watching = notice.get_or_insert_with(|| Notice::of(owned.files()));
        let Poll::Ready(changed) = watching.poll_due(cx) else {
            return None;
        };
        let known = watching.knows_of_a_loss();
        let lost = owned.watch();
        if let Some(lost) = lost {
            // Once a loss, however often it is asked for.
            if !known {
                tracing::warn!(?lost, "the path is not ours any more");
            }
            *notice = Some(Notice::of_none());
            return Some(lost);
        }
        if changed || known {
            // The files may be others from now on.
            *notice = None;
        }
    }
}
