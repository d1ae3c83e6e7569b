//! Takes a path: executes the steps that [`claim`](super::machine) orders.
//!
//! In: a path, how it is to be bound, the lock if it is held already. Out: a listening socket, and
//! which file it is. May touch: the path, its lock file, the temporary name beside it.

use std::{
    fs, io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use kyneta_uds_core::SocketPath;
use tokio::net::{UnixListener, UnixSocket};

use super::{
    BindError,
    lock::Lock,
    machine::{Answer, Because, Claim, FileId, Next},
};
use crate::{
    listener::ListenerOptions,
    probe::{Behind, probe},
    socket_file::{identity, look, mark_as_listened, not_removed, set_access, temporary_beside},
};

/// How many may wait to be accepted. The kernel cuts it to `net.core.somaxconn`.
pub(crate) const BACKLOG: u32 = 4096;

/// A path that is being taken.
struct Taking<'a> {
    path: &'a SocketPath,
    /// The path as the system calls take it.
    file: &'a Path,
    lock_file: &'a Path,
    options: &'a ListenerOptions,
    lock: &'a mut Option<Lock>,
    temporary: Temporary,
    bound: Option<UnixSocket>,
    listening: Option<(UnixListener, FileId)>,
}

/// Takes the path. The lock stays in `lock`, whatever comes of it.
pub(crate) fn take(
    path: &SocketPath,
    file: &Path,
    lock_file: &Path,
    options: &ListenerOptions,
    lock: &mut Option<Lock>,
) -> Result<(UnixListener, FileId), BindError> {
    let mut step = match lock {
        Some(_) => Claim::UNDER_LOCK,
        None => Claim::FIRST,
    };
    let mut taking = Taking {
        path,
        file,
        lock_file,
        options,
        lock,
        // Named after the lock once it is held; a directory that is too deep is told before.
        temporary: Temporary::new(temporary_beside(path, file, 0)?),
        bound: None,
        listening: None,
    };
    loop {
        let answer = taking.execute(step)?;
        step = match step.then(answer, options.cleanup) {
            Next::Do(step) => step,
            Next::Ours => return taking.listening.ok_or_else(out_of_step(file)),
            Next::Stale => return Err(BindError::Stale { path: path.clone() }),
            Next::InUse(because) => {
                return Err(BindError::InUse {
                    path: path.clone(),
                    by: text(because),
                });
            }
        };
    }
}

/// How a path is in use whose socket nobody listens at yet. It is worth another try in a moment.
const NEWBORN: &str = "somebody is about to listen there";

/// True when a path that could not be taken is clear in a moment, one way or the other.
pub(crate) fn is_newborn(error: &BindError) -> bool {
    matches!(error, BindError::InUse { by, .. } if *by == NEWBORN)
}

const fn text(because: Because) -> &'static str {
    match because {
        Because::Locked => "somebody holds the lock beside it",
        Because::Alive => "somebody listens there",
        Because::Busy => "somebody listens there, though its backlog is full",
        Because::JustBound => "somebody else has bound it just now",
        Because::Newborn => NEWBORN,
    }
}

