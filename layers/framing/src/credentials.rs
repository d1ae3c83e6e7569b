//! The credentials of the peer process, if the stream is a Unix socket.

use std::any::Any;

use kyneta_uds_core::Credentials;

/// The credentials of a tokio `UnixStream`, as reported by the kernel. Other streams have none.
#[cfg(unix)]
pub(crate) fn of(io: &dyn Any) -> Option<Credentials> {
    let cred = io
        .downcast_ref::<tokio::net::UnixStream>()?
        .peer_cred()
        .ok()?;
    Some(Credentials {
        uid: cred.uid(),
        gid: cred.gid(),
        // Linux reports 0 for a process outside our pid namespace.
        pid: cred.pid().filter(|pid| *pid > 0),
    })
}

#[cfg(not(unix))]
pub(crate) fn of(_: &dyn Any) -> Option<Credentials> {
    None
}
