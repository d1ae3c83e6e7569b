//! Admission of connections: the access policy by uid and gid, the rate, and the limits at once.
//!
//! In: the credentials of a new connection. Out: a [`ConnectionPermit`], or a [`RejectReason`] and a log line. May touch:
//! its own counts, the clock.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use kyneta_uds_core::{Credentials, RateLimit};
use tracing::{Span, field::Empty, info_span};

use super::rate::AcceptRate;
use crate::{access_policy::AccessPolicy, credentials::Display, mutex::lock};

/// Connections at once, by default.
const MAX_CONNECTIONS: usize = 16_384;

/// Connections a second of one user, by default; twice as many at once.
const ACCEPT_RATE: u32 = 10_000;

/// Log lines a minute about rejected connections, by default.
const LOG_LINES: u32 = 60;

/// Which connections are admitted, and how many.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) allow: AccessPolicy,
    pub(crate) max_connections: usize,
    /// By default three quarters of all, so that one user cannot take all.
    pub(crate) max_per_uid: Option<usize>,
    pub(crate) accept_rate: u32,
    pub(crate) log_lines: u32,
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self {
            allow: AccessPolicy::same_uid(),
            max_connections: MAX_CONNECTIONS,
            max_per_uid: None,
            accept_rate: ACCEPT_RATE,
            log_lines: LOG_LINES,
        }
    }

    fn per_uid(&self) -> usize {
        let share = self.max_connections - self.max_connections / 4;
        self.max_per_uid.unwrap_or(share.max(1))
    }
}

/// Why a connection was closed as soon as it was accepted. Nothing was read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// The access policy does not allow the process.
    #[error("{} is not allowed in", Display(*credentials))]
    NotAllowed {
        /// Of the process, where the kernel reports them.
        credentials: Option<Credentials>,
    },
    /// The limit of connections is reached.
    #[error("{} was one too many: {limit} connections at most", Display(*credentials))]
    TooMany {
        /// Of the process, where the kernel reports them.
        credentials: Option<Credentials>,
        /// Connections at once.
        limit: usize,
    },
    /// The limit of one user's connections is reached.
    #[error("{} was one too many: {limit} connections at most of one user", Display(Some(*credentials)))]
    TooManyOfUid {
        /// Of the process.
        credentials: Credentials,
        /// Connections at once.
        limit: usize,
    },
    /// One user's processes connect too often.
    #[error("{} was one too many: {per_second} connections a second at most of one user", Display(*credentials))]
    TooFast {
        /// Of the process, where the kernel reports them.
        credentials: Option<Credentials>,
        /// Connections a second, on average.
        per_second: u32,
    },
}

impl RejectReason {
    /// A name for programs.
    ///
    /// ```
    /// use kyneta_uds_unix::RejectReason;
    ///
    /// let credentials = None;
    /// assert_eq!(RejectReason::NotAllowed { credentials }.code(), "not-allowed");
    /// ```
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed { .. } => "not-allowed",
            Self::TooMany { .. } | Self::TooManyOfUid { .. } => "too-many-connections",
            Self::TooFast { .. } => "too-many-a-second",
        }
    }

    /// The credentials of the rejected process, where the kernel reports them.
    pub const fn credentials(&self) -> Option<Credentials> {
        match self {
            Self::NotAllowed { credentials }
            | Self::TooMany { credentials, .. }
            | Self::TooFast { credentials, .. } => *credentials,
            Self::TooManyOfUid { credentials, .. } => Some(*credentials),
        }
    }
}

/// Decides on each connection; shared with the [`ConnectionPermit`]s.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    open: Mutex<OpenConnections>,
    rate: Mutex<AcceptRate>,
    log: Mutex<RateLimit>,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            log: Mutex::new(RateLimit::new(limits.log_lines)),
            rate: Mutex::new(AcceptRate::new(limits.accept_rate)),
            limits,
            open: Mutex::default(),
        })
    }

    /// Admits a connection, or says why not, in a log line as well.
    pub(crate) fn admit(
        self: &Arc<Self>,
        credentials: Option<Credentials>,
    ) -> Result<ConnectionPermit, RejectReason> {
        match self.enter(credentials) {
            Ok(()) => Ok(ConnectionPermit {
                admission: self.clone(),
                credentials,
            }),
            Err(reason) => {
                self.log(&reason);
                Err(reason)
            }
        }
    }

    /// Counts a connection that a predecessor has admitted, whatever the limits are now.
    pub(crate) fn readmit(self: &Arc<Self>, credentials: Option<Credentials>) -> ConnectionPermit {
        lock(&self.open).count(credentials.map(|of| of.uid));
        ConnectionPermit {
            admission: self.clone(),
            credentials,
        }
    }

    fn enter(&self, credentials: Option<Credentials>) -> Result<(), RejectReason> {
        if !self.limits.allow.allows(credentials) {
            return Err(RejectReason::NotAllowed { credentials });
        }
        let uid = credentials.map(|of| of.uid);
        if !lock(&self.rate).take(uid, Instant::now()) {
            let per_second = self.limits.accept_rate;
            return Err(RejectReason::TooFast {
                credentials,
                per_second,
            });
        }
        lock(&self.open).enter(&self.limits, credentials)
    }

    fn log(&self, reason: &RejectReason) {
        let Some(unsaid) = lock(&self.log).take(Instant::now()) else {
            return;
        };
        let uid = reason.credentials().map(|peer| peer.uid);
        let unsaid = (unsaid > 0).then_some(unsaid);
        tracing::warn!(uid, unsaid, "rejected: {reason}");
    }
}

