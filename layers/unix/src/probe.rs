//! Whether a process listens behind a socket file.
//!
//! In: a path. Out: what a connection to it shows. May touch: that connection, closed at once.

use std::{
    fs, io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::Path,
    time::{Duration, SystemTime},
};

use kyneta_uds_core::Credentials;
use tokio::net::{UnixSocket, UnixStream};

use crate::credentials;

/// Who listens behind a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// No process.
    Refused,
    /// A process.
    Listening,
    /// A process whose backlog is full.
    Busy,
    /// No process, but the file is so new that one may be about to listen.
    NotYetListening,
}

/// A process that binds a path without our care listens at it a moment later; in between it looks stale.
/// That moment is microseconds long, unless the process is preempted between bind(2) and listen(2).
const NEWBORN: Duration = Duration::from_millis(10);

/// True when the file has come to be just now, and bears no mark. Its change time is what no one can
/// set.
fn is_newborn(file: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(file) else {
        return false;
    };
    if metadata.mtime_nsec() == 0 {
        return false;
    }
    let (seconds, nanos) = (metadata.ctime(), metadata.ctime_nsec());
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else {
        return false;
    };
    let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos));
    // One from the future is from before the clock was set.
    let age = changed.and_then(|changed| changed.elapsed().ok());
    age.is_some_and(|age| age < NEWBORN)
}

/// Connects to a socket and lets go of it. Does not wait: a full backlog is an answer too.
pub(crate) fn probe(file: &Path) -> io::Result<Behind> {
    let connected = connect(file);
    match connected.as_ref().map_err(io::Error::kind) {
        Ok(_) => Ok(Behind::Listening),
        Err(io::ErrorKind::ConnectionRefused) if is_newborn(file) => Ok(Behind::NotYetListening),
        Err(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(Behind::Refused),
        Err(io::ErrorKind::WouldBlock) => Ok(Behind::Busy),
        Err(_) => connected.map(|_| Behind::Listening),
    }
}

/// Connects to a socket without waiting.
fn connect(file: &Path) -> io::Result<UnixSocket> {
    let socket = UnixSocket::new_stream()?;
    let address = rustix::net::SocketAddrUnix::new(file)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

/// Which process listens at a socket: `None` when none does, or none that accepts: its backlog is full.
/// Within a tokio runtime.
pub(crate) fn listener(file: &Path) -> Option<Option<Credentials>> {
    match connect(file) {
        Ok(socket) => {
            let stream = socket
                .as_fd()
                .try_clone_to_owned()
                .map(std::os::unix::net::UnixStream::from);
            let stream = stream.and_then(UnixStream::from_std);
            Some(stream.ok().as_ref().and_then(credentials::of))
        }
        Err(_) => None,
    }
}
