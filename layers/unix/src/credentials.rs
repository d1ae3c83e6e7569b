//! Which process is at the other end of a stream.

use kyneta_uds_core::Credentials;
use tokio::net::UnixStream;

/// As the kernel says. `None` where it tells nothing.
pub(crate) fn of(stream: &UnixStream) -> Option<Credentials> {
    let cred = stream.peer_cred().ok()?;
    Some(Credentials {
        uid: cred.uid(),
        gid: cred.gid(),
        // Linux says 0 of a process that our pid namespace does not show.
        pid: cred.pid().filter(|pid| *pid > 0),
    })
}
