//! The socket file at a path: what is there, which file it is, our mark on it, and its removal.
//!
//! In: a path. Out: what a look shows. May touch: the file's times and its name.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};

/// The identity of a file.
///
/// It includes the time of the last change, because a file system may reuse the inode of a removed file
/// at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// When its status last changed: seconds and nanoseconds since 1970.
    pub changed: (i64, i64),
}

impl FileId {
    /// True for the same file, whatever has been changed about it. Certain only while the file is held
    /// open, as a bound socket holds its own.
    pub const fn is_same_file(self, other: Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }

    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Of the file at a path. Symbolic links are not followed.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|metadata| Self::of(&metadata))
    }
}

/// What is at a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    Nothing,
    Socket(FileId),
    Other(fs::FileType),
}

/// Looks what is at a path. Symbolic links are not followed.
pub(crate) fn look(file: &Path) -> io::Result<Found> {
    match fs::symlink_metadata(file) {
        Ok(there) if there.file_type().is_socket() => Ok(Found::Socket(FileId::of(&there))),
        Ok(there) => Ok(Found::Other(there.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}

/// Removes a stale socket file. A file that is already gone is no error.
pub(crate) fn remove_stale(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes our own socket file, if the file at the path is still ours.
pub(crate) fn remove_own(file: &Path, own: FileId) -> io::Result<()> {
    match look(file)? {
        Found::Socket(there) if there.is_same_file(own) => fs::remove_file(file),
        _ => Ok(()),
    }
}

/// Nanoseconds of the modification time of our socket files: a whole second, which other files have once in
/// a million. (The access time would not do: connecting changes it.)
pub(crate) const MARK: i64 = 0;

/// Marks a socket file as one of ours, before it is visible. A marked file that refuses connections is stale,
/// not about to be listened at: our listener is ready before its file is visible.
pub(crate) fn mark(file: &Path) -> io::Result<()> {
    let modified = fs::symlink_metadata(file)?.mtime();
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: modified,
            tv_nsec: MARK,
        },
    };
    Ok(utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
