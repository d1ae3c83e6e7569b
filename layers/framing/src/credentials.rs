//! The credentials of the peer process, if the stream is a Unix socket.

use std::any::Any;

use kyneta_uds_core::Credentials;

/// The credentials of a tokio `UnixStream`, as reported by the kernel. Other streams have none.
#[cfg(unix)]
pub(crate) fn of(io: &dyn Any) -> Option<Credentials> {
    let stream = io.downcast_ref::<tokio::net::UnixStream>()?;
    let of = stream.peer_cred().ok()?;
    Some(Credentials::new(of.uid(), of.gid(), of.pid()))
}

#[cfg(not(unix))]
pub(crate) fn of(_: &dyn Any) -> Option<Credentials> {
    None
}
