//! Binds a path: `machine` orders the steps, `steps` carries them out, `lock` keeps other processes from the
//! path meanwhile, `temporary` is the name under which the socket becomes ready.
//!
//! In: a path and how it is to be bound. Out: a listening socket, and a `BoundPath`. May touch: the path, its
//! lock file, the temporary name beside it.
//!
//! A file is looked at under the lock before it is removed: POSIX has no compare-and-unlink.

mod error;
mod lock;
mod machine;
mod steps;
mod temporary;

use std::{
    io,
    os::fd::{OwnedFd, RawFd},
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use kyneta_uds_core::SocketPath;
use tokio::{
    net::{UnixListener, UnixSocket},
    time::sleep,
};

pub(crate) use self::steps::BindOptions;
pub(crate) use self::temporary::BACKLOG;
pub use self::{
    error::BindError,
    machine::{Answer, BindStep, FileId, InUseReason, Next},
};
use self::{error::failed, lock::Lock, steps::bind_file};
use crate::{
    connector::os_path,
    directory::DirectoryRisk,
    fs::directory_risk,
    socket_file::{Found, look, remove_own},
};

/// A path that this process has bound: its socket file and its lock.
#[derive(Debug)]
pub(crate) struct BoundPath {
    /// As given.
    pub(crate) path: SocketPath,
    /// The same, independent of the working directory.
    pub(crate) file: PathBuf,
    lock_file: PathBuf,
    pub(crate) options: BindOptions,
    id: FileId,
    /// `None` when the lock file was removed, and the lock could not be taken again yet.
    lock: Option<Lock>,
    /// At the time of binding.
    pub(crate) risk: Option<DirectoryRisk>,
}

/// Between two tries while another process has bound the path and does not listen yet.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// Binds a pathname.
pub(crate) async fn bind(
    path: SocketPath,
    options: BindOptions,
) -> Result<(UnixListener, BoundPath), BindError> {
    let given = os_path(&path);
    // The working directory may change before the end.
    let file = absolute(&given).map_err(failed("find", &given))?;
    let lock_file = Lock::path_for(&file);
    let (socket, id, lock) = loop {
        let mut lock = None;
        if let Some((socket, id)) = bind_file(&path, &given, &lock_file, &options, &mut lock)? {
            break (socket, id, lock);
        }
        drop(lock);
        sleep(RETRY_INTERVAL).await;
    };
    let risk = directory_risk(&file);
    if let Some(risk) = &risk {
        tracing::warn!(%path, "{risk}");
    }
    let bound = BoundPath {
        path,
        file,
        lock_file,
        options,
        id,
        lock,
        risk,
    };
    Ok((socket, bound))
}

/// Binds an abstract name. The kernel keeps it unique and drops it with its owner.
pub(crate) fn bind_abstract(path: &SocketPath) -> Result<UnixListener, BindError> {
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
        _ => failed("bind", Path::new(&path.to_string()))(error),
    })
}

impl BoundPath {
    /// Our files: the socket's and the lock's.
    pub(crate) fn files(&self) -> [&Path; 2] {
        [&self.file, &self.lock_file]
    }

    /// Goes on with a path that another process has bound: its file, by device and inode, and its lock.
    pub(crate) fn resume(
        path: SocketPath,
        options: BindOptions,
        (device, inode): (u64, u64),
        lock: Option<OwnedFd>,
    ) -> io::Result<Self> {
        let file = absolute(os_path(&path))?;
        let lock_file = Lock::path_for(&file);
        Ok(Self {
            risk: directory_risk(&file),
            id: FileId {
                device,
                inode,
                changed: (0, 0), // only whether it is the same file is asked
            },
            lock: lock.map(|lock| Lock::resume(lock, &lock_file)),
            path,
            file,
            lock_file,
            options,
        })
    }

    pub(crate) const fn id(&self) -> FileId {
        self.id
    }

    pub(crate) fn copy_lock(&self) -> io::Result<Option<OwnedFd>> {
        self.lock.as_ref().map(Lock::copy).transpose()
    }

    /// The file and the lock belong to another process now: neither is removed, and the lock is not released.
    pub(crate) fn leave(self) {
        if let Some(lock) = self.lock {
            lock.leave();
        }
    }

    /// False when another process holds the lock, or it could not be taken.
    pub(crate) const fn holds_lock(&self) -> bool {
        self.lock.is_some()
    }

    /// The lock's descriptor, or -1, which is below all of them.
    pub(crate) fn lock_descriptor(&self) -> RawFd {
        self.lock.as_ref().map_or(-1, Lock::descriptor)
    }

    /// Moves the lock to a descriptor above this one.
    pub(crate) fn raise_lock_above(&mut self, below: RawFd) {
        if let Some(lock) = &mut self.lock {
            lock.raise_above(below);
        }
    }

    /// Takes the lock again if its file is not the one that is held. False when that fails.
    pub(crate) fn keep_lock(&mut self) -> bool {
        if !self.lock.as_ref().is_some_and(Lock::is_current) {
            // The held lock is of no use: dropped before the next is tried.
            self.lock = None;
            self.lock =
                Lock::try_acquire(&self.lock_file, self.options.lock_access).unwrap_or_default();
        }
        self.holds_lock()
    }

    /// What is at the path, and whether it is our file.
    pub(crate) fn look(&self) -> io::Result<(Found, bool)> {
        let found = look(&self.file)?;
        let is_ours = matches!(found, Found::Socket(there) if there.is_same_file(self.id));
        Ok((found, is_ours))
    }

    /// Binds the path again with a new socket. `None` when another process has just bound it and does not
    /// listen yet: try again.
    pub(crate) fn bind_again(&mut self) -> Result<Option<UnixListener>, BindError> {
        // If the lock is not current any more, the steps take it anew, or find that another process holds it.
        self.lock = self.lock.take().filter(Lock::is_current);
        let bound = bind_file(
            &self.path,
            &self.file,
            &self.lock_file,
            &self.options,
            &mut self.lock,
        )?;
        Ok(bound.map(|(socket, id)| {
            self.id = id;
            socket
        }))
    }

    /// Removes the file if it is still ours, and releases the lock. The socket must still be open, so that
    /// no other file can have its inode.
    pub(crate) fn remove(self) -> io::Result<()> {
        remove_own(&self.file, self.id)
    }
}
