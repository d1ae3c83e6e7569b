//! System calls on files and descriptors that the standard library does not have.
//!
//! In: a file or a descriptor. Out: its mode or number changed. May touch: that file's mode and group; the
//! process's descriptors.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd, RawFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::Path,
};

use rustix::{fs::Gid, io::fcntl_dupfd_cloexec};

use crate::directory::DirectoryRisk;

/// Mode and group of a file. The group is the kernel's choice when absent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    pub(crate) group: Option<u32>,
}

/// Sets the mode and group of a socket, and of no other file that has replaced it: in a directory that
/// another user may write to, a link to one of our files would have that file's mode set instead.
#[cfg(target_os = "linux")]
pub(crate) fn set_access(file: &Path, access: Access) -> io::Result<()> {
    set_access_by(Path::new("/proc/self/fd"), file, access)
}

/// `descriptors` is where the kernel shows our descriptors as files.
#[cfg(target_os = "linux")]
fn set_access_by(descriptors: &Path, file: &Path, access: Access) -> io::Result<()> {
    use rustix::fs::{AtFlags, FileType, Mode, OFlags, chownat, fstat, open};

    use crate::socket_file::FileId;

    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let there = open(file, flags, Mode::empty())?;
    let stat = fstat(&there)?;
    if !FileType::from_raw_mode(stat.st_mode).is_socket() {
        return Err(replaced());
    }
    if let Some(group) = access.group {
        chownat(&there, "", None, Some(gid(group)?), AtFlags::EMPTY_PATH)?;
    }
    if stat.st_mode & 0o7777 == access.mode {
        return Ok(());
    }
    // By way of its descriptor: chmod(2) follows links, and fchmod(2) rejects a descriptor of this kind.
    let itself = descriptors.join(there.as_raw_fd().to_string());
    chmod(&itself, access.mode).or_else(|_| {
        // Without /proc, or where it is denied, the file can be replaced between the check and chmod(2).
        let now = FileId::at(file)?;
        if (now.device, now.inode) != (stat.st_dev, stat.st_ino) {
            return Err(replaced());
        }
        chmod(file, access.mode)
    })
}

/// As on Linux, but the file can be replaced between the check and chmod(2).
#[cfg(not(target_os = "linux"))]
pub(crate) fn set_access(file: &Path, access: Access) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;

    use rustix::fs::{AtFlags, CWD, chownat};

    if !fs::symlink_metadata(file)?.file_type().is_socket() {
        return Err(replaced());
    }
    if let Some(group) = access.group {
        let group = Some(gid(group)?);
        chownat(CWD, file, None, group, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    chmod(file, access.mode)
}

/// Any number but 4294967295, which means "no group" to the kernel.
pub(crate) fn gid(group: u32) -> io::Result<Gid> {
    match group {
        u32::MAX => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "4294967295 is the number of no group",
        )),
        group => Ok(Gid::from_raw(group)),
    }
}

fn chmod(file: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(file, fs::Permissions::from_mode(mode))
}

fn replaced() -> io::Error {
    io::Error::other("another process has replaced it")
}

/// The directory of a file.
pub(crate) fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != "" => parent,
        _ => Path::new("."),
    }
}

/// The risk of a file's directory. `None` also when the directory cannot be looked at.
pub(crate) fn directory_risk(file: &Path) -> Option<DirectoryRisk> {
    let directory = parent(file);
    let metadata = fs::metadata(directory).ok()?;
    let ours = rustix::process::geteuid().as_raw();
    DirectoryRisk::of(directory, metadata.uid(), metadata.mode(), ours)
}

/// A copy of a descriptor above `below`: a killed process closes its descriptors from the highest to the
/// lowest. `None` when it is above already, or no copy can be made.
pub(crate) fn raised(descriptor: &impl AsFd, below: RawFd) -> Option<OwnedFd> {
    let descriptor = descriptor.as_fd();
    if descriptor.as_raw_fd() > below {
        return None;
    }
    fcntl_dupfd_cloexec(descriptor, below.checked_add(1)?).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    const fn of_mode(mode: u32) -> Access {
        Access { mode, group: None }
    }

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
            set_access(&socket, of_mode(wanted)).unwrap();
            assert_eq!(mode(&socket), wanted);
        }
        fs::write(&file, "ours").unwrap();
        chmod(&file, 0o600).unwrap();
        for target in [&file, &socket] {
            symlink(target, &link).unwrap();
            let before = mode(target);
            for in_its_place in [&link, &file] {
                let error = set_access(in_its_place, of_mode(0o640)).unwrap_err();
                assert_eq!(error.to_string(), "another process has replaced it");
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
            set_access_by(Path::new(descriptors), &socket, of_mode(mode)).unwrap();
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
