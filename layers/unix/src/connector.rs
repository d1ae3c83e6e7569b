//! The bottom of a stack: connects to a path; an accepted stream passes through.
//!
//! In: a [`UnixTarget`]. Out: tokio's `UnixStream`. May touch: the file system's sockets.

use std::{
    fs::FileType,
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::{Resume, Saved, SavedError, SocketPath, Target};
use tokio::{net::UnixStream, time::sleep};
use tower_service::Service;

use crate::socket_file::{Found, look};

/// The target of a connector of Unix streams.
pub type UnixTarget = Target<UnixStream>;

/// Retries at a full backlog, with pauses of 1, 2, 4, ... 128 ms: a quarter of a second in all.
const BUSY_RETRIES: u32 = 8;

/// Connects to Unix sockets. A `tower::make::MakeConnection<UnixTarget>`.
///
/// A full backlog means a live listener (`EAGAIN`, connect(2)): the connector retries for some 250 ms before it
/// returns [`ConnectError::Busy`].
///
/// A symbolic link at the end of a path is not followed, nor does a [`Listener`](crate::Listener) follow one. The
/// check is made just before connecting, so a user who may write to the directory can put a link there in
/// between. The protection against that is a directory that other users cannot write to, or one with the sticky
/// bit, where Linux does not follow another user's link (`fs.protected_symlinks`). Links on the way to the
/// directory are followed. At an abstract name any process may listen; check the listener's credentials.
///
/// ```
/// use kyneta_uds_core::SocketPath;
/// use kyneta_uds_unix::{UnixConnector, UnixTarget};
/// use tower::ServiceExt as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("a.sock");
/// let listener = tokio::net::UnixListener::bind(&path)?;
/// let stream = UnixConnector::new().oneshot(SocketPath::new(&path)?.into()).await?;
/// // An accepted stream goes through the same stack.
/// let accepted = UnixTarget::Accepted(listener.accept().await?.0);
/// let same = UnixConnector::new().oneshot(accepted).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct UnixConnector {
    _private: (),
}

impl UnixConnector {
    /// A connector.
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

/// Why a connection could not be established.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The path does not exist, or no process listens there any more.
    #[error("{path}: no process listens")]
    NoListener {
        /// The path.
        path: SocketPath,
        /// `ENOENT` or `ECONNREFUSED`.
        source: io::Error,
    },
    /// A process listens, but its backlog of pending connections is full.
    #[error("the listener at {path} is busy: its backlog is full")]
    Busy {
        /// The path.
        path: SocketPath,
        /// `EAGAIN`.
        source: io::Error,
    },
    /// The process may not use the path, or a directory on the way. Possibly temporary: a server may set the mode
    /// after it has bound the path ([`may_pass`](Self::may_pass)).
    #[error("not permitted to connect to {path}")]
    NotPermitted {
        /// The path.
        path: SocketPath,
        /// `EACCES` or `EPERM`.
        source: io::Error,
    },
    /// There is a file at the path, but it is not a socket. Possibly temporary ([`may_pass`](Self::may_pass)).
    #[error("{path} is not a socket")]
    NotASocket {
        /// The path.
        path: SocketPath,
    },
    /// There is a symbolic link at the end of the path. The user who made it would choose the process that we
    /// connect to.
    #[error("{path} is a symbolic link, which is not followed: connect to its target")]
    Symlink {
        /// The path.
        path: SocketPath,
    },
    /// Any other error.
    #[error("cannot connect to {path}")]
    Io {
        /// The path.
        path: SocketPath,
        /// The cause.
        source: io::Error,
    },
}

