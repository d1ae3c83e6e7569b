//! A path that is ours: taken, looked after, put back, given up.
//!
//! In: a path and how it is to be bound. Out: a listening socket and what it owns; what has become
//! of it. May touch: the path, its lock file, the temporary name beside it.
//!
//! What is removed is looked at first, under the lock: POSIX has no compare-and-unlink.

use std::{
    fs, io,
    os::fd::RawFd,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use kyneta_uds_core::SocketPath;
use tokio::{
    net::{UnixListener, UnixSocket},
    time::sleep,
};

mod error;
mod lock;
pub mod machine;
mod steps;

pub use self::error::BindError;
use self::{
    lock::Lock,
    machine::FileId,
    steps::{BACKLOG, is_newborn, take},
};
use crate::{
    connector::os_path,
    directory::DirectoryRisk,
    listener::ListenerOptions,
    probe::{Behind, probe},
    socket_file::{file_id, identity, risk},
    watch::machine::{Lost, Seen, Verdict, Watch},
};

/// A file that is ours.
#[derive(Debug)]
pub(crate) struct Owned {
    /// As given.
    path: SocketPath,
    /// The same, whatever the working directory is.
    file: PathBuf,
    lock_file: PathBuf,
    options: ListenerOptions,
    identity: FileId,
    /// `None` when somebody has removed its file, and it could not be had again yet.
    lock: Option<Lock>,
    /// As it was when the path was bound.
    risk: Option<DirectoryRisk>,
}

/// How long a path that is lost is left to whoever has removed it.
const AFTER_YOU: Duration = Duration::from_millis(20);

/// Between two looks at a path whose socket is newly bound.
const MOMENT: Duration = Duration::from_millis(1);

/// Takes a pathname.
pub(crate) async fn bind(
    path: SocketPath,
    options: ListenerOptions,
) -> Result<(UnixListener, Owned), BindError> {
    loop {
        match bind_now(path.clone(), options.clone()) {
            Err(error) if is_newborn(&error) => sleep(MOMENT).await,
            done => return done,
        }
    }
}

fn bind_now(
    path: SocketPath,
    options: ListenerOptions,
) -> Result<(UnixListener, Owned), BindError> {
    let given = os_path(&path);
    // The directory that a relative path is meant from may change before the end.
    let file = absolute(&given).map_err(|error| BindError::io("find", &given, error))?;
    let lock_file = Lock::path_for(&file);
    let mut lock = None;
    let (socket, identity) = take(&path, &given, &lock_file, &options, &mut lock)?;
    let risk = risk(&file);
    if let Some(risk) = &risk {
        tracing::warn!(%path, "{risk}");
    }
    let owned = Owned {
        path,
        file,
        lock_file,
        options,
        identity,
        lock,
        risk,
    };
    Ok((socket, owned))
}

/// Takes an abstract name. The kernel keeps it unique and drops it with its owner.
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
        _ => BindError::io("bind", path.to_string(), error),
    })
}

impl Owned {
    /// What is ours beside the socket itself: its file, and the lock's.
    pub(crate) fn files(&self) -> [&Path; 2] {
        [&self.file, &self.lock_file]
    }

    /// False when another process holds the lock, or it could not be had.
    pub(crate) const fn holds_lock(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether the kernel is to tell of changes.
    pub(crate) const fn inotify(&self) -> bool {
        self.options.inotify
    }

    /// The number of the lock's descriptor, or below all numbers.
    pub(crate) fn lock_descriptor(&self) -> RawFd {
        self.lock.as_ref().map_or(-1, Lock::descriptor)
    }

    /// Holds the lock by a descriptor above this one.
    pub(crate) fn raise_lock_above(&mut self, below: RawFd) {
        if let Some(lock) = &mut self.lock {
            lock.raise_above(below);
        }
    }

    /// As given.
    pub(crate) const fn path(&self) -> &SocketPath {
        &self.path
    }

    pub(crate) const fn risk(&self) -> Option<&DirectoryRisk> {
        self.risk.as_ref()
    }

    /// What has become of the path, if it is not ours any more. Three system calls while it is.
    pub(crate) fn watch(&mut self) -> Option<Lost> {
        let mut step = Watch::FIRST;
        loop {
            let seen = match step {
                Watch::KeepLock => self.keep_lock(),
                Watch::Look => self.look(),
                Watch::Probe => self.probe(),
            };
            step = match step.then(seen) {
                Verdict::Do(step) => step,
                Verdict::Ours => return None,
                Verdict::Lost(lost) => return Some(lost),
            };
        }
    }

    fn keep_lock(&mut self) -> Seen {
        if !self.lock.as_ref().is_some_and(Lock::is_current) {
            // The one that is held is of no use: dropped before the next is tried.
            self.lock = None;
            self.lock =
                Lock::try_acquire(&self.lock_file, self.options.lock_access()).unwrap_or_default();
        }
        match self.lock {
            Some(_) => Seen::Ours,
            None => Seen::Other,
        }
    }

    fn look(&self) -> Seen {
        match fs::symlink_metadata(&self.file) {
            Ok(there) if file_id(&there).is_file(self.identity) => Seen::Ours,
            Ok(there) if there.file_type().is_socket() => Seen::Socket,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Nothing,
            Ok(_) | Err(_) => Seen::Other,
        }
    }

    fn probe(&self) -> Seen {
        match probe(&self.file) {
            Ok(Behind::Refused | Behind::NotYetListening) => Seen::Nothing,
            Ok(Behind::Listening | Behind::Busy) => Seen::Alive,
            Err(_) => Seen::Other,
        }
    }

    /// Puts a new socket in the path's place. `None` when the path is ours as it is.
    /// Who removes a path may be about to bind it: that one goes first.
    pub(crate) async fn restore(&mut self) -> Result<Option<UnixListener>, BindError> {
        sleep(AFTER_YOU).await;
        loop {
            match self.restore_now() {
                Err(error) if is_newborn(&error) => sleep(MOMENT).await,
                done => return done,
            }
        }
    }

    fn restore_now(&mut self) -> Result<Option<UnixListener>, BindError> {
        if self.look() == Seen::Ours {
            return Ok(None);
        }
        // Without it the claim takes it, or finds that somebody else has it now.
        self.lock = self.lock.take().filter(Lock::is_current);
        let (socket, identity) = take(
            &self.path,
            &self.file,
            &self.lock_file,
            &self.options,
            &mut self.lock,
        )?;
        self.identity = identity;
        Ok(Some(socket))
    }

    /// Removes the file if it is still ours, and gives up the lock. The socket is still open, so
    /// that no other file can have its number.
    pub(crate) fn remove(self) -> io::Result<()> {
        match identity(&self.file) {
            Ok(there) if there.is_file(self.identity) => fs::remove_file(&self.file),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
