//! Who is at the other end, when the stream is one that can tell.

use std::any::Any;

use kyneta_uds_core::Credentials;

/// The peer of a tokio `UnixStream`, as the kernel says. Any other stream has none.
#[cfg(unix)]
pub(crate) fn of(io: &dyn Any) -> Option<Credentials> {
    let cred = io
        .downcast_ref::<tokio::net::UnixStream>()?
        .peer_cred()
        .ok()?;
    Some(Credentials {
        uid: cred.uid(),
        gid: cred.gid(),
        // Linux says 0 of a process that our pid namespace does not show.
        pid: cred.pid().filter(|pid| *pid > 0),
    })
}

#[cfg(not(unix))]
pub(crate) fn of(_: &dyn Any) -> Option<Credentials> {
    None
}