/// One connection counted against a listener's limits. Keep it as long as the connection: dropping it makes room
/// for the next.
///
/// ```
/// use kyneta_uds_unix::{Listener, ListenerEvent, ListenerOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let mut listener = ListenerOptions::new().max_connections(1).bind(&path).await?;
/// let _first = tokio::net::UnixStream::connect(&path).await?;
/// let (_stream, permit) = listener.accept().await;
/// let _second = tokio::net::UnixStream::connect(&path).await?;
/// let ListenerEvent::Rejected(reason) = listener.next().await else { panic!() };
/// assert!(reason.to_string().ends_with("one too many: 1 connections at most"));
///
/// drop(permit);
/// let _third = tokio::net::UnixStream::connect(&path).await?;
/// let _ = listener.accept().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it makes room for another connection"]
#[derive(Debug)]
pub struct ConnectionPermit {
    admission: Arc<Admission>,
    credentials: Option<Credentials>,
}

impl ConnectionPermit {
    /// The credentials of the connected process, where the kernel reports them.
    pub const fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }

    /// A span for the connection: `connection` with `uid`, `gid` and `pid`; record `peer` and `wire` once they
    /// are known.
    pub fn span(&self) -> Span {
        let of = self.credentials;
        info_span!(
            "connection",
            uid = of.map(|of| of.uid),
            gid = of.map(|of| of.gid),
            pid = of.and_then(|of| of.pid),
            peer = Empty,
            wire = Empty,
        )
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        lock(&self.admission.open).leave(self.credentials.map(|of| of.uid));
    }
}

/// Open connections.
#[derive(Debug, Default)]
struct OpenConnections {
    all: usize,
    /// Open connections per uid.
    by_uid: HashMap<u32, usize>,
}

impl OpenConnections {
    fn enter(
        &mut self,
        limits: &Limits,
        credentials: Option<Credentials>,
    ) -> Result<(), RejectReason> {
        if self.all >= limits.max_connections {
            return Err(RejectReason::TooMany {
                credentials,
                limit: limits.max_connections,
            });
        }
        if let Some(credentials) = credentials {
            let limit = limits.per_uid();
            let count = self.by_uid.get(&credentials.uid).copied().unwrap_or(0);
            if count >= limit {
                return Err(RejectReason::TooManyOfUid { credentials, limit });
            }
            self.by_uid.insert(credentials.uid, count + 1);
        }
        self.all += 1;
        Ok(())
    }

    fn count(&mut self, uid: Option<u32>) {
        self.all += 1;
        if let Some(uid) = uid {
            *self.by_uid.entry(uid).or_default() += 1;
        }
    }

    fn leave(&mut self, uid: Option<u32>) {
        self.all = self.all.saturating_sub(1);
        let Some(uid) = uid else { return };
        if let Some(count) = self.by_uid.get_mut(&uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_uid.remove(&uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uid: u32) -> Option<Credentials> {
        Some(Credentials {
            uid,
            gid: 1,
            pid: Some(7),
        })
    }

    fn admission(max_connections: usize, max_per_uid: Option<usize>) -> Arc<Admission> {
        Admission::new(Limits {
            allow: AccessPolicy::anyone(),
            max_connections,
            max_per_uid,
            ..Limits::new()
        })
    }

    #[test]
    fn open_connections_are_counted_in_all_and_per_user() {
        let admission = admission(3, Some(2));
        let mut of_1: Vec<_> = (0..2).map(|_| admission.admit(of(1)).unwrap()).collect();
        let too_many_of_1 = admission.admit(of(1)).unwrap_err();
        assert!(matches!(
            too_many_of_1,
            RejectReason::TooManyOfUid { limit: 2, .. }
        ));
        let of_2 = admission.admit(of(2)).unwrap();
        for late in [of(1), of(2), of(3), None] {
            let reason = admission.admit(late).unwrap_err();
            assert!(matches!(reason, RejectReason::TooMany { limit: 3, .. }));
            assert_eq!(reason.credentials(), late);
        }
        of_1.pop();
        let unknown = admission.admit(None).unwrap();
        drop((of_1, of_2, unknown));
        assert_eq!(lock(&admission.open).all, 0);
        assert!(
            lock(&admission.open).by_uid.is_empty(),
            "a user without connections takes no memory"
        );
    }

    #[test]
    fn one_user_has_three_quarters_by_default() {
        for (max_connections, of_one) in [(1, 1), (2, 2), (4, 3), (16_384, 12_288)] {
            let admission = admission(max_connections, None);
            let permits: Vec<_> = std::iter::from_fn(|| admission.admit(of(1)).ok()).collect();
            assert_eq!(permits.len(), of_one);
        }
    }

    #[test]
    fn one_user_that_connects_too_often_is_rejected_and_no_other() {
        let admission = Admission::new(Limits {
            allow: AccessPolicy::anyone(),
            accept_rate: 1,
            ..Limits::new()
        });
        // Two at once; a third would take half a second at least.
        for _ in 0..2 {
            assert!(admission.admit(of(1)).is_ok());
        }
        let reason = admission.admit(of(1)).unwrap_err();
        assert!(matches!(
            reason,
            RejectReason::TooFast { per_second: 1, .. }
        ));
        assert!(admission.admit(of(2)).is_ok());
        assert_eq!(
            reason.to_string(),
            "a process of uid 1 (gid 1, pid 7) was one too many: 1 connections a second at most of one user"
        );
    }

    #[test]
    fn a_rejected_connection_is_not_counted() {
        let admission = Admission::new(Limits {
            allow: AccessPolicy::uids([5]),
            ..Limits::new()
        });
        let reason = admission.admit(of(6)).unwrap_err();
        assert_eq!(
            reason.to_string(),
            "a process of uid 6 (gid 1, pid 7) is not allowed in"
        );
        assert_eq!(lock(&admission.open).all, 0);
        assert!(admission.admit(None).is_err());
        assert!(admission.admit(of(5)).is_ok());
    }
}
