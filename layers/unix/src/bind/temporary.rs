//! The temporary name beside a path: a socket is bound to it, and then linked into place.
//!
//! In: a path and its lock's inode. Out: a bound socket. May touch: the file of that name.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kyneta_uds_core::{SocketPath, SocketPathError};
use rustix::fs::{Mode, fchmod};
use tokio::net::{UnixListener, UnixSocket};

use super::error::{BindError, failed, not_removed};
use crate::{
    fs::{Access, parent, set_access},
    socket_file::{FileId, Found, look, mark, remove_stale},
};

/// Pending connections at most. The kernel limits it to `net.core.somaxconn`.
pub(crate) const BACKLOG: u32 = 4096;

/// The temporary name. Dropping it removes the file that it has bound.
pub(super) struct Temporary {
    path: PathBuf,
    exists: bool,
}

impl Temporary {
    /// The name in the same directory that belongs to a path and to its lock file, by inode.
    ///
    /// It is derived from them, so that the holder of the lock may remove what a crash has left there. Not
    /// from the path alone: if the lock file is removed, two processes can hold a lock, and one would link
    /// the other's socket into place.
    pub(super) fn beside(path: &SocketPath, file: &Path, lock: u64) -> Result<Self, BindError> {
        let name = file.file_name().unwrap_or(file.as_os_str());
        let short = short(&[&lock.to_le_bytes(), name.as_encoded_bytes()].concat());
        let temporary = parent(file).join(format!(".k{short}"));
        match SocketPath::new(&temporary) {
            Err(SocketPathError::TooLong { len, limit, .. }) => Err(BindError::DirectoryTooDeep {
                path: path.clone(),
                len,
                limit,
            }),
            _ => Ok(Self {
                path: temporary,
                exists: false,
            }),
        }
    }

    pub(super) fn remove_leftover(&self) -> Result<(), BindError> {
        let file = &self.path;
        // Only a socket can be a leftover. The bind reports any other file.
        match look(file) {
            Ok(Found::Socket(_)) => {
                remove_stale(file).map_err(not_removed("remove the leftover", file))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn bind(&mut self, access: Access) -> Result<UnixSocket, BindError> {
        let file = &self.path;
        let socket = UnixSocket::new_stream().map_err(failed("make a socket for", file))?;
        // Linux gives the file the mode of the socket, less the umask, so that the file never has more than
        // the requested bits. Elsewhere a socket has no mode.
        let _ = fchmod(&socket, Mode::from_raw_mode(access.mode as _));
        socket.bind(file).map_err(failed("bind", file))?;
        self.exists = true;
        set_access(file, access).map_err(failed("set the mode or group of", file))?;
        mark(file).map_err(failed("set the times of", file))?;
        Ok(socket)
    }

    pub(super) fn listen(&self, socket: UnixSocket) -> Result<(UnixListener, FileId), BindError> {
        let file = &self.path;
        let socket = socket.listen(BACKLOG).map_err(failed("listen at", file))?;
        let id = FileId::at(file).map_err(failed("look at", file))?;
        Ok((socket, id))
    }

    /// False when a file is already at `path`.
    pub(super) fn link(&self, path: &Path) -> Result<bool, BindError> {
        match fs::hard_link(&self.path, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            linked => linked
                .map(|()| true)
                .map_err(failed("link into place", path)),
        }
    }

    pub(super) fn remove(&mut self) {
        if std::mem::take(&mut self.exists) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Eight characters, 40 bits, the same in every build (FNV-1a). Two names in one directory share them once
/// in a trillion.
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;
    use crate::ListenerOptions;

    /// The temporary name is predictable, so another user may have put a link there.
    #[tokio::test]
    async fn a_link_at_the_temporary_name_is_neither_followed_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, target) = (dir.path().join("bus.sock"), dir.path().join("target"));
        fs::write(&target, "theirs").unwrap();
        let path = SocketPath::new(&file).unwrap();
        let lock_file = dir.path().join("bus.sock.lock");
        // An existing lock file is used as it is, so its inode is known.
        fs::write(&lock_file, "").unwrap();
        let inode = fs::metadata(&lock_file).unwrap().ino();
        let temporary = Temporary::beside(&path, &file, inode).unwrap().path.clone();
        symlink(&target, &temporary).unwrap();
        let before = fs::metadata(&target).unwrap();

        let error = ListenerOptions::new()
            .mode(0o666)
            .bind(&file)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot bind {}", temporary.display())
        );
        let after = fs::metadata(&target).unwrap();
        assert_eq!(after.mode(), before.mode());
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        assert_eq!(fs::read_link(&temporary).unwrap(), target);
        assert!(!file.exists() && !lock_file.exists());
    }
}
