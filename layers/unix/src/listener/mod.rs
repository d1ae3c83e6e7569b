//! The listening end of a path.
//!
//! In: a path, or a socket that somebody else has opened. Out: accepted streams. May touch: the
//! path, its lock file and a temporary name beside it, and only what is still ours of them.

mod accept;
mod error;
mod lock;
mod own;

use std::{io, os::unix::fs::PermissionsExt as _};

use kyneta_uds_core::{SocketPath, SocketPathError};
use tokio::net::{UnixListener, UnixStream};

pub use self::error::BindError;
use self::own::Owned;

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
    socket: Option<UnixListener>,
    /// `None` when there is no file, or it is somebody else's to remove.
    owned: Option<Owned>,
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
                let (socket, owned) = own::bind(&path, self).await?;
                Ok(Listener {
                    socket: Some(socket),
                    owned: Some(owned),
                })
            }
            None => {
                let socket = own::bind_abstract(&path)?;
                Ok(Listener {
                    socket: Some(socket),
                    owned: None,
                })
            }
        }
    }

    fn permissions(self) -> std::fs::Permissions {
        std::fs::Permissions::from_mode(self.mode)
    }
}

impl Listener {
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
        match &self.socket {
            Some(socket) => accept::accept(socket).await,
            None => std::future::pending().await,
        }
    }

    /// Closes the socket and removes its file, if the file is still its own. Those who wait to be
    /// accepted get an orderly end.
    ///
    /// # Errors
    /// When the file could not be removed.
    pub fn close(&mut self) -> io::Result<()> {
        // The file first, so that nobody comes while the backlog is emptied.
        let removed = self.owned.take().map_or(Ok(()), Owned::remove);
        if let Some(socket) = self.socket.take() {
            accept::turn_away(socket);
        }
        removed
    }
}

impl From<UnixListener> for Listener {
    /// A socket that somebody else has opened (socket activation): its file is never removed.
    fn from(socket: UnixListener) -> Self {
        Self {
            socket: Some(socket),
            owned: None,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the socket file could not be removed");
        }
    }
}
