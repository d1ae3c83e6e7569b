//! Binds a path: carries out the steps that `machine` orders.
//!
//! In: a path, how it is to be bound, and the lock if it is already held. Out: a listening socket and its
//! file's identity. May touch: the path, its lock file, the temporary name beside it.

use std::{io, path::Path};

use kyneta_uds_core::SocketPath;
use tokio::net::{UnixListener, UnixSocket};

use super::{
    error::{BindError, failed, not_removed},
    lock::Lock,
    machine::{Answer, BindStep, FileId, InUseReason, Next},
    temporary::Temporary,
};
use crate::{
    fs::{Access, parent},
    probe::{Probe, probe},
    socket_file::{Found, look, remove_stale},
};

/// How a path is bound.
#[derive(Debug, Clone)]
pub(crate) struct BindOptions {
    /// Of the socket file.
    pub(crate) access: Access,
    /// Of the lock file.
    pub(crate) lock_access: Access,
    /// Remove a stale socket file.
    pub(crate) cleanup: bool,
    /// Have the path watched by inotify.
    pub(crate) inotify: bool,
}

struct Binder<'a> {
    path: &'a SocketPath,
    /// The path as the system calls take it.
    file: &'a Path,
    lock_file: &'a Path,
    options: &'a BindOptions,
    lock: &'a mut Option<Lock>,
    temporary: Temporary,
    bound: Option<UnixSocket>,
    listening: Option<(UnixListener, FileId)>,
}

/// Binds the path. The lock stays in `lock`, also after an error. `None` when a process has just bound the
/// path and does not listen yet: try again.
pub(super) fn bind_file(
    path: &SocketPath,
    file: &Path,
    lock_file: &Path,
    options: &BindOptions,
    lock: &mut Option<Lock>,
) -> Result<Option<(UnixListener, FileId)>, BindError> {
    let mut step = match lock {
        Some(_) => BindStep::UNDER_LOCK,
        None => BindStep::FIRST,
    };
    let mut binder = Binder {
        path,
        file,
        lock_file,
        options,
        lock,
        // Renamed after the lock once it is held. Made here to report a directory that is too deep first.
        temporary: Temporary::beside(path, file, 0)?,
        bound: None,
        listening: None,
    };
    loop {
        let answer = binder.execute(step)?;
        let by = match step.then(answer, options.cleanup) {
            Next::Do(next) => {
                step = next;
                continue;
            }
            Next::Ours => return binder.listening.map(Some).ok_or_else(out_of_step(file)),
            Next::Stale => return Err(BindError::Stale { path: path.clone() }),
            Next::InUse(InUseReason::NotYetListening) => return Ok(None),
            Next::InUse(InUseReason::Locked) => "another process holds the lock beside it",
            Next::InUse(InUseReason::Alive) => "a process listens there",
            Next::InUse(InUseReason::Busy) => "a process listens there, though its backlog is full",
            Next::InUse(InUseReason::JustBound) => "another process has just bound it",
        };
        let path = path.clone();
        return Err(BindError::InUse { path, by });
    }
}

impl Binder<'_> {
    fn execute(&mut self, step: BindStep) -> Result<Answer, BindError> {
        let file = self.file;
        match step {
            BindStep::Look | BindStep::LookUnderLock | BindStep::LookOnceMore(_) => {
                return self.look();
            }
            BindStep::Lock => {
                *self.lock = Lock::try_acquire(self.lock_file, self.options.lock_access)
                    .map_err(failed("open the lock", self.lock_file))?;
                if self.lock.is_none() {
                    return Ok(Answer::InUse);
                }
            }
            BindStep::Probe(_) => {
                return Ok(match probe(file).map_err(failed("probe", file))? {
                    Probe::Refused => Answer::Nothing,
                    Probe::Listening => Answer::InUse,
                    Probe::Busy => Answer::Busy,
                    Probe::NotYetListening => Answer::NotYetListening,
                });
            }
            BindStep::RemoveStale => {
                remove_stale(file).map_err(not_removed("remove the stale", file))?;
            }
            BindStep::RemoveLeftover => {
                let lock = self.lock.as_ref().ok_or_else(out_of_step(file))?;
                let lock = lock.inode().map_err(failed("look at the lock of", file))?;
                self.temporary = Temporary::beside(self.path, file, lock)?;
                self.temporary.remove_leftover()?;
            }
            BindStep::BindTemporary => {
                self.bound = Some(self.temporary.bind(self.options.access)?);
            }
            BindStep::Listen => {
                let socket = self.bound.take().ok_or_else(out_of_step(file))?;
                self.listening = Some(self.temporary.listen(socket)?);
            }
            BindStep::Link if !self.temporary.link(file)? => return Ok(Answer::InUse),
            BindStep::Link => {}
            BindStep::RemoveTemporary { .. } => self.temporary.remove(),
        }
        Ok(Answer::Done)
    }

    fn look(&self) -> Result<Answer, BindError> {
        let (path, file) = (self.path.clone(), self.file);
        let kind = match look(file).map_err(failed("look at", file))? {
            Found::Socket(id) => return Ok(Answer::Socket(id)),
            Found::Nothing => {
                return match parent(file).try_exists() {
                    Ok(false) => Err(BindError::NoDirectory { path }),
                    _ => Ok(Answer::Nothing),
                };
            }
            Found::Other(kind) if kind.is_dir() => "a directory",
            Found::Other(kind) if kind.is_symlink() => "a symbolic link, which is not followed",
            Found::Other(kind) if kind.is_file() => "a regular file",
            Found::Other(_) => "a device or pipe",
        };
        Err(BindError::NotASocket { path, kind })
    }
}

/// Unreachable: [`BindStep`] orders no step before the one that it needs.
fn out_of_step(file: &Path) -> impl FnOnce() -> BindError {
    move || failed("bind", file)(io::Error::other("a step was left out"))
}
