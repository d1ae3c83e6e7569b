//! The lock beside a path: who holds it may look at the path and change it.
//!
//! In: the lock file's path. Out: a held [`Lock`], or that somebody else holds it. May touch: that
//! file alone.
//!
//! The kernel drops it with the process, however that ends. The file is removed by its holder
//! alone; who waited for a file that has been removed meanwhile holds a lock on nothing and comes
//! again.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::fd::{AsRawFd as _, RawFd},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{
    fs::raised,
    socket_file::{file_id, gid, identity},
};

/// A held lock.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

/// How often a lock is tried whose file vanishes under us.
const TRIES: usize = 100;

impl Lock {
    /// The lock's file for a socket at `path`.
    pub(crate) fn path_for(path: &Path) -> PathBuf {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        lock.into()
    }

    /// `None` when another process holds it. A lock file that is made has the read and write bits of the
    /// mode, and the group, which are the socket's where others are allowed to connect: they may take over.
    pub(crate) fn try_acquire(path: &Path, access: (u32, Option<u32>)) -> io::Result<Option<Self>> {
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
            };
            if lock.is_current() {
                return Ok(Some(lock));
            }
        }
        Err(io::Error::other("the lock file keeps vanishing"))
    }

    /// Which file it is. No other has this number while it is held, even when it has been removed.
    pub(crate) fn inode(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.ino())
    }

    /// The number of its descriptor.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Holds it by a descriptor above this one, if that can be had. The lock belongs to the open file, which
    /// stays the same.
    pub(crate) fn raise_above(&mut self, below: RawFd) {
        if let Some(raised) = raised(&self.file, below) {
            self.file = raised.into();
        }
    }

    /// True while the file that is locked is the one at the path.
    pub(crate) fn is_current(&self) -> bool {
        match (self.file.metadata(), identity(&self.path)) {
            (Ok(held), Ok(there)) => file_id(&held).is_file(there),
            _ => false,
        }
    }
}

/// `None` when there is none. Locking needs no permission to write, so reading is enough where
/// another user has made the file. Whatever another user has made there, it is not followed
/// elsewhere, not truncated, and not waited for, as opening a pipe to read would.
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
            // The first refusal is the one to tell.
            open(false).map_err(|_| error)
        }
        opened => opened,
    };
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// `None` when somebody was faster.
fn create(path: &Path, (mode, group): (u32, Option<u32>)) -> io::Result<Option<File>> {
    let mode = 0o600 | (mode & 0o666);
    let created = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    match created {
        Ok(file) => {
            if let Some(group) = group {
                // What fails here fails for the socket as well, and is told of that.
                let _ = gid(group).map(|group| rustix::fs::fchown(&file, None, Some(group)));
            }
            // Whatever the umask.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// A lock file is empty; one that says something is somebody else's, whatever its name.
fn is_lock_file(file: &File) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

impl Drop for Lock {
    fn drop(&mut self) {
        if is_lock_file(&self.file) && self.is_current() {
            // Removed while held, so that nobody can hold it at the same time.
            let _ = fs::remove_file(&self.path);
        }
    }
}
