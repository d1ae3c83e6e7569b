//! A path has one owner: taking it, and giving it up.
//!
//! In: a path and how it is to be bound. Out: a listening socket and what it owns. May touch: the
//! path, its lock file, a temporary name in the same directory.
//!
//! Under the lock beside the path one looks what is there; binds and listens under a temporary
//! name, its mode set; then links it into place, which fails if somebody was faster. So the path
//! never exists without a listener behind it, and a live listener is never replaced. What is
//! removed is looked at first, under the lock, by device and inode: POSIX has no
//! compare-and-unlink.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf, absolute},
};

use kyneta_uds_core::{SocketPath, SocketPathError};
use tokio::net::{UnixListener, UnixSocket};

use super::{BindError, ListenerOptions, lock::Lock};
use crate::connector::{ConnectError, connect, os_path};

/// How many may wait to be accepted. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// A file that is ours.
#[derive(Debug)]
pub(super) struct Owned {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    _lock: Lock,
}

impl Owned {
    /// Removes the file if it is still ours, and gives up the lock.
    pub(super) fn remove(self) -> io::Result<()> {
        match identity(&self.path) {
            Ok(there) if there == self.identity => fs::remove_file(&self.path),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Takes a pathname.
pub(super) async fn bind(
    path: &SocketPath,
    options: ListenerOptions,
) -> Result<(UnixListener, Owned), BindError> {
    let file = os_path(path);
    let temporary = name_beside(path, &file)?;
    // Before the lock, so that a path that cannot be had leaves no lock file behind.
    look(path, &file)?;
    // The directory that a relative path is meant from may change before the end.
    let lasting = absolute(&file).map_err(|error| BindError::io("find", &file, error))?;
    let lock_path = Lock::path_for(&lasting);
    let lock = Lock::try_acquire(&lock_path)
        .map_err(|error| BindError::io("open the lock", &lock_path, error))?
        .ok_or_else(|| BindError::InUse {
            path: path.clone(),
            by: "somebody holds the lock beside it",
        })?;
    if look(path, &file)? == There::Socket {
        clear(path, &file, options).await?;
    }
    let (socket, temporary) = listen(temporary, options)?;
    let identity =
        identity(&temporary.0).map_err(|error| BindError::io("look at", &temporary.0, error))?;
    fs::hard_link(&temporary.0, &file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BindError::InUse {
            path: path.clone(),
            by: "somebody else has bound it just now",
        },
        _ => BindError::io("link into place", &file, error),
    })?;
    Ok((
        socket,
        Owned {
            path: lasting,
            identity,
            _lock: lock,
        },
    ))
}

/// Takes an abstract name. The kernel keeps it unique and drops it with its owner.
pub(super) fn bind_abstract(path: &SocketPath) -> Result<UnixListener, BindError> {
    let name = os_path(path);
    let bound = UnixSocket::new_stream().and_then(|socket| {
        socket.bind(&name)?;
        socket.listen(BACKLOG)
    });
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse {
            path: path.clone(),
            by: "the abstract name is taken",
        },
        _ => BindError::io("bind", path.to_string(), error),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    Socket,
}

/// What is at the path. Symbolic links are not followed.
fn look(path: &SocketPath, file: &Path) -> Result<There, BindError> {
    let kind = match fs::symlink_metadata(file) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match parent(file).try_exists() {
                Ok(false) => Err(BindError::NoDirectory { path: path.clone() }),
                _ => Ok(There::Nothing),
            };
        }
        Err(error) => return Err(BindError::io("look at", file, error)),
    };
    let kind = match kind {
        kind if kind.is_socket() => return Ok(There::Socket),
        kind if kind.is_dir() => "a directory",
        kind if kind.is_symlink() => "a symbolic link, which is not followed",
        kind if kind.is_file() => "a regular file",
        _ => "a device or pipe",
    };
    Err(BindError::NotASocket {
        path: path.clone(),
        kind,
    })
}

/// A socket is there: removes it if it is stale and may be removed.
async fn clear(path: &SocketPath, file: &Path, options: ListenerOptions) -> Result<(), BindError> {
    let before = identity(file).ok();
    match connect(path.clone()).await {
        Ok(_) => {
            return Err(BindError::InUse {
                path: path.clone(),
                by: "somebody listens there",
            });
        }
        Err(ConnectError::NobodyThere { .. }) => {}
        Err(ConnectError::Busy { .. }) => {
            let by = "somebody listens there, though its backlog is full";
            return Err(BindError::InUse {
                path: path.clone(),
                by,
            });
        }
        Err(ConnectError::NotASocket { .. }) => {
            return Err(BindError::NotASocket {
                path: path.clone(),
                kind: "another file",
            });
        }
        Err(ConnectError::NotPermitted { source, .. } | ConnectError::Io { source, .. }) => {
            return Err(BindError::io("probe", file, source));
        }
    }
    if !options.cleanup {
        return Err(BindError::Stale { path: path.clone() });
    }
    // Somebody who keeps no lock may have bound it since it was probed.
    if before.is_none() || identity(file).ok() != before {
        return Ok(());
    }
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BindError::io("remove the stale", file, error))
        }
        _ => Ok(()),
    }
}

fn listen(file: PathBuf, options: ListenerOptions) -> Result<(UnixListener, Temporary), BindError> {
    let socket = UnixSocket::new_stream()
        .map_err(|error| BindError::io("make a socket for", &file, error))?;
    socket
        .bind(&file)
        .map_err(|error| BindError::io("bind", &file, error))?;
    let temporary = Temporary(file);
    let file = &temporary.0;
    fs::set_permissions(file, options.permissions())
        .map_err(|error| BindError::io("set the mode of", file, error))?;
    let socket = socket
        .listen(BACKLOG)
        .map_err(|error| BindError::io("listen at", file, error))?;
    Ok((socket, temporary))
}

/// A name that nobody has, in the same directory.
fn name_beside(path: &SocketPath, file: &Path) -> Result<PathBuf, BindError> {
    let random = RandomState::new().hash_one(std::process::id()) as u32;
    let name = parent(file).join(format!(".k{random:08x}"));
    match SocketPath::new(&name) {
        Err(SocketPathError::TooLong { len, limit, .. }) => Err(BindError::DirectoryTooDeep {
            path: path.clone(),
            len,
            limit,
        }),
        _ => Ok(name),
    }
}

/// A bound name beside the path, removed again whatever happens.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != "" => parent,
        _ => Path::new("."),
    }
}
