//! A connected socket, and what std cannot do with one.
//!
//! In: a path, bytes, limits of time. Out: a blocking stream. May touch: the file system's sockets.

use std::{
    fs,
    io::{self, IoSlice},
    os::unix::net::UnixStream,
    time::Duration,
};

use kyneta_uds_core::{SocketPath, WriteBuf};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
        connect as connect_to, send, sendmsg, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use crate::{deadline::Deadline, error::Error};

#[cfg(not(target_vendor = "apple"))]
const FLAGS: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(target_vendor = "apple")]
const FLAGS: SocketFlags = SocketFlags::empty();

/// A broken connection is an error, and no signal.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")] // has no flag for it
const SEND: SendFlags = SendFlags::empty();

/// Slices of one write at most.
const MAX_SLICES: usize = 64;

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
    let address = address(path)?;
    let mut deadline = Deadline::after(Some(limit));
    loop {
        let left = deadline.left().map_err(|_| io::ErrorKind::WouldBlock)?;
        set_socket_timeout(&socket, Timeout::Send, left)?;
        match connect_to(&socket, &address) {
            // A signal has come, and be it that the process was stopped.
            Err(Errno::INTR) => {}
            connected => break connected?,
        }
    }
    // It was for connecting.
    set_socket_timeout(&socket, Timeout::Send, None)?;
    Ok(UnixStream::from(socket))
}

/// Writes some of what waits, within `limit`.
///
/// A limit of the socket's would be one for each piece of some 32 KiB that the kernel makes of a write. So it writes what
/// there is room for, and waits for room.
pub(crate) fn write(io: &UnixStream, out: &WriteBuf, limit: Option<Duration>) -> io::Result<usize> {
    let Some(limit) = limit else {
        return write_with(io, out, SEND);
    };
    match write_with(io, out, SEND | SendFlags::DONTWAIT) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        written => return written,
    }
    // A time that the system cannot express has no end.
    let limit = Timespec::try_from(limit).ok();
    match poll(&mut [PollFd::new(io, PollFlags::OUT)], limit.as_ref())? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(0),
    }
}

fn write_with(io: &UnixStream, out: &WriteBuf, flags: SendFlags) -> io::Result<usize> {
    if out.is_contiguous() {
        return Ok(send(io, out.front(), flags)?);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let filled = out.slices(&mut slices);
    let slices = slices.get(..filled).unwrap_or_default();
    let mut none = SendAncillaryBuffer::default();
    Ok(sendmsg(io, slices, &mut none, flags)?)
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
