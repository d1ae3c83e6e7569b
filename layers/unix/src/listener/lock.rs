//! The lock beside a path: who holds it may look at the path and change it.
//!
//! In: the lock file's path. Out: a held [`Lock`], or that somebody else holds it. May touch: that
//! file alone.
//!
//! The kernel drops it with the process, however that ends. The file is removed by its holder
//! alone; who waited for a file that has been removed meanwhile holds a lock on nothing and comes
//! again.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A held lock.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

/// How often a lock is tried whose file vanishes under us.
const TRIES: usize = 100;

impl Lock {
    /// The lock's file for a socket at `path`.
    pub(super) fn path_for(path: &Path) -> PathBuf {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        lock.into()
    }

    /// `None` when somebody else holds it.
    pub(super) fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        for _ in 0..TRIES {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
                .open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let lock = Self {
                file,
                path: path.into(),
            };
            if lock.is_current()? {
                return Ok(Some(lock));
            }
        }
        Err(io::Error::other("the lock file keeps vanishing"))
    }

    /// True while the file that is locked is the one at the path.
    fn is_current(&self) -> io::Result<bool> {
        let held = self.file.metadata()?;
        match std::fs::symlink_metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A lock file is empty; one that says something is somebody else's, whatever its name.
fn is_lock_file(file: &File) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

impl Drop for Lock {
    fn drop(&mut self) {
        if is_lock_file(&self.file) && self.is_current().unwrap_or(false) {
            // Removed while held, so that nobody can hold it at the same time.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
