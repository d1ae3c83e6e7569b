//! The credentials of a process: of the peer of a stream, and how they are displayed.
//!
//! In: a stream. Out: what the kernel reports. Touches nothing.

use std::fmt;

use kyneta_uds_core::Credentials;
use tokio::net::UnixStream;

use crate::user_namespace::is_unmapped;

/// Of the process at the other end. `None` where the kernel does not report them.
pub(crate) fn peer_credentials(stream: &UnixStream) -> Option<Credentials> {
    let of = stream.peer_cred().ok()?;
    Some(Credentials::new(of.uid(), of.gid(), of.pid()))
}

/// "a process of uid 0 (gid 0, pid 1)"
pub(crate) struct Display(pub(crate) Option<Credentials>);

impl fmt::Display for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(credentials) = self.0 else {
            return f.write_str("a process without known credentials");
        };
        write!(f, "a process of {credentials}")?;
        match is_unmapped(credentials.uid) {
            true => f.write_str(", which stands for all users that this namespace does not map,"),
            false => Ok(()),
        }
    }
}