impl Taking<'_> {
    fn execute(&mut self, step: Claim) -> Result<Answer, BindError> {
        let file = self.file;
        Ok(match step {
            Claim::Look | Claim::LookUnderLock | Claim::LookOnceMore(_) => {
                look(self.path, file)?.map_or(Answer::Nothing, Answer::Socket)
            }
            Claim::Lock => {
                *self.lock = Lock::try_acquire(self.lock_file, self.options.lock_access())
                    .map_err(|error| BindError::io("open the lock", self.lock_file, error))?;
                match self.lock {
                    Some(_) => Answer::Done,
                    None => Answer::InUse,
                }
            }
            Claim::Probe(_) => {
                match probe(file).map_err(|error| BindError::io("probe", file, error))? {
                    Behind::Refused => Answer::Nothing,
                    Behind::Listening => Answer::InUse,
                    Behind::Busy => Answer::Busy,
                    Behind::NotYetListening => Answer::Newborn,
                }
            }
            Claim::RemoveStale => {
                remove(file).map_err(|error| not_removed("remove the stale", file, error))?;
                Answer::Done
            }
            Claim::RemoveLeftover => {
                let lock = self.lock.as_ref().ok_or_else(out_of_step(file))?;
                let lock = lock
                    .inode()
                    .map_err(|error| BindError::io("look at the lock of", file, error))?;
                self.temporary.path = temporary_beside(self.path, file, lock)?;
                self.temporary.remove_leftover()?;
                Answer::Done
            }
            Claim::BindTemporary => {
                self.bound = Some(self.temporary.bind(self.options)?);
                Answer::Done
            }
            Claim::Listen => {
                let socket = self.bound.take().ok_or_else(out_of_step(file))?;
                self.listening = Some(self.temporary.listen(socket)?);
                Answer::Done
            }
            Claim::Link => match fs::hard_link(&self.temporary.path, file) {
                Ok(()) => Answer::Done,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Answer::InUse,
                Err(error) => return Err(BindError::io("link into place", file, error)),
            },
            Claim::RemoveTemporary { .. } => {
                self.temporary.remove();
                Answer::Done
            }
        })
    }
}

/// Never seen: [`Claim`] orders no step before the one that it needs.
fn out_of_step(file: &Path) -> impl FnOnce() -> BindError {
    move || BindError::io("take", file, io::Error::other("a step was left out"))
}

/// Nothing there any more is fine.
fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The bound name beside the path, removed again whatever happens.
struct Temporary {
    path: PathBuf,
    exists: bool,
}

impl Temporary {
    const fn new(path: PathBuf) -> Self {
        Self {
            path,
            exists: false,
        }
    }

    fn remove_leftover(&self) -> Result<(), BindError> {
        let file = &self.path;
        let there = fs::symlink_metadata(file).map(|metadata| metadata.file_type());
        // What is no socket is nobody's leftover; the bind then says that it is in the way.
        if !there.is_ok_and(|kind| kind.is_socket()) {
            return Ok(());
        }
        remove(file).map_err(|error| not_removed("remove the leftover", file, error))
    }

    fn bind(&mut self, options: &ListenerOptions) -> Result<UnixSocket, BindError> {
        let file = &self.path;
        let socket = UnixSocket::new_stream()
            .map_err(|error| BindError::io("make a socket for", file, error))?;
        // Linux gives the file the mode of the socket, less the umask: for no moment more than was asked for.
        // Elsewhere a socket has no mode.
        let _ = rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(options.mode as _));
        socket
            .bind(file)
            .map_err(|error| BindError::io("bind", file, error))?;
        self.exists = true;
        set_access(file, options.mode, options.group)
            .map_err(|error| BindError::io("set the mode or group of", file, error))?;
        mark_as_listened(file).map_err(|error| BindError::io("set the times of", file, error))?;
        Ok(socket)
    }

    fn listen(&self, socket: UnixSocket) -> Result<(UnixListener, FileId), BindError> {
        let file = &self.path;
        let socket = socket
            .listen(BACKLOG)
            .map_err(|error| BindError::io("listen at", file, error))?;
        let identity = identity(file).map_err(|error| BindError::io("look at", file, error))?;
        Ok((socket, identity))
    }

    fn remove(&mut self) {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    /// The temporary name can be known beforehand, so somebody may have put a link there.
    #[tokio::test]
    async fn a_link_at_the_temporary_name_is_neither_followed_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, target) = (dir.path().join("bus.sock"), dir.path().join("target"));
        fs::write(&target, "theirs").unwrap();
        let path = SocketPath::new(&file).unwrap();
        let lock_file = Lock::path_for(&file);
        // A lock file that is there is used as it is, so its number is known.
        fs::write(&lock_file, "").unwrap();
        let inode = fs::metadata(&lock_file).unwrap().ino();
        let temporary = temporary_beside(&path, &file, inode).unwrap();
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
