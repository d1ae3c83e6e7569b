//! Whether a process listens at a socket file.
//!
//! In: a path. Out: the result of connecting to it. May touch: that connection, which is closed at once.

use std::{
    fs, io,
    os::{
        fd::AsFd as _,
        unix::{fs::MetadataExt as _, net::UnixStream as ForeignStream},
    },
    path::Path,
    time::{Duration, SystemTime},
};

use kyneta_uds_core::Credentials;
use tokio::net::{UnixSocket, UnixStream};

use crate::{credentials::peer_credentials, socket_file::MARK};

/// The result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// No process listens.
    Refused,
    /// A process listens.
    Listening,
    /// A process listens, but its backlog is full.
    Busy,
    /// No process listens, but the file is so new that its process may be about to listen.
    NotYetListening,
}

/// Other programs bind the path first and listen after that. In between, for microseconds unless the
/// process is preempted, the socket looks stale.
const NEWBORN: Duration = Duration::from_millis(10);

/// True when the file was just made, and not by us. No process can set its change time.
fn is_newborn(file: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(file) else {
        return false;
    };
    if metadata.mtime_nsec() == MARK {
        return false;
    }
    let (seconds, nanos) = (metadata.ctime(), metadata.ctime_nsec());
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else {
        return false;
    };
    let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos));
    // A time in the future is from before the clock was set back.
    let age = changed.and_then(|changed| changed.elapsed().ok());
    age.is_some_and(|age| age < NEWBORN)
}

/// Connects to a socket and closes the connection. Does not wait while the backlog is full.
pub(crate) fn probe(file: &Path) -> io::Result<Probe> {
    let connected = connect(file);
    match connected.as_ref().map_err(io::Error::kind) {
        Ok(_) => Ok(Probe::Listening),
        Err(io::ErrorKind::ConnectionRefused) if is_newborn(file) => Ok(Probe::NotYetListening),
        Err(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(Probe::Refused),
        Err(io::ErrorKind::WouldBlock) => Ok(Probe::Busy),
        Err(_) => connected.map(|_| Probe::Listening),
    }
}

/// Connects without waiting.
fn connect(file: &Path) -> io::Result<UnixSocket> {
    let socket = UnixSocket::new_stream()?;
    let address = rustix::net::SocketAddrUnix::new(file)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

/// The credentials of the process that listens at a socket. `None` when no process does, or its backlog is
/// full. Needs a tokio runtime.
pub(crate) fn listener(file: &Path) -> Option<Option<Credentials>> {
    let descriptor = connect(file).ok()?.as_fd().try_clone_to_owned();
    let stream = descriptor.map(ForeignStream::from);
    let stream = stream.and_then(UnixStream::from_std).ok();
    Some(stream.as_ref().and_then(peer_credentials))
}
