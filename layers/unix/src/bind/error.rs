//! Why a path could not be bound.
//!
//! In: an error of the system, and the file. Out: a [`BindError`]. May touch: the owners of a file that could not be
//! removed, which it reads, and of its directory.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use kyneta_uds_core::{SocketPath, SocketPathError};

use crate::{directory::STICKY, fs::parent};

/// Why a path could not be bound. No file that is in use was touched.
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
    /// Another process has the path.
    #[error("{path} is in use: {by}")]
    InUse {
        /// The path.
        path: SocketPath,
        /// How we know.
        by: &'static str,
    },
    /// A socket file at which no process listens any more, and cleanup is off.
    #[error("{path} is stale: no process listens there; remove it or let cleanup do so")]
    Stale {
        /// The path.
        path: SocketPath,
    },
    /// A stale socket of another user in a directory with the sticky bit, where only that user may remove
    /// it.
    #[error(
        "{file} is stale, and in a directory with the sticky bit only its owner (uid {uid}), the directory's \
         owner (uid {directory_uid}) and root can remove it; a path that users share needs a directory of a \
         group that they are all in, with mode 2770"
    )]
    StaleOfOther {
        /// The stale file.
        file: PathBuf,
        /// Its owner.
        uid: u32,
        /// The directory's owner.
        directory_uid: u32,
        /// `EPERM`.
        source: io::Error,
    },
    /// There is a file at the path, but it is not a socket.
    #[error("{path} exists and is not a socket but {kind}")]
    NotASocket {
        /// The path.
        path: SocketPath,
        /// What it is.
        kind: &'static str,
    },
    /// The directory does not exist.
    #[error("the directory of {path} does not exist")]
    NoDirectory {
        /// The path.
        path: SocketPath,
    },
    /// The process may not use the directory, the socket or the lock.
    #[error("not permitted to {doing} {file}")]
    NotPermitted {
        /// What failed.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// `EACCES`, `EPERM` or `EROFS`.
        source: io::Error,
    },
    /// Any other error.
    #[error("cannot {doing} {file}")]
    Io {
        /// What failed.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// For `map_err`: what failed, on which file.
pub(super) fn failed(doing: &'static str, file: &Path) -> impl FnOnce(io::Error) -> BindError {
    let file = file.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            BindError::NotPermitted {
                doing,
                file,
                source,
            }
        }
        _ => BindError::Io {
            doing,
            file,
            source,
        },
    }
}

/// As [`failed`], but [`BindError::StaleOfOther`] when the sticky bit of its directory keeps the file for its
/// owner.
pub(super) fn not_removed(doing: &'static str, file: &Path) -> impl FnOnce(io::Error) -> BindError {
    move |source| {
        if source.kind() == io::ErrorKind::PermissionDenied
            && let (Ok(stale), Ok(directory)) =
                (fs::symlink_metadata(file), fs::metadata(parent(file)))
            && directory.mode() & STICKY != 0
            && stale.uid() != rustix::process::geteuid().as_raw()
        {
            return BindError::StaleOfOther {
                file: file.into(),
                uid: stale.uid(),
                directory_uid: directory.uid(),
                source,
            };
        }
        failed(doing, file)(source)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn only_the_source_gives_the_cause() {
        let cause = || io::Error::from_raw_os_error(13);
        let stale = BindError::StaleOfOther {
            file: "/tmp/bus.sock".into(),
            uid: 1000,
            directory_uid: 0,
            source: cause(),
        };
        let errors = [
            failed("bind", Path::new("/tmp/bus.sock"))(cause()),
            failed("bind", Path::new("/tmp/bus.sock"))(io::ErrorKind::OutOfMemory.into()),
            stale,
        ];
        for error in errors {
            let source = error.source().unwrap().to_string();
            assert!(!error.to_string().contains(&source), "{error}");
        }
    }
}
