//! A connected socket.
//!
//! In: a path, a limit of time. Out: a blocking stream. May touch: the file system's sockets.

use std::{fs, io, os::unix::net::UnixStream, time::Duration};

use kyneta_uds_core::SocketPath;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_to, socket_with,
    sockopt::{Timeout, set_socket_timeout},
};

use crate::error::Error;

#[cfg(not(target_vendor = "apple"))]
const FLAGS: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(target_vendor = "apple")]
const FLAGS: SocketFlags = SocketFlags::empty();

/// Connects. A full backlog is waited for, within `limit`.
pub(crate) fn connect(path: &SocketPath, limit: Duration) -> Result<UnixStream, Error> {
    if let Some(file) = path.as_pathname()
        && fs::symlink_metadata(file).is_ok_and(|found| found.is_symlink())
    {
        return Err(Error::Symlink { path: path.clone() });
    }
    stream(path, limit).map_err(|source| Error::Connect {
        path: path.clone(),
        source,
    })
}

/// By rustix, because std cannot limit the time of a connect.
fn stream(path: &SocketPath, limit: Duration) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    #[cfg(target_vendor = "apple")] // has no flag for it
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
    connect_to(&socket, &address(path)?)?;
    Ok(UnixStream::from(socket))
}

fn address(path: &SocketPath) -> io::Result<SocketAddrUnix> {
    #[cfg(target_os = "linux")]
    if let Some(name) = path.as_abstract_name() {
        return Ok(SocketAddrUnix::new_abstract_name(name)?);
    }
    match path.as_pathname() {
        Some(file) => Ok(SocketAddrUnix::new(file)?),
        None => Err(io::ErrorKind::Unsupported.into()),
    }
}
