//! The lock beside a path. Its holder may look at the path and change it.
//!
//! In: the lock file's path. Out: a held [`Lock`], or nothing when another process holds it. May touch:
//! that file alone.
//!
//! The kernel releases the lock when the process ends. Only the holder removes the file; a process that has
//! locked a file which was removed meanwhile tries again.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{
    fs::{Access, gid, raised},
    socket_file::FileId,
};

/// A held lock.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    /// Another process holds it too, and goes on with it.
    left: bool,
}

/// How many times the lock is tried when its file is removed at the same time.
const TRIES: usize = 100;

impl Lock {
    /// The lock's file for a socket at `path`.
    pub(super) fn path_for(path: &Path) -> PathBuf {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        lock.into()
    }

    /// Takes the lock. `None` when another process holds it. A new lock file gets `access`, so that all
    /// processes that may connect may also take over.
    pub(super) fn try_acquire(path: &Path, access: Access) -> io::Result<Option<Self>> {
        for _ in 0..TRIES {
            let Some(file) =
                open(path)?.map_or_else(|| create(path, access), |file| Ok(Some(file)))?
            else {
                continue;
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let lock = Self {
                file,
                path: path.into(),
                left: false,
            };
            if lock.is_current() {
                return Ok(Some(lock));
            }
        }
        Err(io::Error::other("the lock file keeps vanishing"))
    }

    /// A lock that another process has taken. It belongs to the open file, of which this is a copy.
    pub(super) fn resume(file: OwnedFd, path: &Path) -> Self {
        Self {
            file: file.into(),
            path: path.into(),
            left: false,
        }
    }

    /// A copy of its descriptor: the kernel releases the lock when the last copy is closed.
    pub(super) fn copy(&self) -> io::Result<OwnedFd> {
        self.file.try_clone().map(Into::into)
    }

    /// Closes the descriptor. Another process holds a copy, and has the lock.
    pub(super) fn leave(mut self) {
        self.left = true;
    }

    /// Its file's inode. No other file has this number while the lock is held, even after a removal.
    pub(super) fn inode(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.ino())
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Moves to a descriptor above this one, if possible. The lock belongs to the open file, which stays
    /// the same.
    pub(super) fn raise_above(&mut self, below: RawFd) {
        if let Some(raised) = raised(&self.file, below) {
            self.file = raised.into();
        }
    }

    /// True while the locked file is the one at the path.
    pub(super) fn is_current(&self) -> bool {
        match (self.file.metadata(), FileId::at(&self.path)) {
            (Ok(held), Ok(there)) => FileId::of(&held).is_same_file(there),
            _ => false,
        }
    }
}

/// `None` when there is no such file. Locking needs no write permission, so reading is enough where
/// another user has made the file. Whatever that user has put there, it is not followed, not truncated, and
/// not waited for (opening a pipe would wait).
fn open(path: &Path) -> io::Result<Option<File>> {
    let open = |write| {
        OpenOptions::new()
            .read(true)
            .write(write)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
            .open(path)
    };
    let opened = match open(true) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // The first error is the one to report.
            open(false).map_err(|_| error)
        }
        opened => opened,
    };
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// `None` when another process was faster.
fn create(path: &Path, access: Access) -> io::Result<Option<File>> {
    let mode = 0o600 | (access.mode & 0o666);
    let created = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    match created {
        Ok(file) => {
            if let Some(group) = access.group {
                // An error here occurs for the socket as well, and is reported there.
                let _ = gid(group).map(|group| rustix::fs::fchown(&file, None, Some(group)));
            }
            // Regardless of the umask.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A lock file is empty. A file with content belongs to another program, whatever its name.
        let is_lock_file =
            (self.file.metadata()).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0);
        if !self.left && is_lock_file && self.is_current() {
            // Removed while held, so that no other process can hold it at the same time.
            let _ = fs::remove_file(&self.path);
        }
    }
}
