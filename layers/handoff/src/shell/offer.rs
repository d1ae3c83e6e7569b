//! The control channel's name: where successors ask.
//!
//! In: the path that is served. Out: successors that ask. May touch: the socket file at `PATH.handoff`.

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen,
        socket_with,
    },
};

use super::channel::Channel;

/// Successors that may wait.
const BACKLOG: i32 = 4;

/// The path of the control channel of a process that serves `path`.
///
/// ```
/// use std::path::Path;
/// use kyneta_uds_handoff::control_path;
/// assert_eq!(control_path(Path::new("/run/bus.sock")), Path::new("/run/bus.sock.handoff"));
/// ```
pub fn control_path(path: &Path) -> PathBuf {
    let mut control = path.as_os_str().to_owned();
    control.push(".handoff");
    control.into()
}

/// The offer of a process that serves a path: processes of the same user may take over. It can be polled for
/// reading; then [`accept`](Self::accept) has a successor. Dropping it leaves the file: [`close`](Self::close)
/// removes it.
#[derive(Debug)]
pub struct Offer {
    socket: OwnedFd,
    control: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl Offer {
    /// Offers a handoff of what is served at `path`. The caller must hold the lock of the path: a file that an
    /// earlier holder has left is removed.
    ///
    /// # Errors
    /// What the kernel says; a file that is no socket is not removed.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let control = control_path(path);
        if fs::symlink_metadata(&control).is_ok_and(|there| there.file_type().is_socket()) {
            fs::remove_file(&control)?;
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&socket, &SocketAddrUnix::new(&control)?)?;
        // Nothing can connect before it listens, and then the user is checked anyway.
        fs::set_permissions(&control, fs::Permissions::from_mode(0o600))?;
        Self::resume(socket, path)
    }

    /// The offer of a predecessor, by the descriptor that it has [shared](super::HandOver::shared).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn resume(socket: OwnedFd, path: &Path) -> io::Result<Self> {
        // Again: the kernel shows those that connect the process that has called this last.
        listen(&socket, BACKLOG)?;
        let control = control_path(path);
        let there = fs::symlink_metadata(&control)?;
        Ok(Self {
            socket,
            control,
            file: (there.dev(), there.ino()),
        })
    }

    /// The next successor that asks, if there is one. Does not wait.
    ///
    /// # Errors
    /// What the kernel says, such as that there are no descriptors left.
    pub fn accept(&self) -> io::Result<Option<Asking>> {
        loop {
            match accept_with(&self.socket, SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    let channel = Channel::new(socket);
                    return Ok(Some(Asking { channel }));
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends the offer, and removes the file if it is still its own. Not after a handoff: the successor has it.
    pub fn close(self) {
        let there = fs::symlink_metadata(&self.control);
        if there.is_ok_and(|there| (there.dev(), there.ino()) == self.file) {
            let _ = fs::remove_file(&self.control); // gone, or not permitted: harmless
        }
    }
}

impl AsFd for Offer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A successor that has connected. [`hand_over`](Self::hand_over) is the rest.
#[derive(Debug)]
pub struct Asking {
    pub(super) channel: Channel,
}
