//! Why a path could not be bound.

use std::{io, path::PathBuf};

use kyneta_uds_core::{SocketPath, SocketPathError};

/// Why a path could not be bound. No file that anybody uses was touched.
///
/// ```
/// use kyneta_uds_unix::{BindError, Listener};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = Listener::bind("/no/such/directory/bus.sock").await.unwrap_err();
/// assert!(matches!(error, BindError::NoDirectory { .. }));
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// No socket can have this path.
    #[error(transparent)]
    Path(#[from] SocketPathError),
    /// The temporary name beside the path does not fit the kernel's structure.
    #[error(
        "the directory of {path} is too deep: a temporary name of {len} bytes is needed beside it; \
         this platform allows {limit}"
    )]
    DirectoryTooDeep {
        /// As given.
        path: SocketPath,
        /// Bytes that the temporary name would have.
        len: usize,
        /// The longest allowed, bytes.
        limit: usize,
    },
    /// Somebody listens there.
    #[error("{path} is in use: {by}")]
    InUse {
        /// Where.
        path: SocketPath,
        /// How we know.
        by: &'static str,
    },
    /// A socket file behind which nobody listens any more, and cleaning up is off.
    #[error("{path} is stale: nobody listens behind it; remove it or let cleanup do so")]
    Stale {
        /// Where.
        path: SocketPath,
    },
    /// A stale socket of another user, in a directory with the sticky bit, which lets that user alone
    /// remove it.
    #[error(
        "{file} is stale, and in a directory with the sticky bit only its owner (uid {uid}), the directory's \
         owner (uid {directory_uid}) and root can remove it; a path that users share needs a directory of a \
         group that they are all in, with mode 2770"
    )]
    StaleOfOther {
        /// The stale file.
        file: PathBuf,
        /// Whose it is.
        uid: u32,
        /// Whose the directory is.
        directory_uid: u32,
        /// `EPERM`.
        source: io::Error,
    },
    /// There is a file at the path, but it is no socket.
    #[error("{path} exists and is not a socket but {kind}")]
    NotASocket {
        /// Where.
        path: SocketPath,
        /// What it is.
        kind: &'static str,
    },
    /// The directory does not exist.
    #[error("the directory of {path} does not exist")]
    NoDirectory {
        /// Where.
        path: SocketPath,
    },
    /// The directory, the socket or the lock is not ours to use.
    #[error("not permitted to {doing} {file}")]
    NotPermitted {
        /// What failed.
        doing: &'static str,
        /// On which file.
        file: PathBuf,
        /// `EACCES`, `EPERM` or `EROFS`.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot {doing} {file}")]
    Io {
        /// What failed.
        doing: &'static str,
        /// On which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BindError {
    pub(crate) fn io(doing: &'static str, file: impl Into<PathBuf>, source: io::Error) -> Self {
        let file = file.into();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotPermitted {
                    doing,
                    file,
                    source,
                }
            }
            _ => Self::Io {
                doing,
                file,
                source,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_cause_is_said_by_the_source_alone() {
        let cause = || io::Error::from_raw_os_error(13);
        let stale = BindError::StaleOfOther {
            file: "/tmp/bus.sock".into(),
            uid: 1000,
            directory_uid: 0,
            source: cause(),
        };
        let errors = [
            BindError::io("bind", "/tmp/bus.sock", cause()),
            BindError::io("bind", "/tmp/bus.sock", io::ErrorKind::OutOfMemory.into()),
            stale,
        ];
        for error in errors {
            let source = error.source().unwrap().to_string();
            assert!(!error.to_string().contains(&source), "{error}");
        }
    }
}
