//! How a path is bound, and which connections are accepted.
//!
//! In: settings, one call each. Out: what [`bind`](crate::bind), [`watch`](crate::watch) and the admission take.
//! Touches nothing.

use crate::{
    accept::admission::Limits, access_policy::AccessPolicy, bind::BindOptions, fs::Access,
};

/// How a path is bound, and which connections are accepted.
///
/// ```
/// use kyneta_uds_unix::{AccessPolicy, ListenerOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let shared_with_www = ListenerOptions::new()
///     .mode(0o666)
///     .allow(AccessPolicy::same_uid().or(AccessPolicy::uids([33])))
///     .bind(&path)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    access: Access,
    cleanup: bool,
    inotify: bool,
    pub(crate) limits: Limits,
}

const OWNER_ONLY: Access = Access {
    mode: 0o600,
    group: None,
};

impl Default for ListenerOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ListenerOptions {
    /// Mode 0600, the process's group, stale files removed, only processes of our own user accepted, 16,384
    /// connections at once.
    pub fn new() -> Self {
        Self {
            access: OWNER_ONLY,
            cleanup: true,
            inotify: true,
            limits: Limits::new(),
        }
    }

    /// The file's permission bits, in force before the path is visible. 0600 by default. An abstract name has
    /// no file and so no mode: any user may connect, and the only protection is [`allow`](Self::allow).
    pub fn mode(mut self, mode: u32) -> Self {
        self.access.mode = mode & 0o777;
        self
    }

    /// The file's group, by number, in force before the path is visible: with a mode of 0660 its members may
    /// connect. By default it is the process's group, or that of a directory with the setgid bit. A process
    /// without privileges may set a group that it is a member of (chown(2)). The lock beside the path gets the
    /// same group.
    pub fn group(mut self, gid: u32) -> Self {
        self.access.group = Some(gid);
        self
    }

    /// Whether a stale socket file, at which no process listens any more, is removed. True by default; when
    /// false, it is [`BindError::Stale`](crate::BindError::Stale).
    pub fn cleanup(mut self, cleanup: bool) -> Self {
        self.cleanup = cleanup;
        self
    }

    /// Checks the path every four seconds instead of using inotify(7): for sockets of which every process of a
    /// user has one, such as that of [its status], because a user has 128 inotify instances.
    ///
    /// [its status]: https://docs.rs/kyneta-uds/latest/kyneta_uds/status/struct.Endpoint.html
    pub fn without_inotify(mut self) -> Self {
        self.inotify = false;
        self
    }

    /// Which processes may connect, in addition to what the file's mode and its directory permit.
    /// [`AccessPolicy::same_uid`] by default. A rejected connection is closed before anything is read
    /// ([`ListenerEvent::Rejected`](crate::ListenerEvent::Rejected)).
    pub fn allow(mut self, allow: AccessPolicy) -> Self {
        self.limits.allow = allow;
        self
    }

    /// Which processes may connect.
    pub fn allows(&self) -> &AccessPolicy {
        &self.limits.allow
    }

    /// How many connections may be open at once, including those in their handshake. 16,384 by default. Each
    /// takes a file descriptor: see `ulimit -n`.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.limits.max_connections = connections;
        self
    }

    /// How many of them may belong to one user. By default three quarters of
    /// [`max_connections`](Self::max_connections).
    pub fn max_connections_per_uid(mut self, connections: usize) -> Self {
        self.limits.max_per_uid = Some(connections);
        self
    }

    /// How many connections a second processes of one user may make on average; twice as many at once.
    /// Further ones are rejected ([`RejectReason::TooFast`](crate::RejectReason::TooFast)). 10,000 by default;
    /// `u32::MAX` means no limit, 0 rejects every connection. Connections that the policy rejects do not count.
    pub fn max_accepts_per_uid(mut self, per_second: u32) -> Self {
        self.limits.accept_rate = per_second;
        self
    }

    /// Log lines a minute about rejected connections. 60 by default; the next line says how many were left
    /// out. Each rejection is an event all the same.
    pub fn log_lines(mut self, per_minute: u32) -> Self {
        self.limits.log_lines = per_minute;
        self
    }

    pub(crate) fn bind_options(&self) -> BindOptions {
        // A process that can open the lock file can hold the lock and so keep others from listening. Where only
        // our own user may connect, no other user needs to open it.
        let lock_access = match self.limits.allow.is_same_uid() {
            true => OWNER_ONLY,
            false => self.access,
        };
        BindOptions {
            access: self.access,
            lock_access,
            cleanup: self.cleanup,
            inotify: self.inotify,
        }
    }
}
