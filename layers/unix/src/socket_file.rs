//! The questions that are asked of the file system about a path.
//!
//! In: a path. Out: what is there. May touch: the mode and times of a file of ours.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use kyneta_uds_core::{SocketPath, SocketPathError};
use rustix::fs::{AtFlags, CWD, Gid, Timespec, Timestamps, UTIME_OMIT, utimensat};

use crate::{
    bind::{BindError, machine::FileId},
    directory::{DirectoryRisk, STICKY},
};

/// Which file is at a path. Symbolic links are not followed.
pub(crate) fn identity(path: &Path) -> io::Result<FileId> {
    fs::symlink_metadata(path).map(|metadata| file_id(&metadata))
}

pub(crate) fn file_id(metadata: &fs::Metadata) -> FileId {
    FileId {
        device: metadata.dev(),
        inode: metadata.ino(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// The socket at a path, if anything is there. Symbolic links are not followed.
pub(crate) fn look(path: &SocketPath, file: &Path) -> Result<Option<FileId>, BindError> {
    let metadata = match fs::symlink_metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match parent(file).try_exists() {
                Ok(false) => Err(BindError::NoDirectory { path: path.clone() }),
                _ => Ok(None),
            };
        }
        Err(error) => return Err(BindError::io("look at", file, error)),
    };
    let kind = match metadata.file_type() {
        kind if kind.is_socket() => return Ok(Some(file_id(&metadata))),
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

/// What others may do to a file because of its directory. One that cannot be looked at says nothing.
pub(crate) fn risk(file: &Path) -> Option<DirectoryRisk> {
    let directory = parent(file);
    let metadata = fs::metadata(directory).ok()?;
    let ours = rustix::process::geteuid().as_raw();
    DirectoryRisk::of(directory, metadata.uid(), metadata.mode(), ours)
}

/// Marks a socket as one that is listened at before anybody can see it: nobody need wait for that.
/// It was modified at a whole second, which happens to others once in a million. (Its access time
/// would not do: connecting changes that.)
pub(crate) fn mark_as_listened(file: &Path) -> io::Result<()> {
    let modified = fs::symlink_metadata(file)?.mtime();
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: modified,
            tv_nsec: 0,
        },
    };
    Ok(utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Sets the group, if one is asked for, and the mode of a socket, and of nothing that another process has
/// put in its place: in a directory that others may write to, a link to a file of ours would have that
/// file's mode set instead.
#[cfg(target_os = "linux")]
pub(crate) fn set_access(file: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    set_access_by(Path::new("/proc/self/fd"), file, mode, group)
}

/// `descriptors` is where the kernel shows our descriptors as files.
#[cfg(target_os = "linux")]
fn set_access_by(descriptors: &Path, file: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{FileType, Mode, OFlags, chownat, fstat, open};

    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let there = open(file, flags, Mode::empty())?;
    let stat = fstat(&there)?;
    if !FileType::from_raw_mode(stat.st_mode).is_socket() {
        return Err(replaced());
    }
    if let Some(group) = group {
        chownat(&there, "", None, Some(gid(group)?), AtFlags::EMPTY_PATH)?;
    }
    if stat.st_mode & 0o7777 == mode {
        return Ok(());
    }
    // By way of its descriptor: chmod(2) follows links, and fchmod(2) does not take such a one.
    let itself = descriptors.join(there.as_raw_fd().to_string());
    chmod(&itself, mode).or_else(|_| {
        // Without /proc, or where it is denied, a moment is left in which the file can be replaced.
        let now = identity(file)?;
        if (now.device, now.inode) != (stat.st_dev, stat.st_ino) {
            return Err(replaced());
        }
        chmod(file, mode)
    })
}

/// As on Linux, but a moment is left in which it can be replaced.
#[cfg(not(target_os = "linux"))]
pub(crate) fn set_access(file: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    use rustix::fs::chownat;

    if !fs::symlink_metadata(file)?.file_type().is_socket() {
        return Err(replaced());
    }
    if let Some(group) = group {
        chownat(
            CWD,
            file,
            None,
            Some(gid(group)?),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
    }
    chmod(file, mode)
}

/// All numbers but the one that means none.
pub(crate) fn gid(group: u32) -> io::Result<Gid> {
    match group {
        u32::MAX => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "4294967295 is the number of no group",
        )),
        group => Ok(Gid::from_raw(group)),
    }
}

/// Why a file could not be removed: as [`BindError::StaleOfOther`] when the sticky bit of its directory
/// keeps it for its owner.
pub(crate) fn not_removed(doing: &'static str, file: &Path, source: io::Error) -> BindError {
    if source.kind() == io::ErrorKind::PermissionDenied
        && let (Ok(stale), Ok(directory)) = (fs::symlink_metadata(file), fs::metadata(parent(file)))
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
    BindError::io(doing, file, source)
}

fn chmod(file: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(file, fs::Permissions::from_mode(mode))
}

fn replaced() -> io::Error {
    io::Error::other("somebody has replaced it")
}

/// The temporary name in the same directory that belongs to a path and to its lock file, by inode.
///
/// It follows from them, so that the holder of the lock may remove what a crash has left there. Not
/// from the path alone: when a stranger removes the lock file, two can hold a lock, and one would
/// link the other's socket into place.
pub(crate) fn temporary_beside(
    path: &SocketPath,
    file: &Path,
    lock: u64,
) -> Result<PathBuf, BindError> {
    let name = file.file_name().unwrap_or(file.as_os_str());
    let short = short(&[&lock.to_le_bytes(), name.as_encoded_bytes()].concat());
    let temporary = parent(file).join(format!(".k{short}"));
    match SocketPath::new(&temporary) {
        Err(SocketPathError::TooLong { len, limit, .. }) => Err(BindError::DirectoryTooDeep {
            path: path.clone(),
            len,
            limit,
        }),
        _ => Ok(temporary),
    }
}

/// Eight characters, 40 bits, that are the same in every build (FNV-1a). Two names in one directory
/// share them once in a trillion.
fn short(name: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (0..8)
        .filter_map(|i| ALPHABET.get((hash >> (24 + 5 * i)) as usize & 31))
        .map(|letter| char::from(*letter))
        .collect()
}

fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != "" => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    #[test]
    fn the_mode_of_a_socket_is_set_and_of_nothing_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, file, link) = (
            dir.path().join("socket"),
            dir.path().join("file"),
            dir.path().join("link"),
        );
        let mode = |file: &Path| fs::metadata(file).unwrap().mode() & 0o7777;

        let _socket = UnixListener::bind(&socket).unwrap();
        for wanted in [0o600, 0o666] {
            set_access(&socket, wanted, None).unwrap();
            assert_eq!(mode(&socket), wanted);
        }
        fs::write(&file, "ours").unwrap();
        chmod(&file, 0o600).unwrap();
        for target in [&file, &socket] {
            symlink(target, &link).unwrap();
            let before = mode(target);
            for in_its_place in [&link, &file] {
                let error = set_access(in_its_place, 0o640, None).unwrap_err();
                assert_eq!(error.to_string(), "somebody has replaced it");
            }
            assert_eq!(mode(target), before);
            fs::remove_file(&link).unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_mode_is_set_where_proc_is_denied() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _socket = UnixListener::bind(&socket).unwrap();
        for (descriptors, mode) in [("/dev/null", 0o600), ("/nowhere", 0o666)] {
            set_access_by(Path::new(descriptors), &socket, mode, None).unwrap();
            assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o7777, mode);
        }
    }

    #[test]
    fn the_number_of_no_group_is_refused() {
        assert!(gid(0).is_ok());
        assert_eq!(
            gid(u32::MAX).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
