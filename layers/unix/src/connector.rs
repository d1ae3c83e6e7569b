//! The bottom of a stack: a path becomes a connected Unix stream, an accepted stream passes.
//!
//! In: a [`UnixTarget`]. Out: tokio's `UnixStream`. May touch: the file system's sockets.

use std::{
    fs::{self, FileType},
    future::Future,
    io,
    os::unix::fs::FileTypeExt as _,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::{SocketPath, Target};
use tokio::{net::UnixStream, time::sleep};
use tower_service::Service;

/// What a connector of Unix streams is asked for.
pub type UnixTarget = Target<UnixStream>;

/// How often, and how long after each other, a full backlog is knocked at: 1, 2, 4, ... 128 ms,
/// some quarter of a second in all.
const KNOCKS: u32 = 8;

/// Connects to Unix sockets. A `tower::make::MakeConnection<UnixTarget>`.
///
/// A listener whose backlog is full is a live listener (`EAGAIN`, connect(2)): it is tried again
/// for some 250 ms before the error says so.
///
/// A symbolic link at the end of a path is not followed, as a [`Listener`](crate::Listener) follows
/// none. It is looked for just before connecting, and whoever may write to the directory can put one
/// there in between: against that one, only a directory helps that others cannot write to, or one with
/// the sticky bit, where files are their owner's to replace (there Linux follows no stranger's link,
/// `fs.protected_symlinks`). Links on the way to the directory are followed. An abstract name is nobody's
/// file: anybody may listen there, and the listener's credentials tell who does.
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
/// // What a listener accepts goes through the same stack.
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

/// Why nobody could be connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The path does not exist, or nobody listens behind it any more.
    #[error("nobody listens at {path}")]
    NobodyThere {
        /// Where.
        path: SocketPath,
        /// `ENOENT` or `ECONNREFUSED`.
        source: io::Error,
    },
    /// Somebody listens, but has not accepted for so long that the backlog is full.
    #[error("the listener at {path} is busy: its backlog is full")]
    Busy {
        /// Where.
        path: SocketPath,
        /// `EAGAIN`.
        source: io::Error,
    },
    /// The path, or a directory on the way, is not ours to use. It may be so for a moment: a server that
    /// binds and sets the mode after that ([`may_pass`](Self::may_pass)).
    #[error("not permitted to connect to {path}")]
    NotPermitted {
        /// Where.
        path: SocketPath,
        /// `EACCES` or `EPERM`.
        source: io::Error,
    },
    /// There is a file at the path, but it is no socket. It may be so for a moment
    /// ([`may_pass`](Self::may_pass)).
    #[error("{path} is not a socket")]
    NotASocket {
        /// Where.
        path: SocketPath,
    },
    /// There is a symbolic link at the end of the path. Who has put it there would choose whom we
    /// talk to.
    #[error("{path} is a symbolic link, which is not followed: connect to its target")]
    Symlink {
        /// Where.
        path: SocketPath,
    },
    /// Anything else.
    #[error("cannot connect to {path}")]
    Io {
        /// Where.
        path: SocketPath,
        /// Why.
        source: io::Error,
    },
}

impl ConnectError {
    /// True of errors that may be the state of a moment, though they look final: not permitted, or no socket.
    /// A server binds and sets the mode after that; a deployment puts a file there and then the socket. Worth
    /// another try for a bounded time, some seconds, before they are taken for final.
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

    /// What an error of connect(2) means for a path.
    pub fn new(path: SocketPath, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match source.kind() {
            Kind::NotFound => Self::NobodyThere { path, source },
            // Linux says "refused" of any file that is no socket.
            Kind::ConnectionRefused if is_other_file(&path) => Self::NotASocket { path },
            Kind::ConnectionRefused => Self::NobodyThere { path, source },
            Kind::WouldBlock => Self::Busy { path, source },
            Kind::PermissionDenied => Self::NotPermitted { path, source },
            _ => Self::Io { path, source },
        }
    }
}

fn is_other_file(path: &SocketPath) -> bool {
    kind(path).is_some_and(|kind| !kind.is_socket())
}

/// What is at a path, if anything is. Symbolic links are not followed; an abstract name has no file.
fn kind(path: &SocketPath) -> Option<FileType> {
    let metadata = fs::symlink_metadata(path.as_pathname()?).ok()?;
    Some(metadata.file_type())
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
    match kind(&path) {
        Some(kind) if kind.is_symlink() => Err(ConnectError::Symlink { path }),
        _ => Ok(path),
    }
}

/// Connects, knocking at a full backlog for a while.
pub(crate) async fn connect(path: SocketPath) -> Result<UnixStream, ConnectError> {
    let path = no_symlink(path)?;
    let os_path = os_path(&path);
    for knock in 0..KNOCKS {
        match UnixStream::connect(&os_path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(Duration::from_millis(1 << knock)).await;
            }
            done => return done.map_err(|error| ConnectError::new(path, error)),
        }
    }
    UnixStream::connect(&os_path)
        .await
        .map_err(|error| ConnectError::new(path, error))
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

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_cause_is_said_by_the_source_alone() {
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