impl ConnectError {
    /// True of errors that look final and may yet be temporary: not permitted, or not a socket. A server may set
    /// the mode after it has bound the path; a deployment may put a file there before the socket. Retry for some
    /// seconds before you treat them as final.
    ///
    /// ```
    /// use kyneta_uds_core::SocketPath;
    /// use kyneta_uds_unix::ConnectError;
    ///
    /// let path = SocketPath::new("/run/app/bus.sock")?;
    /// let denied = std::io::ErrorKind::PermissionDenied.into();
    /// assert!(ConnectError::new(path.clone(), denied).may_pass());
    /// assert!(!ConnectError::Symlink { path }.may_pass());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::NotPermitted { .. } | Self::NotASocket { .. })
    }

    /// The meaning of an error of connect(2) for a path.
    pub fn new(path: SocketPath, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match source.kind() {
            Kind::NotFound => Self::NoListener { path, source },
            // Linux reports "refused" for any file that is not a socket.
            Kind::ConnectionRefused if other_file(&path).is_some() => Self::NotASocket { path },
            Kind::ConnectionRefused => Self::NoListener { path, source },
            Kind::WouldBlock => Self::Busy { path, source },
            Kind::PermissionDenied => Self::NotPermitted { path, source },
            _ => Self::Io { path, source },
        }
    }
}

/// The type of a file at the path that is not a socket. Symbolic links are not followed.
fn other_file(path: &SocketPath) -> Option<FileType> {
    match look(path.as_pathname()?) {
        Ok(Found::Other(kind)) => Some(kind),
        _ => None,
    }
}

/// The path as tokio takes it: an abstract name begins with NUL.
pub(crate) fn os_path(path: &SocketPath) -> PathBuf {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    match (path.as_pathname(), path.as_abstract_name()) {
        (Some(path), _) => path.into(),
        (None, name) => {
            let name = [b"\0", name.unwrap_or_default()].concat();
            OsStr::from_bytes(&name).into()
        }
    }
}

/// The path, unless there is a symbolic link at its end: for connectors that follow one.
///
/// ```
/// use kyneta_uds_core::SocketPath;
/// use kyneta_uds_unix::{ConnectError, no_symlink};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let link = dir.path().join("link");
/// std::os::unix::fs::symlink("elsewhere", &link)?;
/// let error = no_symlink(SocketPath::new(&link)?).unwrap_err();
/// assert!(matches!(error, ConnectError::Symlink { .. }));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ConnectError::Symlink`].
pub fn no_symlink(path: SocketPath) -> Result<SocketPath, ConnectError> {
    match other_file(&path) {
        Some(kind) if kind.is_symlink() => Err(ConnectError::Symlink { path }),
        _ => Ok(path),
    }
}

/// Connects, and retries at a full backlog.
pub(crate) async fn connect(path: SocketPath) -> Result<UnixStream, ConnectError> {
    let path = no_symlink(path)?;
    let os_path = os_path(&path);
    let mut pauses = (0..BUSY_RETRIES).map(|retry| Duration::from_millis(1 << retry));
    loop {
        match (UnixStream::connect(&os_path).await, pauses.next()) {
            (Err(error), Some(pause)) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(pause).await;
            }
            (done, _) => return done.map_err(|error| ConnectError::new(path, error)),
        }
    }
}

impl Service<UnixTarget> for UnixConnector {
    type Response = UnixStream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<UnixStream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    // Boxed: once a connection.
    fn call(&mut self, target: UnixTarget) -> Self::Future {
        Box::pin(async move {
            match target {
                Target::Connect(path) => connect(path).await,
                Target::Accepted(stream) => Ok(stream),
            }
        })
    }
}

/// A stream that was handed over passes through, as an accepted one does.
impl Resume<UnixStream> for UnixConnector {
    type Resumed = UnixStream;

    fn resume(&self, io: UnixStream, _: &Saved) -> Result<UnixStream, SavedError> {
        Ok(io)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn only_the_source_gives_the_cause() {
        use io::ErrorKind as Kind;
        for kind in [
            Kind::NotFound,
            Kind::WouldBlock,
            Kind::PermissionDenied,
            Kind::OutOfMemory,
        ] {
            let path = SocketPath::new("/run/app/bus.sock").unwrap();
            let error = ConnectError::new(path, kind.into());
            let source = error.source().unwrap().to_string();
            assert!(!error.to_string().contains(&source), "{error}");
        }
    }
}
